//! A loop on stores in memory, under paused time.

use antiphon_base::time::{SystemClock, Timestamp};
use antiphon_persistence::event::{EventMeta, Payload, StoredEvent};
use antiphon_persistence::memory::MemoryStores;
use antiphon_persistence::store::{Append, WriterId};
use antiphon_runtime::transport::memory::MemoryNetwork;
use antiphon_runtime::{Metrics, Node, NodeId, NodeParts, NodeSettings};

use super::*;
use crate::ShardId;

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

/// Only the last of several records that were written together was noted: each of these entities
/// held up the page for a `retell` of its own.
#[tokio::test(start_paused = true)]
async fn entities_that_do_not_answer_are_passed_over_together() {
    const SILENT: usize = 20;
    let node = node().await;
    let (own, other) = (MemoryStores::new().stores(), MemoryStores::new().stores());
    let writer = WriterId::new("b@1").unwrap();
    other.journal.open_writer(&writer).await.unwrap();
    for entity in 0..SILENT {
        other.journal.append(&writer, event_of(entity)).await.unwrap();
    }
    let told = Arc::new(Mutex::new(0));
    let tells = told.clone();
    let replica = ReplicaId::new("B").unwrap();
    let shard = ShardId { replica: ReplicaId::new("A").unwrap(), number: 0 };
    let retell = std::time::Duration::from_secs(10);
    let running = RunningLoop::start(LoopParts {
        entity_type: "t".into(),
        other: replica.clone(),
        slices: SliceRange::part(0, 1),
        reader: "t/0".into(),
        feed: other.read_journal.clone(),
        offsets: own.offsets.clone(),
        held: HeldRecords::new(own.coordination.clone(), "t", &shard, &replica),
        clock: Arc::new(SystemClock),
        settings: LoopSettings {
            loop_interval: retell / 10,
            loop_interval_max: retell / 10,
            loop_retell: retell,
            loop_tells_max: 2,
            held_retell: 6 * retell,
            held_entities_max: 100,
            loop_changes_max: 100,
            loop_wake_interval: retell / 100,
            first_wait: std::time::Duration::ZERO,
        },
        tell: Box::new(move |_, _| *tells.lock() += 1),
        reads: Metrics::new().counters("antiphon_reads", "of a test", &["type", "peer", "outcome"]),
        witness: Arc::new(FeedWitness::new(node.clone(), "B".into())),
    });
    let began = SystemClock.now();
    let behind = || running.progress(SystemClock.now()).entities_behind;
    while *told.lock() < SILENT || behind() > 0 {
        tokio::time::sleep(retell / 100).await;
        assert!(SystemClock.now() - began < 4 * retell, "{} hold up the page", behind());
    }
    node.crash();
}
