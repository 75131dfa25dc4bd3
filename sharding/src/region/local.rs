//! The entities of a shard that lives here.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use antiphon_persistence::entity::{EntityHandle, EventSourced, PeerHas, TellError};
use antiphon_persistence::event::StoredEvent;
use antiphon_persistence::identity::{PersistenceId, ReplicaId, ReplicationId};
use antiphon_persistence::reply::{ReplyError, refuse};
use antiphon_persistence::store::Change;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::room::Share;
use super::route;
use super::shared::{Envelope, Message, Region, Slot};
use crate::ShardingSettings;
use crate::replication::{Follower, FollowerParts, LoopSettings};
use crate::shard::{Effect, Input, Lifecycle, LifecycleSettings};

/// The entities of a shard that lives here. Dropping it kills them.
pub(super) struct LocalShard<E: EventSourced> {
    pub(super) lifecycle: Lifecycle<Message<E::Command>>,
    pub(super) handles: BTreeMap<Arc<str>, EntityHandle<E>>,
    pub(super) followers: Vec<Follower>,
    share: Share,
    /// Entities that have started, and when to look whether they have any event.
    young: VecDeque<(Instant, Arc<str>)>,
}

fn first_wait(settings: &ShardingSettings) -> Duration {
    settings.loop_wake_interval.min(settings.loop_interval)
}

impl<E: EventSourced> Drop for LocalShard<E> {
    fn drop(&mut self) {
        for handle in self.handles.values() {
            handle.kill();
        }
    }
}

impl<E: EventSourced> Region<E>
where
    E::Command: Serialize + DeserializeOwned,
{
    pub(super) fn start_shard(&self, index: usize) -> LocalShard<E> {
        let shard = self.shard(index);
        tracing::debug!(entity_type = %self.parts.entity_type, %shard, "shard starts");
        let settings = &self.parts.settings;
        let lifecycle = Lifecycle::new(LifecycleSettings {
            buffer_max: settings.entity_buffer_max,
            passivate_after: settings.passivate_after,
            entities_max: settings.shard_entities_max,
        });
        self.shard_began(&shard);
        let peers = self.parts.replicas.iter().filter(|replica| **replica != shard.replica);
        let followers = peers.map(|peer| self.follow(index, peer)).collect();
        LocalShard {
            lifecycle,
            handles: BTreeMap::new(),
            followers,
            share: self.room.share(),
            young: VecDeque::new(),
        }
    }

    fn follow(&self, index: usize, peer: &ReplicaId) -> Follower {
        let (shard, settings, node) = (self.shard(index), &self.parts.settings, &self.parts.node);
        let region = self.this.clone();
        let share = f64::from(shard.number) / f64::from(self.shard_count);
        let stores = self.stores_of(peer);
        Follower::start(FollowerParts {
            entity_type: self.parts.entity_type.clone(),
            peer: peer.clone(),
            slices: shard.slices(self.shard_count),
            change_count_max: settings.loop_changes_max,
            reader: format!("{}/{shard}", self.parts.entity_type).into(),
            feed: stores.read_journal,
            offsets: node.stores().offsets.clone(),
            clock: node.clock().clone(),
            settings: LoopSettings {
                interval: settings.loop_interval,
                interval_max: settings.loop_interval_max,
                retell: settings.loop_retell,
                wake_interval: settings.loop_wake_interval,
                // at once, since events may have found no home until now; the shards that begin together are spread
                first_wait: first_wait(settings).mul_f64(share),
            },
            failing: std::sync::atomic::AtomicBool::new(false),
            tell: Box::new(move |peer, change| {
                if let Some(region) = region.upgrade() {
                    region.tell_news(index, peer, change);
                }
            }),
            reads: self.metrics.loop_reads.clone(),
        })
    }

    fn tell_news(&self, index: usize, peer: &ReplicaId, change: Change) {
        let Ok(id) = ReplicationId::parse(change.persistence_id.as_str()) else { return };
        let news = PeerHas { replica: peer.clone(), highest: change.highest, seen: change.seen };
        let mut slot = self.slot(index);
        self.deliver_here(index, &mut slot, id.entity_id().clone(), Message::News(news));
    }

    /// Events of another replica, by direct replication.
    pub(crate) fn replicated(
        &self,
        replica: &ReplicaId,
        entity: Arc<str>,
        events: Vec<StoredEvent>,
    ) {
        let outcome = match self.index(replica, &entity) {
            _ if !self.parts.settings.direct_replication => "switched_off",
            _ if !self.may_be_replicated(replica, &entity, &events) => "malformed",
            None => "unknown_replica",
            Some(index) => {
                let mut slot = self.slot(index);
                if slot.route.is_here() {
                    self.deliver_here(index, &mut slot, entity, Message::Replicated(events));
                    "taken"
                } else {
                    "not_here"
                }
            }
        };
        self.metrics.direct.with_label_values(&[&self.parts.entity_type, outcome]).inc();
    }

    /// Whether these events can be what another node says: of an entity that may exist, from other replicas of the type.
    fn may_be_replicated(&self, replica: &ReplicaId, entity: &str, events: &[StoredEvent]) -> bool {
        let is_known = |event: &StoredEvent| {
            let origin = &event.meta.origin;
            origin != replica && self.replica_index(origin).is_some() && event.meta.origin_nr() > 0
        };
        ReplicationId::new(&self.parts.entity_type, entity, replica.clone()).is_ok()
            && !events.is_empty()
            && events.iter().all(is_known)
    }

    /// Hands a message to an entity of a shard that is here; if it is not any more, commands are refused and the rest comes again.
    pub(super) fn deliver_here(
        &self,
        index: usize,
        slot: &mut Slot<E>,
        entity: Arc<str>,
        message: Message<E::Command>,
    ) {
        let is_use = matches!(message, Message::Command(_));
        self.step_shard(index, slot, Input::Deliver { entity, message, is_use });
    }

    pub(super) fn step_shard(
        &self,
        index: usize,
        slot: &mut Slot<E>,
        input: Input<Message<E::Command>>,
    ) {
        let now = self.parts.node.clock().now();
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            let Some(shard) = &mut slot.shard else {
                self.refuse_input(input);
                continue;
            };
            let mut drained = false;
            let pressure = shard.share.pressure(self.parts.settings.entities_max);
            shard.lifecycle.set_pressure(pressure);
            let effects = shard.lifecycle.step(now, input);
            shard.share.set(shard.lifecycle.entity_count());
            for effect in effects {
                match effect {
                    Effect::Start(entity) => self.start_entity(index, shard, entity),
                    Effect::Forward(entity, message) => {
                        inputs.extend(self.forward(shard, entity, message));
                    }
                    Effect::Stop(entity) => {
                        if let Some(handle) = shard.handles.get(&entity) {
                            handle.stop();
                        }
                    }
                    Effect::Refuse(message) => self.refuse_message(message),
                    Effect::RefuseFull(message) => self.refuse_full(message),
                    Effect::Drained => drained = true,
                }
            }
            if drained {
                self.shard_drained(index);
            }
        }
    }

    /// The route hears of it from a task, since its lock is held here.
    fn shard_drained(&self, index: usize) {
        let Some(region) = self.this.upgrade() else { return };
        self.parts.node.spawn("shard drained", async move {
            region.slot(index).shard = None;
            region.route(index, route::Input::Drained);
        });
    }

    pub(super) fn drain_shard(&self, index: usize, slot: &mut Slot<E>) {
        if let Some(shard) = &mut slot.shard {
            // news are told again by the next home
            shard.followers.clear();
        }
        self.step_shard(index, slot, Input::Drain);
    }

    fn start_entity(&self, index: usize, shard: &mut LocalShard<E>, entity: Arc<str>) {
        let replica = self.shard(index).replica;
        let id = ReplicationId::new(&self.parts.entity_type, &entity, replica);
        let entities = self.entities.get().expect("a node that hosts shards has entities");
        match id.and_then(|id| entities.spawn(id)) {
            Ok(handle) => {
                let after = self.parts.settings.passivate_empty_after;
                if !after.is_zero() {
                    let due = self.parts.node.clock().now() + after;
                    shard.young.push_back((due, entity.clone()));
                }
                drop(shard.handles.insert(entity, handle));
            }
            Err(error) => tracing::error!(%entity, %error, "entity cannot start"),
        }
    }

    fn forward(
        &self,
        shard: &LocalShard<E>,
        entity: Arc<str>,
        message: Message<E::Command>,
    ) -> Option<Input<Message<E::Command>>> {
        let Some(handle) = shard.handles.get(&entity) else {
            self.refuse_message(message);
            return None;
        };
        match message {
            Message::Replicated(events) => handle.replicated(events),
            Message::News(news) => handle.peer_has(news),
            Message::Command(envelope) => {
                let Envelope { command, hops, entity: _ } = envelope;
                match handle.try_tell(command) {
                    Ok(()) => {}
                    Err(TellError::Full(command)) => self.refuse_mailbox(command),
                    Err(TellError::Stopped(command)) => {
                        let envelope = Envelope { entity: entity.clone(), command, hops };
                        return Some(Input::Returned(entity, Message::Command(envelope)));
                    }
                }
            }
        }
        None
    }

    fn refuse_input(&self, input: Input<Message<E::Command>>) {
        match input {
            Input::Deliver { message, .. } | Input::Returned(_, message) => {
                self.refuse_message(message);
            }
            Input::Passivate(_) | Input::Stopped(_) | Input::Tick | Input::Drain => {}
        }
    }

    fn refuse_message(&self, message: Message<E::Command>) {
        if let Message::Command(envelope) = message {
            self.count("refused_entity");
            let limit = self.parts.settings.entity_buffer_max;
            let why = format!("the entity is stopping: `entity_buffer_max` {limit}");
            refuse(envelope, ReplyError::Overloaded(why));
        }
    }

    fn refuse_full(&self, message: Message<E::Command>) {
        self.count("refused_entities");
        if let Message::Command(envelope) = message {
            let limit = self.parts.settings.entities_max;
            let why = format!("all entities of the node are busy: `entities_max` {limit}");
            refuse(envelope, ReplyError::Overloaded(why));
        }
    }

    /// Lets go of entities that have no event and are not used: somebody only asked for them. Each is looked at when it is due,
    /// so that entities with events cost nothing.
    pub(super) fn passivate_empty(&self, index: usize, slot: &mut Slot<E>) {
        let after = self.parts.settings.passivate_empty_after;
        let now = self.parts.node.clock().now();
        loop {
            let Some(shard) = slot.shard.as_mut() else { return };
            if shard.young.front().is_none_or(|(due, _)| now < *due) {
                return;
            }
            let Some((_, entity)) = shard.young.pop_front() else { return };
            let is_empty = shard.handles.get(&entity).map(EntityHandle::is_empty);
            let used_at = shard.lifecycle.used_at(&entity);
            let is_idle = used_at.is_some_and(|used| now.duration_since(used) >= after);
            match is_empty {
                Some(Some(true)) if is_idle => {
                    self.step_shard(index, slot, Input::Passivate(entity));
                }
                // in use, or not at work yet; one that starts often may be in the queue more than once
                Some(Some(true) | None) if shard.young.len() <= 2 * shard.handles.len() => {
                    shard.young.push_back((now + after, entity));
                }
                Some(_) | None => {}
            }
        }
    }

    pub(super) fn entity_input(&self, id: &ReplicationId, input: Input<Message<E::Command>>) {
        let Some(index) = self.index(id.replica_id(), id.entity_id()) else { return };
        let mut slot = self.slot(index);
        self.step_shard(index, &mut slot, input);
    }

    pub(super) fn entity_stopped(&self, id: &ReplicationId) {
        let Some(index) = self.index(id.replica_id(), id.entity_id()) else { return };
        let mut slot = self.slot(index);
        if let Some(shard) = &mut slot.shard {
            shard.handles.remove(id.entity_id());
        }
        self.step_shard(index, &mut slot, Input::Stopped(id.entity_id().clone()));
    }

    pub(super) fn entity_caught_up(
        &self,
        id: &ReplicationId,
        peer: &ReplicaId,
        highest: antiphon_persistence::event::SequenceNr,
    ) {
        let Some(index) = self.index(id.replica_id(), id.entity_id()) else { return };
        let slot = self.slot(index);
        let Some(shard) = &slot.shard else { return };
        let of_peer: PersistenceId = id.with_replica(peer.clone()).persistence_id();
        if let Some(follower) = shard.followers.iter().find(|follower| follower.peer == *peer) {
            follower.caught_up(of_peer, highest);
        }
    }
}
