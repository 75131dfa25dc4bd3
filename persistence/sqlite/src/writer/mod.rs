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
//! write in it fails. An assertion that does not hold stops the thread for good ([`stop`]).

mod append;
mod ends;
mod group;
mod refusal;
mod stop;
mod write;
mod writer_states;

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

use append::EncodedAppend;
pub(crate) use append::MARK_EVERY;
use stop::Stop;
use write::{JobOf, Write};

/// The handle of the writer thread.
pub(crate) struct Writer {
    queue: Option<mpsc::Sender<Write>>,
    thread: Option<JoinHandle<()>>,
    counters: Arc<Counters>,
    path: PathBuf,
    /// Room for the bytes of the appends in the queue.
    room: QueueRoom,
    stop: Arc<Stop>,
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
        let stop = Arc::new(Stop::default());
        let stopped = stop.clone();
        let thread = std::thread::Builder::new()
            .name("antiphon-sqlite".into())
            .spawn(move || groups.run(&stopped))
            .map_err(|error| Error::unavailable("no thread for the writer").with_source(error))?;
        let room = QueueRoom::new(settings.queue_bytes_max);
        let path = path.to_path_buf();
        Ok(Self { queue: Some(queue), thread: Some(thread), counters, path, room, stop })
    }

    /// The reason why nothing is written any more, if the thread stopped by a fault of the program.
    pub(crate) fn stopped(&self) -> Option<Error> {
        self.stop.error()
    }

    /// Appends, and returns when the append is durable or refused. `bytes` is the size of the
    /// append, counted before it is encoded. A cancelled call may take effect or not.
    pub(crate) async fn append(
        &self,
        writer: &WriterId,
        append: Append,
        bytes: usize,
    ) -> Result<()> {
        let (answer, answered) = oneshot::channel();
        let room = self.room.take(bytes).await?;
        let append = EncodedAppend::new(writer, append, bytes, answer, room);
        self.submit(Write::Append(append)).await?;
        answered.await.unwrap_or_else(|_| Err(self.stop.unanswered()))
    }

    /// Runs `work` within the next transaction, and returns its value when the transaction is
    /// durable. A cancelled call may take effect or not.
    pub(crate) async fn run<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        self.submit(Write::Job(Box::new(JobOf::new(work, answer)))).await?;
        answered.await.unwrap_or_else(|_| Err(self.stop.unanswered()))
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
            match unread {
                Unread::Sqlite(_) | Unread::Row(_) => count(&self.counters.rows_damaged, 1),
                // no row is damaged
                Unread::Other(_) => {}
            }
            unread.into_error(&self.path, "writing")
        })
    }

    async fn submit(&self, write: Write) -> Result<()> {
        let queue = self.queue.as_ref().ok_or_else(|| self.closed())?;
        match queue.try_send(write) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(write)) => {
                count(&self.counters.queue_full, 1);
                queue.send(write).await.map_err(|_| self.closed())
            }
            Err(TrySendError::Closed(_)) => Err(self.closed()),
        }
    }

    fn closed(&self) -> Error {
        self.stop.error().unwrap_or_else(|| Error::unavailable("the store is closed"))
    }
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

#[cfg(test)]
mod tests {
    use antiphon_base::ErrorKind;
    use antiphon_persistence::store::Journal;

    use super::*;
    use crate::SqliteStores;

    #[tokio::test]
    async fn a_writer_that_a_fault_stopped_takes_nothing_and_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let stores = SqliteStores::open(&path, SqliteSettings::default()).unwrap();
        let name = WriterId::new("n@1").unwrap();
        stores.open_writer(&name).await.unwrap();

        let fault = |_: &Connection| -> rusqlite::Result<()> { panic!("a head was moved twice") };
        let error = stores.writer().unwrap().run(fault).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
        let stopped = loop {
            // a call that was queued before the thread ended has an unknown outcome
            match stores.seal(&name).await.unwrap_err() {
                error if error.kind() == ErrorKind::Bug => break error,
                error => assert_eq!(error.kind(), ErrorKind::Timeout, "{error}"),
            }
        };
        assert!(stopped.to_string().contains("a head was moved twice"), "{stopped}");
        assert_eq!(stores.check_file().unwrap_err().kind(), ErrorKind::Bug);
        assert!(stores.trouble().unwrap().contains("a head was moved twice"));
        drop(stores);

        let stores = SqliteStores::open(&path, SqliteSettings::default()).unwrap();
        stores.seal(&name).await.unwrap();
        assert_eq!(stores.trouble(), None);
    }
}
