//! The entities and the journal loops of a shard that lives here.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use antiphon_persistence::entity::{EntityHandle, EventSourced, TellError, Writes};
use antiphon_persistence::identity::ReplicaId;
use antiphon_persistence::reply::{Claim, ReplyError, refuse_claimed};
use tokio::time::Instant;

use super::envelope::{Envelope, Message};
use super::room::Share;
use crate::replication::RunningLoop;
use crate::shard::{Lifecycle, Use};

/// The outcome of a command for an active entity.
pub(super) enum Handed<C> {
    Over,
    /// The entity is not active.
    Back(Envelope<C>),
    /// The entity's mailbox is full.
    Full(C, Claim),
}

/// The entities of a shard that lives here. Dropping it kills them.
pub(super) struct LocalShard<E: EventSourced> {
    pub(super) lifecycle: Lifecycle<Message<E::Command>>,
    handles: BTreeMap<Arc<str>, EntityHandle<E>>,
    /// A journal loop for each other replica; none while the shard drains.
    pub(super) loops: Vec<RunningLoop>,
    pub(super) share: Share,
    /// The appends of the entities that are under way, including appends of killed entities.
    pub(super) writes: Arc<Writes>,
    /// Entities that have started, with the time at which to check whether they have an event.
    young: VecDeque<(Instant, Arc<str>)>,
}

impl<E: EventSourced> LocalShard<E> {
    /// A shard without entities; `writes` are the appends of its slot.
    pub(super) fn new(
        lifecycle: Lifecycle<Message<E::Command>>,
        loops: Vec<RunningLoop>,
        share: Share,
        writes: Arc<Writes>,
    ) -> Self {
        let (handles, young) = (BTreeMap::new(), VecDeque::new());
        Self { lifecycle, handles, loops, share, writes, young }
    }

    /// The entity, if it was started and has not been removed.
    pub(super) fn handle(&self, entity: &str) -> Option<&EntityHandle<E>> {
        self.handles.get(entity)
    }

    /// The journal loop that reads the feed of that replica.
    pub(super) fn loop_of(&self, replica: &ReplicaId) -> Option<&RunningLoop> {
        self.loops.iter().find(|running| running.other == *replica)
    }

    /// Reads the feeds of the other replicas now, since events of direct replication were dropped.
    pub(super) fn read_journals(&self) {
        self.loops.iter().for_each(RunningLoop::way_opened);
    }

    /// Hands a command to its entity, if the entity is active and takes it. A command that it does
    /// not take, for any reason, comes back.
    pub(super) fn offer(
        &mut self,
        now: Instant,
        entity: &str,
        command: E::Command,
        claim: Claim,
    ) -> Result<(), (E::Command, Claim)> {
        match self.handles.get(entity) {
            Some(handle) if self.lifecycle.forwards(now, entity, Use::Command) => {
                handle.offer(command, claim)
            }
            Some(_) | None => Err((command, claim)),
        }
    }

    /// Hands a command to an active entity. A command for another entity comes back.
    pub(super) fn hand_over(
        &mut self,
        now: Instant,
        envelope: Envelope<E::Command>,
    ) -> Handed<E::Command> {
        if !self.lifecycle.forwards(now, &envelope.entity, Use::Command) {
            return Handed::Back(envelope);
        }
        let Some(handle) = self.handles.get(&envelope.entity) else {
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

    /// Adds the handle of an entity that was started. Unless `empty_after` is zero, the entity is
    /// checked then: [`Self::next_empty`].
    pub(super) fn add(
        &mut self,
        now: Instant,
        entity: &Arc<str>,
        handle: EntityHandle<E>,
        empty_after: Duration,
    ) {
        if !empty_after.is_zero() {
            self.young.push_back((now + empty_after, entity.clone()));
        }
        self.handles.insert(entity.clone(), handle);
    }

    /// The next entity that has started, has no event, and is not used for `empty_after`. Each
    /// entity is checked when it is due, so that entities with events cost nothing.
    pub(super) fn next_empty(&mut self, now: Instant, empty_after: Duration) -> Option<Arc<str>> {
        loop {
            if self.young.front().is_none_or(|(due, _)| now < *due) {
                return None;
            }
            let (_, entity) = self.young.pop_front()?;
            let is_empty = self.handles.get(&entity).map(EntityHandle::is_empty);
            let used_at = self.lifecycle.used_at(&entity);
            let is_idle = used_at.is_some_and(|used| now.duration_since(used) >= empty_after);
            match is_empty {
                Some(Some(true)) if is_idle => return Some(entity),
                // in use, or still recovering; an entity that starts often may be in the queue more
                // than once
                Some(Some(true) | None) if self.young.len() <= 2 * self.handles.len() => {
                    self.young.push_back((now + empty_after, entity));
                }
                Some(_) | None => {}
            }
        }
    }

    /// Removes the handle of an entity that is gone. Returns false when it is not gone: the shard
    /// has left and come back meanwhile, with another entity of that id.
    pub(super) fn remove_gone(&mut self, entity: &str) -> bool {
        let is_gone = self.handles.get(entity).is_some_and(EntityHandle::is_gone);
        if is_gone {
            self.handles.remove(entity);
        }
        is_gone
    }

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
