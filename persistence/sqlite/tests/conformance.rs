//! The stores in one SQLite file keep every contract, with and without a sync at each group.

use antiphon_persistence::store::Stores;
use antiphon_persistence_tck::Place;
use antiphon_sqlite::{Durability, SqliteSettings, SqliteStores};
use async_trait::async_trait;
use tempfile::TempDir;

struct Sqlite {
    folder: TempDir,
    durability: Durability,
}

impl Sqlite {
    fn new(durability: Durability) -> Self {
        Self { folder: TempDir::new().expect("a temporary folder"), durability }
    }
}

#[async_trait]
impl Place for Sqlite {
    async fn session(&self) -> Stores {
        let settings = SqliteSettings { durability: self.durability, ..SqliteSettings::default() };
        let path = self.folder.path().join("journal.db");
        SqliteStores::open(path, settings).expect("the file opens").stores()
    }
}

mod full {
    use super::*;

    antiphon_persistence_tck::all_tests!(Sqlite::new(Durability::Full));
}

mod relaxed {
    use super::*;

    antiphon_persistence_tck::all_tests!(Sqlite::new(Durability::Relaxed));
}
