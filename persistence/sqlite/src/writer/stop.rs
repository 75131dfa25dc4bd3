//! The stop of the writer thread by a fault of the program: an assertion that does not hold. The
//! transaction under way does not take effect, or is not acknowledged; after it, nothing is written
//! until the journal is opened anew.

use std::path::Path;
use std::sync::OnceLock;

use antiphon_base::Error;

/// The reason why the writer thread stopped, if it did.
#[derive(Debug, Default)]
pub(super) struct Stop(OnceLock<String>);

impl Stop {
    /// Records that the thread stops.
    pub(super) fn set(&self, path: &Path, text: &str) {
        let reason = format!(
            "the writer of `{}` stopped by a fault of the program: {text}: nothing is written until the journal is opened anew; please report it",
            path.display()
        );
        if self.0.set(reason).is_err() {
            tracing::error!(text, "the writer of a journal stopped again");
        }
    }

    /// The error of each write after the stop.
    pub(super) fn error(&self) -> Option<Error> {
        self.0.get().map(|reason| Error::bug(reason.clone()))
    }

    /// The error of a write whose answer is missing: it may have been committed.
    pub(super) fn unanswered(&self) -> Error {
        let reason = self.0.get().map_or("the writer thread ended before it answered", |why| why);
        Error::timeout(reason)
    }
}
