//! Sources of events.
//!
//! An opened source has two halves: a [`Reader`], which one task owns and calls in a loop, and a
//! [`Settler`], which sends verdicts on events to the source. They are separate because a reader
//! that waits for the next event must never delay the settling of an earlier one, and settling must
//! never cancel a read.

mod catch_up;
mod group;
mod journal;
mod resolve;

use std::fmt;

use async_trait::async_trait;
pub use catch_up::{CatchUpSource, Start, What};
pub use group::GroupSource;
pub use journal::{JournalSource, JournalSourceSettings};
pub(crate) use resolve::{error, event as recorded_event, message};

use crate::Result;
use crate::event::Envelope;

/// The position from which a source continues. Only positions of the same source can be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Position {
    /// After the event with this number in the subscribed stream (the link's number in a category).
    Stream(u64),
    /// After the record at this position in `$all`.
    All {
        /// The commit position.
        commit: u64,
        /// The prepare position.
        prepare: u64,
    },
    /// The text form of a journal's offset. Only the journal can interpret it.
    Journal(String),
}

impl Position {
    /// Returns true when `self` is known to lie before `other`. Always false for journal offsets,
    /// because they have no order of their own.
    pub fn is_before(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Stream(mine), Self::Stream(theirs)) => mine < theirs,
            (
                Self::All { commit, prepare },
                Self::All { commit: their_commit, prepare: their_prepare },
            ) => (commit, prepare) < (their_commit, their_prepare),
            (Self::Stream(_) | Self::All { .. } | Self::Journal(_), _) => false,
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stream(revision) => write!(f, "{revision}"),
            Self::All { commit, prepare } => write!(f, "C:{commit}/P:{prepare}"),
            Self::Journal(offset) => f.write_str(offset),
        }
    }
}

/// The source's id of a delivery, for settling it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub uuid::Uuid);

/// The verdict on an event, sent to the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The event is at the destination (or was dropped on purpose): never deliver it again.
    Ack,
    /// Deliver the event again later, for this reason.
    Retry(String),
    /// Park the event, with the reason, until an operator replays it.
    Park(String),
    /// Skip the event, with the reason.
    Skip(String),
}

/// A message of a reader.
#[derive(Debug, Clone, PartialEq)]
pub enum Delivery {
    /// An event.
    Event(Box<Envelope>),
    /// A link whose target is gone: it is skipped and counted.
    Unresolved(Box<Envelope>),
    /// An event that the filters exclude: it counts as done.
    Excluded(Box<Envelope>),
    /// Position up to which everything is delivered; the source filtered out the events in between.
    Mark(Position),
    /// The reader has delivered all current events of the source: later events are live.
    CaughtUp,
    /// The reader is no longer live, and reads older events again.
    FellBehind,
}

/// An opened source.
pub struct Opened {
    /// The reading half.
    pub reader: Box<dyn Reader>,
    /// The settling half.
    pub settler: Box<dyn Settler>,
}

/// The reading half of an opened source.
#[async_trait]
pub trait Reader: Send {
    /// Waits for the next deliveries: at least one, at most `count_max`, in order.
    ///
    /// # Errors
    /// `Unavailable` when the source is lost or silent for too long: open it again. `Rejected` when
    /// opening again cannot help. After an error no delivery follows. A cancelled call may lose
    /// deliveries, so one task owns the reader and does nothing else.
    async fn next(&mut self, count_max: usize) -> Result<Vec<Delivery>>;
}

/// The settling half of an opened source.
#[async_trait]
pub trait Settler: Send {
    /// Sends verdicts on deliveries to the source.
    ///
    /// # Errors
    /// `Unavailable` when the source is lost: unsettled events are delivered again.
    async fn settle(&mut self, verdicts: Vec<(Token, Verdict)>) -> Result<()>;
}

/// A source of events.
#[async_trait]
pub trait Source: Send + Sync + 'static {
    /// Starts reading after `position`, or from the start if there is none. A source that settles
    /// keeps its own position and ignores `position`.
    ///
    /// # Errors
    /// The position of the newest event; none when there is none, or the source cannot tell which
    /// it is.
    async fn open(&self, position: Option<Position>) -> Result<Opened>;

    /// The position of the newest event; none when there is none, or the source cannot tell.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn head(&self) -> Result<Option<Position>>;

    /// True when [`head`](Self::head) works. If not, a subscription that runs once ends when events
    /// are live.
    fn knows_head(&self) -> bool {
        true
    }

    /// True when the source keeps account of each event: it needs verdicts, and no checkpoint is
    /// kept.
    fn settles(&self) -> bool;
}
