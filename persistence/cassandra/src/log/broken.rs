//! The end of a writer whose own state is wrong: it acknowledges nothing more, and an operator sees
//! it in the log, in a count and in the health of the node.

use std::sync::Arc;

use antiphon_base::{Error, ErrorKind};

use super::book::Book;
use crate::shared::Shared;
use crate::stats::count;

/// Ends the writer because of a fault in this code. Returns the error of its appends.
pub(super) fn stop(shared: &Shared, book: &Book, why: &str) -> Error {
    let message = format!("the writer has stopped because of a fault in its own state: {why}");
    if book.end(ErrorKind::Bug, &message) {
        count(&shared.counters.writers_broken, 1);
        tracing::error!("{message}: report it");
    }
    shared.health.lost(&message);
    Error::bug(message)
}

/// Ends the writer when the task that holds this guard panics.
pub(super) struct PanicGuard {
    pub(super) task: &'static str,
    pub(super) book: Arc<Book>,
    pub(super) shared: Arc<Shared>,
}

impl Drop for PanicGuard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            stop(&self.shared, &self.book, &format!("the task `{}` has panicked", self.task));
        }
    }
}
