//! Sharded entities with a replica in each place.
//!
//! ```text
//!   EntityRef --> region (routes by shard) --> shard (starts, forwards, passivates) --> entity
//!                    |  ^                        |
//!                    |  +-- homes -- coordinator |-- journal loop per other replica
//!                    +--> region of another node |-- direct replication to the other replicas
//! ```
//!
//! - [`ReplicatedSharding::init`] starts an entity type on a node. [`ReplicatedEntityProvider`]
//!   names its replicas.
//! - [`coordinator`] assigns homes to shards; [`region`] routes commands; [`shard`] runs entities;
//!   [`replication`] brings the events of the other replicas.

pub mod coordinator;
mod entity_ref;
mod error;
mod forks;
mod policy;
mod progress;
mod provider;
pub mod region;
mod registry;
mod replicated;
pub mod replication;
mod round_trip;
mod settings;
mod shapes;
pub mod shard;
mod shard_id;
mod wire;

pub use entity_ref::EntityRef;
pub use error::AskError;
pub use policy::RoutingPolicy;
pub use progress::{ContinuitySection, ShardingSection};
pub use provider::{ReplicatedEntityProvider, ReplicationMode};
pub use replicated::ReplicatedSharding;
pub use settings::ShardingSettings;
pub use shard_id::ShardId;
