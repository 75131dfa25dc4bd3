//! Reads: a limited number of connections, each used by one blocking task at a time.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use antiphon_persistence::time::{Clock, SystemClock};
use antiphon_persistence::{Error, Result};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, Transaction};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::error::from_sqlite;
use crate::file::{FileId, Identity, Watch};
use crate::record_error::Unread;
use crate::stats::count;
use crate::stores::SqliteStores;
use crate::{Role, SqliteSettings, schema};

/// The idle connections, and the limit of connections.
pub(crate) struct Readers {
    path: PathBuf,
    settings: SqliteSettings,
    permits: Arc<Semaphore>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    idle: Mutex<Vec<Open>>,
    /// The file that was opened last, and the number of times that it differed from the file
    /// before.
    seen: Mutex<(Option<Identity>, u64)>,
    /// The files at the path at the last look, and the time of the look.
    looked: Mutex<Option<(Instant, Option<Identity>)>>,
}

/// Time from one look at the files to the next. Until then, reads go on in the files of the last
/// look: a look takes as long as a small read.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// A connection, and the files that it reads. The files are unknown when they were moved during the
/// opening; such a connection is not used again.
struct Open {
    connection: Connection,
    files: Option<Identity>,
}

impl Readers {
    pub(crate) fn new(path: &Path, settings: &SqliteSettings) -> Self {
        // readers never create a file
        let settings = SqliteSettings { role: Role::Reader, ..settings.clone() };
        Self {
            path: path.to_path_buf(),
            settings: settings.clone(),
            permits: Arc::new(Semaphore::new(settings.reader_count)),
            shared: Arc::default(),
        }
    }

    /// Number of times that another file was found at the path.
    pub(crate) fn replacements(&self) -> u64 {
        self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner).1
    }
}

impl Shared {
    /// A connection to the file that is at the path now. A connection to a file that was moved away
    /// would read that file for ever.
    fn connection(
        &self,
        path: &Path,
        settings: &SqliteSettings,
        watch: Option<&Watch>,
    ) -> Result<Open> {
        let now = self.look(path);
        let fits = |open: &Open| now.is_some() && open.files == now;
        let unused = {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.retain(fits);
            idle.pop()
        };
        match unused {
            Some(open) => Ok(open),
            None => {
                watch.map_or(Ok(()), Watch::check)?;
                let before = FileId::of(path).ok();
                let connection = open(path, settings)?;
                if watch.is_none() {
                    // the process that closes the last connection removes the write-ahead log by
                    // its name; in another place's folder that may be the log of a new file
                    let option = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
                    connection
                        .set_db_config(option, true)
                        .map_err(|error| from_sqlite(path, "opening", error))?;
                }
                // the connection has read by now, so that all three files exist
                let files = Identity::of(path).ok();
                let files = files.filter(|files| Some(files.database()) == before);
                self.note(files);
                Ok(Open { connection, files })
            }
        }
    }

    /// The files at the path, at most [`LOOK_INTERVAL`] ago.
    fn look(&self, path: &Path) -> Option<Identity> {
        let now = SystemClock.now();
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, files)) = *looked
            && now - at < LOOK_INTERVAL
        {
            return files;
        }
        let files = Identity::of(path).ok();
        *looked = Some((now, files));
        files
    }

    /// Records the files that are read from now on.
    fn note(&self, files: Option<Identity>) {
        let looked = Some((SystemClock.now(), files));
        *self.looked.lock().unwrap_or_else(PoisonError::into_inner) = looked;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.0.is_some() && seen.0 != files {
            seen.1 += 1;
        }
        seen.0 = files;
    }

    fn keep(&self, open: Open) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(open);
    }
}

impl SqliteStores {
    /// Runs `work` in one read transaction. A cancelled call runs to its end, and its result is
    /// dropped.
    pub(crate) async fn read<T, F>(&self, doing: &'static str, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> std::result::Result<T, Unread> + Send + 'static,
    {
        count(&self.inner.counters.reads, 1);
        let readers = &self.inner.readers;
        let permit = readers.permits.clone().acquire_owned().await;
        let permit = permit.map_err(|_| Error::unavailable("the store is closed"))?;
        let (path, settings) = (readers.path.clone(), readers.settings.clone());
        let (shared, watch) = (readers.shared.clone(), self.inner.watch.clone());
        let counters = self.inner.counters.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let watch = watch.as_deref();
            watch.map_or(Ok(()), Watch::known)?;
            let mut open = shared.connection(&path, &settings, watch)?;
            let outcome = in_transaction(&mut open.connection, work);
            if matches!(outcome, Err(Unread::Row(_))) {
                count(&counters.rows_damaged, 1);
            }
            if outcome.is_ok() {
                shared.keep(open);
            }
            outcome.map_err(|unread| unread.into_error(&path, doing))
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

fn open(path: &Path, settings: &SqliteSettings) -> Result<Connection> {
    if !path.exists() {
        return Err(Error::unavailable(format!("`{}` does not exist yet", path.display())));
    }
    schema::open(path, settings)
}

fn in_transaction<T>(
    connection: &mut Connection,
    work: impl FnOnce(&Transaction<'_>) -> std::result::Result<T, Unread>,
) -> std::result::Result<T, Unread> {
    let transaction = connection.transaction()?;
    let value = work(&transaction)?;
    transaction.finish()?;
    Ok(value)
}
