//! The outcome of a statement.

use std::fmt;

use antiphon_base::Error;

/// Failure of a statement.
#[derive(Debug)]
pub struct Failed {
    /// True when the statement may have taken effect, or may still take effect.
    pub unknown: bool,
    /// The statement and the cause.
    pub error: Error,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl From<Failed> for Error {
    fn from(failed: Failed) -> Self {
        failed.error
    }
}

/// Result of a statement.
pub type Outcome<T> = Result<T, Failed>;
