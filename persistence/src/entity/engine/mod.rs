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
//! [`Engine`] is composed of parts; each is a type with a state of its own, and depends on the
//! parts below it only:
//! - `core`: the transitions between the phases; `phase`: the phases; `restarts`: the waits between
//!   them; `away`: the things that other replicas send meanwhile; `inbox`, `stash`: commands that
//!   wait; `behind`: those that wait for events; `doubted`: the replicas to ask before commands are
//!   taken; `observe`: the view from outside;
//! - `recovery`: permit, snapshot, replay;
//! - `running`: an entity at work, composed of `stream`, `replication` and `commands`;
//! - `commands`: commands are handled against the newest state; `beside`: futures that hold up
//!   none; `once`: commands that repeat a request; `timers`: the commands that the entity gets from
//!   its timers; `refused`: effects that do not happen; `firing`: the effects of reminders that are
//!   due, and of reactions;
//! - `stream`: the own stream, composed of `applied` (the newest state, with its version and
//!   number), `requests` (which were done), `reminders` (which are set, and their rows),
//!   `reactions` (events that have none
//!   yet), `persisting` (output commit: one append under way, the next one collecting),
//!   `outbox` (answers let out when durable) and `snapshots`;
//! - `replication`: events of other replicas, direct or read from their journals, composed of
//!   `peers` (positions and news), `holding` (events that cannot be applied here) and `doubts`
//!   (doubt about the own journal); `intake` takes one event;
//! - `applier`: stored events, read and applied; `own_times`: own events that come back;
//! - `proof`: only events and states that can be read again are stored;
//! - `signals`: the behaviour is told of its entity's life;
//! - `limits`: the bytes of one append; `rows`: the rows of reminders, for a check of a store;
//! - `input`, `queued`, `shared`, `failure`, `news`, `skipped`: types that the parts share.
//!
//! Application code is called only through [`antiphon_base::guard`]; `docs/user-code.md` lists the
//! consequences of its failures.
//!
//! Every phase takes events of other replicas: they are kept within a bound, or dropped and read
//! again.
//!
//! Invariants: `durable <= newest`; every release has `needed <= durable`; at most one append is
//! under way; the collected events are dense after the append under way. A state that cannot be,
//! and a result that was not asked for, panic in release builds too; the shell stops the entity
//! then, with an error for its askers and the counter `engines_broken`.

mod applied;
mod applier;
mod away;
mod behind;
mod beside;
mod commands;
mod core;
mod doubted;
mod doubts;
mod encoded;
mod failure;
mod firing;
mod given;
mod holding;
mod inbox;
mod input;
mod intake;
mod limits;
mod news;
mod observe;
mod once;
mod open;
mod outbox;
mod own_times;
mod peers;
mod persisting;
mod phase;
pub(super) mod proof;
mod queued;
mod reacting;
mod reactions;
mod recovery;
mod refused;
mod reminders;
mod replication;
mod requests;
mod restarts;
mod rows;
mod running;
mod shared;
mod signals;
mod skipped;
mod snapshots;
mod stash;
mod stream;
mod timers;

pub use self::core::Engine;
pub use self::input::{Action, Generation, Input, Now};
pub use self::queued::{Queued, Release, Releases, Slot};
pub use self::reminders::RowChanges;
pub(crate) use self::rows::ReminderRows;

#[cfg(test)]
mod tests;
