//! A position in a source, and the token of a delivery.

use std::fmt;
use std::sync::Arc;

use uuid::Uuid;

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
    /// Returns true when both are positions of the same kind.
    pub fn is_like(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }

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

/// An event of the source, by which a position is found again in a source that was replaced or
/// restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchor {
    /// The stream of the event itself, not of a link to it.
    pub stream: Arc<str>,
    /// The event's number in this stream.
    pub revision: u64,
    /// The event's id.
    pub id: Uuid,
    /// The position of the event.
    pub position: Position,
}

/// A position to go on from, with the last event before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bookmark {
    /// The position.
    pub position: Position,
    /// The last event up to the position; none when none is known.
    pub event: Option<Anchor>,
    /// True for the first position after the source went back, which may lie before the saved one.
    pub went_back: bool,
}

impl From<Position> for Bookmark {
    fn from(position: Position) -> Self {
        Self { position, event: None, went_back: false }
    }
}

/// The source's id of a delivery, for settling it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub Uuid);
