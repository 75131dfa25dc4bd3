//! Which journal a place has.

use std::path::PathBuf;

#[cfg(feature = "cassandra")]
use antiphon_cassandra::{CassandraSettings, CassandraStores};
use antiphon_persistence::store::Stores;
use antiphon_runtime::Result;
use antiphon_sqlite::{SqliteSettings, SqliteStores};

/// The journal of a place, with all other stores beside it.
#[derive(Debug, Clone, PartialEq)]
pub enum Journal {
    /// A file on this machine.
    Sqlite {
        /// The file; all nodes of the place use the same one.
        path: PathBuf,
        /// How it is used.
        settings: SqliteSettings,
    },
    /// A cluster of Apache Cassandra or ScyllaDB.
    #[cfg(feature = "cassandra")]
    Cassandra(Box<CassandraSettings>),
}

/// A journal that is open; the last clone to go closes it.
#[derive(Clone)]
pub enum OpenJournal {
    /// A file on this machine.
    Sqlite(SqliteStores),
    /// A cluster of Apache Cassandra or ScyllaDB.
    #[cfg(feature = "cassandra")]
    Cassandra(CassandraStores),
}

impl Journal {
    /// Whether it is reached over a network, so that one that cannot be opened now may be later.
    pub fn is_remote(&self) -> bool {
        match self {
            Self::Sqlite { .. } => false,
            #[cfg(feature = "cassandra")]
            Self::Cassandra(_) => true,
        }
    }

    /// Opens it to write, or to read only.
    ///
    /// # Errors
    /// Those of the backend: `Rejected` for wrong settings or a journal that is not as it should be, `Unavailable`, `Corrupt`.
    pub async fn open(&self, read_only: bool) -> Result<OpenJournal> {
        match self {
            Self::Sqlite { path, settings } => {
                let mut settings = settings.clone();
                if read_only {
                    settings.role = antiphon_sqlite::Role::Reader;
                }
                Ok(OpenJournal::Sqlite(SqliteStores::open(path, settings)?))
            }
            #[cfg(feature = "cassandra")]
            Self::Cassandra(settings) => {
                let mut settings = (**settings).clone();
                if read_only {
                    settings.role = antiphon_cassandra::Role::Reader;
                }
                Ok(OpenJournal::Cassandra(Box::pin(CassandraStores::open(settings)).await?))
            }
        }
    }
}

impl OpenJournal {
    /// Every trait of the store.
    pub fn stores(&self) -> Stores {
        match self {
            Self::Sqlite(stores) => stores.stores(),
            #[cfg(feature = "cassandra")]
            Self::Cassandra(stores) => stores.stores(),
        }
    }

    /// What the store waits for, or that it lost data; `None` when all is well.
    pub fn trouble(&self) -> Option<String> {
        match self {
            Self::Sqlite(_) => None,
            #[cfg(feature = "cassandra")]
            Self::Cassandra(stores) => stores.trouble(),
        }
    }

    /// What the store has counted of each of its statements. Empty where the store counts none.
    #[cfg(feature = "cassandra")]
    pub fn statements(&self) -> Vec<antiphon_cassandra::tables::StatementCounts> {
        match self {
            Self::Sqlite(_) => Vec::new(),
            Self::Cassandra(stores) => stores.statements(),
        }
    }

    /// What the store has counted, each with its name and description. Empty where the store counts nothing.
    pub fn counts(&self) -> Vec<(&'static str, &'static str, u64)> {
        match self {
            Self::Sqlite(stores) => stores.stats().named(),
            #[cfg(feature = "cassandra")]
            Self::Cassandra(stores) => stores.stats().named(),
        }
    }
}
