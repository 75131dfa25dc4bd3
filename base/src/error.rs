//! The error type of this crate: the failure, and the action that its caller should take.
//!
//! A caller decides by [`ErrorKind`], a person reads the message, and the source keeps the cause.
//! An expected "no" (a lost compare-and-set, say) is a reply of the operation and not an error.

use std::error::Error as StdError;
use std::fmt;

/// The result of this crate's fallible operations.
///
/// ```
/// use antiphon_base::{Error, ErrorKind, Result};
///
/// fn port(text: &str) -> Result<u16> {
///     text.parse().map_err(|error| {
///         let why = format!("`port` {text:?}: expected a number from 0 to 65535");
///         Error::rejected(why).with_source(error)
///     })
/// }
/// assert_eq!(port("80").unwrap(), 80);
/// assert_eq!(port("x").unwrap_err().kind(), ErrorKind::Rejected);
/// ```
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The action that the caller should take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// Nothing took effect; the same call may succeed later: retry with backoff.
    Unavailable,
    /// The request is wrong and will stay so: change it.
    Rejected,
    /// Another writer owns the stream or row that this one tried to write: stop this instance.
    Fenced,
    /// The outcome is unknown: the call may have taken effect, or may still take effect.
    Timeout,
    /// Stored or received data cannot be understood: a person has to look.
    Corrupt,
    /// An assumption of this code does not hold: report it.
    Bug,
}

/// An error with its kind, a message and, where there is one, its cause.
///
/// ```
/// use antiphon_base::{Error, ErrorKind};
///
/// let error = Error::unavailable("no room").with_source(std::fmt::Error);
/// assert_eq!(error.kind(), ErrorKind::Unavailable);
/// assert!(std::error::Error::source(&error).is_some());
/// ```
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error without a cause. The message is lower case, without a full stop.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// The same error with the cause that [`StdError::source`] returns.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// An [`ErrorKind::Unavailable`] error.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unavailable, message)
    }

    /// An [`ErrorKind::Rejected`] error.
    pub fn rejected(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Rejected, message)
    }

    /// An [`ErrorKind::Fenced`] error.
    pub fn fenced(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Fenced, message)
    }

    /// An [`ErrorKind::Timeout`] error.
    pub fn timeout(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Timeout, message)
    }

    /// An [`ErrorKind::Corrupt`] error.
    pub fn corrupt(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Corrupt, message)
    }

    /// An [`ErrorKind::Bug`] error.
    pub fn bug(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Bug, message)
    }

    /// The action that the caller should take.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}
