//! The stores in one SQLite file keep every contract, with and without a sync at each group.

mod support;

use std::path::Path;

use antiphon_persistence::store::Stores;
use antiphon_persistence_tck::{Capabilities, DamagedRows, Place};
use antiphon_sqlite::{Durability, SqliteSettings, SqliteStores};
use async_trait::async_trait;
use parking_lot::Mutex;
use tempfile::TempDir;

use support::flip::Flipper;

struct Sqlite {
    folder: TempDir,
    durability: Durability,
    flipper: Mutex<Option<Flipper>>,
}

impl Sqlite {
    fn new(durability: Durability) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        Self { folder, durability, flipper: Mutex::default() }
    }
}

#[async_trait]
impl Place for Sqlite {
    async fn session(&self) -> Stores {
        let settings = SqliteSettings { durability: self.durability, ..SqliteSettings::default() };
        let path = self.folder.path().join("journal.db");
        SqliteStores::open(path, settings).expect("the file opens").stores()
    }

    async fn keep(&self) {
        copy(self.folder.path(), &self.folder.path().join("kept"));
    }

    async fn go_back(&self) {
        copy(&self.folder.path().join("kept"), self.folder.path());
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { goes_back: true, ..Capabilities::default() }
    }

    async fn damaged_session(&self, rows: DamagedRows, choice: u64) -> Option<(String, Stores)> {
        let mut flipper = self.flipper.lock();
        let flipper = flipper.get_or_insert_with(|| Flipper::of(self.folder.path()));
        let (what, path) = flipper.flip(tables(rows), choice);
        let settings =
            SqliteSettings { durability: Durability::Relaxed, ..SqliteSettings::default() };
        let stores = SqliteStores::open(path, settings).expect("the damaged file opens");
        Some((what, stores.stores()))
    }
}

/// Copies the journal file and the files beside it, and removes those that were there.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for end in ["", "-wal", "-shm"] {
        let name = format!("journal.db{end}");
        let _ = std::fs::remove_file(to.join(&name));
        if from.join(&name).exists() {
            std::fs::copy(from.join(&name), to.join(&name)).expect("copied");
        }
    }
}

fn tables(rows: DamagedRows) -> &'static [&'static str] {
    match rows {
        DamagedRows::Journal => &["streams", "heads", "batches", "marks", "writers"],
        DamagedRows::Snapshots => &["snapshots"],
        DamagedRows::Coordination => &["cells", "tokens"],
        DamagedRows::Offsets => &["offsets"],
        DamagedRows::Reminders => &["reminders"],
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
