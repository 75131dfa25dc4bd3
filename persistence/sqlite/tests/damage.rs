//! Files that are newer, another program's, damaged or not writable: each error names the file and
//! the remedy.

#[path = "support/carts.rs"]
mod carts;

use std::path::Path;

use antiphon_base::ErrorKind;
use antiphon_base::time::Timestamp;
use antiphon_persistence::event::{Labels, Metadata, SequenceNr, Tags};
use antiphon_persistence::record::bytes::Reader;
use antiphon_persistence::record::labels;
use antiphon_persistence::store::{Journal, ReminderRow, ReminderStore, SnapshotStore, WriterId};
use antiphon_persistence::verify::Damage;
use antiphon_sqlite::{SqliteSettings, SqliteStores};
use rusqlite::Connection;
use tempfile::TempDir;

use carts::{append, id};

/// Writes two streams with one event each.
async fn write(path: &Path) {
    let stores = SqliteStores::open(path, SqliteSettings::default()).expect("as the test expects");
    let writer = WriterId::new("n@1").expect("as the test expects");
    stores.open_writer(&writer).await.expect("as the test expects");
    for name in ["good", "bad"] {
        stores.append(&writer, append(name, 1)).await.expect("as the test expects");
    }
}

#[tokio::test]
async fn a_journal_of_a_newer_version_is_refused_and_not_changed() {
    let folder = TempDir::new().expect("as the test expects");
    let path = folder.path().join("a.db");
    write(&path).await;
    let newer = Connection::open(&path).expect("as the test expects");
    newer.pragma_update(None, "user_version", 99).expect("as the test expects");
    drop(newer);

    let error =
        SqliteStores::open(&path, SqliteSettings::default()).err().expect("as the test expects");
    assert_eq!(error.kind(), ErrorKind::Rejected);
    let message = error.to_string();
    assert!(message.contains("actual 99") && message.contains("a.db"), "{message}");

    let again = Connection::open(&path).expect("as the test expects");
    again.pragma_update(None, "user_version", 2).expect("as the test expects");
    drop(again);
    let stores = SqliteStores::open(&path, SqliteSettings::default()).expect("as the test expects");
    assert_eq!(stores.highest(&id("good")).await.expect("as the test expects"), SequenceNr::new(1));
}

#[tokio::test]
async fn a_journal_without_checksums_is_refused_and_not_changed() {
    let folder = TempDir::new().expect("as the test expects");
    let path = folder.path().join("a.db");
    write(&path).await;
    let older = Connection::open(&path).expect("as the test expects");
    older.pragma_update(None, "user_version", 1).expect("as the test expects");

    let error =
        SqliteStores::open(&path, SqliteSettings::default()).err().expect("as the test expects");
    assert_eq!(error.kind(), ErrorKind::Rejected);
    let message = error.to_string();
    assert!(message.contains("actual 1") && message.contains("without checksums"), "{message}");
}

#[tokio::test]
async fn a_corrupt_row_is_an_error_of_its_stream_only() {
    let folder = TempDir::new().expect("as the test expects");
    let path = folder.path().join("a.db");
    write(&path).await;
    let other = Connection::open(&path).expect("as the test expects");
    let changed = other.execute("UPDATE batches SET events = x'ff00ff' WHERE ordinal = 2", []);
    assert_eq!(changed.expect("as the test expects"), 1);
    drop(other);

    let stores = SqliteStores::open(&path, SqliteSettings::default()).expect("as the test expects");
    let replay =
        async |name: &str| stores.replay(&id(name), SequenceNr::new(1), SequenceNr::MAX, 10).await;
    assert_eq!(replay("good").await.expect("as the test expects").len(), 1);
    let error = replay("bad").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    let message = error.to_string();
    for part in ["a.db", "table `batches`", "ordinal 2", "cart|bad|A", "journal verify"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert_eq!(stores.stats().rows_damaged, 1);
}

/// Sets a column to a text. A bit that flips in the header of a row has that effect; SQL of a
/// `STRICT` table has not, so the table loses this word first.
fn set_to_a_text(path: &Path, table: &str, column: &str, row: &str) {
    let connection = Connection::open(path).expect("as the test expects");
    connection
        .execute_batch(&format!(
            "PRAGMA writable_schema = ON;
             UPDATE sqlite_schema SET sql = replace(replace(sql, 'STRICT, ', ''), 'STRICT', '') WHERE name = '{table}'"
        ))
        .expect("as the test expects");
    drop(connection);
    let connection = Connection::open(path).expect("as the test expects");
    let sql = format!("UPDATE {table} SET {column} = 'text' WHERE {row}");
    assert_eq!(connection.execute(&sql, []).expect("as the test expects"), 1);
}

/// The error of such a row is not of SQLite itself, and rolled back the whole group as damaged.
#[tokio::test]
async fn an_append_that_meets_a_column_of_another_type_fails_alone() {
    for (table, column, row) in
        [("heads", "highest", "stream = 2"), ("writers", "sealed", "writer = 'm@1'")]
    {
        let folder = TempDir::new().expect("as the test expects");
        let path = folder.path().join("a.db");
        write(&path).await;
        let (sound, other) = ("n@1", if table == "writers" { "m@1" } else { "n@1" });
        let [sound, other] = [sound, other].map(|name| WriterId::new(name).expect("a name"));
        let stores =
            SqliteStores::open(&path, SqliteSettings::default()).expect("as the test expects");
        if other != sound {
            stores.open_writer(&other).await.expect("as the test expects");
        }
        drop(stores);
        set_to_a_text(&path, table, column, row);
        let stores =
            SqliteStores::open(&path, SqliteSettings::default()).expect("as the test expects");

        // while the file is held, the three appends gather in one group, or two
        let held = Connection::open(&path).expect("as the test expects");
        held.execute_batch("BEGIN IMMEDIATE").expect("as the test expects");
        let let_go = async { held.execute_batch("COMMIT").expect("as the test expects") };
        let (before, damaged, after, ()) = tokio::join!(
            stores.append(&sound, append("before", 1)),
            stores.append(&other, append("bad", 2)),
            stores.append(&sound, append("good", 2)),
            let_go
        );

        before.expect("as the test expects");
        after.expect("as the test expects");
        let error = damaged.expect_err("as the test expects");
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        assert!(error.to_string().contains(&format!("`{table}`")), "{error}");
        assert_eq!(stores.stats().rows_damaged, 1);
        if other != sound {
            let again = stores.open_writer(&other).await.expect_err("as the test expects");
            assert_eq!(again.kind(), ErrorKind::Corrupt, "{again}");
        }
    }
}

/// Its batch would have come before its predecessor, so that the stream could not be read any more.
#[tokio::test]
async fn an_append_to_a_stream_whose_newest_batch_is_lost_is_refused() {
    let folder = TempDir::new().expect("as the test expects");
    let path = folder.path().join("a.db");
    write(&path).await;
    let other = Connection::open(&path).expect("as the test expects");
    let sql = "DELETE FROM batches WHERE ordinal = 2";
    assert_eq!(other.execute(sql, []).expect("as the test expects"), 1);
    drop(other);

    let stores = SqliteStores::open(&path, SqliteSettings::default()).expect("as the test expects");
    let writer = WriterId::new("n@1").expect("a name");
    for _ in 0..2 {
        let error = stores.append(&writer, append("bad", 2)).await.expect_err("a lost batch");
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        assert!(error.to_string().contains("`batches`, ordinal 2"), "{error}");
    }
    assert_eq!(stores.stats().rows_damaged, 2);
    stores.append(&writer, append("good", 2)).await.expect("the other streams go on");
}

#[tokio::test]
async fn a_damaged_snapshot_is_passed_over_for_an_older_one_and_counted() {
    let folder = TempDir::new().expect("as the test expects");
    let path = folder.path().join("a.db");
    write(&path).await;
    let stores = SqliteStores::open(&path, SqliteSettings::default()).expect("as the test expects");
    let mut random = antiphon_persistence_tck::Generator::new(1);
    let snapshots = [1, 2, 3].map(|number| random.snapshot(SequenceNr::new(number), 50));
    for snapshot in &snapshots {
        stores.save_snapshot(&id("good"), snapshot).await.expect("as the test expects");
    }
    let other = Connection::open(&path).expect("as the test expects");
    let sql =
        "UPDATE snapshots SET snapshot = CAST(snapshot || x'00' AS BLOB) WHERE sequence_nr > ?1";
    let latest = async || {
        let latest = stores.latest_snapshot(&id("good"), SequenceNr::MAX).await;
        latest.expect("as the test expects")
    };

    assert_eq!(latest().await.as_ref(), Some(&snapshots[2]));
    other.execute(sql, [1]).expect("as the test expects");
    assert_eq!(latest().await.as_ref(), Some(&snapshots[0]));
    assert_eq!(stores.stats().snapshots_damaged, 2);
    other.execute(sql, [0]).expect("as the test expects");
    assert_eq!(latest().await, None, "the events are left");
}

#[tokio::test]
async fn a_damaged_reminder_is_passed_over_and_counted_and_mended_by_a_put() {
    let folder = TempDir::new().expect("as the test expects");
    let path = folder.path().join("a.db");
    write(&path).await;
    let stores = SqliteStores::open(&path, SqliteSettings::default()).expect("as the test expects");
    let rows = [1, 2, 3].map(|due| ReminderRow {
        due: Timestamp::from_micros(due),
        persistence_id: id("good"),
        name: "expire".into(),
        set_by: SequenceNr::new(1),
    });
    stores.put(&rows).await.expect("as the test expects");
    let other = Connection::open(&path).expect("as the test expects");
    other.execute("UPDATE reminders SET checksum = 7 WHERE due <= 2", []).expect("changed");
    let due = async |row_count_max| {
        let until = Timestamp::from_micros(9);
        stores.due("cart", until, None, row_count_max).await.expect("as the test expects")
    };

    assert_eq!(due(1).await, rows[2..], "damaged rows take no room in a page");
    assert_eq!(stores.stats().reminders_damaged, 2);
    let error = stores.contains(&rows[0]).await.expect_err("as the test expects");
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(error.to_string().contains("table `reminders`"), "{error}");
    stores.put(&rows[..1]).await.expect("as the test expects");
    stores.remove(&rows[1..2]).await.expect("as the test expects");
    assert_eq!(due(9).await, [rows[0].clone(), rows[2].clone()]);
    assert!(stores.contains(&rows[0]).await.expect("as the test expects"));
}

#[tokio::test]
async fn a_verification_names_each_damage_and_changes_nothing() {
    let folder = TempDir::new().expect("as the test expects");
    let path = folder.path().join("a.db");
    write(&path).await;
    let stores = SqliteStores::open(&path, SqliteSettings::reader()).expect("as the test expects");
    let report = stores.verify().await.expect("as the test expects");
    assert!(report.is_sound(), "{report:?}");
    assert_eq!((report.streams, report.event_rows, report.events), (2, 2, 2));

    let other = Connection::open(&path).expect("as the test expects");
    for (damage, table, key) in [
        ("UPDATE batches SET events = x'ff00ff' WHERE ordinal = 2", "batches", "ordinal 2"),
        ("UPDATE heads SET highest = 7 WHERE stream = 1", "heads", "stream 1"),
        ("UPDATE streams SET persistence_id = 'cart|x|A' WHERE stream = 1", "streams", "stream 1"),
        ("UPDATE writers SET sealed = 1", "writers", "n@1"),
        ("DELETE FROM batches WHERE ordinal = 1", "batches", "cart|good|A"),
        ("INSERT INTO snapshots VALUES ('cart|good|A', 1, x'02')", "snapshots", "snapshot 1"),
        ("INSERT INTO cells VALUES ('t', 'k', 1, x'00')", "cells", "row `k`"),
        ("INSERT INTO offsets VALUES ('r', 'p', '1')", "offsets", "reader `r`"),
        (
            "INSERT INTO reminders VALUES ('cart', 7, 'cart|r|A', 'n', 1, 0)",
            "reminders",
            "cart|r|A",
        ),
        ("INSERT INTO marks VALUES (1, 1, 9)", "marks", "stream 1"),
    ] {
        let copy = folder.path().join(format!("{table}-{}.db", damage.len()));
        other.execute("VACUUM INTO ?1", [copy.to_str()]).expect("as the test expects");
        let damaged = Connection::open(&copy).expect("as the test expects");
        damaged.execute(damage, []).expect("as the test expects");
        drop(damaged);

        let stores =
            SqliteStores::open(&copy, SqliteSettings::reader()).expect("as the test expects");
        let report = stores.verify().await.expect("as the test expects");
        let named = |found: &Damage| found.table == table && found.key.contains(key);
        assert!(report.damages.iter().any(named), "{damage}: {report:?}");
    }
}

/// An event that sets a reminder, as an entity stores it.
fn setting(name: &str, notes: &str) -> antiphon_persistence::store::Append {
    // the key belongs to Antiphon, so its text is put into the record of another one
    let metadata = Metadata::new().with("antiphon_reminders", notes).expect("a short text");
    let mut record = Vec::new();
    labels::put(&mut record, &Labels::new(metadata, Tags::none()).expect("a short text"));
    let at = record.windows(9).position(|bytes| bytes == b"antiphon_").expect("the key");
    record[at + 8] = b'.';
    let mut append = append(name, 1);
    append.events[0].meta.labels = labels::get(&mut Reader(&record)).expect("sound labels");
    append
}

/// A journal that was copied without its reminders.
#[tokio::test]
async fn a_verification_names_reminders_that_events_have_set_and_that_have_no_row() {
    let folder = TempDir::new().expect("as the test expects");
    let path = folder.path().join("a.db");
    let stores = SqliteStores::open(&path, SqliteSettings::default()).expect("as the test expects");
    let writer = WriterId::new("n@1").expect("as the test expects");
    stores.open_writer(&writer).await.expect("as the test expects");
    let due = 1_u64 << 60;
    let notes = format!(r#"[{{"set":{{"name":"expire","due":{due}}}}}]"#);
    for name in ["good", "bad"] {
        stores.append(&writer, setting(name, &notes)).await.expect("as the test expects");
    }
    let (due, set_by) = (Timestamp::from_micros(due), SequenceNr::new(1));
    let row = ReminderRow { due, persistence_id: id("good"), name: "expire".into(), set_by };
    stores.put(&[row]).await.expect("as the test expects");

    let report = stores.verify().await.expect("as the test expects");
    let named: Vec<_> = report.damages.iter().map(|damage| damage.key.clone()).collect();
    assert_eq!(named, ["`expire` of `cart|bad|A`"]);
}

#[tokio::test]
async fn a_database_of_another_program_is_left_alone() {
    let folder = TempDir::new().expect("as the test expects");
    let path = folder.path().join("other.db");
    let other = Connection::open(&path).expect("as the test expects");
    other.execute_batch("CREATE TABLE mine (x)").expect("as the test expects");
    drop(other);

    let message = SqliteStores::open(&path, SqliteSettings::default())
        .err()
        .expect("as the test expects")
        .to_string();
    assert!(message.contains("another program") && message.contains("other.db"), "{message}");
}

#[test]
fn processes_that_make_the_same_file_at_the_same_time_all_open_it() {
    for _ in 0..20 {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("a.db");
        std::thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| {
                    let opened = SqliteStores::open(&path, SqliteSettings::default());
                    assert!(opened.is_ok(), "{:?}", opened.err());
                });
            }
        });
    }
}
