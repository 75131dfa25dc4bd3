//! Places with their own stores and counters on one network.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use antiphon_base::time::{Clock, SystemClock};
use antiphon_persistence::entity::{CommandContext, Effect, EventContext, EventSourced};
use antiphon_persistence::event::Tags;
use antiphon_persistence::identity::{ReplicaId, ReplicationId};
use antiphon_persistence::memory::MemoryStores;
use antiphon_persistence::reply::ReplyTo;
use antiphon_runtime::gate::GateSettings;
use antiphon_runtime::transport::Transport;
use antiphon_runtime::transport::memory::MemoryNetwork;
use antiphon_runtime::{
    Gate, Metrics, Node, NodeId, NodeParts, NodeSettings, PeerPlace, ServiceId,
};
use antiphon_sharding::{
    EntityRef, ReplicatedEntityProvider, ReplicatedSharding, ShardingSettings,
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

pub(crate) const COMMANDS: ServiceId = ServiceId(16);
pub(crate) const SHARDING: ServiceId = ServiceId(17);
pub(crate) const SECOND: Duration = Duration::from_secs(1);

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Command {
    Add {
        delta: i64,
        reply_to: ReplyTo<i64>,
    },
    Get {
        reply_to: ReplyTo<i64>,
    },
    /// Asks for the time of the entity, in microseconds.
    Now {
        reply_to: ReplyTo<u64>,
    },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Event {
    Added { delta: i64 },
}

pub(crate) struct Counter;

impl EventSourced for Counter {
    type Command = Command;
    type Event = Event;
    type State = i64;

    fn on_command(&self, context: &CommandContext, value: &i64, command: Command) -> Effect<Self> {
        match command {
            Command::Add { delta, reply_to } => {
                Effect::persist(Event::Added { delta }).then_reply(reply_to, |value| *value)
            }
            Command::Get { reply_to } => Effect::reply(reply_to, *value),
            Command::Now { reply_to } => {
                Effect::reply(reply_to, context.current_time().as_micros())
            }
        }
    }

    fn on_event(&self, _: &EventContext, value: &mut i64, event: &Event) {
        let Event::Added { delta } = event;
        *value = value.wrapping_add(*delta);
    }

    fn tags(&self, event: &Event) -> Tags {
        let Event::Added { delta } = event;
        if *delta > 1 { Tags::from(["many"]) } else { Tags::none() }
    }
}

pub(crate) struct Running {
    pub(crate) node: Node,
    pub(crate) counters: ReplicatedSharding<Counter>,
    pub(crate) metrics: Arc<Metrics>,
}

/// A member that runs no entities, and whose gate a test uses to say what it likes.
pub(crate) struct Liar {
    pub(crate) node: Node,
}

/// The parts of a node that differ from node to node.
pub(crate) struct Place {
    pub(crate) place: &'static str,
    pub(crate) id: NodeId,
    pub(crate) address: String,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) clock: Arc<dyn Clock>,
}

/// Places with their own stores, on one network.
pub(crate) struct World {
    pub(crate) network: MemoryNetwork,
    pub(crate) stores: BTreeMap<&'static str, MemoryStores>,
    pub(crate) settings: ShardingSettings,
    /// Time between two reads of another place's membership table.
    pub(crate) peer_scan_interval: Duration,
}

impl World {
    pub(crate) fn new(places: &[&'static str], settings: ShardingSettings) -> Self {
        let stores = places.iter().map(|place| (*place, MemoryStores::new())).collect();
        Self { network: MemoryNetwork::new(1), stores, settings, peer_scan_interval: SECOND }
    }

    fn replicas(&self) -> Vec<ReplicaId> {
        self.stores.keys().map(|place| replica(place)).collect()
    }

    pub(crate) fn in_memory(&self, place: &'static str, name: &str) -> Place {
        let id = NodeId::new(name, 1).unwrap();
        let (address, transport) = (id.to_string(), self.network.transport(&id));
        Place { place, id, address, transport, clock: Arc::new(SystemClock) }
    }

    pub(crate) async fn start(&self, place: &'static str, name: &str) -> Running {
        self.start_at(self.in_memory(place, name)).await
    }

    /// Starts a node with this provider in place of that of the world.
    pub(crate) async fn start_with(
        &self,
        place: &'static str,
        name: &str,
        provider: ReplicatedEntityProvider<Counter>,
    ) -> Running {
        let (node, metrics) = self.node(self.in_memory(place, name)).await;
        self.run(node, metrics, provider).await
    }

    async fn run(
        &self,
        node: Node,
        metrics: Arc<Metrics>,
        provider: ReplicatedEntityProvider<Counter>,
    ) -> Running {
        let provider = provider.with_settings(self.settings.clone());
        let counters = ReplicatedSharding::init(&node, provider).await.unwrap();
        Running { node, counters, metrics }
    }

    /// Starts a node whose time of day is ahead.
    pub(crate) async fn start_ahead(
        &self,
        place: &'static str,
        name: &str,
        ahead: Duration,
    ) -> Running {
        let clock = Arc::new(Ahead(ahead));
        self.start_at(Place { clock, ..self.in_memory(place, name) }).await
    }

    pub(crate) async fn start_at(&self, place: Place) -> Running {
        let (node, metrics) = self.node(place).await;
        let provider =
            ReplicatedEntityProvider::per_role("counter", self.replicas(), |_: &ReplicationId| {
                Counter
            });
        self.run(node, metrics, provider).await
    }

    pub(crate) async fn node(&self, place: Place) -> (Node, Arc<Metrics>) {
        let Place { place, id, address, transport, clock } = place;
        let metrics = Arc::new(Metrics::new());
        let others = self.stores.iter().filter(|(other, _)| **other != place);
        let parts = NodeParts {
            clock,
            stores: self.stores[place].stores(),
            transport,
            address,
            http_address: None,
            peers: others
                .map(|(other, stores)| PeerPlace {
                    place: (*other).to_owned(),
                    stores: stores.stores(),
                })
                .collect(),
            incarnation: 1,
            metrics: metrics.clone(),
        };
        let settings = NodeSettings {
            name: id.name().into(),
            place: place.into(),
            shard_count: 4,
            peer_scan_interval: self.peer_scan_interval,
            ..NodeSettings::default()
        };
        (Node::start(settings, parts).await.unwrap(), metrics)
    }

    /// A member without entities, connected to `to`.
    pub(crate) async fn liar(&self, place: &'static str, to: &Running) -> Liar {
        self.liar_at(self.in_memory(place, "liar"), to).await
    }

    pub(crate) async fn liar_at(&self, place: Place, to: &Running) -> Liar {
        let liar = self.lonely_liar_at(place).await;
        wait("the liar is connected", || liar.node.gate().is_connected(to.node.id())).await;
        let is_known = || to.node.members().borrow().get(liar.node.id()).is_some();
        wait("the liar is known as a member", is_known).await;
        liar
    }

    /// The first node of its place.
    pub(crate) async fn lonely_liar(&self, place: &'static str) -> Liar {
        self.lonely_liar_at(self.in_memory(place, "liar")).await
    }

    async fn lonely_liar_at(&self, place: Place) -> Liar {
        Liar { node: self.node(place).await.0 }
    }

    /// A gate of a node that is no member, connected to `to`.
    pub(crate) async fn stranger(&self, to: &Running) -> Gate {
        let id = NodeId::new("stranger", 1).unwrap();
        let transport = self.network.transport(&id);
        stranger_on(id, transport, to, "").await
    }
}

/// The gate of a node that is no member, connected to `to` at `address`.
pub(crate) async fn stranger_on(
    id: NodeId,
    transport: Arc<dyn Transport>,
    to: &Running,
    address: &str,
) -> Gate {
    let (settings, clock) = (GateSettings::default(), Arc::new(SystemClock));
    let gate = Gate::start(id, transport, settings, clock, &Metrics::new());
    gate.connect(to.node.id(), address);
    wait("the stranger is connected", || gate.is_connected(to.node.id())).await;
    gate
}

/// A clock whose time of day is ahead.
struct Ahead(Duration);

impl Clock for Ahead {
    fn now(&self) -> tokio::time::Instant {
        SystemClock.now()
    }

    fn wall(&self) -> antiphon_base::time::Timestamp {
        let ahead = u64::try_from(self.0.as_micros()).unwrap();
        antiphon_base::time::Timestamp::from_micros(SystemClock.wall().as_micros() + ahead)
    }
}

pub(crate) fn replica(place: &str) -> ReplicaId {
    ReplicaId::new(place).unwrap()
}

pub(crate) fn settings() -> ShardingSettings {
    ShardingSettings { join_wait: Duration::from_millis(200), ..ShardingSettings::default() }
}

pub(crate) async fn wait(what: &str, holds: impl Fn() -> bool) {
    let until = SystemClock.now() + 60 * SECOND;
    while !holds() {
        assert!(SystemClock.now() < until, "{what}: not after a minute");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) async fn ready(nodes: &[&Running]) {
    for running in nodes {
        wait("shards have homes", || running.counters.is_ready()).await;
    }
}

pub(crate) fn counter(running: &Running, place: &str, id: &str) -> EntityRef<Command> {
    running.counters.entity_ref_for(id, &replica(place)).unwrap()
}

pub(crate) async fn get(running: &Running, place: &str, id: &str) -> i64 {
    counter(running, place, id).ask(|reply_to| Command::Get { reply_to }).await.unwrap()
}

/// Waits until an entity of the place has this value.
pub(crate) async fn wait_for(running: &Running, place: &str, id: &str, value: i64) {
    let until = SystemClock.now() + 60 * SECOND;
    loop {
        let actual = get(running, place, id).await;
        if actual == value {
            return;
        }
        assert!(SystemClock.now() < until, "`{id}` of {place}: {actual}, not {value}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) async fn add(running: &Running, place: &str, id: &str) -> i64 {
    let counter = counter(running, place, id);
    counter.ask(|reply_to| Command::Add { delta: 1, reply_to }).await.unwrap()
}

/// The number of messages that a node refused for a reason.
pub(crate) fn refused(running: &Running, reason: &str) -> u64 {
    let line = format!(r#"antiphon_wire_refused_total{{reason="{reason}"}} "#);
    let text = running.metrics.text();
    text.lines().find_map(|found| found.strip_prefix(&line)).map_or(0, |n| n.parse().unwrap())
}

/// The encoded form of a command.
pub(crate) fn wire(hops: u8, replies: u32, names: [&[u8]; 3], command: &[u8]) -> Bytes {
    let mut bytes = vec![hops];
    bytes.extend_from_slice(&replies.to_le_bytes());
    bytes.extend_from_slice(&u32::MAX.to_le_bytes());
    for name in names {
        bytes.extend_from_slice(&u16::try_from(name.len()).unwrap().to_le_bytes());
    }
    bytes.extend(names.concat());
    bytes.extend_from_slice(command);
    bytes.into()
}

/// `Command::Get` with the first place for an answer.
pub(crate) const GET: &[u8] = &[1, 0];
