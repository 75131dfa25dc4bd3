//! The entities of a shard that lives here.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use antiphon_base::text::foreign;
use antiphon_persistence::entity::{EntityHandle, EventSourced, TellError, Writes};
use antiphon_persistence::identity::ReplicationId;
use antiphon_persistence::reply::{ReplyError, refuse_claimed};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::following::read_journals;
use super::room::Share;
use super::route;
use super::shared::{Envelope, Message, Region};
use super::slot::Slot;
use crate::replication::Follower;
use crate::shard::{Effect, Input, Lifecycle, LifecycleSettings};

/// The entities of a shard that lives here. Dropping it kills them.
pub(super) struct LocalShard<E: EventSourced> {
    pub(super) lifecycle: Lifecycle<Message<E::Command>>,
    pub(super) handles: BTreeMap<Arc<str>, EntityHandle<E>>,
    pub(super) followers: Vec<Follower>,
    share: Share,
    /// The appends of the entities that are under way, including appends of killed entities.
    writes: Arc<Writes>,
    /// Entities that have started, with the time at which to check whether they have an event.
    young: VecDeque<(Instant, Arc<str>)>,
}

impl<E: EventSourced> LocalShard<E> {
    /// Kills the entities. None of their code runs here.
    pub(super) fn kill(&self) {
        for handle in self.handles.values() {
            handle.kill();
        }
    }

    /// Drops the shard, and refuses the commands that wait for a stopping entity.
    pub(super) fn end(mut self: Box<Self>) {
        for message in self.lifecycle.take_kept() {
            if let Message::Command(envelope) = message {
                let why = "the shard does not live here any more".to_owned();
                refuse_claimed(envelope.command, &envelope.claim, ReplyError::NotHere(why));
            }
        }
    }
}

impl<E: EventSourced> Drop for LocalShard<E> {
    fn drop(&mut self) {
        self.kill();
    }
}

impl<E: EventSourced> Region<E>
where
    E::Command: Serialize + DeserializeOwned,
{
    pub(super) fn start_shard(&self, index: usize, writes: Arc<Writes>) -> LocalShard<E> {
        let shard = self.shard(index);
        tracing::debug!(entity_type = %self.parts.entity_type, %shard, "shard starts");
        let settings = &self.parts.settings;
        let lifecycle = Lifecycle::new(LifecycleSettings {
            buffer_max: settings.entity_buffer_max,
            stop_timeout: settings.stop_timeout,
            restart_min: settings.entity.restart_min,
            restart_max: settings.entity.restart_max,
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
            writes,
            young: VecDeque::new(),
        }
    }

    /// Hands a message to an entity of a shard that is here. If the shard has left, commands are
    /// refused, and all else comes again.
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
                self.refuse_input(slot, input);
                continue;
            };
            let mut drained = false;
            let pressure = shard.share.pressure(self.parts.settings.entities_max);
            shard.lifecycle.set_pressure(pressure);
            let effects = shard.lifecycle.step(now, input);
            shard.share.set(shard.lifecycle.entity_count());
            for effect in effects {
                let Some(shard) = &mut slot.shard else { break };
                match effect {
                    Effect::Start(entity) => {
                        if !self.start_entity(index, shard, &entity) {
                            inputs.push(Input::Stopped(entity));
                        }
                    }
                    Effect::Forward(entity, message) => {
                        inputs.extend(self.forward(slot, entity, message));
                    }
                    Effect::Stop(entity) => {
                        if let Some(handle) = shard.handles.get(&entity) {
                            handle.stop();
                        }
                    }
                    Effect::Kill(entity) => self.kill_entity(index, shard, &entity),
                    Effect::Refuse(message) => self.refuse_message(slot, message),
                    Effect::RefuseFull(message) => self.refuse_full(slot, message),
                    Effect::RefuseFailed(message, why) => {
                        self.count("refused_failed");
                        refuse_with(slot, message, ReplyError::Unavailable(why.to_string()));
                    }
                    Effect::Drained => drained = true,
                }
            }
            if drained {
                self.shard_drained(index, slot.writes.clone());
            }
        }
    }

    /// Reports the drained shard to its route. A task does that, since the caller holds the lock of
    /// the route. The task first waits until no append of a killed entity is under way: the next
    /// home would not see the events that such an append stores.
    fn shard_drained(&self, index: usize, writes: Arc<Writes>) {
        let Some(region) = self.this.upgrade() else { return };
        self.parts.node.spawn("shard drained", async move {
            writes.none().await;
            let mut slot = region.slot(index);
            if slot.route.is_hosting() && !slot.route.is_here() {
                slot.end_shard();
                region.route_in(index, &mut slot, route::Input::Drained);
            }
        });
    }

    pub(super) fn drain_shard(&self, index: usize, slot: &mut Slot<E>) {
        if let Some(shard) = &mut slot.shard {
            // the next home tells the news again
            shard.followers.clear();
        }
        self.step_shard(index, slot, Input::Drain);
    }

    /// Returns whether the entity was started. The application's factory is called in the entity's
    /// own task.
    fn start_entity(&self, index: usize, shard: &mut LocalShard<E>, entity: &Arc<str>) -> bool {
        let replica = self.shard(index).replica;
        let id = ReplicationId::new(&self.parts.entity_type, entity, replica);
        let entities = self.entities.get().expect("a node that hosts shards has entities");
        match id.and_then(|id| entities.spawn_in(id, shard.writes.clone())) {
            Ok(handle) => {
                let after = self.parts.settings.passivate_empty_after;
                if !after.is_zero() {
                    let due = self.parts.node.clock().now() + after;
                    shard.young.push_back((due, entity.clone()));
                }
                shard.handles.insert(entity.clone(), handle);
                true
            }
            Err(error) => {
                tracing::error!(entity = %foreign(entity), %error, "entity cannot start");
                false
            }
        }
    }

    fn kill_entity(&self, index: usize, shard: &LocalShard<E>, entity: &str) {
        self.count("killed");
        let (shard_id, limit) = (self.shard(index), self.parts.settings.stop_timeout);
        tracing::error!(entity_type = %self.parts.entity_type, entity = %foreign(entity), shard = %shard_id, ?limit, "an entity has not stopped within `stop_timeout` and is killed");
        if let Some(handle) = shard.handles.get(entity) {
            handle.kill();
        }
    }

    fn forward(
        &self,
        slot: &mut Slot<E>,
        entity: Arc<str>,
        message: Message<E::Command>,
    ) -> Option<Input<Message<E::Command>>> {
        let handle = slot.shard.as_ref().and_then(|shard| shard.handles.get(&entity));
        let Some(handle) = handle else {
            self.count("refused_start");
            let why = "the entity cannot start here".to_owned();
            refuse_with(slot, message, ReplyError::NotHere(why));
            return None;
        };
        match message {
            Message::Replicated(events) => {
                if !handle.replicated(events) {
                    read_journals(slot);
                }
            }
            Message::News(news) => handle.peer_has(news),
            Message::Command(envelope) => {
                let Envelope { command, hops, claim, entity: _ } = envelope;
                match handle.try_claimed(command, claim.clone()) {
                    Ok(()) => {}
                    Err(TellError::Full(command)) => self.refuse_mailbox(slot, command, claim),
                    Err(TellError::Stopped(command)) => {
                        let envelope = Envelope { entity: entity.clone(), command, hops, claim };
                        return Some(Input::Returned(entity, Message::Command(envelope)));
                    }
                }
            }
        }
        None
    }

    fn refuse_input(&self, slot: &mut Slot<E>, input: Input<Message<E::Command>>) {
        match input {
            Input::Deliver { message, .. } | Input::Returned(_, message) => {
                self.refuse_message(slot, message);
            }
            Input::Passivate(_)
            | Input::Stopped(_)
            | Input::Failed(..)
            | Input::Tick
            | Input::Drain => {}
        }
    }

    fn refuse_message(&self, slot: &mut Slot<E>, message: Message<E::Command>) {
        self.count("refused_entity");
        let limit = self.parts.settings.entity_buffer_max;
        let why = format!("the entity is stopping: `entity_buffer_max` {limit}");
        refuse_with(slot, message, ReplyError::Overloaded(why));
    }

    fn refuse_full(&self, slot: &mut Slot<E>, message: Message<E::Command>) {
        self.count("refused_entities");
        let limit = self.parts.settings.entities_max;
        let why = format!("all entities of the node are busy: `entities_max` {limit}");
        refuse_with(slot, message, ReplyError::Overloaded(why));
    }

    /// Passivates entities that have no event and are not used. Each entity is checked when it is
    /// due, so that entities with events cost nothing.
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
                // in use, or still recovering; an entity that starts often may be in the queue more
                // than once
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

    /// Notes that an entity has stopped. `failed` is the reason why the entity cannot go on.
    pub(super) fn entity_stopped(&self, id: &ReplicationId, failed: Option<String>) {
        let Some(index) = self.index(id.replica_id(), id.entity_id()) else { return };
        let mut slot = self.slot(index);
        let Some(shard) = &mut slot.shard else { return };
        // the shard may have left and come back meanwhile, with another entity of that id
        if !shard.handles.get(id.entity_id()).is_some_and(EntityHandle::is_gone) {
            return;
        }
        shard.handles.remove(id.entity_id());
        let entity = id.entity_id().clone();
        let input = match failed {
            Some(why) => Input::Failed(entity, why.into()),
            None => Input::Stopped(entity),
        };
        self.step_shard(index, &mut slot, input);
    }
}

/// Refuses a message. Only commands have an asker; events and news come again.
fn refuse_with<E: EventSourced>(
    slot: &mut Slot<E>,
    message: Message<E::Command>,
    reason: ReplyError,
) {
    match message {
        Message::Command(envelope) => slot.refuse(envelope.command, envelope.claim, reason),
        Message::Replicated(_) => read_journals(slot),
        Message::News(_) => {}
    }
}
