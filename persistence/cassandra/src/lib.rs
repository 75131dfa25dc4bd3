//! Every store of a place in Apache Cassandra or ScyllaDB, on one session.
//!
//! - Appends go to the log of the node's writer: one conditional write carries everything that is pending on the node.
//! - A sealed writer's conditional writes fail, however late they arrive.
//! - Behind it the events are copied into the entities' own partitions, from which entities recover.
//! - The lanes of the logs are dense and in order: they are the change feed.
//!
//! The protocol, with what a crash between any two steps leaves behind, is in `docs/design/0004-cassandra-log.md`.

mod coordination;
pub mod cql;
mod damaged;
mod health;
mod journal;
mod log;
pub mod model;
mod offsets;
mod read_journal;
mod replay;
mod settings;
mod snapshots;
mod stats;
mod stores;
pub mod tables;
mod verify;

pub use log::relay::LaneRelay;
pub use settings::{CassandraSettings, Role};
pub use stats::CassandraStats;
pub use stores::CassandraStores;
