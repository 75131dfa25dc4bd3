//! Which journal a place has.

use std::path::{Path, PathBuf};

#[cfg(feature = "cassandra")]
use antiphon_cassandra::{CassandraSettings, CassandraStores};
use antiphon_persistence::ErrorKind;
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

    /// Checks what can be checked without opening it: that a file can be kept at its path, and is not another program's. Nothing is made
    /// or changed.
    ///
    /// # Errors
    /// `Rejected`, naming the path and what was expected. A file or a server that may come later is no error when it is only read.
    pub fn check(&self, read_only: bool) -> Result<()> {
        match self {
            Self::Sqlite { path, settings } => {
                settings.validate()?;
                let role = match read_only {
                    true => antiphon_sqlite::Role::Reader,
                    false => antiphon_sqlite::Role::Owner,
                };
                match antiphon_sqlite::check_file(path, role) {
                    // it may be another one later
                    Err(error) if read_only && error.kind() == ErrorKind::Unavailable => Ok(()),
                    checked => checked,
                }
            }
            #[cfg(feature = "cassandra")]
            Self::Cassandra(settings) => {
                settings.validate()?;
                let tls = settings.server.tls.as_ref();
                let files = tls.map(|tls| {
                    let (cert, key) = (tls.cert_file.as_ref(), tls.key_file.as_ref());
                    [("ca_file", Some(&tls.ca_file)), ("cert_file", cert), ("key_file", key)]
                });
                for (name, file) in files.into_iter().flatten() {
                    if let Some(file) = file.filter(|file| !file.is_file()) {
                        return Err(antiphon_runtime::Error::rejected(format!(
                            "`{name}`: expected a file that is there, actual {file:?}"
                        )));
                    }
                }
                Ok(())
            }
        }
    }

    /// Whether two journals are the same file, as far as can be told now.
    pub(crate) fn is_same_file(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Sqlite { path, .. }, Self::Sqlite { path: other, .. }) => {
                let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
                real(path) == real(other)
            }
            #[cfg(feature = "cassandra")]
            (Self::Cassandra(_), _) | (_, Self::Cassandra(_)) => false,
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

    /// Looks whether the journal is still the one that was opened.
    ///
    /// # Errors
    /// `Fenced` when a file was moved, deleted or replaced: nothing is taken any more, and the node must end.
    pub fn check(&self) -> Result<()> {
        match self {
            Self::Sqlite(stores) => stores.check_file(),
            #[cfg(feature = "cassandra")]
            Self::Cassandra(_) => Ok(()),
        }
    }

    /// What the store waits for, such as room on a full disk, or that it lost data; `None` when all is well.
    pub fn trouble(&self) -> Option<String> {
        match self {
            Self::Sqlite(stores) => stores.trouble(),
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
