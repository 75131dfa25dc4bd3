//! Reads: a bounded number of connections, each used by one blocking task at a time.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use antiphon_persistence::{Error, Result};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, Transaction};
use tokio::sync::Semaphore;

use crate::error::from_sqlite;
use crate::file::{FileId, Identity, Watch};
use crate::record_error::Unread;
use crate::stats::count;
use crate::stores::SqliteStores;
use crate::{Role, SqliteSettings, schema};

/// The connections that no task uses, and how many there may be.
pub(crate) struct Readers {
    path: PathBuf,
    settings: SqliteSettings,
    permits: Arc<Semaphore>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    idle: Mutex<Vec<Open>>,
    /// The file that was opened last, and how often it was another one than before.
    seen: Mutex<(Option<Identity>, u64)>,
}

/// A connection, and the files that it reads; unknown when they were moved at the same time, and then it is not used again.
struct Open {
    connection: Connection,
    files: Option<Identity>,
}

impl Readers {
    pub(crate) fn new(path: &Path, settings: &SqliteSettings) -> Self {
        // whoever reads makes no file
        let settings = SqliteSettings { role: Role::Reader, ..settings.clone() };
        Self {
            path: path.to_path_buf(),
            settings: settings.clone(),
            permits: Arc::new(Semaphore::new(settings.reader_count)),
            shared: Arc::default(),
        }
    }

    /// How often another file was found at the path than the one before.
    pub(crate) fn replacements(&self) -> u64 {
        self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner).1
    }
}

impl Shared {
    /// A connection to the file that is at the path now. One to a file that was moved away would go on to read it for ever.
    fn connection(
        &self,
        path: &Path,
        settings: &SqliteSettings,
        watch: Option<&Watch>,
    ) -> Result<Open> {
        let now = Identity::of(path).ok();
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
                    // whoever closes the last connection removes the write-ahead log, by its name: in another place's folder that may be
                    // the one of a file that was put there meanwhile
                    let option = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
                    connection
                        .set_db_config(option, true)
                        .map_err(|error| from_sqlite(path, "opening", error))?;
                }
                // it has read by now, so that all three files are there
                let files = Identity::of(path).ok();
                let files = files.filter(|files| Some(files.database()) == before);
                self.note(files);
                Ok(Open { connection, files })
            }
        }
    }

    /// Takes note of the files that are read from now on.
    fn note(&self, files: Option<Identity>) {
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
    /// Runs `work` in one read transaction. Cancelled, it runs to its end, unseen.
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
