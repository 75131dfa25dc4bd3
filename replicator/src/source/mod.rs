//! Sources of events.
//!
//! An opened source has two halves: a [`Reader`], which one task owns and calls in a loop, and a
//! [`Settler`], which sends verdicts on events to the source. They are separate because a reader
//! that waits for the next event must never delay the settling of an earlier one, and settling must
//! never cancel a read.

mod catch_up;
mod drain;
mod group;
mod journal;
mod preview;
mod resolve;

use async_trait::async_trait;
pub use catch_up::{CatchUpSource, Start, What, WhenAhead};
pub use group::GroupSource;
pub use journal::{JournalSource, JournalSourceSettings};
pub use preview::GroupPreview;
pub(crate) use resolve::{error, event as recorded_event, message};

use crate::Result;
use crate::event::Envelope;
use crate::park::Parked;
pub use crate::position::{Anchor, Bookmark, Position, Token};

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

impl Delivery {
    /// The event, if the message has one.
    pub fn envelope(&self) -> Option<&Envelope> {
        match self {
            Self::Event(envelope) | Self::Unresolved(envelope) | Self::Excluded(envelope) => {
                Some(envelope)
            }
            Self::Mark(_) | Self::CaughtUp | Self::FellBehind => None,
        }
    }

    /// Size in bytes, as it counts while the delivery is held.
    pub fn size(&self) -> usize {
        self.envelope().map_or(0, |envelope| envelope.event.size())
    }
}

/// An opened source.
pub struct Opened {
    /// The reading half.
    pub reader: Box<dyn Reader>,
    /// The settling half.
    pub settler: Box<dyn Settler>,
    /// The position from which it reads instead of the one that was asked for, because the source
    /// went back; the inner one is none for its beginning.
    pub went_back: Option<Option<Position>>,
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
    /// Sends verdicts on deliveries to the source. A cancelled call may have sent some of them.
    ///
    /// # Errors
    /// `Unavailable` when the source is lost: unsettled events are delivered again.
    async fn settle(&mut self, verdicts: Vec<(Token, Verdict)>) -> Result<()>;
}

/// A source of events.
#[async_trait]
pub trait Source: Send + Sync + 'static {
    /// Starts reading after `position`, or from the start if there is none. A source that settles
    /// keeps its own position and ignores `position`. A cancelled call leaves nothing open.
    ///
    /// # Errors
    /// `Unavailable` when the source cannot be reached; `Rejected` when opening again cannot help.
    async fn open(&self, position: Option<Bookmark>) -> Result<Opened>;

    /// The position of the newest event; none when there is none, or the source cannot tell. A
    /// cancelled call leaves nothing behind.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn head(&self) -> Result<Option<Position>>;

    /// The position of the newest event that will be delivered; none when there is none. A
    /// subscription that runs once ends there. A cancelled call leaves nothing behind.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn target(&self) -> Result<Option<Position>> {
        self.head().await
    }

    /// Returns true when a source that settles has nothing left to deliver up to `target`, and
    /// waits for no verdict: another consumer may have had the newest event, or it was settled
    /// before. A cancelled call leaves nothing behind.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn is_over(&self, _target: &Position) -> Result<bool> {
        Ok(false)
    }

    /// True when [`head`](Self::head) works. If not, a subscription that runs once ends when events
    /// are live.
    fn knows_head(&self) -> bool {
        true
    }

    /// The events that the source has parked; none when it parks no events, or cannot tell. A
    /// cancelled call leaves nothing behind.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn parked(&self) -> Result<Option<Parked>> {
        Ok(None)
    }

    /// True when the source keeps account of each event: it needs verdicts, and no checkpoint is
    /// kept.
    fn settles(&self) -> bool;
}
