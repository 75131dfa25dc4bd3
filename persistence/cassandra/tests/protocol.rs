//! The protocol of the log under faults, by seeds: statements are slow, fail, take effect although
//! they failed, or take effect much later, while writers are sealed and their streams move on.
//!
//! Runs on the model of a server, in virtual time; and on a real server, in real time, while
//! `make soak-cassandra` kills and freezes its nodes.
//!
//! - `PROTOCOL_SEEDS=n` and `PROTOCOL_SERVER_SEEDS=n` set the number of seeds.
//! - `PROTOCOL_AT_ONCE=n` sets how many seeds run on the server at a time.
//! - `PROTOCOL_SEED=n` runs a single seed on the model.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use antiphon_base::task::spawn;
use antiphon_base::time::Timestamp;
use antiphon_base::{Error, ErrorKind};
use antiphon_cassandra::cql::{CqlTables, ServerSettings};
use antiphon_cassandra::model::{Faults, FaultyTables, ModelTables};
use antiphon_cassandra::tables::Tables;
use antiphon_cassandra::{CassandraSettings, CassandraStores, Role};
use antiphon_persistence::event::{EventMeta, Labels, Payload, SequenceNr, StoredEvent};
use antiphon_persistence::identity::{PersistenceId, ReplicaId, SliceRange};
use antiphon_persistence::store::{
    Append, ChangesQuery, FeedRelay, Journal, Offset, ReadJournal, WriterId,
};
use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::task::JoinHandle;
use tokio::time::sleep;

const STREAMS: usize = 6;
const NODES: usize = 3;
const ROUNDS: usize = 6;

const FAULTS: Faults = Faults {
    refused: 20,
    unknown_applied: 40,
    unknown_late: 30,
    unknown_lost: 30,
    delay_max: Duration::from_millis(30),
    late_max: Duration::from_secs(4),
};

fn settings(role: Role) -> CassandraSettings {
    CassandraSettings {
        role,
        part_rounds_max: 4,
        copy_delay: Duration::from_millis(300),
        feed_cache_bytes_max: 2000,
        feed_poll_interval: Duration::from_millis(20),
        give_up_after: Duration::from_secs(2),
        retry_min: Duration::from_millis(10),
        retry_max: Duration::from_millis(200),
        ..CassandraSettings::default()
    }
}

fn stream(index: usize) -> PersistenceId {
    PersistenceId::parse(format!("cart|c-{index}|DC-A")).expect("an id")
}

/// An event with its number in its version, so that the merged versions of a page of the feed show
/// which events it covers.
fn event(nr: u64, writer: &WriterId) -> StoredEvent {
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
        payload: Payload {
            codec: 1,
            manifest: writer.as_str().into(),
            version: 1,
            bytes: Bytes::from(format!("{nr}")),
        },
    }
}

/// Repeats a call that may fail under faults.
async fn insist<T, F>(call: impl Fn() -> F) -> T
where
    F: Future<Output = Result<T, Error>>,
{
    loop {
        match call().await {
            Ok(value) => return value,
            Err(error) if matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout) => {
                sleep(Duration::from_millis(15)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// A node: a session with a writer that is replaced when it is sealed.
#[derive(Clone)]
struct Node {
    stores: CassandraStores,
    writer: WriterId,
}

/// The tables under test.
struct Backend {
    faulty: FaultyTables,
    /// The server; none for the model.
    server: Option<ServerSettings>,
}

impl Backend {
    /// Opens a session.
    async fn session(&self) -> Arc<dyn Tables> {
        let Some(server) = &self.server else { return Arc::new(self.faulty.clone()) };
        let (tables, _) = insist(|| Box::pin(CqlTables::open(server))).await;
        Arc::new(self.faulty.on(Arc::new(tables)))
    }
}

struct World {
    backend: Backend,
    nodes: Mutex<Vec<Node>>,
    /// The node of each stream; it changes only after a seal.
    homes: Mutex<Vec<usize>>,
    /// Acknowledged appends of each stream: the last number, and its writer.
    acknowledged: Mutex<Vec<BTreeMap<u64, WriterId>>>,
    sealed: Mutex<BTreeSet<WriterId>>,
    incarnation: AtomicU64,
    stop: AtomicBool,
}

impl World {
    async fn new_node(&self) -> Node {
        let number = self.incarnation.fetch_add(1, Ordering::Relaxed);
        let tables = self.backend.session().await;
        let stores = CassandraStores::on(tables, settings(Role::Owner), 7);
        loop {
            // an attempt with an unknown outcome uses up its name, as the start of a node does
            let attempt = self.incarnation.fetch_add(1, Ordering::Relaxed);
            let writer = WriterId::new(format!("w{number}#{attempt}")).expect("a name");
            if stores.open_writer(&writer).await.is_ok() {
                return Node { stores, writer };
            }
        }
    }

    fn home(&self, stream: usize) -> (usize, Node) {
        let home = self.homes.lock()[stream];
        (home, self.nodes.lock()[home].clone())
    }

    /// Appends to one stream, like the entity at its home.
    async fn write(self: Arc<Self>, index: usize, seed: u64) {
        let mut random = ChaCha8Rng::seed_from_u64(seed ^ (index as u64) << 32);
        while !self.stop.load(Ordering::Acquire) {
            // a new home recovers first
            let (_, node) = self.home(index);
            let id = stream(index);
            let mut highest = insist(|| node.stores.highest(&id)).await.value();
            loop {
                if self.stop.load(Ordering::Acquire) || self.home(index).1.writer != node.writer {
                    break;
                }
                let count = random.random_range(1..4);
                let events = (1..=count).map(|n| event(highest + n, &node.writer)).collect();
                let append = Append {
                    persistence_id: stream(index),
                    expected: SequenceNr::new(highest),
                    events,
                };
                match node.stores.append(&node.writer, append).await {
                    Ok(()) => {
                        highest += count;
                        self.acknowledge(index, highest, &node.writer);
                    }
                    Err(error) => {
                        assert_ne!(error.kind(), ErrorKind::Corrupt, "{error}");
                        break;
                    }
                }
                sleep(Duration::from_millis(random.random_range(0..40))).await;
            }
            sleep(Duration::from_millis(5)).await;
        }
    }

    fn acknowledge(&self, index: usize, highest: u64, writer: &WriterId) {
        self.acknowledged.lock()[index].insert(highest, writer.clone());
    }

    /// Takes a node for dead while it goes on: seals its writer, moves its streams, and starts a
    /// new incarnation.
    async fn take_over(&self, random: &mut ChaCha8Rng) {
        let victim = random.random_range(0..NODES);
        let by = (victim + 1) % NODES;
        let (old, other) = {
            let nodes = self.nodes.lock();
            (nodes[victim].clone(), nodes[by].clone())
        };
        insist(|| other.stores.seal(&old.writer)).await;
        // no event of the old writer can be added from here on
        let mut at_seal = Vec::new();
        for index in 0..STREAMS {
            let id = stream(index);
            let highest = insist(|| other.stores.highest(&id)).await;
            at_seal.push(highest.value());
        }
        let moved: Vec<usize> = {
            let mut homes = self.homes.lock();
            let moved = (0..STREAMS).filter(|index| homes[*index] == victim).collect();
            for home in homes.iter_mut().filter(|home| **home == victim) {
                *home = by;
            }
            moved
        };
        let acknowledged = self.acknowledged.lock().clone();
        for index in moved {
            let by_old = acknowledged[index].iter().filter(|(_, writer)| **writer == old.writer);
            let last = by_old.map(|(nr, _)| *nr).max().unwrap_or(0);
            assert!(last <= at_seal[index], "acknowledged {last}, at the seal {}", at_seal[index]);
        }
        self.sealed.lock().insert(old.writer.clone());
        let zombie = Append {
            persistence_id: stream(0),
            expected: SequenceNr::new(at_seal[0]),
            events: vec![event(at_seal[0] + 1, &old.writer)],
        };
        let refused = old.stores.append(&old.writer, zombie).await;
        assert!(refused.is_err(), "an append of a sealed writer was acknowledged");
        let new = self.new_node().await;
        self.nodes.lock()[victim] = new;
    }
}

/// A node of the place that reads the lanes for others, and does not always answer.
struct Hub {
    stores: CassandraStores,
    turn: AtomicU64,
}

#[async_trait]
impl FeedRelay for Hub {
    async fn ask(&self, question: Bytes) -> Option<Bytes> {
        if self.turn.fetch_add(1, Ordering::Relaxed) % 7 == 3 {
            return None;
        }
        self.stores.lane_news(&question).await.ok()
    }
}

/// Follows the feed, through another node or not. Fails when the feed names an event twice.
async fn follow(world: Arc<World>, seed: u64, hub: Option<Arc<Hub>>) -> Covered {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let open = async || {
        let tables = world.backend.session().await;
        let stores = CassandraStores::on(tables, settings(Role::Reader), 7);
        if let Some(hub) = &hub {
            stores.relay_through(hub.clone());
        }
        stores
    };
    let mut stores = open().await;
    let mut covered = Covered::new();
    let mut query = ChangesQuery {
        entity_type: "cart".into(),
        replica: ReplicaId::new("DC-A").expect("a name"),
        slices: SliceRange::ALL,
        after: Offset::start(),
        change_count_max: random.random_range(1..8),
    };
    let mut idle = 0;
    while idle < 3 {
        let stopped = world.stop.load(Ordering::Acquire);
        let page = insist(|| stores.changes(&query)).await;
        for change in &page.changes {
            let seen = covered.entry(change.persistence_id.clone()).or_default();
            for (origin, _) in change.seen.iter() {
                let nr = origin.as_str()[1..].parse().expect("a number");
                assert!(seen.insert(nr), "{} of {} twice", nr, change.persistence_id);
            }
        }
        idle = if stopped && page.changes.is_empty() && !page.more { idle + 1 } else { 0 };
        query.after = page.through;
        if random.random_range(0..30) == 0 {
            // the reader moves to another node
            stores = open().await;
        }
        let pause = if random.random_range(0..20) == 0 { 1500 } else { 25 };
        sleep(Duration::from_millis(pause)).await;
    }
    covered
}

type Covered = BTreeMap<PersistenceId, BTreeSet<u64>>;

/// Starts a reader that looks at the lanes itself, and a reader that asks another node.
async fn readers(world: &Arc<World>, seed: u64) -> Vec<JoinHandle<Covered>> {
    let tables = world.backend.session().await;
    let stores = CassandraStores::on(tables, settings(Role::Reader), 7);
    let hub = Arc::new(Hub { stores, turn: AtomicU64::new(seed) });
    let hubs = [None, Some(hub)].into_iter().zip(0..);
    hubs.map(|(hub, n)| spawn("reader", follow(world.clone(), seed ^ n, hub))).collect()
}

async fn run(seed: u64, backend: Backend) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let world = Arc::new(World {
        backend,
        nodes: Mutex::default(),
        homes: Mutex::new((0..STREAMS).map(|index| index % NODES).collect()),
        acknowledged: Mutex::new(vec![BTreeMap::new(); STREAMS]),
        sealed: Mutex::default(),
        incarnation: AtomicU64::new(0),
        stop: AtomicBool::new(false),
    });
    for _ in 0..NODES {
        let node = world.new_node().await;
        world.nodes.lock().push(node);
    }
    let writers: Vec<_> =
        (0..STREAMS).map(|index| spawn("writer", world.clone().write(index, seed))).collect();
    let readers = readers(&world, seed).await;
    for _ in 0..ROUNDS {
        sleep(Duration::from_millis(random.random_range(50..1500))).await;
        world.take_over(&mut random).await;
    }
    world.stop.store(true, Ordering::Release);
    for writer in writers {
        writer.await.expect("a writer ends well");
    }
    // late effects arrive and are refused
    sleep(FAULTS.late_max).await;
    world.backend.faulty.set_faults(Faults::default());
    let tables = world.backend.session().await;
    let reader = CassandraStores::on(tables, settings(Role::Reader), 7);
    let mut streams = Vec::new();
    for index in 0..STREAMS {
        let mut events: Vec<StoredEvent> = Vec::new();
        loop {
            let next = SequenceNr::new(events.len() as u64 + 1);
            let id = stream(index);
            let page = insist(|| reader.replay(&id, next, SequenceNr::MAX, 50)).await;
            if page.is_empty() {
                break;
            }
            events.extend(page);
        }
        for (nr, event) in (1..).zip(&events) {
            assert_eq!(event.sequence_nr.value(), nr, "dense");
        }
        let acknowledged = &world.acknowledged.lock()[index];
        for (nr, writer) in acknowledged {
            let there = usize::try_from(*nr).ok().and_then(|nr| events.get(nr - 1));
            let by = there.map(|event| &*event.payload.manifest);
            assert_eq!(by, Some(writer.as_str()), "acknowledged event {nr} of stream {index}");
        }
        streams.push(events);
    }
    let total: usize = streams.iter().map(Vec::len).sum();
    assert!(total > 100, "only {total} events were written");
    for reader in readers {
        let covered = reader.await.expect("a reader ends well");
        for (index, events) in streams.iter().enumerate() {
            let expected: BTreeSet<u64> = (1..=events.len() as u64).collect();
            let seen = covered.get(&stream(index)).cloned().unwrap_or_default();
            assert_eq!(seen, expected, "the feed of stream {index}");
        }
    }
}

fn run_paused(seed: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime");
    let faulty = FaultyTables::new(Arc::new(ModelTables::new()), seed, FAULTS);
    runtime.block_on(run(seed, Backend { faulty, server: None }));
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|n| n.parse().expect("a number"))
}

/// Seals six writers with each seed, while they write.
#[test]
fn the_same_holds_on_a_real_server() {
    let at_once = number("PROTOCOL_AT_ONCE").unwrap_or(4);
    let seeds = number("PROTOCOL_SERVER_SEEDS").unwrap_or(at_once);
    for first in (0..seeds).step_by(usize::try_from(at_once).expect("a small number")) {
        let running: Vec<_> = (first..seeds.min(first + at_once))
            .map(|seed| {
                let server = support::server();
                std::thread::spawn(move || {
                    let runtime = tokio::runtime::Builder::new_multi_thread()
                        .worker_threads(1)
                        .enable_all()
                        .build()
                        .expect("a runtime");
                    runtime.block_on(async {
                        let (tables, _) = insist(|| Box::pin(CqlTables::open(&server))).await;
                        let faulty = FaultyTables::new(Arc::new(tables), seed, FAULTS);
                        Box::pin(run(seed, Backend { faulty, server: Some(server) })).await;
                    });
                })
            })
            .collect();
        for (seed, thread) in (first..).zip(running) {
            assert!(thread.join().is_ok(), "seed {seed} failed on the server");
        }
        eprintln!("{} writers sealed under fire", 6 * seeds.min(first + at_once));
    }
}

#[test]
fn nothing_acknowledged_is_lost_and_nothing_takes_effect_after_a_seal() {
    if let Some(seed) = number("PROTOCOL_SEED") {
        return run_paused(seed);
    }
    for seed in 0..number("PROTOCOL_SEEDS").unwrap_or(60) {
        let outcome = std::panic::catch_unwind(|| run_paused(seed));
        if outcome.is_err() {
            panic!(
                "seed {seed} failed: PROTOCOL_SEED={seed} cargo test -p antiphon-cassandra --test protocol"
            );
        }
    }
}
