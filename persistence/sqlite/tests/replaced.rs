//! The file of a journal is replaced while others have it open.

use std::path::Path;
use std::time::Duration;

use antiphon_base::ErrorKind;
use antiphon_base::time::{Clock, SystemClock};
use antiphon_persistence::store::Coordination;
use antiphon_sqlite::{Role, SqliteSettings, SqliteStores};
use tempfile::TempDir;

#[path = "support/rows.rs"]
mod rows;

use rows::{get, open, put};

fn reader(path: &Path) -> SqliteStores {
    SqliteStores::open(path, SqliteSettings::reader()).expect("as the test expects")
}

/// Reads the row `k` until `holds`, for at most a second.
async fn within_a_second(
    reader: &SqliteStores,
    holds: impl Fn(&Result<Option<String>, ErrorKind>) -> bool,
) {
    let until = SystemClock.now() + Duration::from_secs(1);
    loop {
        let read = get(reader, "k").await.map_err(|error| error.kind());
        if holds(&read) {
            return;
        }
        assert!(SystemClock.now() < until, "after a second it is still {read:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_reader_of_a_file_that_is_replaced_reads_the_new_one_and_tells() {
    let folder = TempDir::new().expect("a folder");
    let (path, other) = (folder.path().join("a.db"), folder.path().join("b.db"));
    let first = open(&path);
    put(&first, "k", "first").await.expect("stored");
    let second = open(&other);
    put(&second, "k", "second").await.expect("stored");
    drop((first, second));

    let reader = reader(&path);
    assert_eq!(get(&reader, "k").await.expect("read").as_deref(), Some("first"));
    assert_eq!(reader.replacements(), 0);

    std::fs::rename(&other, &path).expect("moved");
    within_a_second(&reader, |read| matches!(read, Ok(Some(read)) if read == "second")).await;
    assert_eq!(reader.replacements(), 1);

    std::fs::remove_file(&path).expect("removed");
    within_a_second(&reader, |read| read == &Err(ErrorKind::Unavailable)).await;
}

/// After `rm` and `cp` the three files of another journal may have the inodes of the old ones.
#[tokio::test]
async fn a_reader_tells_of_a_file_that_was_gone_also_when_its_inodes_are_the_same() {
    let folder = TempDir::new().expect("a folder");
    let (path, away) = (folder.path().join("a.db"), folder.path().join("away.db"));
    let put_to = |from: &Path, to: &Path| {
        for suffix in ["", "-wal", "-shm"] {
            let beside = |path: &Path| format!("{}{suffix}", path.display());
            std::fs::rename(beside(from), beside(to)).expect("moved");
        }
    };
    let owner = open(&path);
    put(&owner, "k", "v").await.expect("stored");
    let reader = reader(&path);
    assert_eq!(get(&reader, "k").await.expect("read").as_deref(), Some("v"));

    put_to(&path, &away);
    within_a_second(&reader, |read| read == &Err(ErrorKind::Unavailable)).await;
    put_to(&away, &path);
    within_a_second(&reader, Result::is_ok).await;
    assert_eq!(reader.replacements(), 1);
    drop(owner);
}

/// Copies a journal in use: much of it is still in the log.
fn copy_in_use(from: &Path, to: &Path) {
    for suffix in ["", "-wal"] {
        let beside = |path: &Path| format!("{}{suffix}", path.display());
        std::fs::copy(beside(from), beside(to)).expect("copied");
    }
}

/// SQLite removes a log by its name when the last connection is closed. By then it may be the log
/// of a new file.
#[tokio::test]
async fn whoever_had_a_file_open_that_was_replaced_does_not_touch_the_new_one() {
    let folder = TempDir::new().expect("a folder");
    let (path, other) = (folder.path().join("a.db"), folder.path().join("b.db"));
    let second = open(&other);
    put(&second, "k", "second").await.expect("stored");
    for role in [Role::Reader, Role::Owner] {
        let _ = std::fs::remove_file(&path);
        let first = open(&path);
        put(&first, "k", "first").await.expect("stored");
        let had_it_open = match role {
            Role::Reader => {
                let reader = reader(&path);
                assert_eq!(get(&reader, "k").await.expect("read").as_deref(), Some("first"));
                drop(first);
                reader
            }
            Role::Owner => {
                assert_eq!(get(&first, "k").await.expect("read").as_deref(), Some("first"));
                first
            }
        };
        for suffix in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{suffix}", path.display()));
        }
        copy_in_use(&other, &path);
        if role == Role::Reader {
            within_a_second(
                &had_it_open,
                |read| matches!(read, Ok(Some(read)) if read == "second"),
            )
            .await;
        }
        drop(had_it_open);

        let third = open(&path);
        let found = get(&third, "k").await.expect("read");
        assert_eq!(found.as_deref(), Some("second"), "{role:?}");
        drop(third);
    }
}
