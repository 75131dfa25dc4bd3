//! The rules of replication, as a pure core.
//!
//! ```text
//! source --Arrived--> lane 0: stream a [3 4 5] --Write--> sink --Written--> Settle (Ack),
//!                             stream b [7]*                                 watermark,
//!                     lane 1: stream c [2]                                  SaveCheckpoint
//!
//! * blocked: waits for its retry; its later events wait behind it
//! ```
//!
//! A stream always belongs to the same lane ([`Lanes`](PipelineSettings::lane_count), by a hash of
//! the original stream's name). Within a stream events are written in order, one write at a time.
//! An event that fails is tried again in place, with a growing delay; its stream waits, other
//! streams continue. After a limit it is parked with the reason. Invariants:
//!
//! - the events written of a stream are a prefix of the arrived ones, except events that were
//!   parked or skipped with a reason;
//! - the checkpoint never passes an event that is neither at the destination nor parked or skipped,
//!   and never goes back;
//! - each delivery is settled exactly once;
//! - at most [`held_count_max`](PipelineSettings::held_count_max) events are held.
//!
//! The shell passes each input to [`Pipeline::step`] and carries out the effects that it returns.
//! [`Pipeline::next_wake`] is the time of the next [`Input::Tick`].

mod arrive;
mod broken;
mod checkpoint;
mod complete;
mod core;
mod io;
mod lifecycle;
mod queue;
mod schedule;
mod settings;
#[cfg(test)]
mod simulation;
mod sink_state;
mod source_link;
mod streams;
#[cfg(test)]
mod tests;
mod timers;
mod watermark;

pub use self::core::Pipeline;
pub use io::{Effect, Generation, Input, Note, Now, Seq, WriteId};
pub use settings::{ConflictPolicy, Followers, LaneOrder, Neighbours, Parking, PipelineSettings};
