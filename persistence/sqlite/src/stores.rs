//! The handle: a writer thread, a few reading connections, and the caches between them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use antiphon_base::lasting::LastingFault;
use antiphon_base::{Error, ErrorKind, Result};
use antiphon_persistence::store::Stores;
use parking_lot::Mutex;
use rusqlite::Connection;

use crate::feed::Feed;
use crate::file::Watch;
use crate::read::Readers;
use crate::record_error::Unread;
use crate::stats::Counters;
use crate::writer::Writer;
use crate::{Role, SqliteSettings, SqliteStats, schema};

/// All stores of a place in one SQLite file. Cheap to clone. Dropping the last clone waits for the
/// writes under way and closes the file.
///
/// ```
/// use antiphon_persistence::store::WriterId;
/// use antiphon_sqlite::{SqliteSettings, SqliteStores};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("dc-a.db");
/// let stores = SqliteStores::open(&path, SqliteSettings::default())?.stores();
/// stores.journal.open_writer(&WriterId::new("node-1@1")?).await?;
///
/// // another place's node only reads the file
/// let reader = SqliteStores::open(&path, SqliteSettings::reader())?;
/// assert!(reader.stores().journal.seal(&WriterId::new("node-1@1")?).await.is_err());
/// assert!(reader.verify().await?.is_sound());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct SqliteStores {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    /// Compares the file with the one that was opened. `None` for a reader, which opens any journal
    /// at the path.
    pub(crate) watch: Option<Arc<Watch>>,
    /// Declared before the readers, so dropped first: the writer ends before the readers'
    /// connections close.
    pub(crate) writer: Option<Writer>,
    pub(crate) readers: Arc<Readers>,
    pub(crate) feed: Feed,
    pub(crate) counters: Arc<Counters>,
    /// Paces the log of damaged reminders.
    pub(crate) damaged_reminder: Arc<Mutex<LastingFault>>,
    pub(crate) path: PathBuf,
    pub(crate) settings: SqliteSettings,
}

impl SqliteStores {
    /// Opens the file at `path`, or creates it ([`Role::Owner`]).
    ///
    /// A [`Role::Reader`] opens the file at the first read, so that the file may appear later, and
    /// opens it anew when it was replaced.
    ///
    /// # Errors
    /// - `Rejected` when a setting is wrong; when the path can keep no journal (an empty path,
    ///   `:memory:`, a folder, a device, a missing folder); or when the file is another program's
    ///   or a newer Antiphon's, of which no byte is changed.
    /// - `Unavailable` when the file cannot be opened or written.
    /// - `Corrupt` when the file is damaged.
    ///
    /// Each error names the path.
    pub fn open(path: impl AsRef<Path>, settings: SqliteSettings) -> Result<Self> {
        settings.validate()?;
        let path = path.as_ref().to_path_buf();
        let counters = Arc::new(Counters::default());
        let (watch, writer) = match settings.role {
            Role::Owner => {
                let connection = schema::open(&path, &settings)?;
                let watch = Arc::new(Watch::start(&path)?);
                let counters = counters.clone();
                let writer = Writer::start(connection, &path, &settings, counters, watch.clone())?;
                (Some(watch), Some(writer))
            }
            Role::Reader => {
                schema::check_file(&path, Role::Reader).or_else(|error| match error.kind() {
                    // another file may be there at the first read
                    ErrorKind::Unavailable => Ok(()),
                    ErrorKind::Rejected
                    | ErrorKind::Fenced
                    | ErrorKind::Timeout
                    | ErrorKind::Corrupt
                    | ErrorKind::Bug => Err(error),
                })?;
                (None, None)
            }
        };
        let readers = Readers::new(&path, &settings, watch.clone(), counters.clone());
        let readers = Arc::new(readers);
        let feed =
            Feed::new(path.clone(), settings.feed_cache_max, readers.clone(), counters.clone());
        let fault = LastingFault::new(settings.fault_log_interval);
        let inner = Inner {
            watch,
            writer,
            readers,
            feed,
            counters,
            damaged_reminder: Arc::new(Mutex::new(fault)),
            path,
            settings,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Checks whether the file is still the one that was opened, and whether it can be written.
    /// Every commit checks too; call this now and then, so that a change is noticed while nothing
    /// is written. It takes a few calls of the operating system, and blocks as long as they take.
    ///
    /// # Errors
    /// - `Fenced`, with the cause, from the first time on that the file or a file beside it was
    ///   moved, deleted or replaced: this store takes nothing any more.
    /// - `Bug`, with the cause, when the writer was stopped by a fault of the program: nothing is
    ///   written until the file is opened anew.
    ///
    /// Never for a [`Role::Reader`].
    pub fn check_file(&self) -> Result<()> {
        if let Some(stopped) = self.inner.writer.as_ref().and_then(Writer::stopped) {
            return Err(stopped);
        }
        self.inner.watch.as_ref().map_or(Ok(()), |watch| watch.check())
    }

    /// All store traits, on this file.
    pub fn stores(&self) -> Stores {
        Stores::from_backend(Arc::new(self.clone()))
    }

    /// The counts since the file was opened.
    pub fn stats(&self) -> SqliteStats {
        self.inner.counters.snapshot()
    }

    /// The reason why nothing can be appended now, such as a full disk, as far as known. `None`
    /// when an append succeeded since, or when no transaction failed in the last 10 s.
    pub fn trouble(&self) -> Option<String> {
        let lost = self.inner.watch.as_ref().and_then(|watch| watch.known().err());
        let lost = lost.or_else(|| self.inner.writer.as_ref().and_then(Writer::stopped));
        lost.map(|error| error.to_string()).or_else(|| self.inner.counters.trouble())
    }

    /// The path of the file.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// Runs `work` in one read transaction. A cancelled call that has begun runs to its end, and
    /// its result is dropped.
    pub(crate) async fn read<T, F>(&self, doing: &'static str, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> std::result::Result<T, Unread> + Send + 'static,
    {
        self.inner.readers.run(doing, move |transaction, _| work(transaction)).await
    }

    pub(crate) fn writer(&self) -> Result<&Writer> {
        self.inner.writer.as_ref().ok_or_else(|| {
            Error::rejected(format!(
                "`{}` was opened for reading only: open it with `Role::Owner` to write",
                self.inner.path.display()
            ))
        })
    }
}
