//! The life of a log: old parts are removed, readers that come too late notice it, lost data is
//! noticed, and a replay looks at the lanes only where it ends. On the model.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use antiphon_base::ErrorKind;
use antiphon_base::time::Timestamp;
use antiphon_cassandra::model::ModelTables;
use antiphon_cassandra::tables::{EventRow, StreamTables};
use antiphon_cassandra::{CassandraSettings, CassandraStores};
use antiphon_persistence::event::{EventMeta, Labels, Payload, SequenceNr, StoredEvent};
use antiphon_persistence::identity::{PersistenceId, ReplicaId, SliceRange};
use antiphon_persistence::record::batch;
use antiphon_persistence::record::checksum::{Checksum, seal};
use antiphon_persistence::store::{
    Append, ChangesQuery, FeedRelay, Journal, Offset, ReadJournal, WriterId,
};
use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::sleep;

fn event(nr: u64) -> StoredEvent {
    let origin = ReplicaId::new(format!("e{nr:06}")).expect("a name");
    StoredEvent {
        sequence_nr: SequenceNr::new(nr),
        meta: EventMeta {
            version: [(origin.clone(), 1)].into_iter().collect(),
            origin,
            source_seq: SequenceNr::new(nr),
            concurrent: false,
            timestamp: Timestamp::from_micros(nr),
            labels: Labels::none(),
        },
        payload: Payload { codec: 1, manifest: "".into(), version: 1, bytes: Bytes::new() },
    }
}

fn stream(index: u64) -> PersistenceId {
    PersistenceId::parse(format!("cart|c-{index}|A")).expect("an id")
}

fn open(model: &ModelTables, log_retention: Duration) -> CassandraStores {
    let settings = CassandraSettings {
        part_rounds_max: 3,
        copy_delay: Duration::from_millis(100),
        feed_cache_bytes_max: 0,
        feed_poll_interval: Duration::ZERO,
        log_retention,
        ..CassandraSettings::default()
    };
    CassandraStores::on(Arc::new(model.clone()), settings, 1000)
}

async fn write(stores: &CassandraStores, writer: &WriterId, from: u64, to: u64) {
    for nr in from..=to {
        for index in 0..5 {
            let append = Append {
                persistence_id: stream(index),
                expected: SequenceNr::new(nr - 1),
                events: vec![event(nr)],
            };
            stores.append(writer, append).await.expect("an append");
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// A reader of the feed, with the events that it has seen.
struct Reader {
    query: ChangesQuery,
    seen: BTreeMap<PersistenceId, BTreeSet<u64>>,
}

impl Reader {
    fn new() -> Self {
        let query = ChangesQuery {
            entity_type: "cart".into(),
            replica: ReplicaId::new("A").expect("a name"),
            slices: SliceRange::ALL,
            after: Offset::start(),
            change_count_max: 2,
        };
        Self { query, seen: BTreeMap::new() }
    }

    async fn drain(&mut self, stores: &CassandraStores) {
        loop {
            let page = stores.changes(&self.query).await.expect("a page");
            let nothing = page.changes.is_empty() && !page.more;
            for change in page.changes {
                let numbers = change
                    .seen
                    .iter()
                    .map(|(origin, _)| origin.as_str()[1..].parse::<u64>().expect("a number"));
                self.seen.entry(change.persistence_id).or_default().extend(numbers);
            }
            self.query.after = page.through;
            if nothing {
                return;
            }
        }
    }

    fn assert_all(&self, last: u64) {
        for index in 0..5 {
            let expected: BTreeSet<u64> = (1..=last).collect();
            assert_eq!(self.seen.get(&stream(index)), Some(&expected), "stream {index}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_whose_parts_are_gone_reads_the_streams_and_misses_nothing() {
    let model = ModelTables::new();
    let stores = open(&model, Duration::from_secs(2));
    let writer = WriterId::new("w@1").expect("a name");
    stores.open_writer(&writer).await.expect("a new writer");
    let mut late = Reader::new();
    write(&stores, &writer, 1, 4).await;
    late.drain(&stores).await;
    write(&stores, &writer, 5, 60).await;
    sleep(Duration::from_secs(20)).await;
    assert!(stores.stats().parts_dropped > 0, "old parts are removed");

    let other = open(&model, Duration::from_secs(2));
    let mut new = Reader::new();
    for reader in [&mut late, &mut new] {
        reader.drain(&other).await;
        reader.assert_all(60);
    }
    assert!(other.stats().feed_restarts >= 2, "both are told");

    // from here on both readers follow the lanes again
    let restarts = other.stats().feed_restarts;
    write(&stores, &writer, 61, 64).await;
    for reader in [&mut late, &mut new] {
        reader.drain(&other).await;
        reader.assert_all(64);
    }
    assert_eq!(other.stats().feed_restarts, restarts);
}

#[tokio::test(start_paused = true)]
async fn the_log_of_a_writer_that_has_ended_is_removed_by_another() {
    let model = ModelTables::new();
    let old = open(&model, Duration::ZERO);
    let ended = WriterId::new("w@1").expect("a name");
    old.open_writer(&ended).await.expect("a new writer");
    write(&old, &ended, 1, 20).await;
    let stores = open(&model, Duration::ZERO);
    stores.seal(&ended).await.expect("a seal");
    drop(old);
    let writer = WriterId::new("w@2").expect("a name");
    stores.open_writer(&writer).await.expect("a new writer");
    sleep(Duration::from_secs(5)).await;
    assert!(stores.stats().parts_dropped > 0, "{:?}", stores.stats());

    write(&stores, &writer, 21, 25).await;
    let mut reader = Reader::new();
    reader.drain(&open(&model, Duration::ZERO)).await;
    reader.assert_all(25);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_has_not_looked_while_parts_were_removed_goes_on_after_them() {
    let model = ModelTables::new();
    let stores = open(&model, Duration::ZERO);
    let writer = WriterId::new("w@1").expect("a name");
    stores.open_writer(&writer).await.expect("a new writer");
    write(&stores, &writer, 1, 4).await;
    let idle = open(&model, Duration::ZERO);
    let mut reader = Reader::new();
    reader.drain(&idle).await;

    write(&stores, &writer, 5, 60).await;
    sleep(Duration::from_secs(20)).await;
    assert!(stores.stats().parts_dropped > 0, "{:?}", stores.stats());
    assert_eq!(numbers(&idle, 1, 100).await, (1..=60).collect::<Vec<_>>());
    reader.drain(&idle).await;
    reader.assert_all(60);
    write(&stores, &writer, 61, 64).await;
    assert_eq!(numbers(&idle, 1, 100).await, (1..=64).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_store_that_lost_data_stops_the_writer_and_is_never_adopted() {
    let model = ModelTables::new();
    let stores = open(&model, Duration::from_secs(3600));
    let writer = WriterId::new("w@1").expect("a name");
    stores.open_writer(&writer).await.expect("a new writer");
    write(&stores, &writer, 1, 1).await;
    model.lose_newest_rounds();
    let mut kinds = BTreeSet::new();
    for index in 0..5 {
        let append = Append {
            persistence_id: stream(index),
            expected: SequenceNr::new(1),
            events: vec![event(2)],
        };
        let error = stores.append(&writer, append).await.expect_err("the store lost data");
        assert!(error.to_string().contains("lost data"), "{error}");
        kinds.insert(error.kind() == ErrorKind::Corrupt);
    }
    assert_eq!(kinds, BTreeSet::from([true]));
    assert!(stores.stats().lost_data > 0);
}

/// Asks another session of the place, as a node does over a link; `None` while the link is cut.
struct Link {
    reader: CassandraStores,
    cut: Arc<AtomicBool>,
}

#[async_trait]
impl FeedRelay for Link {
    async fn ask(&self, question: Bytes) -> Option<Bytes> {
        if self.cut.load(Ordering::Relaxed) {
            return None;
        }
        Some(self.reader.lane_news(&question).await.expect("news"))
    }
}

#[tokio::test(start_paused = true)]
async fn the_lanes_of_a_place_are_read_by_one_node_and_by_another_when_that_does_not_answer() {
    let model = ModelTables::new();
    let stores = open(&model, Duration::from_secs(3600));
    let ended = WriterId::new("w@1").expect("a name");
    stores.open_writer(&ended).await.expect("a new writer");
    write(&stores, &ended, 1, 20).await;

    let session = || {
        let settings = CassandraSettings {
            feed_poll_interval: Duration::ZERO,
            ..CassandraSettings::default()
        };
        CassandraStores::on(Arc::new(model.clone()), settings, 1000)
    };
    let (one, other) = (session(), session());
    let cut = Arc::new(AtomicBool::new(false));
    other.relay_through(Arc::new(Link { reader: one.clone(), cut: cut.clone() }));
    let mut reader = Reader::new();
    reader.drain(&other).await;
    reader.assert_all(20);
    let replayed = other.replay(&stream(0), SequenceNr::new(1), SequenceNr::MAX, 100).await;
    assert_eq!(replayed.expect("events").len(), 20, "with what is not copied yet");
    assert_eq!(other.stats().refreshes, 0, "only the other one looked");
    assert!(other.stats().relayed > 0 && one.stats().refreshes > 0);

    // the writer ends, another writer goes on, and the reading node is gone for a while
    stores.seal(&ended).await.expect("a seal");
    let next = open(&model, Duration::from_secs(3600));
    let writer = WriterId::new("w@2").expect("a name");
    next.open_writer(&writer).await.expect("a new writer");
    write(&next, &writer, 21, 25).await;
    cut.store(true, Ordering::Relaxed);
    reader.drain(&other).await;
    reader.assert_all(25);
    let refreshes = other.stats().refreshes;
    assert!(refreshes > 0, "it looked itself");

    // the reading node is back, and has not seen the rounds written meanwhile: after one more look,
    // its answers are enough
    write(&next, &writer, 26, 40).await;
    cut.store(false, Ordering::Relaxed);
    reader.drain(&other).await;
    reader.assert_all(40);
    assert!(other.stats().refreshes <= refreshes + 1, "{:?}", other.stats());
    let (refreshes, relayed) = (other.stats().refreshes, other.stats().relayed);
    write(&next, &writer, 41, 50).await;
    reader.drain(&other).await;
    reader.assert_all(50);
    assert_eq!(other.stats().refreshes, refreshes);
    assert!(other.stats().relayed > relayed);
}

/// Writes 40 events to each stream, and waits until they are in its own partition.
async fn with_40_copied_events() -> (ModelTables, CassandraStores, WriterId) {
    let model = ModelTables::new();
    let stores = open(&model, Duration::from_secs(3600));
    let writer = WriterId::new("w@1").expect("a name");
    stores.open_writer(&writer).await.expect("a new writer");
    write(&stores, &writer, 1, 40).await;
    sleep(Duration::from_secs(5)).await;
    (model, stores, writer)
}

async fn numbers(stores: &CassandraStores, first: u64, count_max: usize) -> Vec<u64> {
    let page = stores.replay(&stream(0), SequenceNr::new(first), SequenceNr::MAX, count_max).await;
    page.expect("events").iter().map(|event| event.sequence_nr.value()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_replay_that_goes_on_looks_at_the_lanes_only_where_it_ends() {
    let (model, writing, writer) = with_40_copied_events().await;
    let reading = open(&model, Duration::from_secs(3600));
    let looks = || reading.stats().refreshes;
    assert_eq!(numbers(&reading, 1, 10).await, (1..=10).collect::<Vec<_>>());
    let begun = looks();
    assert_eq!(numbers(&reading, 11, 10).await, (11..=20).collect::<Vec<_>>());
    assert_eq!(numbers(&reading, 21, 10).await, (21..=30).collect::<Vec<_>>());
    assert_eq!(looks(), begun, "there was more");

    // written after the last look, and not copied yet
    let last = Append {
        persistence_id: stream(0),
        expected: SequenceNr::new(40),
        events: vec![event(41)],
    };
    writing.append(&writer, last).await.expect("an append");
    assert_eq!(numbers(&reading, 31, 100).await, (31..=41).collect::<Vec<_>>());
    assert_eq!(looks(), begun + 1, "here it ends");
}

#[tokio::test(start_paused = true)]
async fn the_next_page_of_a_replay_is_asked_for_before_its_reader_comes_and_forgotten_when_nobody_does()
 {
    let (model, _writing, _) = with_40_copied_events().await;
    let reading = open(&model, Duration::from_secs(3600));
    let read = || (reading.stats().pages_ahead, reading.stats().pages_ahead_unused);
    assert_eq!(numbers(&reading, 1, 10).await, (1..=10).collect::<Vec<_>>());
    assert_eq!(read(), (1, 0));
    assert_eq!(numbers(&reading, 11, 10).await, (11..=20).collect::<Vec<_>>());
    assert_eq!(read(), (2, 0));
    // another page than was read ahead
    assert_eq!(numbers(&reading, 21, 7).await, (21..=27).collect::<Vec<_>>());
    assert_eq!(read(), (3, 1));

    sleep(Duration::from_secs(3)).await;
    assert_eq!(read(), (3, 2), "nobody came");
    assert_eq!(numbers(&reading, 28, 100).await, (28..=40).collect::<Vec<_>>());
    assert_eq!(read(), (3, 2), "it ends there");
}

#[tokio::test(start_paused = true)]
async fn a_replay_that_goes_on_does_not_return_what_was_deleted_meanwhile() {
    let (_, stores, _) = with_40_copied_events().await;
    assert_eq!(numbers(&stores, 1, 10).await, (1..=10).collect::<Vec<_>>());
    // the next page has arrived, and is not read yet
    sleep(Duration::from_millis(100)).await;
    stores.delete_to(&stream(0), SequenceNr::new(15)).await.expect("a deletion");
    assert_eq!(numbers(&stores, 11, 10).await, (16..=25).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_replay_that_goes_on_finds_events_in_a_row_that_begins_before_its_page() {
    let model = ModelTables::new();
    // rows of two copiers that cut the events differently
    for (first, last) in [(1, 15), (5, 10), (16, 20)] {
        let events: Vec<_> = (first..=last).map(event).collect();
        let mut record = batch::encode(&events);
        let name: Arc<str> = stream(0).into();
        let mut key = Checksum::of("events");
        key.text(&name).number(0).number(first).number(last);
        seal(key, &mut record);
        let row = EventRow { stream: name, part: 0, first, last, record: record.into() };
        model.put_events(&row).await.expect("a row");
    }
    let stores = open(&model, Duration::from_secs(3600));
    assert_eq!(numbers(&stores, 1, 10).await, (1..=10).collect::<Vec<_>>());
    assert_eq!(numbers(&stores, 11, 10).await, (11..=20).collect::<Vec<_>>());
}
