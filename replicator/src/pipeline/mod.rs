//! The rules of replication, as a pure core.
//!
//! ```text
//!  source --Arrived--> lane 0: stream a [3 4 5]   --Write--> sink --Written--> Settle (Ack), watermark --> SaveCheckpoint
//!                              stream b [7]*
//!                      lane 1: stream c ...          * blocked: waits for its retry; its later events wait behind it
//! ```
//!
//! A stream belongs to one lane for ever ([`Lanes`](PipelineSettings::lane_count), by a hash of the original stream's name). Within a stream
//! events are written in order, one write at a time. An event that fails is tried again in place, with a growing delay; its stream waits,
//! others go on. After a bound it is parked with the reason. What must always hold:
//!
//! - what was written of a stream is a prefix of what arrived, but for events which were parked or skipped with a reason;
//! - the checkpoint never passes an event that is neither at the destination nor put aside, and never goes back;
//! - every event is settled exactly once a delivery;
//! - no more is held than [`held_count_max`](PipelineSettings::held_count_max).
//!
//! The shell calls [`Pipeline::step`] with what happened and does what it asks for; [`Pipeline::next_wake`] says when to call it with
//! [`Input::Tick`].

mod arrive;
mod broken;
mod complete;
mod core;
mod io;
mod lifecycle;
mod queue;
mod schedule;
mod settings;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
mod watermark;

pub use self::core::Pipeline;
pub use io::{Effect, Generation, Input, Note, Now, Seq, WriteId};
pub use settings::{ConflictPolicy, Followers, LaneOrder, Neighbours, Parking, PipelineSettings};
