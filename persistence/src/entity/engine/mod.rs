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
//! - `queued`: a command on its way through the engine;
//! - `core`: phases and the transitions between them;
//! - `leaving`: from a phase to a restart, or to the end;
//! - `recovery`: permit, snapshot, replay;
//! - `running`: commands against the newest state;
//! - `stash`: commands that were put aside;
//! - `applying`: stored events, read and applied;
//! - `persisting`: output commit: one append under way, the next one collecting, answers let out
//!   when durable;
//! - `holding`: events of other replicas that cannot be applied here;
//! - `proof`: only events and states that can be read again are stored;
//! - `limits`: the bytes of one append;
//! - `replication`: events of other replicas, pulls, positions;
//! - `reclaim`: doubt about the own journal, and own events that come back.
//!
//! Application code is called only through [`antiphon_base::guard`]; `docs/user-code.md` lists the
//! consequences of its failures.
//!
//! Every phase takes events of other replicas: they are kept within a bound, or dropped and read
//! again.
//!
//! Invariants: `durable <= newest`; every release has `needed <= durable`; at most one append is
//! under way; the collected events are dense after the append under way.

mod applying;
mod core;
mod holding;
mod input;
mod leaving;
mod limits;
mod observe;
mod peers;
mod persisting;
pub(super) mod proof;
mod queued;
mod reclaim;
mod recovery;
mod replication;
mod running;
mod stash;

pub use self::core::Engine;
pub use self::input::{Action, Generation, Input, Now};
pub use self::queued::{Queued, Release, Slot};

#[cfg(test)]
mod tests;
