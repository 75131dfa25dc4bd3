//! Inputs and effects of a pipeline.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::event::Envelope;
use crate::sink::Outcome;
use crate::source::{Delivery, Position, Token, Verdict};

/// The arrival number of an event within this run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub u64);

/// The id of a write in progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WriteId(pub u64);

/// The id of one opening of the source. Messages of an earlier opening are ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u64);

/// The time and the random number of a step.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// The monotonic time.
    pub at: Instant,
    /// A random number in `0..=1000`, for delays.
    pub jitter: u16,
}

/// An input of a pipeline.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// The subscription starts.
    Start,
    /// The source is open.
    Opened(Generation),
    /// The source ends before the position from which it was to go on, and goes on from this one
    /// instead; none is its beginning. Comes before [`Opened`](Self::Opened).
    WentBack(Generation, Option<Position>),
    /// Opening the source failed.
    OpenFailed {
        /// The opening that failed.
        generation: Generation,
        /// The reason.
        reason: String,
        /// True when another try with the same settings cannot succeed.
        is_final: bool,
    },
    /// The source delivered events, in order.
    Arrived(Generation, Vec<Delivery>),
    /// The source was lost.
    SourceLost {
        /// The opening that was lost.
        generation: Generation,
        /// The reason.
        reason: String,
        /// True when opening it again with the same settings cannot succeed.
        is_final: bool,
    },
    /// A write ended.
    Written(WriteId, Vec<Outcome>),
    /// The replicator's own parking lot stored an event, or failed to.
    Parked(Seq, Result<(), String>),
    /// The checkpoint was saved, or saving it failed.
    CheckpointSaved(Result<(), String>),
    /// The answer to a probe of the sink.
    Probed(Result<(), String>),
    /// Time has passed.
    Tick,
    /// Finish the events that can be finished, then stop.
    Drain,
}

/// A request of a pipeline to its shell.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Open the source, after the position if there is one.
    Open(Generation, Option<Position>),
    /// Close the source.
    Close,
    /// Write a batch.
    Write {
        /// The id of the write.
        write: WriteId,
        /// The lane of the write.
        lane: usize,
        /// The events, in order.
        batch: Vec<Envelope>,
    },
    /// Send the verdict on events to the source.
    Settle(Vec<(Token, Verdict)>),
    /// Put an event into the replicator's own parking lot.
    Park {
        /// The event's arrival number.
        seq: Seq,
        /// The event.
        envelope: Box<Envelope>,
        /// The reason.
        reason: String,
    },
    /// Save the checkpoint.
    SaveCheckpoint(Position),
    /// Ask the sink if it is reachable again.
    Probe,
    /// Continue reading: the given number of deliveries is no longer held.
    Release(usize),
    /// Information for the log and the metrics.
    Note(Note),
    /// Everything that could be finished is finished.
    Drained,
    /// The subscription cannot continue: stop it with this reason.
    Fail(String),
}

/// Information for the log and the metrics.
#[derive(Debug, Clone, PartialEq)]
pub enum Note {
    /// An event is stored at the destination.
    Completed {
        /// The event.
        envelope: Box<Envelope>,
        /// Time since the event arrived.
        elapsed: Duration,
        /// True when the destination had the event already.
        duplicate: bool,
    },
    /// A link without a target was skipped.
    Unresolved(Box<Envelope>),
    /// A filter, a transform or the conflict policy skipped an event.
    Skipped {
        /// The event.
        envelope: Box<Envelope>,
        /// The reason.
        reason: String,
    },
    /// An event failed and will be tried again.
    Retrying {
        /// The event.
        envelope: Box<Envelope>,
        /// Number of failed tries.
        attempt: u32,
        /// Delay before the next try.
        delay: Duration,
        /// The reason of the failure.
        reason: String,
    },
    /// An event was parked.
    Parked {
        /// The event.
        envelope: Box<Envelope>,
        /// The reason.
        reason: String,
    },
    /// The destination has a different event at the event's number.
    Conflict {
        /// The event.
        envelope: Box<Envelope>,
        /// Description of the difference.
        reason: String,
    },
    /// The sink is unreachable.
    SinkDown(String),
    /// The sink is reachable again.
    SinkUp,
    /// The source is open.
    SourceUp,
    /// The source is lost, and is opened again after the delay.
    SourceDown {
        /// The reason.
        reason: String,
        /// The delay before the next opening.
        delay: Duration,
    },
    /// An event was handed back to the source to be delivered again.
    Renewed(Arc<str>, u64),
    /// An event that was handed back did not come again: its stream continues without it.
    NotRedelivered(Arc<str>, u64),
    /// The checkpoint is saved.
    Checkpoint(Position),
    /// The checkpoint could not be saved, and will be tried again.
    CheckpointFailed(String),
    /// An event could not be parked, and will be tried again.
    ParkingFailed(String),
    /// All events that the source has are delivered.
    CaughtUp,
    /// The source is behind again.
    FellBehind,
}
