//! A loop on stores in memory, under paused time.

use std::time::Duration;

use antiphon_base::time::{SystemClock, Timestamp};
use antiphon_persistence::event::{EventMeta, Labels, Payload, StoredEvent};
use antiphon_persistence::memory::MemoryStores;
use antiphon_persistence::store::{Append, Stores, WriterId};
use antiphon_runtime::transport::memory::MemoryNetwork;
use antiphon_runtime::{Metrics, Node, NodeId, NodeParts, NodeSettings};

use super::*;
use crate::ShardId;

const RETELL: Duration = Duration::from_secs(10);
const READS: &str = "antiphon_reads";

async fn node() -> Node {
    let id = NodeId::new("a", 1).unwrap();
    let parts = NodeParts {
        clock: Arc::new(SystemClock),
        stores: MemoryStores::new().stores(),
        transport: MemoryNetwork::new(1).transport(&id),
        address: id.to_string(),
        http_address: None,
        peers: Vec::new(),
        incarnation: 1,
        metrics: Arc::new(Metrics::new()),
    };
    let settings = NodeSettings { name: "a".into(), place: "A".into(), ..NodeSettings::default() };
    Node::start(settings, parts).await.unwrap()
}

fn event_of(entity: usize) -> Append {
    let origin = ReplicaId::new("B").unwrap();
    let number = SequenceNr::new(1);
    let meta = EventMeta {
        version: [(origin.clone(), 1)].into_iter().collect(),
        origin,
        source_seq: number,
        concurrent: false,
        timestamp: Timestamp::default(),
        labels: Labels::none(),
    };
    let payload = Payload { codec: 1, manifest: "".into(), version: 1, bytes: "x".into() };
    Append {
        persistence_id: PersistenceId::parse(format!("t|e-{entity}|B")).unwrap(),
        expected: SequenceNr::ZERO,
        events: vec![StoredEvent { sequence_nr: number, meta, payload }],
    }
}

/// The stores of a place whose journal has an event of each of so many entities.
async fn place_of(entities: usize) -> Stores {
    let other = MemoryStores::new().stores();
    let writer = WriterId::new("b@1").unwrap();
    other.journal.open_writer(&writer).await.unwrap();
    for entity in 0..entities {
        other.journal.append(&writer, event_of(entity)).await.unwrap();
    }
    other
}

fn records(own: &Stores) -> HeldRecords {
    let shard = ShardId { replica: ReplicaId::new("A").unwrap(), number: 0 };
    HeldRecords::new(own.coordination.clone(), "t", &shard, &ReplicaId::new("B").unwrap())
}

/// A loop of replica `A` in the feed of `B`, which has an event of each of so many entities.
async fn start(node: &Node, entities: usize, tell: Tell) -> RunningLoop {
    let own = MemoryStores::new().stores();
    start_between(node, &own, &place_of(entities).await, tell)
}

fn start_between(node: &Node, own: &Stores, other: &Stores, tell: Tell) -> RunningLoop {
    RunningLoop::start(LoopParts {
        entity_type: "t".into(),
        other: ReplicaId::new("B").unwrap(),
        slices: SliceRange::part(0, 1),
        reader: "t/0".into(),
        feed: other.read_journal.clone(),
        offsets: own.offsets.clone(),
        held: records(own),
        clock: Arc::new(SystemClock),
        settings: LoopSettings {
            loop_interval: RETELL / 10,
            loop_interval_max: RETELL / 10,
            loop_retell: RETELL,
            loop_tells_max: 2,
            held_retell: 6 * RETELL,
            held_entities_max: 100,
            loop_changes_max: 100,
            loop_wake_interval: RETELL / 100,
            first_wait: Duration::ZERO,
        },
        tell,
        reads: node.metrics().counters(READS, "of a test", &["type", "peer", "outcome"]),
        witness: Arc::new(FeedWitness::new(node.clone(), "B".into())),
    })
}

/// Only the last of several records that were written together was noted: each of these entities
/// held up the page for a `loop_retell` of its own.
#[tokio::test(start_paused = true)]
async fn entities_that_do_not_answer_are_passed_over_together() {
    const SILENT: usize = 20;
    let node = node().await;
    let told = Arc::new(Mutex::new(0));
    let tells = told.clone();
    let running = start(&node, SILENT, Box::new(move |_, _, _| *tells.lock() += 1)).await;
    let began = SystemClock.now();
    let behind = || running.progress(SystemClock.now()).entities_behind;
    while *told.lock() < SILENT || behind() > 0 {
        tokio::time::sleep(RETELL / 100).await;
        assert!(SystemClock.now() - began < 4 * RETELL, "{} hold up the page", behind());
    }
    node.crash();
}

/// A store in which another home of the shard, which still runs, moves the position behind an
/// entity that holds back, while the position is read.
struct OtherHome {
    held: HeldRecords,
    end: Offset,
}

#[async_trait::async_trait]
impl OffsetStore for OtherHome {
    async fn load_offset(&self, _: &OffsetKey) -> Result<Offset> {
        self.held.record(&event_of(0).persistence_id, SequenceNr::new(1)).await?;
        Ok(self.end.clone())
    }

    async fn save_offset(&self, _: &OffsetKey, _: &Offset) -> Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn an_entity_behind_which_another_home_moves_the_position_is_told() {
    let (node, other) = (node().await, place_of(1).await);
    let mut own = MemoryStores::new().stores();
    let query = ChangesQuery {
        entity_type: "t".into(),
        replica: ReplicaId::new("B").unwrap(),
        slices: SliceRange::part(0, 1),
        after: Offset::start(),
        change_count_max: 10,
    };
    let end = other.read_journal.changes(&query).await.unwrap().through;
    own.offsets = Arc::new(OtherHome { held: records(&own), end });
    let (tells, mut told) = mpsc::channel(1);
    let tell = move |_: &ReplicaId, change: Change, read_to: SequenceNr| {
        let _ = tells.try_send((change.highest, read_to));
    };
    let _running = start_between(&node, &own, &other, Box::new(tell));
    let told = tokio::time::timeout(RETELL, told.recv()).await;
    assert_eq!(told, Ok(Some((SequenceNr::new(1), SequenceNr::new(1)))));
    node.crash();
}

/// The task ended without a word, and its shard got no more news.
#[tokio::test(start_paused = true)]
async fn a_loop_that_panics_is_counted_and_starts_anew() {
    let node = node().await;
    let told = Arc::new(Mutex::new(0));
    let tells = told.clone();
    let tell = move |_: &ReplicaId, _: Change, _: SequenceNr| {
        let mut told = tells.lock();
        *told += 1;
        assert!(*told > 1, "the test wants it");
    };
    let _running = start(&node, 1, Box::new(tell)).await;
    let began = SystemClock.now();
    while *told.lock() < 2 {
        tokio::time::sleep(RETELL / 100).await;
        assert!(SystemClock.now() - began < RETELL, "the loop did not start anew");
    }
    let reads = node.metrics().counters(READS, "of a test", &["type", "peer", "outcome"]);
    assert_eq!(reads.with_label_values(&["t", "B", "broken"]).get(), 1);
    node.crash();
}
