//! The engine of one entity: a pure core from its first read to its last answer.
//!
//! ```text
//!            permit            snapshot             last page
//!   Permit ---------> Snapshot ---------> Replaying ---------> Running --- drained ---> Stopped
//!     ^                  |                   |                    |
//!     |                  +------ failed -----+------ failed ------+
//!     |                                      v
//!     +------------ time is over -------- Backoff
//! ```
//!
//! - `core`: phases and what leads from one to the other;
//! - `recovery`: permit, snapshot, replay;
//! - `running`: commands against the newest state;
//! - `persisting`: output commit: one append under way, the next one collecting, answers let out when durable;
//! - `proof`: nothing is stored that could not be read again;
//! - `replication`: events of other replicas, pulls, positions.
//!
//! Every phase takes events of other replicas: they are kept within a bound, or dropped and read again.
//!
//! Invariants: `durable <= newest`; what is released has `needed <= durable`; at most one append is under way; the events
//! collected are dense after the one under way.

mod core;
mod input;
mod limits;
mod persisting;
pub(super) mod proof;
mod recovery;
mod replication;
mod running;

pub use self::core::Engine;
pub use self::input::{Action, Generation, Input, Now, Queued, Release, Slot};

#[cfg(test)]
mod tests;
