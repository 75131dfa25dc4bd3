//! The entities of the shards that live here: starts them, hands them their messages, and carries
//! out the effects of each shard's lifecycle.

use std::sync::{Arc, OnceLock};

use antiphon_base::text::foreign;
use antiphon_persistence::entity::{EntityRuntime, EventSourced, TellError};
use antiphon_persistence::identity::ReplicationId;
use antiphon_persistence::reply::ReplyError;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::envelope::{Envelope, Message};
use super::local_shard::LocalShard;
use super::parts::RegionParts;
use super::room::Room;
use super::slot::Slot;
use crate::replication::RunningLoop;
use crate::shard::{Effect, Input, Lifecycle, LifecycleSettings, Use};

/// The outcome of a step of a shard's lifecycle.
#[must_use = "a shard that has drained is reported to its route"]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stepped {
    Goes,
    /// All entities of a shard that drains have stopped.
    Drained,
}

/// Runs the entities of the shards that live here.
pub(super) struct Hosting<E: EventSourced> {
    parts: Arc<RegionParts>,
    entities: OnceLock<EntityRuntime<E>>,
    room: Arc<Room>,
}

impl<E: EventSourced> Hosting<E>
where
    E::Command: Serialize + DeserializeOwned,
{
    pub(super) fn new(parts: Arc<RegionParts>) -> Self {
        let room = Room::of(&parts.node);
        Self { parts, entities: OnceLock::new(), room }
    }

    /// Sets the runtime of the entities of this node. Without one, this node has proxies only.
    pub(super) fn set_entities(&self, entities: EntityRuntime<E>) {
        assert!(self.entities.set(entities).is_ok(), "entities are set once");
    }

    /// The runtime of the entities; `None` at a node that has proxies only.
    pub(super) fn entities(&self) -> Option<&EntityRuntime<E>> {
        self.entities.get()
    }

    /// Begins to host the shard of a slot, which has these journal loops.
    pub(super) fn start_shard(&self, index: usize, slot: &mut Slot<E>, loops: Vec<RunningLoop>) {
        assert!(slot.shard.is_none(), "a shard that starts here has ended here before");
        let shard = self.parts.layout.shard(index);
        let entity_type = self.parts.layout.entity_type();
        tracing::debug!(%entity_type, %shard, "shard starts");
        let settings = &self.parts.settings;
        let lifecycle = Lifecycle::new(LifecycleSettings {
            entity_buffer_max: settings.entity_buffer_max,
            stop_timeout: settings.stop_timeout,
            restart_min: settings.entity.restart_min,
            restart_max: settings.entity.restart_max,
            passivate_after: settings.passivate_after,
            shard_entities_max: settings.shard_entities_max,
        });
        let (share, writes) = (self.room.share(), slot.writes.clone());
        slot.shard = Some(LocalShard::new(lifecycle, loops, share, writes));
    }

    /// Hands a message to an entity of a shard that is here. If the shard has left, commands are
    /// refused, and all else comes again.
    pub(super) fn deliver(
        &self,
        index: usize,
        slot: &mut Slot<E>,
        entity: Arc<str>,
        message: Message<E::Command>,
    ) -> Stepped {
        let by = match message {
            Message::Command(_) | Message::Reminder(_) => Use::Command,
            Message::Replicated(_) | Message::News(_) => Use::Replication,
        };
        self.step(index, slot, Input::Deliver { entity, message, by })
    }

    /// Advances the lifecycle of a shard by one input.
    pub(super) fn step(
        &self,
        index: usize,
        slot: &mut Slot<E>,
        input: Input<Message<E::Command>>,
    ) -> Stepped {
        let now = self.parts.now();
        let (mut inputs, mut stepped) = (vec![input], Stepped::Goes);
        while let Some(input) = inputs.pop() {
            let Some(shard) = &mut slot.shard else {
                self.refuse_input(slot, input);
                continue;
            };
            let pressure = shard.share.pressure(self.parts.settings.entities_max);
            shard.lifecycle.set_pressure(pressure);
            let effects = shard.lifecycle.step(now, input);
            shard.share.set(shard.lifecycle.entity_count());
            for effect in effects {
                if matches!(effect, Effect::Drained) {
                    stepped = Stepped::Drained;
                } else {
                    inputs.extend(self.run(index, slot, effect));
                }
            }
        }
        stepped
    }

    /// Carries out an effect. Returns the input that follows from it at once.
    fn run(
        &self,
        index: usize,
        slot: &mut Slot<E>,
        effect: Effect<Message<E::Command>>,
    ) -> Option<Input<Message<E::Command>>> {
        let shard = slot.shard.as_mut()?;
        match effect {
            Effect::Start(entity) => {
                if !self.start_entity(index, shard, &entity) {
                    return Some(Input::Stopped(entity));
                }
            }
            Effect::Forward(entity, message) => return self.forward(slot, entity, message),
            Effect::Stop(entity) => {
                if let Some(handle) = shard.handle(&entity) {
                    handle.stop();
                }
            }
            Effect::Kill(entity) => self.kill_entity(index, shard, &entity),
            Effect::Refuse(message) => self.refuse_stopping(slot, message),
            Effect::RefuseFull(message) => {
                let limit = self.parts.settings.entities_max;
                let why = format!("all entities of the node are busy: `entities_max` {limit}");
                self.refuse(slot, "refused_entities", message, ReplyError::Overloaded(why));
            }
            Effect::RefuseFailed(message, why) => {
                let reason = ReplyError::Unavailable(why.to_string());
                self.refuse(slot, "refused_failed", message, reason);
            }
            Effect::Drained => {}
        }
        None
    }

    /// Lets the entities of a shard finish and stop.
    pub(super) fn drain(&self, index: usize, slot: &mut Slot<E>) -> Stepped {
        if let Some(shard) = &mut slot.shard {
            // the next home tells the news again
            shard.loops.clear();
        }
        self.step(index, slot, Input::Drain)
    }

    /// Returns whether the entity was started. The application's factory is called in the entity's
    /// own task.
    fn start_entity(&self, index: usize, shard: &mut LocalShard<E>, entity: &Arc<str>) -> bool {
        let replica = self.parts.layout.shard(index).replica;
        let id = ReplicationId::new(self.parts.layout.entity_type(), entity, replica);
        let entities = self.entities.get().expect("a node that hosts shards has entities");
        match id.and_then(|id| entities.spawn_in(id, shard.writes.clone())) {
            Ok(handle) => {
                let empty_after = self.parts.settings.passivate_empty_after;
                shard.add(self.parts.now(), entity, handle, empty_after);
                true
            }
            Err(error) => {
                tracing::error!(entity = %foreign(entity), %error, "entity cannot start");
                false
            }
        }
    }

    fn kill_entity(&self, index: usize, shard: &LocalShard<E>, entity: &str) {
        self.parts.metrics.count("killed");
        let (shard_id, limit) = (self.parts.layout.shard(index), self.parts.settings.stop_timeout);
        let entity_type = self.parts.layout.entity_type();
        tracing::error!(%entity_type, entity = %foreign(entity), shard = %shard_id, ?limit, "an entity has not stopped within `stop_timeout` and is killed");
        if let Some(handle) = shard.handle(entity) {
            handle.kill();
        }
    }

    fn forward(
        &self,
        slot: &mut Slot<E>,
        entity: Arc<str>,
        message: Message<E::Command>,
    ) -> Option<Input<Message<E::Command>>> {
        let handle = slot.shard.as_ref().and_then(|shard| shard.handle(&entity));
        let Some(handle) = handle else {
            let why = "the entity cannot start here".to_owned();
            self.refuse(slot, "refused_start", message, ReplyError::NotHere(why));
            return None;
        };
        match message {
            Message::Replicated(events) => {
                if !handle.replicated(events) {
                    slot.shard.iter().for_each(LocalShard::read_journals);
                }
            }
            Message::News(news) => handle.peer_has(news),
            // a row that is not taken comes again
            Message::Reminder(row) => drop(handle.reminder_due(*row)),
            Message::Command(envelope) => {
                let Envelope { command, hops, claim, entity: _ } = envelope;
                match handle.try_claimed(command, claim.clone()) {
                    Ok(()) => {}
                    Err(TellError::Full(command)) => {
                        slot.refuse(command, claim, self.mailbox_full());
                    }
                    Err(TellError::Stopped(command)) => {
                        let envelope = Envelope { entity: entity.clone(), command, hops, claim };
                        return Some(Input::Returned(entity, Message::Command(envelope)));
                    }
                }
            }
        }
        None
    }

    /// The reason for a command that a full mailbox refuses, which it counts.
    pub(super) fn mailbox_full(&self) -> ReplyError {
        self.parts.metrics.count("refused_mailbox");
        let limit = self.parts.settings.entity.mailbox_max;
        ReplyError::Overloaded(format!("`mailbox_max` {limit}"))
    }

    fn refuse_input(&self, slot: &mut Slot<E>, input: Input<Message<E::Command>>) {
        match input {
            Input::Deliver { message, .. } | Input::Returned(_, message) => {
                self.refuse_stopping(slot, message);
            }
            Input::Passivate(_)
            | Input::Stopped(_)
            | Input::Failed(..)
            | Input::Tick
            | Input::Drain => {}
        }
    }

    fn refuse_stopping(&self, slot: &mut Slot<E>, message: Message<E::Command>) {
        let limit = self.parts.settings.entity_buffer_max;
        let why = format!("the entity is stopping: `entity_buffer_max` {limit}");
        self.refuse(slot, "refused_entity", message, ReplyError::Overloaded(why));
    }

    fn refuse(
        &self,
        slot: &mut Slot<E>,
        outcome: &str,
        message: Message<E::Command>,
        reason: ReplyError,
    ) {
        self.parts.metrics.count(outcome);
        slot.refuse_message(message, reason);
    }
}
