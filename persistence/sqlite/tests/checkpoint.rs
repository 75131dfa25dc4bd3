//! A checkpoint that was interrupted: the file has its new first page, and the other new pages are
//! in the write-ahead log only. Such a journal is sound.

use std::path::{Path, PathBuf};

use antiphon_base::ErrorKind;
use antiphon_persistence::store::Coordination;
use antiphon_sqlite::{Role, SqliteSettings, SqliteStores, check_file};
use bytes::Bytes;
use tempfile::TempDir;

const ROWS: usize = 40;

fn beside(path: &Path, suffix: &str) -> PathBuf {
    format!("{}{suffix}", path.display()).into()
}

/// Makes a journal as a kill leaves it, after a full disk let a checkpoint write one page only.
async fn interrupted(folder: &Path) -> PathBuf {
    let (used, path) = (folder.join("used.db"), folder.join("a.db"));
    let stores = SqliteStores::open(&used, SqliteSettings::default()).expect("a new file");
    for row in 0..ROWS {
        let value = Some(Bytes::from(vec![7; 10_000]));
        stores.compare_and_set("t", &row.to_string(), None, value).await.expect("stored");
    }
    for suffix in ["", "-wal"] {
        std::fs::copy(beside(&used, suffix), beside(&path, suffix)).expect("copied");
    }

    let log = std::fs::read(beside(&path, "-wal")).expect("a log");
    let mut file = std::fs::read(&path).expect("a file");
    let newest = first_page(&log);
    let pages = u32::from_be_bytes(newest[28..32].try_into().expect("four bytes"));
    assert!(pages as usize * newest.len() > file.len(), "the file lacks pages");
    file[..newest.len()].copy_from_slice(newest);
    std::fs::write(&path, file).expect("written");
    path
}

/// The newest copy of the first page in a log of one round.
fn first_page(log: &[u8]) -> &[u8] {
    let number = |at: usize| u32::from_be_bytes(log[at..at + 4].try_into().expect("four bytes"));
    let bytes = number(8) as usize;
    let mut frames = (32..log.len()).step_by(24 + bytes);
    let at = frames.rfind(|at| number(*at) == 1).expect("a first page");
    &log[at + 24..at + 24 + bytes]
}

#[tokio::test]
async fn a_journal_whose_checkpoint_was_interrupted_opens_with_every_row() {
    for role in [Role::Owner, Role::Reader] {
        let folder = TempDir::new().expect("a folder");
        let path = interrupted(folder.path()).await;

        check_file(&path, role).expect("a journal");
        let settings = SqliteSettings { role, ..SqliteSettings::default() };
        let stores = SqliteStores::open(&path, settings).expect("a sound journal");

        let rows = stores.scan("t").await.expect("every page is read").rows;
        assert_eq!(rows.len(), ROWS, "{role:?}");
        assert!(stores.verify().await.expect("a report").is_sound(), "{role:?}");
        if role == Role::Owner {
            stores.compare_and_set("t", "0", Some(1), None).await.expect("stored");
        }
    }
}

/// Without the log, the pages are missing indeed. The operator is told to copy first, because the
/// log may be somewhere else.
#[tokio::test]
async fn a_file_that_lacks_pages_is_copied_away_before_anything_else() {
    let folder = TempDir::new().expect("a folder");
    let path = interrupted(folder.path()).await;
    std::fs::remove_file(beside(&path, "-wal")).expect("removed");
    let before = std::fs::read(&path).expect("a file");

    let error = SqliteStores::open(&path, SqliteSettings::default()).err().expect("refused");
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    let message = error.to_string();
    assert!(message.contains("copy all three files") && !message.contains("restore"), "{message}");
    assert!(std::fs::read(&path).expect("a file") == before, "nothing is changed");
}

/// SQLite says "not a database" of a log that was emptied under it, and then grew with a hole. The
/// path is right.
#[tokio::test]
async fn a_log_that_was_emptied_in_use_is_damage_and_no_wrong_path() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("a.db");
    let stores = SqliteStores::open(&path, SqliteSettings::default()).expect("a new file");
    // large enough for a new page, so that the log has a first page
    let value = Some(Bytes::from(vec![7; 10_000]));
    stores.compare_and_set("t", "k", None, value).await.expect("stored");

    let log = std::fs::File::options().write(true).open(beside(&path, "-wal")).expect("a log");
    let bytes = log.metadata().expect("a file").len();
    log.set_len(0).expect("emptied");
    log.set_len(bytes).expect("a hole");

    let error = Coordination::read(&stores, "t", "k").await.expect_err("its page is gone");
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(!error.to_string().contains("another path"), "{error}");
}
