//! The file under an open journal is moved, deleted, or another program's. An
//! acknowledged write is in the file that other processes find.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use antiphon_base::ErrorKind;
use antiphon_sqlite::{Role, SqliteSettings, SqliteStores, check_file};
use rusqlite::Connection;
use tempfile::TempDir;

#[path = "support/rows.rs"]
mod rows;

use rows::{get, open, put};

/// All files of a folder with their bytes.
fn bytes(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    entries
        .map(|entry| {
            let entry = entry.expect("an entry");
            let name = entry.file_name().to_string_lossy().into_owned();
            (name, std::fs::read(entry.path()).expect("a file"))
        })
        .collect()
}

#[test]
fn another_programs_database_is_refused_without_a_byte_changed() {
    for (mode, keep_log) in [("delete", false), ("wal", false), ("wal", true)] {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("their s?%#.db");
        let theirs = Connection::open(&path).expect("a database");
        theirs.pragma_update(None, "journal_mode", mode).expect("as the test expects");
        theirs.execute_batch("CREATE TABLE mine (x); INSERT INTO mine VALUES (1)").expect("made");
        let folder = if keep_log {
            // as after a crash: everything is still in the log
            let copy = TempDir::new().expect("a folder");
            for (name, bytes) in bytes(folder.path()) {
                if !name.ends_with("-shm") {
                    std::fs::write(copy.path().join(name), bytes).expect("written");
                }
            }
            copy
        } else {
            folder
        };
        drop(theirs);
        let path = folder.path().join("their s?%#.db");
        let before = bytes(folder.path());

        for role in [Role::Owner, Role::Reader] {
            let settings = SqliteSettings { role, ..SqliteSettings::default() };
            let error = SqliteStores::open(&path, settings).err().expect("refused");
            assert_eq!(error.kind(), ErrorKind::Rejected, "{error}");
            assert!(error.to_string().contains("another program"), "{error}");
            check_file(&path, role).expect_err("refused");
        }
        assert!(before == bytes(folder.path()), "{mode}, {keep_log}: a file was changed or made");
    }
}

#[test]
fn a_file_that_is_no_database_is_refused_without_a_byte_changed() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("text.db");
    std::fs::write(&path, "this is a text of some length").expect("written");
    let before = bytes(folder.path());
    let error = SqliteStores::open(&path, SqliteSettings::default()).err().expect("refused");
    assert_eq!(error.kind(), ErrorKind::Rejected, "{error}");
    assert!(before == bytes(folder.path()), "a file was changed or made");
}

#[test]
fn a_reader_says_what_is_no_journal() {
    let folder = TempDir::new().expect("a folder");
    let (random, pipe) = (folder.path().join("random.db"), folder.path().join("pipe.db"));
    let noise: Vec<u8> =
        (0..4096_u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    std::fs::write(&random, noise).expect("written");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("it runs").success());
    let settings = SqliteSettings { role: Role::Reader, ..SqliteSettings::default() };
    for path in [&random, &pipe, &folder.path().to_path_buf()] {
        let opened = SqliteStores::open(path, settings.clone()).err();
        for error in [opened, check_file(path, Role::Reader).err()] {
            let error = error.expect("refused");
            assert_eq!(error.kind(), ErrorKind::Rejected, "{error}");
            assert!(error.to_string().contains("is no Antiphon journal"), "{error}");
        }
    }
}

#[tokio::test]
async fn a_journal_whose_tables_are_in_the_log_only_is_known_as_one() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("a.db");
    // as an earlier version made the file: the log first, then the tables
    let theirs = open(&folder.path().join("model.db"));
    drop(theirs);
    let model = Connection::open(folder.path().join("model.db")).expect("a database");
    let mut statement = model.prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL");
    let rows = statement.as_mut().expect("prepared").query_map([], |row| row.get(0));
    let tables: Vec<String> = rows.expect("rows").collect::<Result<_, _>>().expect("rows");
    let early = Connection::open(&path).expect("a database");
    early.pragma_update(None, "journal_mode", "wal").expect("as the test expects");
    early
        .execute_batch(&format!(
            "BEGIN; {}; PRAGMA application_id = {}; PRAGMA user_version = {}; COMMIT",
            tables.join(";"),
            0x416e_7469,
            model
                .query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0))
                .expect("a number")
        ))
        .expect("made");
    let copy = TempDir::new().expect("a folder");
    for name in ["a.db", "a.db-wal"] {
        std::fs::copy(folder.path().join(name), copy.path().join(name)).expect("copied");
    }

    check_file(&copy.path().join("a.db"), Role::Owner).expect("a journal");
    let stores = open(&copy.path().join("a.db"));
    put(&stores, "k", "v").await.expect("stored");
}

/// After any of these changes to the files, nothing is acknowledged and nothing is read.
#[tokio::test]
async fn a_file_that_is_moved_deleted_or_replaced_ends_the_store() {
    type Deed = fn(&Path);
    fn at(folder: &Path, name: &str) -> std::path::PathBuf {
        folder.join(name)
    }
    let deeds: [(&str, Deed); 7] = [
        ("deleted", |f| std::fs::remove_file(at(f, "a.db")).expect("removed")),
        ("moved", |f| std::fs::rename(at(f, "a.db"), at(f, "b.db")).expect("moved")),
        ("replaced", |f| std::fs::rename(at(f, "backup.db"), at(f, "a.db")).expect("moved")),
        ("folder moved", |f| {
            std::fs::rename(f, f.with_extension("gone")).expect("moved");
        }),
        ("log deleted", |f| std::fs::remove_file(at(f, "a.db-wal")).expect("removed")),
        ("index deleted", |f| std::fs::remove_file(at(f, "a.db-shm")).expect("removed")),
        ("copied over", |f| {
            std::fs::write(at(f, "a.db"), "").expect("written");
        }),
    ];
    for (what, deed) in deeds {
        for notices in ["looking", "writing"] {
            let outer = TempDir::new().expect("a folder");
            let folder = outer.path().join("data");
            std::fs::create_dir(&folder).expect("made");
            drop(open(&folder.join("backup.db")));
            let path = folder.join("a.db");
            let stores = open(&path);
            put(&stores, "before", "v").await.expect("stored");
            stores.check_file().expect("as it was opened");

            deed(&folder);
            let error = match notices {
                "looking" => stores.check_file().expect_err("it is noticed"),
                _ => put(&stores, "after", "v").await.expect_err("it is not acknowledged"),
            };
            assert!(error.to_string().contains("a.db"), "{what}: {error}");

            // the store stays lost, also when the file comes back
            let _ = std::fs::rename(folder.join("b.db"), &path);
            let error = put(&stores, "later", "v").await.expect_err("nothing is acknowledged");
            assert_eq!(error.kind(), ErrorKind::Fenced, "{what}: {error}");
            assert_eq!(
                get(&stores, "before").await.unwrap_err().kind(),
                ErrorKind::Fenced,
                "{what}"
            );
            stores.check_file().expect_err("it stays lost");
        }
    }
}

#[tokio::test]
async fn a_read_never_makes_a_file() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("a.db");
    let stores = open(&path);
    std::fs::remove_file(&path).expect("removed");
    get(&stores, "k").await.expect_err("it is gone");
    assert!(!path.exists());
}

#[test]
fn settings_beyond_their_bounds_are_refused_by_name_and_never_panic() {
    let folder = TempDir::new().expect("a folder");
    type Change = fn(&mut SqliteSettings, usize);
    let numbers: [(&str, Change); 8] = [
        ("queue_max", |s, n| s.queue_max = n),
        ("group_writes_max", |s, n| s.group_writes_max = n),
        ("group_bytes_max", |s, n| s.group_bytes_max = n),
        ("reader_count", |s, n| s.reader_count = n),
        ("stream_cache_max", |s, n| s.stream_cache_max = n),
        ("feed_cache_max", |s, n| s.feed_cache_max = n),
        ("replay_bytes_max", |s, n| s.replay_bytes_max = n),
        ("wal_pages_max", |s, n| s.wal_pages_max = u32::try_from(n).unwrap_or(u32::MAX)),
    ];
    let path = |n: usize, name: &str| folder.path().join(format!("{n}-{name}.db"));
    for (name, change) in numbers {
        for n in [0, 1, usize::MAX / 2, usize::MAX] {
            let mut settings = SqliteSettings::default();
            change(&mut settings, n);
            let opened = SqliteStores::open(path(n, name), settings);
            if n != 1 {
                let message = opened.err().expect("refused").to_string();
                assert!(message.contains(&format!("`{name}`")), "{name} = {n}: {message}");
            } else {
                opened.expect("the least is taken");
            }
        }
    }
    for busy_timeout in [Duration::from_secs(3600 * 5_000_000), Duration::MAX] {
        let settings = SqliteSettings { busy_timeout, ..SqliteSettings::default() };
        let message = SqliteStores::open(path(0, "x"), settings).err().expect("refused");
        assert!(message.to_string().contains("`busy_timeout`"), "{message}");
    }
    for pages in [0, 1, u32::MAX] {
        let settings = SqliteSettings { file_pages_max: Some(pages), ..SqliteSettings::default() };
        let message = SqliteStores::open(path(0, "x"), settings).err().expect("refused");
        assert!(message.to_string().contains("`file_pages_max`"), "{message}");
    }
}

#[test]
fn a_store_does_not_open_on_a_path_that_keeps_nothing() {
    for path in
        ["", " ", ":memory:", "file::memory:?cache=shared", "/dev/null", "/", "/no/such/a.db"]
    {
        let error = SqliteStores::open(path, SqliteSettings::default()).err().expect("refused");
        assert_eq!(error.kind(), ErrorKind::Rejected, "{path:?}: {error}");
        assert!(error.to_string().contains("`journal`"), "{path:?}: {error}");
    }
}

#[tokio::test]
async fn a_log_without_its_database_is_not_thrown_away() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("a.db");
    let stores = open(&path);
    put(&stores, "k", "v").await.expect("stored");
    let copy = TempDir::new().expect("a folder");
    let (log, database) = (copy.path().join("a.db-wal"), copy.path().join("a.db"));
    std::fs::copy(folder.path().join("a.db-wal"), &log).expect("copied");
    let before = std::fs::read(&log).expect("a log");

    let error = SqliteStores::open(&database, SqliteSettings::default()).err().expect("refused");
    assert_eq!(error.kind(), ErrorKind::Rejected, "{error}");
    assert!(error.to_string().contains("log alone"), "{error}");
    assert!(std::fs::read(&log).expect("a log") == before && !database.exists());

    std::fs::copy(&path, &database).expect("put back");
    assert_eq!(get(&open(&database), "k").await.expect("read").as_deref(), Some("v"));
}

/// The row is read from the log of a running owner, from the log that a killed owner left, and from
/// the file of an owner that ended in order.
#[tokio::test]
async fn a_peek_reads_a_row_and_changes_no_file() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("j.db");
    let peek = |path: &Path, key: &str| {
        let row = antiphon_sqlite::peek_row(path, "t", key).expect("it can be read");
        row.map(|row| String::from_utf8_lossy(&row.value).into_owned())
    };
    assert_eq!(peek(&path, "k"), None, "there is no file");
    assert_eq!(bytes(folder.path()).len(), 0);

    let stores = open(&path);
    put(&stores, "k", "v").await.expect("stored");
    let running = bytes(folder.path());
    assert_eq!((peek(&path, "k"), peek(&path, "other")), (Some("v".into()), None));
    let killed = TempDir::new().expect("a folder");
    let alone = TempDir::new().expect("a folder");
    for (name, content) in bytes(folder.path()) {
        assert!(name.ends_with("-shm") || running[&name] == content, "{name} was changed");
        std::fs::write(killed.path().join(&name), &content).expect("written");
        if !name.ends_with("-shm") {
            std::fs::write(alone.path().join(&name), &content).expect("written");
        }
    }
    assert_eq!(bytes(folder.path()).len(), 3);

    assert_eq!(peek(&killed.path().join("j.db"), "k"), Some("v".into()));
    let left = bytes(killed.path());
    assert_eq!(left.len(), 3);
    assert_eq!((&left["j.db"], &left["j.db-wal"]), (&running["j.db"], &running["j.db-wal"]));

    assert_eq!(peek(&alone.path().join("j.db"), "k"), None, "only an opened journal would show it");
    assert_eq!(bytes(alone.path()).len(), 2);

    drop(stores);
    while bytes(folder.path()).len() > 1 {
        tokio::task::yield_now().await;
    }
    let ended = bytes(folder.path());
    assert_eq!(peek(&path, "k"), Some("v".into()));
    assert_eq!(bytes(folder.path()), ended);
}
