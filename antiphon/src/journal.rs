//! The journal of a place, as settings and opened.

use std::path::{Path, PathBuf};

#[cfg(feature = "cassandra")]
use antiphon_cassandra::{CassandraSettings, CassandraStores};
use antiphon_persistence::ErrorKind;
use antiphon_persistence::store::Stores;
use antiphon_runtime::Result;
use antiphon_sqlite::{SqliteSettings, SqliteStores};

/// The settings of a place's journal, which includes all other stores of the place.
#[derive(Debug, Clone, PartialEq)]
pub enum Journal {
    /// A file on this machine.
    Sqlite {
        /// The file; all nodes of the place use the same one.
        path: PathBuf,
        /// The settings of the file.
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
    /// Returns whether the journal is reached over a network, so that a later attempt to open it
    /// may succeed after a failed one.
    pub fn is_remote(&self) -> bool {
        match self {
            Self::Sqlite { .. } => false,
            #[cfg(feature = "cassandra")]
            Self::Cassandra(_) => true,
        }
    }

    /// Checks the journal without opening it: a file at its path can persist, and is not a file of
    /// another program. Nothing is created or changed.
    ///
    /// # Errors
    /// `Rejected`, naming the path and what was expected. With `read_only`, a file or a server that
    /// may appear later is no error.
    pub fn check(&self, read_only: bool) -> Result<()> {
        match self {
            Self::Sqlite { path, settings } => {
                settings.validate()?;
                let role = match read_only {
                    true => antiphon_sqlite::Role::Reader,
                    false => antiphon_sqlite::Role::Owner,
                };
                match antiphon_sqlite::check_file(path, role) {
                    // another process may create the file later
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

    /// Returns whether two journals are the same file, as far as that is known now.
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

    /// Opens the journal to write, or with `read_only` to read only.
    ///
    /// # Errors
    /// The errors of the backend: `Rejected` for wrong settings or a journal in an unexpected
    /// state, `Unavailable`, `Corrupt`.
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

    /// Checks that the journal is still the one that was opened.
    ///
    /// # Errors
    /// `Fenced` when a file was moved, deleted or replaced: the journal takes no more writes, and
    /// the node must end.
    pub fn check(&self) -> Result<()> {
        match self {
            Self::Sqlite(stores) => stores.check_file(),
            #[cfg(feature = "cassandra")]
            Self::Cassandra(_) => Ok(()),
        }
    }

    /// The problem that the store has, such as a full disk or lost data; `None` when there is none.
    pub fn trouble(&self) -> Option<String> {
        match self {
            Self::Sqlite(stores) => stores.trouble(),
            #[cfg(feature = "cassandra")]
            Self::Cassandra(stores) => stores.trouble(),
        }
    }

    /// The counts of the store for each of its statements. Empty when the store does not count.
    #[cfg(feature = "cassandra")]
    pub fn statements(&self) -> Vec<antiphon_cassandra::tables::StatementCounts> {
        match self {
            Self::Sqlite(_) => Vec::new(),
            Self::Cassandra(stores) => stores.statements(),
        }
    }

    /// All counts of the store, each with its name and description. Empty when the store does not
    /// count.
    pub fn counts(&self) -> Vec<(&'static str, &'static str, u64)> {
        match self {
            Self::Sqlite(stores) => stores.stats().named(),
            #[cfg(feature = "cassandra")]
            Self::Cassandra(stores) => stores.stats().named(),
        }
    }
}
