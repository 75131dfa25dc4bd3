//! Metadata and deletes, lines of JSON, an Antiphon journal, and the commands for operators.

use std::fs;
use std::sync::Arc;

use antiphon_base::time::Timestamp;
use antiphon_eventstore as es;
use antiphon_persistence::event::{EventMeta, Labels, Payload, SequenceNr, StoredEvent};
use antiphon_persistence::identity::{PersistenceId, ReplicaId};
use antiphon_persistence::store::{Append, Stores, WriterId};
use antiphon_persistence::version::VersionVector;
use antiphon_sqlite::{SqliteSettings, SqliteStores};
use bytes::Bytes;
use serde_json::json;

use crate::support::{Pair, Setup, append, count, event, pair, read, server, wait_for};

#[tokio::test(flavor = "multi_thread")]
async fn metadata_is_copied_and_what_was_deleted_is_deleted() {
    let Pair { source: _source, destination: _destination, from, to, mut setup } = pair().await;
    for stream in ["kept-1", "soft-1", "hard-1"] {
        append(&from, stream, vec![event("a"), event("b")]).await;
    }
    let metadata = es::StreamMetadata::default().with_max_count(7).with("owner", json!("me"));
    let none = es::ExpectedRevision::NoStream;
    from.set_stream_metadata("kept-1", none, &metadata.properties).await.unwrap();
    from.delete_stream("soft-1", es::ExpectedRevision::Any).await.unwrap();
    from.tombstone_stream("hard-1", es::ExpectedRevision::Any).await.unwrap();
    append(&from, "end-1", vec![event("end")]).await;
    setup.catch_up("all", "").set("Settings__CopyStreamMetadata", "true");
    setup.set("Settings__CopyDeletes", "true").set("Settings__TimeToLive", "1.00:00:00");

    let mut replicator = setup.start();
    wait_for("the last stream", async || count(&to, "end-1").await == 1).await;

    let copied = to.stream_metadata("kept-1").await.unwrap();
    assert_eq!(copied.max_count(), Some(7));
    assert_eq!(copied.properties.get("owner"), Some(&json!("me")));
    assert_eq!(
        copied.max_age().map(|age| age.as_secs()),
        Some(86_400),
        "the time to live is merged"
    );
    assert_eq!((count(&to, "kept-1").await, count(&to, "soft-1").await), (2, 0));
    let refused = to.append("hard-1", es::ExpectedRevision::Any, vec![event("late")]).await;
    assert_eq!(refused.unwrap_err().kind(), es::ErrorKind::StreamDeleted);
    // a stream that is written again after its deletion continues with its numbers
    append(&from, "soft-1", vec![event("again")]).await;
    wait_for("the stream written again", async || count(&to, "soft-1").await == 1).await;
    assert_eq!(read(&to, "soft-1").await[0].revision, 2);
    replicator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_of_json_have_every_event_once() {
    let source = server().await;
    source.seed_customers(10).unwrap();
    let mut setup = Setup::new(&source.connection_string(), "");
    setup.variables.remove("Ditto_Settings__DestinationEventStoreConnectionString");
    setup.catch_up("category", "customer").set("Settings__RunOnce", "true");
    setup.set("Settings__Sink", "ndjson").set("Settings__NdjsonPath", "events.ndjson");
    for _ in 0..2 {
        setup.start().succeeds().await;
        fs::remove_dir_all(setup.folder.path().join("checkpoints")).unwrap();
    }
    let text = fs::read_to_string(setup.folder.path().join("events.ndjson")).unwrap();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 10);
    assert_eq!(lines[0]["stream_id"], "customer-1");
    assert_eq!(lines[0]["event_type"], "CustomerCreated");
    assert_eq!(lines[0]["data"]["id"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_moves_to_another_one_while_it_is_written() {
    let mut setup = Setup::new("", "");
    setup.variables.retain(|name, _| !name.ends_with("ConnectionString"));
    let path = |name: &str| setup.folder.path().join(name).display().to_string();
    let (old, new) = (path("old.sqlite"), path("new.sqlite"));
    let source = SqliteStores::open(&old, SqliteSettings::default()).unwrap();
    let writer = Writer::open(source.stores()).await;
    for number in 1..=30 {
        writer.append(number).await;
    }
    setup.set("Settings__Subscriptions__0__Kind", "journal");
    setup.set("Settings__Subscriptions__0__JournalPath", &old);
    setup.set("Settings__Subscriptions__0__JournalEntityType", "cart");
    setup.set("Settings__Sink", "journal").set("Settings__JournalPath", &new);

    let mut replicator = setup.start();
    for number in 31..=60 {
        writer.append(number).await;
    }
    let moved = async || {
        let reader = SqliteStores::open(&new, SqliteSettings::reader()).ok();
        let Some(reader) = reader else { return false };
        reader.stores().journal.highest(&id(2)).await.ok() == Some(SequenceNr::new(20))
    };
    wait_for("twenty events of the third cart", moved).await;
    replicator.stop().await;

    let target = SqliteStores::open(&new, SqliteSettings::reader()).unwrap().stores();
    assert_same(&writer.stores, &target, 60).await;
}

/// Asserts that two journals have the same first `count` events of the application.
pub(crate) async fn assert_same(wanted: &Stores, there: &Stores, count: u64) {
    let (first, last) = (SequenceNr::new(1), SequenceNr::MAX);
    for cart in 0..3 {
        let wanted = wanted.journal.replay(&id(cart), first, last, 10_000).await.unwrap();
        let there = there.journal.replay(&id(cart), first, last, 10_000).await.unwrap();
        assert_eq!(wanted.len(), usize::try_from(count / 3).unwrap());
        assert_eq!(wanted, there, "to the bit, versions and payloads too");
    }
}

pub(crate) fn id(entity: u64) -> PersistenceId {
    PersistenceId::parse(format!("cart|c-{entity}")).unwrap()
}

/// A writer of a journal of carts.
pub(crate) struct Writer {
    pub(crate) stores: Stores,
    writer: WriterId,
}

impl Writer {
    pub(crate) async fn open(stores: Stores) -> Self {
        let writer = WriterId::new("application").unwrap();
        stores.journal.open_writer(&writer).await.unwrap();
        Self { stores, writer }
    }

    /// Appends event `number` of the application, from one; three carts take turns.
    pub(crate) async fn append(&self, number: u64) {
        self.append_as(number, u8::try_from(number % 251).unwrap()).await;
    }

    /// Appends event `number` with `byte` in its payload.
    pub(crate) async fn append_as(&self, number: u64, byte: u8) {
        let (persistence_id, sequence) = (id((number - 1) % 3), (number - 1) / 3 + 1);
        let origin = ReplicaId::empty();
        let mut version = VersionVector::new();
        version.set(&origin, sequence);
        let event = StoredEvent {
            sequence_nr: SequenceNr::new(sequence),
            meta: EventMeta {
                origin,
                version,
                source_seq: SequenceNr::new(sequence),
                concurrent: false,
                timestamp: Timestamp::from_micros(number),
                labels: Labels::none(),
            },
            payload: Payload {
                codec: 1,
                manifest: Arc::from("added"),
                version: 1,
                bytes: Bytes::from(vec![byte; 10]),
            },
        };
        let expected = SequenceNr::new(sequence - 1);
        let append = Append { persistence_id, expected, events: vec![event] };
        self.stores.journal.append(&self.writer, append).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_asks_how_it_is_and_seeds_more() {
    let Pair { source, destination: _destination, to, mut setup, .. } = pair().await;
    setup.group("$ce-customer", "it").set("Settings__ReadOnly", "false");
    let mut replicator = setup.start();
    let connection = source.connection_string();
    let arguments = ["seed", "--connection", &connection, "--customers", "5", "--events", "4"];
    let (code, text) = setup.execute(&arguments).await;
    assert_eq!((code, text.trim()), (Some(0), "20 events in 5 streams `customer-..`"));
    wait_for("the customers", async || count(&to, "customer-5").await == 4).await;

    let address = replicator.http().await;
    let (code, text) = setup.execute(&["status", "--address", &address]).await;
    assert_eq!(code, Some(0), "{text}");
    let status: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(status["ready"], true);
    assert_eq!(status["subscriptions"][0]["processed"], 20);
    replicator.stop().await;

    let (code, text) = setup.execute(&["status", "--address", &address]).await;
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains("is the replicator running, with `Metrics:Enabled` and this port?"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn read_only_acknowledges_and_writes_nothing() {
    let Pair { source, destination, from, mut setup, .. } = pair().await;
    source.seed_customers(10).unwrap();
    setup.group("$ce-customer", "it").set("Settings__ReadOnly", "true");
    let mut replicator = setup.start();
    wait_for("all acknowledged", async || {
        let (_, metrics) = replicator.get("/metrics").await;
        metrics.contains(
            "ditto_events_processed_total{app=\"ditto\",group=\"it\",stream=\"$ce-customer\"} 10",
        )
    })
    .await;
    replicator.stop().await;
    assert_eq!(destination.log_length(), 0);
    let info = from.group_info("$ce-customer", "it").await.unwrap();
    assert_eq!((info.in_flight, info.parked, info.retrying), (0, 0, 0));
}
