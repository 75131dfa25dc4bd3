//! The reads: each one is a blocking task with one connection and one transaction.

use std::path::Path;
use std::sync::Arc;

use antiphon_base::{Error, Result};
use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::connections::Connections;
use crate::SqliteSettings;
use crate::file::Watch;
use crate::record_error::Unread;
use crate::stats::{Counters, count};

/// The idle connections, and the limit of connections.
pub(crate) struct Readers {
    permits: Arc<Semaphore>,
    connections: Arc<Connections>,
    watch: Option<Arc<Watch>>,
    counters: Arc<Counters>,
}

impl Readers {
    pub(crate) fn new(
        path: &Path,
        settings: &SqliteSettings,
        watch: Option<Arc<Watch>>,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(settings.reader_count)),
            connections: Arc::new(Connections::new(path, settings)),
            watch,
            counters,
        }
    }

    /// Number of times that another file was found at the path.
    pub(crate) fn replacements(&self) -> u64 {
        self.connections.replacements()
    }

    /// Runs `work` in one read transaction, with the number of replacements of the file that it
    /// reads. Meanwhile another read may have found a newer file, so [`Self::replacements`] may be
    /// larger. A cancelled call that has begun runs to its end, and its result is dropped.
    pub(crate) async fn run<T, F>(&self, doing: &'static str, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection, u64) -> std::result::Result<T, Unread> + Send + 'static,
    {
        count(&self.counters.reads, 1);
        let permit = self.permits.clone().acquire_owned().await;
        let permit = permit.map_err(|_| Error::unavailable("the store is closed"))?;
        let (connections, watch) = (self.connections.clone(), self.watch.clone());
        let counters = self.counters.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let watch = watch.as_deref();
            watch.map_or(Ok(()), Watch::known)?;
            let open = connections.connection(watch)?;
            let of = open.replacements;
            let outcome = in_transaction(&open.connection, |t| work(t, of));
            if matches!(outcome, Err(Unread::Row(_))) {
                count(&counters.rows_damaged, 1);
            }
            if outcome.is_ok() {
                connections.keep(open);
            }
            outcome.map_err(|unread| unread.into_error(&connections.path, doing))
        });
        reading.await.unwrap_or_else(|error| {
            Err(if error.is_panic() {
                Error::bug(format!("{doing}: the read panicked"))
            } else {
                // the runtime ends, and takes no more work
                Error::unavailable(format!("{doing}: cancelled, since the process ends"))
            })
        })
    }
}

/// Runs `work` between statements that are prepared once for the connection. After an error the
/// transaction is still open: the caller drops the connection.
fn in_transaction<T>(
    connection: &Connection,
    work: impl FnOnce(&Connection) -> std::result::Result<T, Unread>,
) -> std::result::Result<T, Unread> {
    connection.prepare_cached("BEGIN")?.execute([])?;
    let value = work(connection)?;
    connection.prepare_cached("COMMIT")?.execute([])?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use antiphon_base::time::{Clock, SystemClock};

    use super::*;
    use crate::SqliteStores;

    /// The read began in the old file and ends when the new one was opened long ago.
    #[tokio::test]
    async fn a_read_of_the_old_file_is_not_taken_for_one_of_the_new() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("a.db"), folder.path().join("b.db"));
        let made = [&path, &other].map(|path| SqliteStores::open(path, SqliteSettings::default()));
        made.into_iter().for_each(|made| drop(made.unwrap()));
        let reader = SqliteStores::open(&path, SqliteSettings::reader()).unwrap();
        let (began, begun) = tokio::sync::oneshot::channel();
        let (end, ended) = std::sync::mpsc::channel();
        let old = antiphon_base::task::spawn("read", {
            let reader = reader.clone();
            async move {
                let read = reader.inner.readers.run("reading", move |_, of| {
                    began.send(()).expect("the test waits");
                    ended.recv().expect("the test sends");
                    Ok(of)
                });
                read.await
            }
        });
        begun.await.unwrap();

        std::fs::rename(&other, &path).unwrap();
        let until = SystemClock.now() + Duration::from_secs(5);
        while reader.inner.readers.run("reading", |_, of| Ok(of)).await.unwrap() == 0 {
            assert!(SystemClock.now() < until, "the new file is not noticed");
        }
        assert_eq!(reader.inner.readers.replacements(), 1);

        end.send(()).unwrap();
        assert_eq!(old.await.unwrap().unwrap(), 0);
    }
}
