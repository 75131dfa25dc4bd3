//! The writers' logs: appends go here first, and are copied later into the entities' own
//! partitions.
//!
//! ```text
//! append --> lane (core) --one conditional write a round--> log --late, coalesced--> event rows
//!               `--> answer                                  `--> change feed
//! ```
//!
//! `docs/design/0004-cassandra-log.md` has the protocol with its proof sketch.

mod copier;
pub(crate) mod copy;
pub(crate) mod lane;
mod lane_task;
pub(crate) mod relay;
mod retention;
pub(crate) mod round;
pub(crate) mod seal;
pub(crate) mod view;
pub(crate) mod writer;
