//! The writer thread: makes one transaction of everything that is pending.
//!
//! ```text
//!   append --+
//!   seal ----+-> queue (bounded) -> group -> BEGIN IMMEDIATE, writes, COMMIT (one sync) -> answers
//!   offset --+
//! ```
//!
//! While a group is synced, the next group collects, so the number of syncs follows from the disk
//! and not from the number of writers. A refused append leaves nothing behind and does not disturb
//! the other writes of its group. An error of SQLite itself rolls back the whole group, and every
//! write in it fails.

mod append;
mod group;
mod streams;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use antiphon_base::{Error, Result};
use antiphon_persistence::store::{Append, QueueRoom, WriterId};
use rusqlite::Connection;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use crate::SqliteSettings;
use crate::error::from_sqlite;
use crate::file::Watch;
use crate::record_error::{Unread, is_of_row};
use crate::stats::{Counters, count};

pub(crate) use append::{
    EncodedAppend, MARK_EVERY, WriterState, damaged_writer, insert_writer, seal_writer,
    writer_state,
};
pub(crate) use streams::{End, stream_end};

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

/// The handle of the writer thread.
pub(crate) struct Writer {
    queue: Option<mpsc::Sender<Write>>,
    thread: Option<JoinHandle<()>>,
    counters: Arc<Counters>,
    path: PathBuf,
    /// Room for the bytes of the appends in the queue.
    room: QueueRoom,
}

impl Writer {
    /// Starts the thread with a connection that is open and prepared. From here on SQLite itself
    /// does not wait for other processes.
    pub(crate) fn start(
        connection: Connection,
        path: &Path,
        settings: &SqliteSettings,
        counters: Arc<Counters>,
        watch: Arc<Watch>,
    ) -> Result<Self> {
        // the thread waits for other processes by itself, in shorter steps (`group.rs`)
        connection
            .busy_timeout(Duration::ZERO)
            .map_err(|error| from_sqlite(path, "opening", error))?;
        let (queue, writes) = mpsc::channel(settings.queue_max);
        let groups = group::Groups::new(
            connection,
            path,
            settings.clone(),
            counters.clone(),
            (writes, watch),
        );
        let thread = std::thread::Builder::new()
            .name("antiphon-sqlite".into())
            .spawn(move || groups.run())
            .map_err(|error| Error::unavailable("no thread for the writer").with_source(error))?;
        let room = QueueRoom::new(settings.queue_bytes_max);
        let path = path.to_path_buf();
        Ok(Self { queue: Some(queue), thread: Some(thread), counters, path, room })
    }

    /// Appends, and returns when the append is durable or refused. `bytes` is the size of the
    /// append.
    pub(crate) async fn append(
        &self,
        writer: &WriterId,
        append: Append,
        bytes: usize,
    ) -> Result<()> {
        let (answer, answered) = oneshot::channel();
        let room = self.room.take(bytes).await?;
        self.submit(Write::Append(EncodedAppend::new(writer, append, answer, room))).await?;
        answered.await.unwrap_or_else(|_| Err(lost()))
    }

    /// Runs `work` within the next transaction, and returns its value when the transaction is
    /// durable.
    pub(crate) async fn run<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let job = JobOf { work: Some(work), value: None, answer };
        self.submit(Write::Job(Box::new(job))).await?;
        answered.await.unwrap_or_else(|_| Err(lost()))
    }

    /// Runs `work` that reads rows first, like [`Self::run`]. A damaged row fails this work only,
    /// and nothing of the work takes effect.
    pub(crate) async fn run_reading<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> std::result::Result<T, Unread> + Send + 'static,
    {
        let outcome = self
            .run(move |connection| {
                connection.execute_batch("SAVEPOINT work")?;
                match work(connection) {
                    Ok(value) => {
                        connection.execute_batch("RELEASE work")?;
                        Ok(Ok(value))
                    }
                    // an error of SQLite itself rolls back the group
                    Err(Unread::Sqlite(error)) if !is_of_row(&error) => Err(error),
                    Err(unread) => {
                        connection.execute_batch("ROLLBACK TO work; RELEASE work")?;
                        Ok(Err(unread))
                    }
                }
            })
            .await?;
        outcome.map_err(|unread| {
            count(&self.counters.rows_damaged, 1);
            unread.into_error(&self.path, "writing")
        })
    }

    async fn submit(&self, write: Write) -> Result<()> {
        let queue = self.queue.as_ref().ok_or_else(closed)?;
        match queue.try_send(write) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(write)) => {
                count(&self.counters.queue_full, 1);
                queue.send(write).await.map_err(|_| closed())
            }
            Err(TrySendError::Closed(_)) => Err(closed()),
        }
    }
}

fn closed() -> Error {
    Error::unavailable("the store is closed")
}

fn lost() -> Error {
    Error::timeout("the writer thread ended before it answered")
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the writer thread of the SQLite store had panicked");
        }
    }
}

struct JobOf<T, F> {
    work: Option<F>,
    value: Option<T>,
    answer: oneshot::Sender<Result<T>>,
}

impl<T, F> Job for JobOf<T, F>
where
    T: Send,
    F: FnOnce(&Connection) -> rusqlite::Result<T> + Send,
{
    fn run(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        if let Some(work) = self.work.take() {
            self.value = Some(work(connection)?);
        }
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
