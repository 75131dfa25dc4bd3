//! The handle: a writer thread, a few reading connections, and the caches between them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use antiphon_persistence::store::Stores;
use antiphon_persistence::{Error, Result};

use crate::feed::FeedCache;
use crate::reader::Readers;
use crate::stats::Counters;
use crate::writer::Writer;
use crate::{Role, SqliteSettings, SqliteStats, schema};

/// All stores of a place in one SQLite file. Cheap to clone; the last clone to go waits for the writes under way and closes the file.
#[derive(Clone)]
pub struct SqliteStores {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    /// Declared first, so dropped first: the writer ends before the readers' connections close.
    pub(crate) writer: Option<Writer>,
    pub(crate) readers: Readers,
    pub(crate) feed: FeedCache,
    pub(crate) counters: Arc<Counters>,
    pub(crate) path: PathBuf,
    pub(crate) settings: SqliteSettings,
}

impl SqliteStores {
    /// Opens the file at `path`, or creates it ([`Role::Owner`]).
    ///
    /// A [`Role::Reader`] opens it at the first read, so that it may appear later.
    ///
    /// # Errors
    /// `Rejected` when a setting is wrong, or when the file is another program's or a newer Antiphon's; `Unavailable` when it
    /// cannot be opened or written; `Corrupt` when it is damaged. Each names the path.
    pub fn open(path: impl AsRef<Path>, settings: SqliteSettings) -> Result<Self> {
        settings.validate()?;
        let path = path.as_ref().to_path_buf();
        let counters = Arc::new(Counters::default());
        let writer = match settings.role {
            Role::Owner => {
                let connection = schema::open(&path, &settings)?;
                Some(Writer::start(connection, &path, &settings, counters.clone())?)
            }
            Role::Reader => None,
        };
        let readers = Readers::new(&path, &settings);
        let feed = FeedCache::new(settings.feed_cache_max);
        Ok(Self { inner: Arc::new(Inner { writer, readers, feed, counters, path, settings }) })
    }

    /// Every trait of the store, on this file.
    pub fn stores(&self) -> Stores {
        Stores::from_backend(Arc::new(self.clone()))
    }

    /// What was counted since the file was opened.
    pub fn stats(&self) -> SqliteStats {
        self.inner.counters.snapshot()
    }

    /// The path of the file.
    pub fn path(&self) -> &Path {
        &self.inner.path
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
