//! A journal in the form of this version, which later versions must read. The fixture
//! `fixtures/journal-2.sql` is the text of a database. Never change it: a new schema version gets a
//! fixture of its own.

use std::path::{Path, PathBuf};

use antiphon_base::ErrorKind;
use antiphon_base::time::Timestamp;
use antiphon_persistence::event::{EventMeta, Labels, Payload, SequenceNr, StoredEvent};
use antiphon_persistence::identity::{PersistenceId, ReplicaId};
use antiphon_persistence::store::{
    Append, Coordination, FencingToken, Journal, Offset, OffsetKey, OffsetStore, ReminderRow,
    ReminderStore, Snapshot, SnapshotStore, WriterId,
};
use antiphon_sqlite::{SqliteSettings, SqliteStores};
use bytes::Bytes;
use rusqlite::Connection;
use tempfile::TempDir;

const SQL: &str = include_str!("fixtures/journal-2.sql");

fn id() -> PersistenceId {
    PersistenceId::parse("cart|c-1|DC-A").expect("a name")
}

fn event(number: u64) -> StoredEvent {
    let a = ReplicaId::new("DC-A").expect("a name");
    StoredEvent {
        sequence_nr: SequenceNr::new(number),
        meta: EventMeta {
            origin: a.clone(),
            version: [(a, number)].into_iter().collect(),
            source_seq: SequenceNr::new(number),
            concurrent: number == 2,
            timestamp: Timestamp::from_micros(1_700_000_000_000_000 + number),
            labels: Labels::none(),
        },
        payload: Payload {
            codec: 1,
            manifest: "added".into(),
            version: 2,
            bytes: Bytes::from(format!("event {number}")),
        },
    }
}

fn snapshot() -> Snapshot {
    let StoredEvent { sequence_nr, meta, payload } = event(3);
    Snapshot {
        sequence_nr,
        version: meta.version,
        positions: [(ReplicaId::new("DC-B").expect("a name"), SequenceNr::new(301))].into(),
        timestamp: meta.timestamp,
        state: payload,
        reminders: Vec::new(),
        metadata: Default::default(),
        requests: Vec::new(),
    }
}

fn offset_key() -> OffsetKey {
    OffsetKey { reader: "loop".into(), part: "0..16".into() }
}

/// Writes the content of the fixture, with this version.
async fn write(path: &Path) {
    let stores = SqliteStores::open(path, SqliteSettings::default()).expect("a new file");
    let writer = WriterId::new("node-1@1").expect("a name");
    stores.open_writer(&writer).await.expect("a new writer");
    for (expected, events) in [(0, vec![event(1)]), (1, vec![event(2), event(3)])] {
        let expected = SequenceNr::new(expected);
        let append = Append { persistence_id: id(), expected, events };
        stores.append(&writer, append).await.expect("append");
    }
    stores.save_snapshot(&id(), &snapshot()).await.expect("save");
    stores.save_offset(&offset_key(), &Offset::new("17")).await.expect("save");
    let row = Some(Bytes::from_static(b"a row"));
    stores.compare_and_set("members", "node-1", None, row.clone()).await.expect("cas");
    let rows = [("7".into(), row)];
    stores.put_fenced("shards/cart", FencingToken(5), &rows).await.expect("put");
}

fn restored(folder: &TempDir) -> PathBuf {
    let path = folder.path().join("journal.db");
    let connection = Connection::open(&path).expect("a new file");
    connection.execute_batch(SQL).expect("the text of a database");
    path
}

#[tokio::test]
async fn a_journal_of_schema_version_2_is_read_to_the_bit() {
    let folder = TempDir::new().expect("a folder");
    let path = restored(&folder);
    let stores = SqliteStores::open(&path, SqliteSettings::default()).expect("the file opens");

    let report = stores.verify().await.expect("a report");
    assert!(report.is_sound(), "{report:?}");
    let events = stores.replay(&id(), SequenceNr::new(1), SequenceNr::MAX, 10).await;
    assert_eq!(events.expect("replay"), [event(1), event(2), event(3)]);
    let latest = stores.latest_snapshot(&id(), SequenceNr::MAX).await.expect("load");
    assert_eq!(latest, Some(snapshot()));
    assert_eq!(stores.load_offset(&offset_key()).await.expect("load").as_str(), "17");
    let members = stores.scan("members").await.expect("scan");
    assert_eq!((&*members.rows[0].key, &members.rows[0].value[..]), ("node-1", &b"a row"[..]));
    let homes = stores.scan("shards/cart").await.expect("scan");
    assert_eq!((homes.token, &*homes.rows[0].key), (FencingToken(5), "7"));
}

/// The fixture was made before there were reminders.
#[tokio::test]
async fn a_journal_of_an_earlier_build_gets_its_later_table_from_an_owner_only() {
    let folder = TempDir::new().expect("a folder");
    let path = restored(&folder);
    let tables = || {
        let connection = Connection::open(&path).expect("the file opens");
        let sql = "SELECT count(*) FROM sqlite_schema WHERE name = 'reminders'";
        connection.query_row(sql, [], |row| row.get::<_, i64>(0)).expect("a count")
    };
    let reader = SqliteStores::open(&path, SqliteSettings::reader()).expect("the file opens");
    let report = reader.verify().await.expect("a report");
    assert!(report.is_sound(), "{report:?}");
    assert_eq!(tables(), 0, "a reader changes nothing");

    let owner = SqliteStores::open(&path, SqliteSettings::default()).expect("the file opens");
    let row = ReminderRow {
        due: Timestamp::from_micros(7),
        persistence_id: id(),
        name: "expire".into(),
        set_by: SequenceNr::new(1),
    };
    owner.put(std::slice::from_ref(&row)).await.expect("put");
    assert_eq!(tables(), 1);
    drop(owner);
    let again = SqliteStores::open(&path, SqliteSettings::default()).expect("the file opens");
    for stores in [&again, &reader] {
        assert!(stores.contains(&row).await.expect("contains"));
        let due = stores.due("cart", Timestamp::from_micros(7), None, 9).await.expect("due");
        assert_eq!(due, std::slice::from_ref(&row));
    }
    assert_eq!(reader.put(&[row]).await.expect_err("refused").kind(), ErrorKind::Rejected);
}

#[tokio::test]
async fn this_version_writes_the_same_rows_as_the_fixture() {
    let folder = TempDir::new().expect("a folder");
    let (old, new) = (restored(&folder), folder.path().join("new.db"));
    write(&new).await;
    let rows = |path: &Path, table: &str| {
        let connection = Connection::open(path).expect("the file opens");
        let mut statement =
            connection.prepare(&format!("SELECT * FROM {table} ORDER BY 1, 2")).expect("a table");
        let count = statement.column_count();
        let rows = statement.query_map([], |row| {
            (0..count).map(|column| row.get::<_, rusqlite::types::Value>(column)).collect()
        });
        rows.expect("rows").collect::<rusqlite::Result<Vec<Vec<_>>>>().expect("rows")
    };
    for table in
        ["streams", "heads", "batches", "snapshots", "offsets", "cells", "tokens", "writers"]
    {
        assert_eq!(rows(&new, table), rows(&old, table), "{table}");
    }
}
