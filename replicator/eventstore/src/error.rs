//! The one error of this crate: a kind that says what to do, a message, and what was underneath.

use std::error::Error as StdError;
use std::fmt;

/// What a caller can do about an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The server cannot be reached, is not ready, or ended a stream. Nothing was written: try again.
    Unavailable,
    /// No answer came in time, or the connection broke while the answer was awaited. Whether a
    /// write took place is unknown: ask the store, or repeat it with the same ids and revision.
    Timeout,
    /// The stream, the group or the event does not exist.
    NotFound,
    /// The group exists already.
    AlreadyExists,
    /// The user or the password is wrong, or the user may not do this.
    AccessDenied,
    /// The node is not the leader, and the leader could not be reached either: try again.
    NotLeader,
    /// The stream was deleted for ever (tombstone).
    StreamDeleted,
    /// The request can never succeed as it is: change it.
    Rejected,
    /// What the server sent makes no sense: a person has to look.
    Corrupt,
    /// A defect of this crate or of the server: report it.
    Bug,
}

/// Why a call of the event store failed.
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

    /// The same error with what was underneath.
    #[must_use]
    pub fn with_source(self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self { source: Some(source.into()), ..self }
    }

    /// What the caller can do.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What happened, in one sentence without the source.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Whether the same request may succeed later, unchanged.
    pub fn is_transient(&self) -> bool {
        matches!(self.kind, ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::NotLeader)
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
