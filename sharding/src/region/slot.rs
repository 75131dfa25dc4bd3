//! A shard as a region sees it: its route and, when it lives here, its entities. One lock guards
//! both.
//!
//! No application code runs under that lock. Work that runs application code (a command is encoded,
//! or a refused command is dropped) is put aside in order. The caller that releases the lock does
//! the work: piece by piece, one thread at a time, so that commands are sent in the order in which
//! they came.

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

/// Most pieces of work that one caller does; a task of the node does the rest.
const TURN_MAX: usize = 256;

/// Work that is done without the lock.
pub(super) enum Later<E: EventSourced> {
    /// Encode the command and send it to the node.
    Send(NodeId, Envelope<E::Command>),
    /// Drop the command, and tell its asker the reason.
    Refuse(E::Command, ReplyError),
    /// Drop the entities, and refuse the commands that wait for them.
    Drop(Box<LocalShard<E>>),
}

/// The state of a shard in its region.
pub(super) struct Slot<E: EventSourced> {
    pub(super) route: Route<Envelope<E::Command>>,
    pub(super) shard: Option<LocalShard<E>>,
    /// The appends of the shard's entities that are under way at this node, including appends of
    /// killed entities.
    pub(super) writes: Arc<Writes>,
    /// The way of direct replication from this node to the shard, when it lives elsewhere.
    pub(super) way: Way,
    later: VecDeque<Later<E>>,
    /// True while a caller does the work that was put aside.
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

    /// Puts aside work that must not be done under the lock.
    pub(super) fn later(&mut self, later: Later<E>) {
        self.later.push_back(later);
    }

    /// Returns whether so much work is put aside that no more commands are taken.
    pub(super) fn is_crowded(&self, limit: usize) -> bool {
        self.later.len() >= limit
    }

    pub(super) fn refuse(&mut self, command: E::Command, reason: ReplyError) {
        self.later(Later::Refuse(command, reason));
    }

    /// Puts the shard aside to be dropped.
    pub(super) fn end_shard(&mut self) {
        if let Some(shard) = self.shard.take() {
            self.later(Later::Drop(Box::new(shard)));
        }
    }
}

/// A locked slot. Its drop does the work that was put aside.
pub(super) struct SlotGuard<'a, E: EventSourced>
where
    E::Command: Serialize + DeserializeOwned,
{
    region: &'a Region<E>,
    index: usize,
    locked: Option<MutexGuard<'a, Slot<E>>>,
    /// True when the work is left to the next holder.
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

    /// Leaves the work to the next holder: the caller holds another lock, and comes again without
    /// it.
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
