//! The task that writes the lines of the audit log.

use std::sync::Arc;
use std::time::Duration;

use antiphon_base::task;
use tokio::sync::{mpsc, oneshot};

use super::file::LogFile;
use super::settings::AuditFault;
use super::state::State;

/// Most lines that are written at once.
const BATCH_MAX: usize = 256;
/// Wait before a line that could not be written is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// A message to the writer.
pub(super) enum Message {
    /// A line with its end.
    Line(Vec<u8>),
    /// A question, answered when everything before it was tried.
    Flush(oneshot::Sender<()>),
}

/// Starts the task. It ends when nobody can send lines any longer.
pub(super) fn start(
    file: LogFile,
    lines: mpsc::Receiver<Message>,
    state: Arc<State>,
    on_fault: AuditFault,
) {
    task::spawn("http audit", run(file, lines, state, on_fault));
}

async fn run(
    mut file: LogFile,
    mut lines: mpsc::Receiver<Message>,
    state: Arc<State>,
    on_fault: AuditFault,
) {
    // requests that are under way at a fault add to these lines, others are refused
    let mut left: Vec<Vec<u8>> = Vec::new();
    loop {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        let received = lines.recv_many(&mut batch, BATCH_MAX);
        let limit = if left.is_empty() { Duration::MAX } else { RETRY };
        if tokio::time::timeout(limit, received).await == Ok(0) {
            state.lose(left.len());
            return;
        }
        let mut flushed = Vec::new();
        for message in batch {
            match message {
                Message::Line(text) => left.push(text),
                Message::Flush(done) => flushed.push(done),
            }
        }
        // a disk that does not answer must not block other tasks
        let written = tokio::task::spawn_blocking(move || write(file, left)).await;
        let Ok((same, rest, error)) = written else { return };
        (file, left) = (same, rest);
        if on_fault == AuditFault::Continue {
            state.lose(left.len());
            left.clear();
        }
        state.note(error);
        for done in flushed {
            let _ = done.send(());
        }
    }
}

/// Writes lines. Returns those that are not written, from the first that failed on, with its error.
fn write(mut file: LogFile, texts: Vec<Vec<u8>>) -> (LogFile, Vec<Vec<u8>>, Option<String>) {
    let mut texts = texts.into_iter();
    let mut left = Vec::new();
    while let Some(text) = texts.next() {
        if let Err(error) = file.write(&text) {
            left.push(text);
            left.extend(texts);
            return (file, left, Some(error.to_string()));
        }
    }
    (file, left, None)
}
