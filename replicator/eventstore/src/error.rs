//! The only error type of this crate: a kind that tells the caller how to react, a message and a
//! source.

use std::error::Error as StdError;
use std::fmt;

/// Classes of an [`Error`], by the reaction of the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The server cannot be reached, is not ready, or ended a stream. Nothing was written: try
    /// again.
    Unavailable,
    /// No answer came in time, or the connection broke before the answer. The outcome of a write is
    /// unknown: read it from the store, or repeat it with the same ids and revision.
    Timeout,
    /// The stream, the group or the event does not exist.
    NotFound,
    /// The group exists already.
    AlreadyExists,
    /// The user or the password is wrong, or the user has no permission.
    AccessDenied,
    /// The node is not the leader, and the leader could not be reached either: try again.
    NotLeader,
    /// The stream was deleted for ever (tombstone).
    StreamDeleted,
    /// The request can never succeed unchanged: change it.
    Rejected,
    /// The server's message is invalid: an operator has to look.
    Corrupt,
    /// A defect of this crate or of the server: report it.
    Bug,
}

/// The failure of a call of the event store.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// The result of a call of the event store.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of `kind`.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// The same error with its source.
    #[must_use]
    pub fn with_source(self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self { source: Some(source.into()), ..self }
    }

    /// The kind of the error, which says how to react.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The message, in one sentence without the source.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// True when the same request may succeed later, unchanged.
    pub fn is_transient(&self) -> bool {
        matches!(self.kind, ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::NotLeader)
    }

    /// An error of `kind`: the call that failed, and the reason.
    pub(crate) fn of(kind: ErrorKind, doing: &str, why: impl fmt::Display) -> Self {
        Self::new(kind, format!("{doing}: {why}"))
    }

    /// The same error as the failure of the call `doing`.
    pub(crate) fn of_call(self, doing: &str) -> Self {
        Self::of(self.kind, doing, &self.message).with_source(self)
    }

    pub(crate) fn rejected(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Rejected, message)
    }

    pub(crate) fn corrupt(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Corrupt, message)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_ref().map(|source| &**source as &(dyn StdError + 'static))
    }
}
