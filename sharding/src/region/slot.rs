//! One shard as a region sees it: its route and, when it lives here, its entities; both under one lock.
//!
//! No application code runs under that lock. What needs some (a command is encoded, a command that nobody wants is dropped) is put
//! aside in order, and is done by whoever lets go of the lock: one after the other, by one thread at a time, so that
//! the order of what is sent is the order in which it came.

use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, MutexGuard, PoisonError};

use antiphon_persistence::entity::{EventSourced, Writes};
use antiphon_persistence::guard;
use antiphon_persistence::reply::{ReplyError, refuse};
use antiphon_runtime::NodeId;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::local::LocalShard;
use super::route::Route;
use super::shared::{Envelope, Region};
use crate::replication::Way;

/// So much of what was put aside is done by one caller; a task of the node does the rest.
const TURN_MAX: usize = 256;

/// What is done without the lock.
pub(super) enum Later<E: EventSourced> {
    /// Encode it and send it there.
    Send(NodeId, Envelope<E::Command>),
    /// Drop it, and tell its asker why.
    Refuse(E::Command, ReplyError),
    /// Drop the entities, and the commands that wait for them.
    Drop(Box<LocalShard<E>>),
}

/// One shard.
pub(super) struct Slot<E: EventSourced> {
    pub(super) route: Route<Envelope<E::Command>>,
    pub(super) shard: Option<LocalShard<E>>,
    /// The appends of its entities that are under way at this node, those of killed entities included.
    pub(super) writes: Arc<Writes>,
    /// Direct replication from this node to the shard, when it lives elsewhere.
    pub(super) way: Way,
    later: VecDeque<Later<E>>,
    /// Somebody does what was put aside.
    is_busy: bool,
}

impl<E: EventSourced> Slot<E> {
    pub(super) fn new(route: Route<Envelope<E::Command>>, way: Way) -> Self {
        Self {
            route,
            shard: None,
            writes: Arc::default(),
            way,
            later: VecDeque::new(),
            is_busy: false,
        }
    }

    /// Puts aside what must not be done under the lock.
    pub(super) fn later(&mut self, later: Later<E>) {
        self.later.push_back(later);
    }

    /// Whether commands were put aside faster than they are encoded: no more are taken then.
    pub(super) fn is_crowded(&self, limit: usize) -> bool {
        self.later.len() >= limit
    }

    pub(super) fn refuse(&mut self, command: E::Command, reason: ReplyError) {
        self.later(Later::Refuse(command, reason));
    }

    /// Gives the entities up.
    pub(super) fn end_shard(&mut self) {
        if let Some(shard) = self.shard.take() {
            self.later(Later::Drop(Box::new(shard)));
        }
    }
}

/// A locked slot. When it is dropped, what was put aside is done.
pub(super) struct SlotGuard<'a, E: EventSourced>
where
    E::Command: Serialize + DeserializeOwned,
{
    region: &'a Region<E>,
    index: usize,
    locked: Option<MutexGuard<'a, Slot<E>>>,
    /// What is put aside is left to the next one.
    is_quiet: bool,
}

impl<'a, E: EventSourced> SlotGuard<'a, E>
where
    E::Command: Serialize + DeserializeOwned,
{
    pub(super) fn new(region: &'a Region<E>, index: usize) -> Self {
        let locked = Some(lock(region, index));
        Self { region, index, locked, is_quiet: false }
    }

    /// For somebody who holds another lock and comes again without it.
    pub(super) fn quiet(mut self) -> Self {
        self.is_quiet = true;
        self
    }
}

fn lock<E: EventSourced>(region: &Region<E>, index: usize) -> MutexGuard<'_, Slot<E>> {
    region.slots[index].lock().unwrap_or_else(PoisonError::into_inner)
}

impl<E: EventSourced> Deref for SlotGuard<'_, E>
where
    E::Command: Serialize + DeserializeOwned,
{
    type Target = Slot<E>;

    fn deref(&self) -> &Slot<E> {
        self.locked.as_ref().expect("locked until it is dropped")
    }
}

impl<E: EventSourced> DerefMut for SlotGuard<'_, E>
where
    E::Command: Serialize + DeserializeOwned,
{
    fn deref_mut(&mut self) -> &mut Slot<E> {
        self.locked.as_mut().expect("locked until it is dropped")
    }
}

impl<E: EventSourced> Drop for SlotGuard<'_, E>
where
    E::Command: Serialize + DeserializeOwned,
{
    fn drop(&mut self) {
        let Some(mut slot) = self.locked.take() else { return };
        if self.is_quiet || slot.is_busy {
            return;
        }
        for _ in 0..TURN_MAX {
            let Some(later) = slot.later.pop_front() else { break };
            slot.is_busy = true;
            drop(slot);
            let subject = &self.region.parts.entity_type;
            let _ = guard::call("a command", subject, || self.region.do_later(self.index, later));
            slot = lock(self.region, self.index);
        }
        slot.is_busy = false;
        let is_over = slot.later.is_empty();
        drop(slot);
        if !is_over && let Some(region) = self.region.this.upgrade() {
            // the caller has work of its own
            let index = self.index;
            self.region.parts.node.spawn("shard queue", async move { drop(region.slot(index)) });
        }
    }
}

impl<E: EventSourced> Region<E>
where
    E::Command: Serialize + DeserializeOwned,
{
    /// Locks a shard.
    pub(super) fn slot(&self, index: usize) -> SlotGuard<'_, E> {
        SlotGuard::new(self, index)
    }

    fn do_later(&self, index: usize, later: Later<E>) {
        match later {
            Later::Send(node, envelope) => self.send(index, &node, envelope),
            Later::Refuse(command, reason) => refuse(command, reason),
            Later::Drop(shard) => shard.end(),
        }
    }
}
