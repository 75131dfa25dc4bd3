//! A write that waits for its transaction: an append, or any other work.

use antiphon_base::{Error, Result};
use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::append::EncodedAppend;

/// A write that waits for its transaction.
pub(crate) enum Write {
    Append(EncodedAppend),
    Job(Box<dyn Job>),
}

/// Any write except an append.
pub(crate) trait Job: Send {
    /// Runs within the open transaction. An error rolls back the whole group.
    fn run(&mut self, connection: &Connection) -> rusqlite::Result<()>;

    /// Answers after the commit, or after its failure.
    fn finish(self: Box<Self>, outcome: Result<()>);
}

impl Write {
    /// Encoded bytes of the events.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Append(append) => append.bytes(),
            Self::Job(_) => 0,
        }
    }

    /// Answers the asker, and returns the room that the write took.
    pub(super) fn finish(self, outcome: Result<()>) -> Option<OwnedSemaphorePermit> {
        match self {
            Self::Append(append) => Some(append.finish(outcome)),
            Self::Job(job) => {
                job.finish(outcome);
                None
            }
        }
    }
}

/// A job of a closure, which answers with its value.
pub(super) struct JobOf<T, F> {
    work: Option<F>,
    value: Option<T>,
    answer: oneshot::Sender<Result<T>>,
}

impl<T, F> JobOf<T, F> {
    pub(super) fn new(work: F, answer: oneshot::Sender<Result<T>>) -> Self {
        Self { work: Some(work), value: None, answer }
    }
}

impl<T, F> Job for JobOf<T, F>
where
    T: Send,
    F: FnOnce(&Connection) -> rusqlite::Result<T> + Send,
{
    fn run(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let work = self.work.take().expect("a job runs once");
        self.value = Some(work(connection)?);
        Ok(())
    }

    fn finish(self: Box<Self>, outcome: Result<()>) {
        let Self { value, answer, .. } = *self;
        let outcome =
            outcome.and_then(|()| value.ok_or_else(|| Error::bug("the write did not run")));
        // the asker may have cancelled its call
        let _ = answer.send(outcome);
    }
}
