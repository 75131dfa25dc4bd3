//! The switches of a provider, on whole nodes in memory under paused time: the place of a replica,
//! and both sides of direct replication.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::time::Duration;

use antiphon_base::{ErrorKind, Result};
use antiphon_persistence::entity::{CommandContext, Effect, EventContext, EventSourced};
use antiphon_persistence::identity::{ReplicaId, ReplicationId};
use antiphon_persistence::memory::MemoryStores;
use antiphon_persistence::reply::ReplyTo;
use antiphon_runtime::admin::ClusterSection;
use antiphon_runtime::transport::memory::MemoryNetwork;
use antiphon_runtime::{Node, NodeId, NodeParts, NodeSettings, PeerPlace};
use antiphon_sharding::{
    ReplicatedEntityProvider, ReplicatedSharding, ShardingSection, ShardingSettings,
};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
enum Command {
    Add(ReplyTo<u64>),
    Get(ReplyTo<u64>),
}

#[derive(Debug, Serialize, Deserialize)]
struct Added;

struct Counter;

impl EventSourced for Counter {
    type Command = Command;
    type Event = Added;
    type State = u64;

    fn on_command(&self, _: &CommandContext, value: &u64, command: Command) -> Effect<Self> {
        match command {
            Command::Add(reply_to) => Effect::persist(Added).then_reply(reply_to, |value| *value),
            Command::Get(reply_to) => Effect::reply(reply_to, *value),
        }
    }

    fn on_event(&self, _: &EventContext, value: &mut u64, _: &Added) {
        *value += 1;
    }
}

const PLACES: [&str; 2] = ["A", "B"];

fn replica(name: &str) -> ReplicaId {
    ReplicaId::new(name).unwrap()
}

fn provider() -> ReplicatedEntityProvider<Counter> {
    ReplicatedEntityProvider::per_role("counter", PLACES.map(replica), |_: &ReplicationId| Counter)
}

struct World {
    network: MemoryNetwork,
    stores: [MemoryStores; 2],
}

struct Running {
    node: Node,
    counters: ReplicatedSharding<Counter>,
}

impl World {
    fn new() -> Self {
        let stores = [MemoryStores::new(), MemoryStores::new()];
        Self { network: MemoryNetwork::new(1), stores }
    }

    async fn node(&self, place: usize) -> Node {
        self.node_named(place, format!("node-{}", PLACES[place])).await
    }

    async fn node_named(&self, place: usize, name: String) -> Node {
        let id = NodeId::new(&name, 1).unwrap();
        let other = 1 - place;
        let settings = NodeSettings {
            name,
            place: PLACES[place].to_owned(),
            shard_count: 2,
            ..NodeSettings::default()
        };
        let parts = NodeParts {
            peers: vec![PeerPlace {
                place: PLACES[other].to_owned(),
                stores: self.stores[other].stores(),
            }],
            ..support::parts(&id, 1, self.stores[place].stores(), &self.network)
        };
        Node::start(settings, parts).await.unwrap()
    }

    async fn start(&self, place: usize, provider: ReplicatedEntityProvider<Counter>) -> Running {
        let node = self.node(place).await;
        let counters = ReplicatedSharding::init(&node, provider).await.unwrap();
        Running { node, counters }
    }
}

impl Running {
    /// Asks a replica for its value until it is as expected.
    async fn has(&self, replica: &ReplicaId, expected: u64) {
        let counter = self.counters.entity_ref_for("c-1", replica).unwrap();
        let reads = async {
            while counter.ask(Command::Get).await != Ok(expected) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let read = tokio::time::timeout(Duration::from_secs(60), reads).await;
        read.unwrap_or_else(|_| panic!("replica {replica} does not come to {expected}"));
    }

    async fn add(&self, name: &str) -> Result<u64> {
        let counter = self.counters.entity_ref_for("c-1", &replica(name))?;
        Ok(counter.ask(Command::Add).await?)
    }

    /// Number of messages of direct replication with that outcome.
    fn direct(&self, outcome: &str) -> u64 {
        let counters = self.node.metrics().counters_of("antiphon_direct_replication_total");
        counters.with_label_values(&["counter", outcome]).get()
    }
}

/// Starts both places with these providers. Every node knows the homes of both.
async fn both(
    world: &World,
    a: ReplicatedEntityProvider<Counter>,
    b: ReplicatedEntityProvider<Counter>,
) -> [Running; 2] {
    let running = [world.start(0, a).await, world.start(1, b).await];
    for node in &running {
        for place in PLACES {
            node.has(&replica(place), 0).await;
        }
    }
    running
}

#[tokio::test(start_paused = true)]
async fn events_go_directly_to_the_other_replica() {
    let world = World::new();
    let [a, b] = both(&world, provider(), provider()).await;
    assert_eq!(a.add("A").await.unwrap(), 1);
    b.has(&replica("B"), 1).await;
    assert_eq!((a.direct("sent"), b.direct("taken")), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn without_direct_replication_a_place_takes_events_from_the_journals_only() {
    let world = World::new();
    let [a, b] = both(&world, provider(), provider().with_direct_replication(false)).await;
    assert_eq!(a.add("A").await.unwrap(), 1);
    b.has(&replica("B"), 1).await;
    assert_eq!(a.direct("sent"), 1, "the other side does not know");
    assert_eq!((b.direct("taken"), b.direct("switched_off")), (0, 1));
    assert_eq!(b.add("B").await.unwrap(), 2);
    a.has(&replica("A"), 2).await;
    assert_eq!((b.direct("sent"), a.direct("taken")), (1, 1), "the other direction is direct");
}

#[tokio::test(start_paused = true)]
async fn without_event_publishing_the_other_places_read_the_journal() {
    let world = World::new();
    let [a, b] = both(&world, provider().with_event_publishing(false), provider()).await;
    assert_eq!(a.add("A").await.unwrap(), 1);
    b.has(&replica("B"), 1).await;
    assert_eq!((a.direct("sent"), b.direct("taken")), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_replica_lives_at_the_place_that_it_was_given() {
    let world = World::new();
    let migrated = || {
        let replicas = [ReplicaId::empty()];
        ReplicatedEntityProvider::per_role("counter", replicas, |_: &ReplicationId| Counter)
    };
    let there = || migrated().with_replica_place(ReplicaId::empty(), "B");
    let a = world.node(0).await;
    let error = ReplicatedSharding::init(&a, migrated()).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Rejected, "no place has the empty name: {error}");
    // nothing was started: the same type can start after all
    let counters = ReplicatedSharding::init(&a, there()).await.unwrap();
    let a = Running { node: a, counters };
    let b = world.start(1, there()).await;
    a.has(&ReplicaId::empty(), 0).await;
    assert_eq!((a.counters.hosted_shards().len(), b.counters.hosted_shards().len()), (0, 2));
}

#[tokio::test(start_paused = true)]
async fn a_role_without_a_text_or_of_no_replica_is_refused() {
    let world = World::new();
    let node = world.node(0).await;
    for (name, role, expected) in [("A", "", "an empty one"), ("X", "zone-1", "actual `X`")] {
        let provider = provider().with_replica_role(replica(name), role);
        let Err(error) = ReplicatedSharding::init(&node, provider).await else {
            panic!("role {role:?} of {name} is taken");
        };
        assert_eq!(error.kind(), ErrorKind::Rejected);
        assert!(error.to_string().contains(expected), "{error}");
    }
}

/// The role of a replica at another place, whose nodes lack it.
#[tokio::test(start_paused = true)]
async fn a_role_that_another_place_lacks_is_named_in_a_warning_and_keeps_nobody_from_being_ready() {
    let world = World::new();
    let provider = || provider().with_replica_role(replica("B"), "zone-1");
    let (a, b) = (world.start(0, provider()).await, world.start(1, provider()).await);
    a.has(&replica("A"), 0).await;
    let error = a.add("B").await.unwrap_err().to_string();
    let said = ["place `B`", "role `zone-1`", "replica `B`", "`node.roles`"];
    for part in said {
        assert!(error.contains(part), "{error}");
    }
    let sections = [&a, &b].map(|running| ShardingSection::new(&running.node));
    let warnings = sections[0].warnings();
    assert!(said.iter().all(|part| warnings[0].contains(part)), "{warnings:?}");
    assert_eq!(sections[0].ready(), Ok(()));
    let unready = sections[1].ready().unwrap_err();
    assert!(said.iter().all(|part| unready.contains(part)), "{unready}");
}

/// A provider with the replicas `B` and `X`, which is at the place `A`.
fn renamed() -> ReplicatedEntityProvider<Counter> {
    let replicas = ["B", "X"].map(replica);
    ReplicatedEntityProvider::per_role("counter", replicas, |_: &ReplicationId| Counter)
        .with_replica_place(replica("X"), "A")
}

#[tokio::test(start_paused = true)]
async fn a_place_that_lost_a_replica_with_homes_is_not_ready_until_the_loss_is_meant() {
    let world = World::new();
    let before = world.start(0, provider()).await;
    before.has(&replica("A"), 0).await;
    before.node.leave().await.unwrap();

    let node = world.node_named(0, "later".to_owned()).await;
    let counters = ReplicatedSharding::init(&node, renamed()).await.unwrap();
    let later = Running { node, counters };
    later.has(&replica("X"), 0).await;
    let unready = ShardingSection::new(&later.node).ready().unwrap_err();
    for part in ["place `A`", "replica `A` of `counter`", "`[[replicas]]`", "`sharding.removed_"] {
        assert!(unready.contains(part), "{unready}");
    }
    later.node.leave().await.unwrap();

    let settings =
        ShardingSettings { removed_replicas: vec!["A".to_owned()], ..renamed().settings().clone() };
    let node = world.node_named(0, "last".to_owned()).await;
    let counters = ReplicatedSharding::init(&node, renamed().with_settings(settings)).await;
    let last = Running { node, counters: counters.unwrap() };
    last.has(&replica("X"), 0).await;
    assert_eq!(ShardingSection::new(&last.node).ready(), Ok(()));
}

/// A plain type, or the same with a replica at the place `B`.
fn migrated(others: &[&str]) -> ReplicatedEntityProvider<Counter> {
    let replicas = [ReplicaId::empty()].into_iter().chain(others.iter().map(|name| replica(name)));
    ReplicatedEntityProvider::per_role("counter", replicas, |_: &ReplicationId| Counter)
        .with_replica_place(ReplicaId::empty(), "A")
}

#[tokio::test(start_paused = true)]
async fn a_plain_type_gets_a_replica_with_its_history_and_a_node_without_it_is_refused() {
    let world = World::new();
    let plain = world.start(0, migrated(&[])).await;
    plain.has(&ReplicaId::empty(), 0).await;
    let counter = plain.counters.entity_ref_for("c-1", &ReplicaId::empty()).unwrap();
    for value in 1..=3 {
        assert_eq!(counter.ask(Command::Add).await, Ok(value));
    }
    plain.node.leave().await.unwrap();

    let node = world.node_named(0, "later".to_owned()).await;
    let counters = ReplicatedSharding::init(&node, migrated(&["B"])).await.unwrap();
    let later = Running { node, counters };
    let b = world.start(1, migrated(&["B"])).await;
    b.has(&replica("B"), 3).await;
    assert_eq!(b.add("B").await.unwrap(), 4);
    later.has(&ReplicaId::empty(), 4).await;

    let node = world.node_named(0, "left-behind".to_owned()).await;
    let error = ReplicatedSharding::init(&node, migrated(&[])).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Rejected);
    for part in ["`counter` of place `A` was a plain entity", "[\"B\"]", "`[[replicas]]`"] {
        assert!(error.to_string().contains(part), "{error}");
    }
    // the same call, with the replica or with the word that it is gone, is taken
    let removed = vec!["B".to_owned()];
    let settings = ShardingSettings { removed_replicas: removed, ..ShardingSettings::default() };
    ReplicatedSharding::init(&node, migrated(&[]).with_settings(settings)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn nodes_with_other_replicas_name_each_other_and_get_no_shards_that_they_lack() {
    let world = World::new();
    let a = world.start(0, provider()).await;
    a.has(&replica("A"), 0).await;
    let node = world.node_named(0, "other".to_owned()).await;
    let counters = ReplicatedSharding::init(&node, renamed()).await.unwrap();
    let other = Running { node, counters };
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!((a.counters.hosted_shards().len(), other.counters.hosted_shards().len()), (2, 0));
    a.has(&replica("A"), 0).await;

    let sections = [&a, &other].map(|running| ShardingSection::new(&running.node));
    let warnings = sections.each_ref().map(|section| section.warnings().join(" "));
    assert!(warnings[0].contains("`other@1`"), "{warnings:?}");
    assert!(warnings[0].contains("`A` is not known there and at `A`"), "{warnings:?}");
    assert!(warnings[1].contains("`node-A@1`"), "{warnings:?}");
    assert_eq!(sections[0].ready(), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_coordinator_that_does_not_know_a_replica_is_the_reason_why_its_shards_have_no_home() {
    let world = World::new();
    let a = world.start(0, provider()).await;
    a.has(&replica("A"), 0).await;
    let more = provider().with_replicas(["A", "B", "X"].map(replica));
    let node = world.node_named(0, "newer".to_owned()).await;
    let provider = more.with_replica_place(replica("X"), "A");
    let counters = ReplicatedSharding::init(&node, provider).await.unwrap();
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert!(!counters.is_ready());
    let unready = ShardingSection::new(&node).ready().unwrap_err();
    for part in ["the first is `X/0`", "`node-A@1`", "`X` is not known there"] {
        assert!(unready.contains(part), "{unready}");
    }
    assert_eq!(ShardingSection::new(&a.node).ready(), Ok(()));
}

/// Both places would have entities of that name, and each would take events of the other as its
/// own.
#[tokio::test(start_paused = true)]
async fn a_replica_that_another_node_has_at_another_place_gets_no_first_home() {
    let world = World::new();
    let a = world.start(0, provider()).await;
    a.has(&replica("A"), 0).await;
    let node = world.node(1).await;
    let forked = provider().with_replica_place(replica("A"), "B");
    let counters = ReplicatedSharding::init(&node, forked).await.unwrap();
    tokio::time::sleep(Duration::from_secs(30)).await;
    let hosted = counters.hosted_shards();
    assert!(hosted.iter().all(|shard| shard.replica == replica("B")), "{hosted:?}");
    assert!(!counters.is_ready());
    let warnings = ShardingSection::new(&a.node).warnings();
    assert!(warnings[0].contains("`A` is at `B` without a role there"), "{warnings:?}");
    a.has(&replica("A"), 0).await;
}
