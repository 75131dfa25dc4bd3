//! Where events come from.
//!
//! A source is opened into two halves: a [`Reader`], which one task owns and calls in a loop, and a [`Settler`], which tells the
//! source what became of an event. They are two because a reader that waits for the next event must never hold up, or be
//! cancelled by, the settling of an earlier one.

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

/// Where a source goes on reading. Only positions of one source can be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Position {
    /// After the event with this number in the subscribed stream (the link's number in a category).
    Stream(u64),
    /// After the record at this place in `$all`.
    All {
        /// The commit position.
        commit: u64,
        /// The prepare position.
        prepare: u64,
    },
    /// The text form of a journal's offset, which only the journal can read.
    Journal(String),
}

impl Position {
    /// Whether `self` is known to lie before `other`. Journal offsets have no order of their own, so it is never known of them.
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

/// Names a delivery, so that it can be settled: the id by which the source knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub uuid::Uuid);

/// What became of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is at the destination (or was meant not to be): never deliver it again.
    Ack,
    /// Deliver it again later.
    Retry(String),
    /// Put it aside, with the reason, until somebody replays it.
    Park(String),
    /// Pass over it.
    Skip(String),
}

/// What a reader has to say.
#[derive(Debug, Clone, PartialEq)]
pub enum Delivery {
    /// An event.
    Event(Box<Envelope>),
    /// A link whose target is gone: it is passed over, and counted.
    Unresolved(Box<Envelope>),
    /// An event that the filters leave out: it counts as done.
    Excluded(Box<Envelope>),
    /// Everything up to here has been delivered, and the events between were filtered out by the source.
    Mark(Position),
    /// Everything that the source has now has been delivered: from here on events are live.
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
    /// `Unavailable` when the source is lost or silent for too long: open it again. `Rejected` when opening again cannot help. Nothing
    /// follows an error. A call that is dropped may lose deliveries, so one task owns the reader and does nothing else.
    async fn next(&mut self, count_max: usize) -> Result<Vec<Delivery>>;
}

/// The settling half of an opened source.
#[async_trait]
pub trait Settler: Send {
    /// Tells the source what became of deliveries.
    ///
    /// # Errors
    /// `Unavailable` when the source is lost: what was not settled will be delivered again.
    async fn settle(&mut self, verdicts: Vec<(Token, Verdict)>) -> Result<()>;
}

/// A source of events.
#[async_trait]
pub trait Source: Send + Sync + 'static {
    /// Starts reading after `position`; from the start when there is none. A source that settles keeps its own position and ignores it.
    ///
    /// # Errors
    /// `Unavailable`: try again. `Rejected`: the settings are wrong (no such group, wrong credentials).
    async fn open(&self, position: Option<Position>) -> Result<Opened>;

    /// The position of the newest event, where the source can tell.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn head(&self) -> Result<Option<Position>>;

    /// Whether [`head`](Self::head) can tell; where it cannot, a run that ends by itself ends when events are live.
    fn knows_head(&self) -> bool {
        true
    }

    /// Whether the source keeps account of each event, so that it wants verdicts and needs no checkpoint.
    fn settles(&self) -> bool;
}
