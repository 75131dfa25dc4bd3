//! How the replicas of an entity stay together: direct replication, and the journal loop that guarantees it.
//!
//! After a durable append the events go at once to the other replicas' regions (`direct`); if anything is full, down or not known,
//! they are dropped and counted, and as soon as the way is open again its receiver is told to read now ([`Way`]). The journal loop of each shard follows the other replicas' change feeds
//! ([`JournalLoop`]) and tells the entities how far they should be; its position moves when they have answered.

mod follower;
mod held;
mod journal_loop;
mod way;

pub(crate) use follower::{Follower, FollowerParts};
pub(crate) use held::HeldRecords;
pub use journal_loop::{Effect, Input, JournalLoop, LoopSettings};
pub use way::{Connection, Effect as WayEffect, Input as WayInput, Way};

#[cfg(test)]
mod tests;
