//! Reads: a bounded number of connections, each used by one blocking task at a time.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use antiphon_persistence::{Error, Result};
use rusqlite::{Connection, Transaction};
use tokio::sync::Semaphore;

use crate::error::from_sqlite;
use crate::record_error::Unread;
use crate::stats::count;
use crate::stores::SqliteStores;
use crate::{Role, SqliteSettings, schema};

/// The connections that no task uses, and how many there may be.
pub(crate) struct Readers {
    path: PathBuf,
    settings: SqliteSettings,
    permits: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Connection>>>,
}

impl Readers {
    pub(crate) fn new(path: &Path, settings: &SqliteSettings) -> Self {
        Self {
            path: path.to_path_buf(),
            settings: settings.clone(),
            permits: Arc::new(Semaphore::new(settings.reader_count)),
            idle: Arc::default(),
        }
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
        let (idle, counters) = (readers.idle.clone(), self.inner.counters.clone());
        let reading = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let unused = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let mut connection = match unused {
                Some(connection) => connection,
                None => open(&path, &settings)?,
            };
            let outcome = in_transaction(&mut connection, work);
            if matches!(outcome, Err(Unread::Row(_))) {
                count(&counters.rows_damaged, 1);
            }
            if outcome.is_ok() {
                idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            }
            outcome.map_err(|unread| unread.into_error(&path, doing))
        });
        reading.await.unwrap_or_else(|_| Err(Error::bug(format!("{doing}: the read panicked"))))
    }
}

fn open(path: &Path, settings: &SqliteSettings) -> Result<Connection> {
    if settings.role == Role::Reader && !path.exists() {
        return Err(Error::unavailable(format!("`{}` does not exist yet", path.display())));
    }
    let connection = schema::open(path, settings)?;
    connection
        .pragma_update(None, "query_only", true)
        .map_err(|error| from_sqlite(path, "opening", error))?;
    Ok(connection)
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
