//! Routes commands to the homes of their shards, and carries out the effects of the routes.
//!
//! Senders step the route of their shard themselves, under its lock, so that local delivery costs
//! no hop and the order of one sender is kept (`docs/design/0002-delivery-path.md`).

use std::sync::{Arc, Weak};

use antiphon_persistence::entity::{EventSourced, PeerHas};
use antiphon_persistence::event::SequenceNr;
use antiphon_persistence::identity::{ReplicaId, ReplicationId};
use antiphon_persistence::reply::{Claim, ReplyError, refuse_claimed};
use antiphon_persistence::store::Change;
use antiphon_runtime::NodeId;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::envelope::{CommandTaker, Envelope, Message};
use super::following::Following;
use super::hosting::{Hosting, Stepped};
use super::local_shard::Handed;
use super::outgoing::Outgoing;
use super::parts::RegionParts;
use super::relay_search::RelaySearch;
use super::route::{Backlog, Effect, Input, Reach};
use super::slot::{Later, Slot, SlotGuard, Slots};
use super::ways::Ways;
use crate::coordinator::MoveId;
use crate::shard;
use crate::wire::{SHARDING, Wire};

/// Routes commands, and runs the shards that live here.
pub(crate) struct Routing<E: EventSourced> {
    this: Weak<Self>,
    parts: Arc<RegionParts>,
    relays: Arc<RelaySearch>,
    slots: Arc<Slots<E>>,
    hosting: Hosting<E>,
    following: Following,
    ways: Arc<Ways<E>>,
}

impl<E: EventSourced> CommandTaker<E::Command> for Routing<E>
where
    E::Command: Serialize + DeserializeOwned,
{
    fn deliver(&self, replica: &ReplicaId, envelope: Envelope<E::Command>) {
        let Some(index) = self.parts.layout.index(replica, &envelope.entity) else {
            let why = format!("replica `{replica}` of `{}`", self.parts.layout.entity_type());
            return refuse_claimed(envelope.command, &envelope.claim, ReplyError::NotHere(why));
        };
        self.deliver_to(index, envelope);
    }
}

impl<E: EventSourced> Routing<E>
where
    E::Command: Serialize + DeserializeOwned,
{
    pub(super) fn new(
        parts: Arc<RegionParts>,
        relays: Arc<RelaySearch>,
        following: Following,
    ) -> Arc<Self> {
        Arc::new_cyclic(|this: &Weak<Self>| {
            let outgoing = Outgoing::new(parts.clone(), relays.clone(), this.clone());
            let slots = Slots::new(parts.clone(), outgoing);
            Self {
                this: this.clone(),
                relays,
                hosting: Hosting::new(parts.clone()),
                following,
                ways: Arc::new(Ways::new(parts.clone(), slots.clone())),
                slots,
                parts,
            }
        })
    }

    pub(super) fn slots(&self) -> &Arc<Slots<E>> {
        &self.slots
    }

    pub(super) fn ways(&self) -> &Arc<Ways<E>> {
        &self.ways
    }

    pub(super) fn hosting(&self) -> &Hosting<E> {
        &self.hosting
    }

    /// Takes a command for a shard. Its asker gets an answer in every case.
    pub(super) fn deliver_to(&self, index: usize, envelope: Envelope<E::Command>) {
        self.deliver_in(self.parts.now(), index, self.slots.lock(index), envelope);
    }

    /// Takes a command of the caller at the time `now`; the caller does the work that was put aside
    /// for the shard. Most commands are for an active entity of a shard that lives here: they take
    /// the shortest way, which starts no task.
    pub(crate) fn send_to(
        &self,
        now: Instant,
        (index, entity): (usize, &Arc<str>),
        command: E::Command,
        claim: Claim,
    ) {
        let mut slot = self.slots.lock(index).work_here();
        let (command, claim) = match slot.offer(now, entity, command, claim) {
            Ok(()) => return,
            Err(left) => left,
        };
        // the thread may have no runtime, or one of the application's that ends early: the tasks
        // that start here are the node's
        let _entered = self.parts.node.runtime().enter();
        let envelope = Envelope { entity: entity.clone(), command, hops: 0, claim };
        self.deliver_in(now, index, slot, envelope);
    }

    fn deliver_in(
        &self,
        now: Instant,
        index: usize,
        mut slot: SlotGuard<'_, E>,
        envelope: Envelope<E::Command>,
    ) {
        let is_crowded = slot.is_crowded(self.parts.settings.shard_buffer_max);
        let backlog = if is_crowded { Backlog::High } else { Backlog::Low };
        let effect = slot.route.send(now, envelope, backlog, |home| self.reach(home));
        let refused = match effect {
            Some(Effect::Local(envelope)) => match hand_over(now, &mut slot, envelope) {
                Handed::Over => return,
                Handed::Back(envelope) => {
                    let entity = envelope.entity.clone();
                    return self.deliver_here(index, &mut slot, entity, Message::Command(envelope));
                }
                Handed::Full(command, claim) => {
                    return slot.refuse(command, claim, self.hosting.mailbox_full());
                }
            },
            Some(Effect::LocalIfActive(envelope)) => match hand_over(now, &mut slot, envelope) {
                Handed::Over => return,
                Handed::Back(envelope) => (envelope.command, envelope.claim, self.full(index)),
                Handed::Full(command, claim) => (command, claim, self.hosting.mailbox_full()),
            },
            Some(Effect::RefuseFull(envelope)) if is_crowded => {
                (envelope.command, envelope.claim, self.full(index))
            }
            Some(effect) => return self.run(index, &mut slot, effect),
            None => return,
        };
        // the sender drops its command itself, and sends more slowly
        drop(slot);
        let (command, claim, reason) = refused;
        refuse_claimed(command, &claim, reason);
    }

    /// Adds the reason why a shard of the replica has no home, if no member can host it.
    fn with_reason(&self, why: String, replica: &ReplicaId) -> String {
        match self.parts.lacks_nodes(replica) {
            Some(reason) => format!("{why}: {reason}"),
            None => why,
        }
    }

    fn full(&self, index: usize) -> ReplyError {
        self.parts.metrics.count("refused_full");
        let limit = self.parts.settings.shard_buffer_max;
        let shard = self.parts.layout.shard(index);
        ReplyError::Overloaded(format!("shard {shard}: `shard_buffer_max` {limit}"))
    }

    fn reach(&self, home: &NodeId) -> Reach {
        if self.relays.reaches(home) { Reach::Reached } else { Reach::Unreached }
    }

    /// Steps the route of a shard.
    pub(super) fn route(&self, index: usize, input: Input) {
        self.route_in(index, &mut self.slots.lock(index), input);
    }

    pub(super) fn route_in(&self, index: usize, slot: &mut Slot<E>, input: Input) {
        for effect in slot.route.step(self.parts.now(), input) {
            self.run(index, slot, effect);
        }
    }

    pub(super) fn tick_route(&self, index: usize) {
        self.tick_route_in(index, &mut self.slots.lock(index));
    }

    /// Refuses the commands whose askers have given up, and ticks the route.
    pub(super) fn tick_route_in(&self, index: usize, slot: &mut Slot<E>) {
        let now = self.parts.now();
        for envelope in slot.route.take_where(|envelope| envelope.claim.is_over(now)) {
            self.parts.metrics.count("expired");
            let shard = self.parts.layout.shard(index);
            let why = format!("shard {shard} had no home that could be reached in time");
            let why = self.with_reason(why, &shard.replica);
            slot.refuse(envelope.command, envelope.claim, ReplyError::Expired(why));
        }
        let reach = slot.route.remote().map_or(Reach::Unreached, |home| self.reach(home));
        self.route_in(index, slot, Input::Tick(reach));
    }

    fn run(&self, index: usize, slot: &mut Slot<E>, effect: Effect<Envelope<E::Command>>) {
        match effect {
            Effect::Local(envelope) | Effect::LocalIfActive(envelope) => {
                let entity = envelope.entity.clone();
                self.deliver_here(index, slot, entity, Message::Command(envelope));
            }
            Effect::Remote(node, envelope) => slot.later(Later::Send(node, envelope)),
            Effect::RefuseFull(envelope) => {
                slot.refuse(envelope.command, envelope.claim, self.full(index));
            }
            Effect::RefuseNotHere(envelope) => {
                self.parts.metrics.count("refused_not_here");
                let shard = self.parts.layout.shard(index);
                let why = format!("shard {shard} has no home that can be reached");
                let why = self.with_reason(why, &shard.replica);
                slot.refuse(envelope.command, envelope.claim, ReplyError::NotHere(why));
            }
            Effect::Start => self.start_shard(index, slot),
            Effect::Drain => {
                let stepped = self.hosting.drain(index, slot);
                self.note(index, slot, stepped);
            }
            Effect::Kill => slot.end_shard(),
            // an append of a killed entity may still be stored; the report is repeated at each tick
            Effect::ReportStopped(_) if slot.writes.count() > 0 => {}
            Effect::ReportStopped(id) => self.report_stopped(index, id),
        }
    }

    fn start_shard(&self, index: usize, slot: &mut Slot<E>) {
        let shard = self.parts.layout.shard(index);
        self.ways.shard_began(&shard);
        let start = |other: &ReplicaId| {
            let this = self.this.clone();
            let tell = Box::new(move |other: &ReplicaId, change: Change, read_to: SequenceNr| {
                if let Some(routing) = this.upgrade() {
                    routing.tell_news(index, other, change, read_to);
                }
            });
            self.following.start(index, other, tell)
        };
        let loops = self.parts.layout.others(&shard.replica).map(start).collect();
        self.hosting.start_shard(index, slot, loops);
    }

    fn tell_news(&self, index: usize, other: &ReplicaId, change: Change, read_to: SequenceNr) {
        let Ok(id) = ReplicationId::parse(change.persistence_id.as_str()) else { return };
        let news = PeerHas::new(other.clone(), change, read_to);
        let mut slot = self.slots.lock(index);
        self.deliver_here(index, &mut slot, id.entity_id().clone(), Message::News(news));
    }

    /// Hands a message to an entity of a shard that is here ([`Hosting::deliver`]).
    pub(super) fn deliver_here(
        &self,
        index: usize,
        slot: &mut Slot<E>,
        entity: Arc<str>,
        message: Message<E::Command>,
    ) {
        let stepped = self.hosting.deliver(index, slot, entity, message);
        self.note(index, slot, stepped);
    }

    /// Advances the lifecycle of a shard by one input.
    pub(super) fn step_shard(
        &self,
        index: usize,
        slot: &mut Slot<E>,
        input: shard::Input<Message<E::Command>>,
    ) {
        let stepped = self.hosting.step(index, slot, input);
        self.note(index, slot, stepped);
    }

    /// Passivates entities that have no event and are not used.
    pub(super) fn passivate_empty(&self, index: usize, slot: &mut Slot<E>) {
        let after = self.parts.settings.passivate_empty_after;
        loop {
            let shard = slot.shard.as_mut();
            let empty = shard.and_then(|shard| shard.next_empty(self.parts.now(), after));
            let Some(entity) = empty else { return };
            self.step_shard(index, slot, shard::Input::Passivate(entity));
        }
    }

    /// Notes that an entity has stopped. `failed` is the reason why the entity cannot go on.
    pub(super) fn entity_stopped(&self, id: &ReplicationId, failed: Option<String>) {
        let entity = id.entity_id().clone();
        let Some(index) = self.parts.layout.index(id.replica_id(), &entity) else { return };
        let mut slot = self.slots.lock(index);
        let is_gone = slot.shard.as_mut().is_some_and(|shard| shard.remove_gone(&entity));
        if is_gone {
            let input = match failed {
                Some(why) => shard::Input::Failed(entity, why.into()),
                None => shard::Input::Stopped(entity),
            };
            self.step_shard(index, &mut slot, input);
        }
    }

    /// Reports a shard that has drained to its route. A task does that, since the caller holds the
    /// lock of the route. The task first waits until no append of a killed entity is under way: the
    /// next home would not see the events that such an append stores.
    fn note(&self, index: usize, slot: &Slot<E>, stepped: Stepped) {
        let (Stepped::Drained, Some(routing)) = (stepped, self.this.upgrade()) else { return };
        let writes = slot.writes.clone();
        self.parts.node.spawn("shard drained", async move {
            writes.none().await;
            let mut slot = routing.slots.lock(index);
            if slot.route.is_hosting() && !slot.route.is_here() {
                slot.end_shard();
                routing.route_in(index, &mut slot, Input::Drained);
            }
        });
    }

    fn report_stopped(&self, index: usize, id: MoveId) {
        let shard = self.parts.layout.shard(index);
        let leases = self.parts.node.coordinator_lease().borrow().clone();
        let Some(holder) = leases.holder_of(self.parts.layout.place_of(&shard.replica)) else {
            return;
        };
        let entity_type = self.parts.layout.entity_type().clone();
        let message = Wire::ShardStopped { entity_type, shard, id };
        // repeated at the next tick, until the coordinator has taken it
        let _ = self.parts.node.gate().tell(holder, SHARDING, message.encode());
    }

    /// The home of an entity's shard as this node knows it: this node, or another node that may be
    /// out of reach. `None` while the shard has no home, moves, or drains here.
    pub(crate) fn home_of(&self, replica: &ReplicaId, entity: &str) -> Option<NodeId> {
        let slot = self.slots.lock(self.parts.layout.index(replica, entity)?);
        if slot.route.is_here() {
            return Some(self.parts.node.id().clone());
        }
        slot.route.remote().cloned()
    }

    /// Returns whether commands for the entity can go to its home now, directly or through a relay.
    pub(crate) fn reaches(&self, replica: &ReplicaId, entity: &str) -> bool {
        self.home_of(replica, entity).is_some_and(|home| self.relays.reaches(&home))
    }
}

/// Hands a command to an active entity. A command for another entity comes back.
fn hand_over<E: EventSourced>(
    now: Instant,
    slot: &mut Slot<E>,
    envelope: Envelope<E::Command>,
) -> Handed<E::Command> {
    match &mut slot.shard {
        Some(shard) => shard.hand_over(now, envelope),
        None => Handed::Back(envelope),
    }
}
