//! The writers' logs: appends go here first, and are copied later into the entities' own
//! partitions.
//!
//! ```text
//! append --> lane (core) --one conditional write a round--> log --late, coalesced--> event rows
//!               `--> answer                                  `--> change feed
//! ```
//!
//! `docs/design/0004-cassandra-log.md` has the protocol with its proof sketch.

mod book;
mod broken;
mod copier;
pub(crate) mod copy;
pub(crate) mod copy_plan;
pub(crate) mod ends;
pub(crate) mod entry;
pub(crate) mod event_row;
pub(crate) mod job;
mod lane;
mod lane_task;
pub(crate) mod relay;
mod retention;
mod retention_task;
pub(crate) mod round;
pub(crate) mod seal;
pub(crate) mod view;
pub(crate) mod walk;
pub(crate) mod writer;
