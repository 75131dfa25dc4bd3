//! The shared handle of a region.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock, Weak};

use antiphon_persistence::entity::{EntityRuntime, EventSourced, PeerHas, TellError};
use antiphon_persistence::event::StoredEvent;
use antiphon_persistence::identity::{ReplicaId, Slice};
use antiphon_persistence::reply::{Claim, ReplyError, refuse_claimed};
use antiphon_runtime::metrics::{Histogram, IntCounter, IntCounterVec, IntGauge};
use antiphon_runtime::{Node, NodeId};
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::doubts::DoubtBook;
use super::readiness::Readiness;
use super::relay::Relays;
use super::room::Room;
use super::route::{Effect, Input, Route, RouteSettings};
use super::slot::{Later, Slot, SlotGuard};
use crate::coordinator::{CoordinatorHandle, HomesVersion};
use crate::replication::Way;
use crate::{ShardId, ShardingSettings};

/// Parts of a region.
pub(crate) struct RegionParts {
    pub(crate) node: Node,
    pub(crate) entity_type: Arc<str>,
    /// Sorted.
    pub(crate) replicas: Arc<[ReplicaId]>,
    /// The place of each replica.
    pub(crate) places: BTreeMap<ReplicaId, Arc<str>>,
    pub(crate) settings: ShardingSettings,
    pub(crate) coordinator: Option<CoordinatorHandle>,
}

/// A command on its way to an entity.
pub(crate) struct Envelope<C> {
    pub(crate) entity: Arc<str>,
    pub(crate) command: C,
    pub(crate) hops: u8,
    /// Taken before the command is handed over.
    pub(crate) claim: Claim,
}

/// The outcome of a command for an active entity.
enum Handed<C> {
    Over,
    /// The entity is not active.
    Back(Envelope<C>),
    /// The entity's mailbox is full.
    Full(C, Claim),
}

/// A message for an entity.
pub(crate) enum Message<C> {
    Command(Envelope<C>),
    Replicated(Vec<StoredEvent>),
    News(PeerHas),
}

pub(super) struct RegionMetrics {
    pub(super) commands: IntCounterVec,
    /// The outcome `received` of `commands`, which is counted for each command.
    pub(super) received: IntCounter,
    pub(super) direct: IntCounterVec,
    pub(super) loop_reads: IntCounterVec,
    pub(super) latency: Histogram,
    pub(super) entities: IntCounterVec,
    pub(super) held: IntGauge,
    pub(super) homeless: IntGauge,
}

/// The region of one entity type on one node.
pub(crate) struct Region<E: EventSourced> {
    pub(super) this: Weak<Self>,
    pub(super) parts: RegionParts,
    pub(super) shard_count: u16,
    pub(super) slots: Vec<Mutex<Slot<E>>>,
    pub(super) entities: OnceLock<EntityRuntime<E>>,
    /// Version of the newest homes that this region knows, for each place.
    pub(super) versions: Mutex<BTreeMap<Arc<str>, HomesVersion>>,
    pub(super) metrics: RegionMetrics,
    /// For each slot: true when a shard of another replica with the same number has started here.
    pub(super) began: Vec<AtomicBool>,
    pub(super) relays: Mutex<Relays>,
    pub(super) room: Arc<Room>,
    /// The values of the entities' counters that were passed on to the metrics.
    pub(super) reported: Mutex<BTreeMap<&'static str, u64>>,
    pub(super) doubts: DoubtBook,
    pub(super) readiness: Mutex<Readiness>,
}

impl<E: EventSourced> Region<E>
where
    E::Command: Serialize + DeserializeOwned,
{
    pub(crate) fn new(parts: RegionParts) -> Arc<Self> {
        let shard_count = u16::try_from(parts.node.settings().shard_count).unwrap_or(u16::MAX);
        let settings = RouteSettings {
            waiting_max: parts.settings.shard_buffer_max,
            waiting_timeout: parts.settings.home_timeout,
        };
        let slot = || {
            let route = Route::new(parts.node.id().clone(), settings.clone());
            let way = Way::new(parts.settings.loop_wake_interval);
            Mutex::new(Slot::new(route, way))
        };
        let count = parts.replicas.len() * usize::from(shard_count);
        let slots = (0..count).map(|_| slot()).collect();
        let metrics = RegionMetrics::new(&parts);
        Arc::new_cyclic(|this| Self {
            this: this.clone(),
            shard_count,
            slots,
            entities: OnceLock::new(),
            versions: Mutex::default(),
            metrics,
            began: (0..count).map(|_| AtomicBool::new(false)).collect(),
            relays: Mutex::new(Relays::new(parts.settings.relay_interval)),
            room: Room::of(&parts.node),
            reported: Mutex::default(),
            doubts: DoubtBook::default(),
            readiness: Mutex::default(),
            parts,
        })
    }

    pub(crate) fn parts(&self) -> &RegionParts {
        &self.parts
    }

    /// Sets the runtime of the entities of this node. Without one, this node has proxies only.
    pub(crate) fn set_entities(&self, entities: EntityRuntime<E>) {
        assert!(self.entities.set(entities).is_ok(), "entities are set once");
    }

    pub(super) fn replica_index(&self, replica: &ReplicaId) -> Option<usize> {
        self.parts.replicas.binary_search(replica).ok()
    }

    pub(super) fn shard(&self, index: usize) -> ShardId {
        let count = usize::from(self.shard_count);
        let number = u16::try_from(index % count).expect("below the count");
        ShardId { replica: self.parts.replicas[index / count].clone(), number }
    }

    pub(crate) fn index(&self, replica: &ReplicaId, entity: &str) -> Option<usize> {
        let slice = Slice::of(&self.parts.entity_type, entity);
        let number = ShardId::number_of(slice, self.shard_count);
        self.index_of(replica, number)
    }

    /// The slot of a shard; `None` when there is no such replica or number.
    pub(super) fn index_of(&self, replica: &ReplicaId, number: u16) -> Option<usize> {
        let first = self.replica_index(replica)? * usize::from(self.shard_count);
        (number < self.shard_count).then(|| first + usize::from(number))
    }

    fn is_reachable(&self, slot: &Slot<E>) -> bool {
        slot.route.remote().is_some_and(|node| self.reaches(node))
    }

    /// Returns whether commands for the node can go now, directly or through a relay.
    pub(crate) fn reaches(&self, node: &NodeId) -> bool {
        self.parts.node.gate().is_connected(node) || self.relay_to(node).is_some()
    }

    /// Takes a command. Its asker gets an answer in every case.
    pub(crate) fn deliver(&self, replica: &ReplicaId, envelope: Envelope<E::Command>) {
        let Some(index) = self.index(replica, &envelope.entity) else {
            let why = format!("replica `{replica}` of `{}`", self.parts.entity_type);
            return refuse_claimed(envelope.command, &envelope.claim, ReplyError::NotHere(why));
        };
        self.deliver_to(index, envelope);
    }

    /// Takes a command for a shard.
    pub(crate) fn deliver_to(&self, index: usize, envelope: Envelope<E::Command>) {
        self.deliver_in(index, self.slot(index), envelope);
    }

    /// Takes a command of the caller, who does the work that was put aside for the shard.
    pub(crate) fn send_to(&self, index: usize, envelope: Envelope<E::Command>) {
        self.deliver_in(index, self.slot(index).work_here(), envelope);
    }

    fn deliver_in(&self, index: usize, mut slot: SlotGuard<'_, E>, envelope: Envelope<E::Command>) {
        let now = self.parts.node.clock().now();
        // the same as `step`, without its effects: most commands go this way
        let envelope = if slot.route.passes() {
            match self.hand_over(now, &mut slot, envelope) {
                Handed::Over => return,
                Handed::Back(envelope) => envelope,
                Handed::Full(command, claim) => {
                    self.count("refused_mailbox");
                    let reason = self.mailbox_full();
                    if slot.is_crowded(self.parts.settings.shard_buffer_max) {
                        // the sender drops its command itself, and sends more slowly
                        drop(slot);
                        return refuse_claimed(command, &claim, reason);
                    }
                    return slot.refuse(command, claim, reason);
                }
            }
        } else {
            envelope
        };
        if slot.is_crowded(self.parts.settings.shard_buffer_max) {
            drop(slot);
            self.count("refused_full");
            let limit = self.parts.settings.shard_buffer_max;
            let why = format!("shard {}: `shard_buffer_max` {limit}", self.shard(index));
            return refuse_claimed(envelope.command, &envelope.claim, ReplyError::Overloaded(why));
        }
        let is_reachable = self.is_reachable(&slot);
        let effects = slot.route.step(now, Input::Send(envelope, is_reachable));
        self.run(index, &mut slot, effects);
    }

    /// Hands a command to an active entity.
    fn hand_over(
        &self,
        now: Instant,
        slot: &mut Slot<E>,
        envelope: Envelope<E::Command>,
    ) -> Handed<E::Command> {
        let Some(shard) = &mut slot.shard else { return Handed::Back(envelope) };
        if !shard.lifecycle.touch(now, &envelope.entity) {
            return Handed::Back(envelope);
        }
        let Some(handle) = shard.handles.get(&envelope.entity) else {
            return Handed::Back(envelope);
        };
        let Envelope { entity, command, hops, claim } = envelope;
        match handle.try_claimed(command, claim.clone()) {
            Ok(()) => Handed::Over,
            Err(TellError::Full(command)) => Handed::Full(command, claim),
            Err(TellError::Stopped(command)) => {
                Handed::Back(Envelope { entity, command, hops, claim })
            }
        }
    }

    pub(super) fn refuse_mailbox(&self, slot: &mut Slot<E>, command: E::Command, claim: Claim) {
        self.count("refused_mailbox");
        slot.refuse(command, claim, self.mailbox_full());
    }

    fn mailbox_full(&self) -> ReplyError {
        let limit = self.parts.settings.entity.mailbox_max;
        ReplyError::Overloaded(format!("`mailbox_max` {limit}"))
    }

    /// Steps the route of a shard.
    pub(super) fn route(&self, index: usize, input: Input<Envelope<E::Command>>) {
        self.route_in(index, &mut self.slot(index), input);
    }

    pub(super) fn route_in(
        &self,
        index: usize,
        slot: &mut Slot<E>,
        input: Input<Envelope<E::Command>>,
    ) {
        let effects = slot.route.step(self.parts.node.clock().now(), input);
        self.run(index, slot, effects);
    }

    pub(super) fn tick_route(&self, index: usize) {
        self.tick_route_in(index, &mut self.slot(index));
    }

    pub(super) fn tick_route_in(&self, index: usize, slot: &mut Slot<E>) {
        let is_reachable = self.is_reachable(slot);
        let now = self.parts.node.clock().now();
        for envelope in slot.route.take_where(|envelope| envelope.claim.is_over(now)) {
            self.count("expired");
            let shard = self.shard(index);
            let why = format!("shard {shard} had no home that could be reached in time");
            slot.refuse(envelope.command, envelope.claim, ReplyError::Expired(why));
        }
        let effects = slot.route.step(now, Input::Tick(is_reachable));
        self.run(index, slot, effects);
    }

    fn run(&self, index: usize, slot: &mut Slot<E>, effects: Vec<Effect<Envelope<E::Command>>>) {
        for effect in effects {
            match effect {
                Effect::Local(envelope) => {
                    let entity = envelope.entity.clone();
                    self.deliver_here(index, slot, entity, Message::Command(envelope));
                }
                Effect::Remote(node, envelope) => slot.later(Later::Send(node, envelope)),
                Effect::RefuseFull(envelope) => {
                    self.count("refused_full");
                    let limit = self.parts.settings.shard_buffer_max;
                    let why = format!("shard {}: `shard_buffer_max` {limit}", self.shard(index));
                    slot.refuse(envelope.command, envelope.claim, ReplyError::Overloaded(why));
                }
                Effect::RefuseNotHere(envelope) => {
                    self.count("refused_not_here");
                    let shard = self.shard(index);
                    let why = format!("shard {shard} has no home that can be reached");
                    slot.refuse(envelope.command, envelope.claim, ReplyError::NotHere(why));
                }
                Effect::Start => {
                    slot.end_shard();
                    slot.shard = Some(self.start_shard(index, slot.writes.clone()));
                }
                Effect::Drain => self.drain_shard(index, slot),
                Effect::Kill => slot.end_shard(),
                // an append of a killed entity may still be stored; the report is repeated at each
                // tick
                Effect::ReportStopped(_) if slot.writes.count() > 0 => {}
                Effect::ReportStopped(id) => self.report_stopped(index, id),
            }
        }
    }

    pub(super) fn count(&self, outcome: &str) {
        self.metrics.commands.with_label_values(&[&self.parts.entity_type, outcome]).inc();
    }

    /// The home of an entity, which may be this node; `None` while no home takes commands.
    pub(crate) fn home_of(&self, replica: &ReplicaId, entity: &str) -> Option<NodeId> {
        let slot = self.slot(self.index(replica, entity)?);
        if slot.route.is_here() {
            return Some(self.parts.node.id().clone());
        }
        slot.route.remote().cloned()
    }
}

impl RegionMetrics {
    fn new(parts: &RegionParts) -> Self {
        let metrics = parts.node.metrics();
        let commands = metrics.counters(
            "antiphon_region_commands_total",
            "Commands that a region passed on or refused",
            &["type", "outcome"],
        );
        Self {
            received: commands.with_label_values(&[&parts.entity_type, "received"]),
            commands,
            direct: metrics.counters(
                "antiphon_direct_replication_total",
                "Messages of direct replication: sent, taken, or dropped and why",
                &["type", "outcome"],
            ),
            loop_reads: metrics.counters(
                "antiphon_journal_loop_reads_total",
                "Reads of other replicas' change feeds",
                &["type", "peer", "outcome"],
            ),
            latency: metrics
                .histograms(
                    "antiphon_replication_seconds",
                    "From the time of an event at its origin until it is durable here",
                    &["type"],
                    &LATENCY_BUCKETS,
                )
                .with_label_values(&[&parts.entity_type]),
            entities: metrics.counters(
                "antiphon_entities_total",
                "What entities have done",
                &["type", "what"],
            ),
            held: metrics
                .gauges(
                    "antiphon_entities_held",
                    "Entities of this node that hold back events of another replica, because one cannot be applied here",
                    &["type"],
                )
                .with_label_values(&[&parts.entity_type]),
            homeless: metrics
                .gauges(
                    "antiphon_shards_homeless",
                    "Shards of the own place that no living member hosts, as this node knows",
                    &["type"],
                )
                .with_label_values(&[&parts.entity_type]),
        }
    }
}

/// Upper bounds in seconds. Finer than the usual buckets below 10 milliseconds.
const LATENCY_BUCKETS: [f64; 24] = [
    0.000_25, 0.000_5, 0.000_75, 0.001, 0.001_25, 0.001_5, 0.002, 0.002_5, 0.003, 0.004, 0.005,
    0.006, 0.008, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1.0, 3.0, 10.0,
];
