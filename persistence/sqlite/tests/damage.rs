//! Files that are newer, another program's, damaged or cannot be written: each has an error that names the file and what to do.

use std::path::Path;
use std::sync::Arc;

use antiphon_persistence::ErrorKind;
use antiphon_persistence::event::{EventMeta, Payload, SequenceNr, StoredEvent};
use antiphon_persistence::identity::{PersistenceId, ReplicaId};
use antiphon_persistence::store::{Append, Journal, WriterId};
use antiphon_persistence::time::Timestamp;
use antiphon_sqlite::{SqliteSettings, SqliteStores};
use bytes::Bytes;
use rusqlite::Connection;
use tempfile::TempDir;

fn id(name: &str) -> PersistenceId {
    PersistenceId::parse(format!("cart|{name}|A")).expect("as the test expects")
}

/// Two streams with one event each.
async fn write(path: &Path) {
    let stores = SqliteStores::open(path, SqliteSettings::default()).expect("as the test expects");
    let writer = WriterId::new("n@1").expect("as the test expects");
    stores.open_writer(&writer).await.expect("as the test expects");
    let origin = ReplicaId::new("A").expect("as the test expects");
    for name in ["good", "bad"] {
        let event = StoredEvent {
            sequence_nr: SequenceNr::new(1),
            meta: EventMeta {
                origin: origin.clone(),
                version: [(origin.clone(), 1)].into_iter().collect(),
                source_seq: SequenceNr::new(1),
                concurrent: false,
                timestamp: Timestamp::from_micros(1),
            },
            payload: Payload {
                codec: 1,
                manifest: Arc::from(""),
                version: 1,
                bytes: Bytes::from_static(b"event"),
            },
        };
        let (persistence_id, expected) = (id(name), SequenceNr::ZERO);
        let append = Append { persistence_id, expected, events: vec![event] };
        stores.append(&writer, append).await.expect("as the test expects");
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
    again.pragma_update(None, "user_version", 1).expect("as the test expects");
    drop(again);
    let stores = SqliteStores::open(&path, SqliteSettings::default()).expect("as the test expects");
    assert_eq!(stores.highest(&id("good")).await.expect("as the test expects"), SequenceNr::new(1));
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
