//! A counter's journal moves while it is written, from SQLite to the Cassandra store over a model
//! of the server, and continues there.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use antiphon_base::time::Timestamp;
use antiphon_cassandra::model::ModelTables;
use antiphon_cassandra::{CassandraSettings, CassandraStores};
use antiphon_move_to_cassandra::{Move, compare, follow};
use antiphon_persistence::event::{EventMeta, Labels, Payload, SequenceNr, StoredEvent};
use antiphon_persistence::identity::{PersistenceId, ReplicaId};
use antiphon_persistence::store::{Append, Stores, WriterId};
use antiphon_persistence::version::VersionVector;
use antiphon_sqlite::{SqliteSettings, SqliteStores};
use bytes::Bytes;

const ENTITIES: u64 = 7;

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_moves_while_it_is_written_and_goes_on_at_its_new_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.sqlite");
    let from = SqliteStores::open(&path, SqliteSettings::default()).unwrap().stores();
    let tables = Arc::new(ModelTables::new());
    let to = CassandraStores::on(tables, CassandraSettings::default(), 1000).stores();
    let system = System::start(&from, "old").await;
    for number in 0..70 {
        system.append(number).await;
    }
    let what = |once: bool| Move {
        entity_type: "counter".to_owned(),
        replica: String::new(),
        folder: folder.path().join("move"),
        once,
    };

    // the move follows while the system runs, and is stopped in the middle
    let following = follow(&from, &to, &what(false)).await.unwrap();
    for number in 70..140 {
        system.append(number).await;
    }
    following.stop(std::time::Duration::from_secs(30)).await.unwrap();
    for number in 140..210 {
        system.append(number).await;
    }
    // the system has stopped: the other events are copied, and both journals are the same
    let mut rest = follow(&from, &to, &what(true)).await.unwrap();
    rest.ended().await.unwrap();
    assert_eq!(compare(&from, &to, "counter").await.unwrap(), 210);

    let moved = System::start(&to, "new").await;
    for number in 210..217 {
        moved.append(number).await;
    }
    let highest = to.journal.highest(&id(0)).await.unwrap();
    assert_eq!(highest, SequenceNr::new(31));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_difference_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.sqlite");
    let from = SqliteStores::open(&path, SqliteSettings::default()).unwrap().stores();
    let tables = Arc::new(ModelTables::new());
    let to = CassandraStores::on(tables, CassandraSettings::default(), 1000).stores();
    System::start(&from, "old").await.append(0).await;

    let error = compare(&from, &to, "counter").await.unwrap_err().to_string();
    assert_eq!(error, "`counter|c-0` differs from #1 on: 1 events here, 0 there");
}

fn id(entity: u64) -> PersistenceId {
    PersistenceId::parse(format!("counter|c-{entity}")).unwrap()
}

/// The system that writes the journal.
struct System {
    stores: Stores,
    writer: WriterId,
}

impl System {
    async fn start(stores: &Stores, writer: &str) -> Self {
        let writer = WriterId::new(writer).unwrap();
        stores.journal.open_writer(&writer).await.unwrap();
        Self { stores: stores.clone(), writer }
    }

    async fn append(&self, number: u64) {
        let persistence_id = id(number % ENTITIES);
        let expected = self.stores.journal.highest(&persistence_id).await.unwrap();
        let origin = ReplicaId::empty();
        let mut version = VersionVector::new();
        version.set(&origin, expected.next().value());
        let event = StoredEvent {
            sequence_nr: expected.next(),
            meta: EventMeta {
                origin,
                version,
                source_seq: expected.next(),
                concurrent: false,
                timestamp: Timestamp::from_micros(number),
                labels: Labels::none(),
            },
            payload: Payload {
                codec: 1,
                manifest: "added".into(),
                version: 1,
                bytes: Bytes::from(number.to_be_bytes().to_vec()),
            },
        };
        let append = Append { persistence_id, expected, events: vec![event] };
        self.stores.journal.append(&self.writer, append).await.unwrap();
    }
}
