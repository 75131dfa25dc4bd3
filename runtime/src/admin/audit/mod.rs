//! The audit log of the HTTP interface: who asked for what, when, and the outcome.
//!
//! A request takes a place in a bounded queue before it begins, and leaves its line there at its
//! end; a task writes the lines. The log holds up no request. While it cannot be written, the
//! setting `on_fault` decides whether requests go on. Lines are not synced to the disk: a power
//! failure may lose the last ones.
//!
//! - `settings`: its settings;
//! - `line`: a line;
//! - `strangers`: the lines of those who may not ask;
//! - `state`: the troubles and losses;
//! - `place`: where they can be; `file`: the files;
//! - `writer`: the task that writes.

mod file;
mod line;
mod place;
mod settings;
mod state;
mod strangers;
mod writer;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use self::file::LogFile;
pub(super) use self::line::Asked;
use self::line::Line;
pub use self::settings::{AuditFault, AuditSettings};
use self::state::State;
use self::writer::Message;
use crate::{Error, Result};

/// The audit log of a node.
pub(super) struct Audit {
    on_fault: AuditFault,
    queue: mpsc::Sender<Message>,
    state: Arc<State>,
}

impl Audit {
    /// Opens the file, and starts the task that writes, inside a tokio runtime.
    ///
    /// # Errors
    /// `Rejected`, naming the setting and the file.
    pub(super) fn open(settings: &AuditSettings) -> Result<Self> {
        settings.check_file()?;
        let mut file = LogFile::new(settings);
        file.open().map_err(|error| {
            let file = settings.file.display();
            Error::rejected(format!(
                "`http.audit.file`: expected a file that can be written, actual {file}: {error}"
            ))
        })?;
        let (queue, lines) = mpsc::channel(settings.queue_max);
        let state = Arc::new(State::default());
        writer::start(file, lines, state.clone(), settings.on_fault);
        Ok(Self { on_fault: settings.on_fault, queue, state })
    }

    /// Takes the place for the line of a request.
    ///
    /// # Errors
    /// The reason why the request must not begin, with [`AuditFault::Refuse`] only. Clients see it,
    /// so it has no text of the system.
    pub(super) fn begin(&self, asked: &Asked<'_>) -> std::result::Result<Entry, &'static str> {
        let is_strict = self.on_fault == AuditFault::Refuse;
        if is_strict && self.state.trouble.lock().is_some() {
            return Err("the audit log cannot be written: `/health/ready` has the reason");
        }
        let place = self.queue.clone().try_reserve_owned().ok();
        self.state.is_full.store(place.is_none(), Ordering::Relaxed);
        if place.is_none() {
            if is_strict {
                return Err("the queue of the audit log is full (`http.audit.queue_max`)");
            }
            self.state.lose(1);
        }
        Ok(Entry { place, line: Line::of(asked), state: self.state.clone() })
    }

    /// Counts the line of a refused stranger for which there was no place.
    pub(super) fn leave_out(&self) {
        self.state.left_out.fetch_add(1, Ordering::Relaxed);
    }

    /// Waits until the lines of all ended requests are written, or have failed once.
    ///
    /// Cancellation: the lines are written all the same.
    pub(super) async fn flush(&self, limit: Duration) {
        let (done, is_done) = oneshot::channel();
        let flushed = async {
            if self.queue.send(Message::Flush(done)).await.is_ok() {
                let _ = is_done.await;
            }
        };
        let _ = tokio::time::timeout(limit, flushed).await;
    }

    /// The warning for an operator, if lines are lost now.
    pub(super) fn warning(&self) -> Option<String> {
        let trouble = self.state.trouble.lock().clone();
        let full = self.state.is_full.load(Ordering::Relaxed);
        let full = full.then(|| "its queue is full (`http.audit.queue_max`)".to_owned());
        let outcome = match self.on_fault {
            AuditFault::Continue => "the lines of requests are lost",
            AuditFault::Refuse => "requests are refused",
        };
        let why = trouble.or(full)?;
        Some(format!("the audit log (`http.audit`) cannot be written, and {outcome}: {why}"))
    }

    /// The lines that were lost, and those of strangers that were left out.
    pub(super) fn missing(&self) -> (u64, u64) {
        let state = &self.state;
        (state.lost.load(Ordering::Relaxed), state.left_out.load(Ordering::Relaxed))
    }
}

/// The line of a request under way. A drop without an outcome says that the connection ended before
/// the answer.
pub(super) struct Entry {
    place: Option<mpsc::OwnedPermit<Message>>,
    line: Line,
    state: Arc<State>,
}

impl Entry {
    /// Ends the line with the status of the answer.
    pub(super) fn answered(mut self, status: u16) {
        self.line.status = Some(status);
    }

    /// Ends the line of a stranger whose request was refused. It is left out when there are too
    /// many of its kind; `now` is the time since 1970.
    pub(super) fn refused(mut self, status: u16, now: Duration) {
        self.line.status = Some(status);
        let line = self.state.strangers.lock().line(now);
        match line {
            Some(left_out) => self.line.left_out = left_out,
            None => {
                self.place = None;
                self.state.left_out.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let Some(place) = self.place.take() {
            place.send(Message::Line(self.line.text()));
        }
    }
}

#[cfg(test)]
mod tests;
