//! The kinds of stores that come with Antiphon: a line for each.

use std::path::PathBuf;

#[cfg(feature = "cassandra")]
pub use antiphon_cassandra as cassandra;
use antiphon_persistence::store::Registry;
pub use antiphon_sqlite as sqlite;

#[cfg(feature = "cassandra")]
use self::cassandra::CassandraSettings;
use self::sqlite::{SqliteJournal, SqliteSettings};
use crate::Journal;

/// The kinds of stores of this build. The first is the default: files on this machine. An
/// application adds its own kind with [`Registry::with`].
///
/// ```
/// let kinds: Vec<_> = antiphon::stores().names().collect();
/// assert_eq!(kinds[0], "sqlite");
/// ```
pub fn stores() -> Registry {
    let stores = Registry::default().with(antiphon_sqlite::SqliteKind);
    #[cfg(feature = "cassandra")]
    let stores = stores.with(antiphon_cassandra::CassandraKind);
    #[cfg(not(feature = "cassandra"))]
    let stores = stores.without(
        "cassandra",
        "build it with `cargo build --release -p antiphon-node --features cassandra`, or another \
         binary with the feature `cassandra` of the crate `antiphon`",
    );
    stores
}

impl Journal {
    /// The journal in a file on this machine; all nodes of the place use the same file.
    pub fn sqlite(path: impl Into<PathBuf>, settings: SqliteSettings) -> Self {
        Self::new(SqliteJournal::new(path, settings))
    }

    /// The journal in a cluster of Apache Cassandra or ScyllaDB.
    #[cfg(feature = "cassandra")]
    pub fn cassandra(settings: CassandraSettings) -> Self {
        Self::new(settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_open_journal_gives_out_the_store_that_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::sqlite(folder.path().join("a.db"), SqliteSettings::default());
        let open = journal.open(false).await.unwrap();
        assert!(open.downcast_ref::<antiphon_sqlite::SqliteStores>().is_some());
    }
}
