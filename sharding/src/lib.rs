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

mod admission;
pub mod coordinator;
mod entity_ref;
mod entity_refs;
mod error;
mod forks;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing {
    //! The decoders of this crate, for the fuzzing in `fuzz`.

    pub use crate::wire::fuzzing::MESSAGES;
}
mod migrated;
mod policy;
mod progress;
mod provider;
pub mod region;
mod registry;
pub mod reminders;
mod replicated;
pub mod replication;
mod roles;
mod round_trip;
mod settings;
mod shapes;
pub mod shard;
mod shard_id;
mod stand_ins;
mod wire;

#[doc(inline)]
pub use antiphon_persistence::reply::AskFailure;
/// The error of [`EntityRef::ask`]. An application converts it into its [`Error`] with `?`, and the
/// kind keeps the knowledge of the effect: `Unavailable` (try again later, or at another replica)
/// and `Rejected` (change the command) mean that the command has not taken effect, `Timeout` that
/// its outcome is unknown.
///
/// ```
/// # use antiphon_persistence::reply::ReplyTo;
/// use antiphon_base::Result;
/// use antiphon_sharding::{AskError, EntityRef};
///
/// # #[derive(Debug, serde::Serialize, serde::Deserialize)]
/// # enum Command { Add { delta: i64, reply_to: ReplyTo<i64> } }
/// async fn add(counter: &EntityRef<Command>, delta: i64) -> Result<i64> {
///     let ask = |reply_to| Command::Add { delta, reply_to };
///     match counter.ask(ask).await {
///         // nobody has handled it: one more attempt cannot add twice
///         Err(AskError::NotHere(_) | AskError::Expired(_)) => Ok(counter.ask(ask).await?),
///         answer => Ok(answer?),
///     }
/// }
/// ```
///
/// [`Error`]: antiphon_base::Error
#[doc(inline)]
pub use antiphon_persistence::reply::ReplyError as AskError;
#[doc(inline)]
pub use antiphon_persistence::reply::{Missing, MissingEvents};
#[doc(inline)]
pub use antiphon_persistence::version::SessionToken;
pub use entity_ref::EntityRef;
pub use entity_refs::EntityRefs;
pub use policy::RoutingPolicy;
pub use progress::{ContinuitySection, ShardingSection};
pub use provider::{ReplicatedEntityProvider, ReplicationMode};
pub use replicated::ReplicatedSharding;
pub use roles::Roles;
pub use settings::{CommandsFrom, ShardingSettings};
pub use shard_id::ShardId;
pub use stand_ins::StandIns;
