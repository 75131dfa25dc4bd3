//! A loop on stores in memory, under paused time.

use std::time::Duration;

use antiphon_base::time::{SystemClock, Timestamp};
use antiphon_persistence::event::{EventMeta, Payload, StoredEvent};
use antiphon_persistence::memory::MemoryStores;
use antiphon_persistence::store::{Append, WriterId};
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
    };
    let payload = Payload { codec: 1, manifest: "".into(), version: 1, bytes: "x".into() };
    Append {
        persistence_id: PersistenceId::parse(format!("t|e-{entity}|B")).unwrap(),
        expected: SequenceNr::ZERO,
        events: vec![StoredEvent { sequence_nr: number, meta, payload }],
    }
}

/// A loop of replica `A` in the feed of `B`, which has an event of each of so many entities.
async fn start(node: &Node, entities: usize, tell: Tell) -> RunningLoop {
    let (own, other) = (MemoryStores::new().stores(), MemoryStores::new().stores());
    let writer = WriterId::new("b@1").unwrap();
    other.journal.open_writer(&writer).await.unwrap();
    for entity in 0..entities {
        other.journal.append(&writer, event_of(entity)).await.unwrap();
    }
    let replica = ReplicaId::new("B").unwrap();
    let shard = ShardId { replica: ReplicaId::new("A").unwrap(), number: 0 };
    RunningLoop::start(LoopParts {
        entity_type: "t".into(),
        other: replica.clone(),
        slices: SliceRange::part(0, 1),
        reader: "t/0".into(),
        feed: other.read_journal.clone(),
        offsets: own.offsets.clone(),
        held: HeldRecords::new(own.coordination.clone(), "t", &shard, &replica),
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
    let running = start(&node, SILENT, Box::new(move |_, _| *tells.lock() += 1)).await;
    let began = SystemClock.now();
    let behind = || running.progress(SystemClock.now()).entities_behind;
    while *told.lock() < SILENT || behind() > 0 {
        tokio::time::sleep(RETELL / 100).await;
        assert!(SystemClock.now() - began < 4 * RETELL, "{} hold up the page", behind());
    }
    node.crash();
}

/// The task ended without a word, and its shard got no more news.
#[tokio::test(start_paused = true)]
async fn a_loop_that_panics_is_counted_and_starts_anew() {
    let node = node().await;
    let told = Arc::new(Mutex::new(0));
    let tells = told.clone();
    let tell = move |_: &ReplicaId, _: Change| {
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
