//! The journal of a place, as settings and opened.

use std::path::PathBuf;

#[cfg(feature = "cassandra")]
use antiphon_cassandra::{CassandraSettings, CassandraStores};
use antiphon_persistence::ErrorKind;
use antiphon_persistence::store::Stores;
use antiphon_runtime::node::{CLUSTER_ROW, check_cluster_row};
use antiphon_runtime::{Error, NodeSettings, Result};
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

    /// Checks the journal without opening it: a file at its path can persist, is not a file of
    /// another program, and can be written unless `read_only`. Nothing is created or changed.
    ///
    /// # Errors
    /// `Rejected`, naming the path and what was expected, or the setting `role` of a journal that
    /// is to be written. With `read_only`, a file or a server that may appear later is no error.
    pub fn check(&self, read_only: bool) -> Result<()> {
        match self {
            Self::Sqlite { path, settings } => {
                settings.validate()?;
                let role = match read_only {
                    true => antiphon_sqlite::Role::Reader,
                    false => antiphon_sqlite::Role::Owner,
                };
                check_role("sqlite", role == settings.role || read_only)?;
                match antiphon_sqlite::check_file(path, role) {
                    // another process may create the file later
                    Err(error) if read_only && error.kind() == ErrorKind::Unavailable => Ok(()),
                    checked => checked,
                }
            }
            #[cfg(feature = "cassandra")]
            Self::Cassandra(settings) => {
                settings.validate()?;
                let is_owner = settings.role == antiphon_cassandra::Role::Owner;
                check_role("cassandra", is_owner || read_only)?;
                let tls = settings.server.tls.as_ref();
                let files = tls.map(|tls| {
                    let (cert, key) = (tls.cert_file.as_ref(), tls.key_file.as_ref());
                    [("ca_file", Some(&tls.ca_file)), ("cert_file", cert), ("key_file", key)]
                });
                for (name, file) in files.into_iter().flatten() {
                    if let Some(file) = file.filter(|file| !file.is_file()) {
                        return Err(Error::rejected(format!(
                            "`{name}`: expected a file that is there, actual {file:?}"
                        )));
                    }
                }
                Ok(())
            }
        }
    }

    /// Checks that the journal belongs to this place, when a node has used the journal already. A
    /// journal on a server is not asked: its start does that. Nothing is created or changed.
    ///
    /// # Errors
    /// `Rejected`, naming the setting; `Corrupt` or `Unavailable` when the file cannot be read.
    pub fn check_place(&self, settings: &NodeSettings, place: &str) -> Result<()> {
        match self {
            Self::Sqlite { path, .. } => {
                let (table, key) = CLUSTER_ROW;
                let row = antiphon_sqlite::peek_row(path, table, key)?;
                row.map_or(Ok(()), |row| check_cluster_row(settings, place, &row))
            }
            #[cfg(feature = "cassandra")]
            Self::Cassandra(_) => Ok(()),
        }
    }

    /// Returns whether two journals are the same file, also before the file exists.
    pub(crate) fn is_same_file(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Sqlite { path, .. }, Self::Sqlite { path: other, .. }) => {
                antiphon_sqlite::real_path(path) == antiphon_sqlite::real_path(other)
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

/// Refuses a journal that must be written when its settings only permit reads.
fn check_role(table: &str, fits: bool) -> Result<()> {
    match fits {
        true => Ok(()),
        false => Err(Error::rejected(format!(
            "`{table}.role`: expected \"owner\" for the journal of the own place, actual \"reader\""
        ))),
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

    /// Checks that the journal is still the journal that was opened.
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

    /// Warnings for the operator of a store that works: the damaged rows that were met since the
    /// journal was opened.
    pub fn warnings(&self) -> Vec<String> {
        damage(&self.counts()).into_iter().collect()
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

/// The warning about damaged rows, if any were met.
fn damage(counts: &[(&'static str, &'static str, u64)]) -> Option<String> {
    let of = |wanted: &str| {
        let found = counts.iter().find(|(name, ..)| *name == wanted);
        found.map_or(0, |(.., count)| *count)
    };
    let (rows, snapshots) = (of("rows_damaged"), of("snapshots_damaged"));
    (rows + snapshots > 0).then(|| {
        format!(
            "the journal is damaged: {rows} reads or writes of rows and {snapshots} reads of snapshots failed for that reason since the start: \
             `antiphon journal verify` lists all damage"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_rows_are_a_warning_from_the_first_one_on() {
        assert_eq!(damage(&[("reads", "", 9), ("rows_damaged", "", 0)]), None);
        let warning = damage(&[("rows_damaged", "", 2), ("snapshots_damaged", "", 1)]).unwrap();
        assert!(warning.contains("2 reads or writes") && warning.contains("verify"), "{warning}");
        assert!(damage(&[("snapshots_damaged", "", 1)]).is_some());
    }
}
