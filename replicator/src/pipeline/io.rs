//! What a pipeline is told, and what it asks for.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::event::Envelope;
use crate::sink::Outcome;
use crate::source::{Delivery, Position, Token, Verdict};

/// The arrival number of an event within this run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub u64);

/// Names a write that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WriteId(pub u64);

/// Names an opening of the source: what an older one still says is ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u64);

/// The time and the chance of a step.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// The monotonic time.
    pub at: Instant,
    /// A random number in `0..=1000`, for delays.
    pub jitter: u16,
}

/// What a pipeline is told.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// The subscription starts.
    Start,
    /// The source is open.
    Opened(Generation),
    /// The source could not be opened.
    OpenFailed {
        /// Which opening.
        generation: Generation,
        /// Why.
        reason: String,
        /// Whether trying again as it is cannot help.
        is_final: bool,
    },
    /// The source delivered, in order.
    Arrived(Generation, Vec<Delivery>),
    /// The source is gone.
    SourceLost {
        /// Which opening.
        generation: Generation,
        /// Why.
        reason: String,
        /// Whether opening it again as it is cannot help.
        is_final: bool,
    },
    /// A write ended.
    Written(WriteId, Vec<Outcome>),
    /// The own parking lot took an event, or failed to.
    Parked(Seq, Result<(), String>),
    /// The checkpoint was saved, or not.
    CheckpointSaved(Result<(), String>),
    /// The sink was asked whether it is back.
    Probed(Result<(), String>),
    /// Time went on.
    Tick,
    /// Finish what can be finished, and stop.
    Drain,
}

/// What a pipeline asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Open the source, after a position where there is one.
    Open(Generation, Option<Position>),
    /// Close the source.
    Close,
    /// Write a batch.
    Write {
        /// Its name.
        write: WriteId,
        /// The lane that it belongs to.
        lane: usize,
        /// The events, in order.
        batch: Vec<Envelope>,
    },
    /// Tell the source what became of events.
    Settle(Vec<(Token, Verdict)>),
    /// Put an event into the own parking lot.
    Park {
        /// The event's arrival number.
        seq: Seq,
        /// The event.
        envelope: Box<Envelope>,
        /// Why.
        reason: String,
    },
    /// Save the checkpoint.
    SaveCheckpoint(Position),
    /// Ask whether the sink is back.
    Probe,
    /// So many deliveries are no longer held: read on.
    Release(usize),
    /// Something that a person or a metric wants to know.
    Note(Note),
    /// Everything that could be finished is.
    Drained,
    /// The subscription cannot go on: stop it and say why.
    Fail(String),
}

/// Something that a person or a metric wants to know.
#[derive(Debug, Clone, PartialEq)]
pub enum Note {
    /// An event is at the destination.
    Completed {
        /// The event.
        envelope: Box<Envelope>,
        /// Since it arrived.
        elapsed: Duration,
        /// Whether it was there already.
        duplicate: bool,
    },
    /// A link without a target was passed over.
    Unresolved(Box<Envelope>),
    /// An event was passed over by a filter, a transform or the conflict policy.
    Skipped {
        /// The event.
        envelope: Box<Envelope>,
        /// Why.
        reason: String,
    },
    /// An event failed and will be tried again.
    Retrying {
        /// The event.
        envelope: Box<Envelope>,
        /// How often it failed.
        attempt: u32,
        /// When it is tried again.
        delay: Duration,
        /// Why it failed.
        reason: String,
    },
    /// An event was put aside.
    Parked {
        /// The event.
        envelope: Box<Envelope>,
        /// Why.
        reason: String,
    },
    /// The destination has something else.
    Conflict {
        /// The event.
        envelope: Box<Envelope>,
        /// What it has.
        reason: String,
    },
    /// The sink is away.
    SinkDown(String),
    /// The sink is back.
    SinkUp,
    /// The source is open.
    SourceUp,
    /// The source is away, and opened again after the delay.
    SourceDown {
        /// Why.
        reason: String,
        /// The delay.
        delay: Duration,
    },
    /// An event was handed back to the source to be delivered again.
    Renewed(Arc<str>, u64),
    /// A handed back event did not come again: its stream goes on without it.
    NotRedelivered(Arc<str>, u64),
    /// The checkpoint is saved.
    Checkpoint(Position),
    /// The checkpoint could not be saved, and will be tried again.
    CheckpointFailed(String),
    /// An event could not be parked, and will be tried again.
    ParkingFailed(String),
    /// All events that the source has were delivered.
    CaughtUp,
    /// The source is behind again.
    FellBehind,
}
