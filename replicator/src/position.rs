//! A position in a source, and the token of a delivery.

use std::fmt;

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
