//! The replication between the replicas of an entity: direct replication, and the journal loop that
//! guarantees it.
//!
//! After a durable append the events go at once to the regions of the other replicas ([`Direct`]).
//! If a queue is full, a link is down or a home is not known, the events are dropped and counted.
//! As soon as the way is open again, the receiver is told to read now ([`Way`]).
//!
//! The journal loop of each shard follows the change feeds of the other replicas ([`JournalLoop`])
//! and tells the entities up to which number they should have events. Its position moves when they
//! have answered.

mod arrival;
mod direct;
mod held;
mod holding;
mod journal_loop;
mod outcome;
mod progress;
mod running_loop;
mod way;
mod witness;

pub use arrival::Arrival;
pub use direct::{Destination, Direct};
pub(crate) use held::HeldRecords;
pub use held::held_table;
pub use journal_loop::{Effect, Input, JournalLoop, LoopSettings};
pub use outcome::Outcome;
pub(crate) use running_loop::{LoopParts, RunningLoop, Tell};
pub use way::{Connection, Effect as WayEffect, Input as WayInput, Way};
pub(crate) use witness::FeedWitness;

#[cfg(test)]
mod tests;
