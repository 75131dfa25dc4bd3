//! Every store of a place in Apache Cassandra or ScyllaDB, on one session.
//!
//! - Appends go to the log of the node's writer: one conditional write carries every pending append
//!   of a lane, up to its limits.
//! - The conditional writes of a sealed writer fail, however late they arrive.
//! - Events are copied later into the entities' own partitions, from which entities recover.
//! - The lanes of the logs are dense and in order: together they are the change feed.
//!
//! `docs/design/0004-cassandra-log.md` has the protocol, and what a crash between any two steps
//! leaves behind.

mod backend;
mod coordination;
pub mod cql;
mod damaged;
mod feed;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing {
    //! The decoders of this crate, for the fuzzing in `fuzz`.

    pub use crate::cql::fuzzing::CQL;
    pub use crate::log::view::fuzzing::LOG;
}
mod health;
mod journal;
mod kind;
mod local_server;
mod log;
pub mod model;
mod offsets;
mod reminders;
mod replay;
mod settings;
mod shared;
mod snapshots;
mod stats;
mod stores;
pub mod tables;
mod verify;

pub use antiphon_persistence::store::Role;
pub use kind::CassandraKind;
pub use settings::CassandraSettings;
pub use stats::CassandraStats;
pub use stores::CassandraStores;
