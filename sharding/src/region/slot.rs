//! A shard as a region sees it: its route and, when it lives here, its entities. One lock guards
//! both.
//!
//! No application code runs under that lock. Work that runs application code (a command is encoded,
//! or a refused command is dropped) is put aside in order. It is done without the lock, piece by
//! piece, by one thread at a time, so that commands are sent in the order in which they came: by
//! the sender of a command, or else by a task of its own. Tasks that serve other shards too do none
//! of it, since application code may block.

use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use antiphon_base::guard;
use antiphon_base::task;
use antiphon_persistence::entity::{EventSourced, Writes};
use antiphon_persistence::reply::{Claim, ReplyError, refuse_claimed};
use antiphon_runtime::NodeId;
use parking_lot::MutexGuard;
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
    Refuse(E::Command, Claim, ReplyError),
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

    pub(super) fn refuse(&mut self, command: E::Command, claim: Claim, reason: ReplyError) {
        self.later(Later::Refuse(command, claim, reason));
    }

    /// Kills the entities, and puts the shard aside to be dropped.
    pub(super) fn end_shard(&mut self) {
        if let Some(shard) = self.shard.take() {
            // at once, since the work before the drop may take long
            shard.kill();
            self.later(Later::Drop(Box::new(shard)));
        }
    }
}

/// A locked slot. After its drop, the work that was put aside is done.
pub(super) struct SlotGuard<'a, E: EventSourced>
where
    E::Command: Serialize + DeserializeOwned,
{
    region: &'a Region<E>,
    index: usize,
    locked: Option<MutexGuard<'a, Slot<E>>>,
    /// True when the drop does the work itself.
    works_here: bool,
}

impl<'a, E: EventSourced> SlotGuard<'a, E>
where
    E::Command: Serialize + DeserializeOwned,
{
    pub(super) fn new(region: &'a Region<E>, index: usize) -> Self {
        let locked = Some(lock(region, index));
        Self { region, index, locked, works_here: false }
    }

    /// Lets the drop do the work: the caller sends a command, holds no other lock, and serves
    /// nobody else.
    pub(super) fn work_here(mut self) -> Self {
        self.works_here = true;
        self
    }
}

fn lock<E: EventSourced>(region: &Region<E>, index: usize) -> MutexGuard<'_, Slot<E>> {
    region.slots[index].lock()
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
        if slot.is_busy || slot.later.is_empty() {
            return;
        }
        slot.is_busy = true;
        drop(slot);
        if self.works_here {
            self.region.work(self.index);
        } else {
            self.region.work_on_task(self.index);
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

    /// Does the work that was put aside, for a caller that has marked the slot as busy.
    fn work(&self, index: usize) {
        for _ in 0..TURN_MAX {
            let mut slot = lock(self, index);
            let Some(later) = slot.later.pop_front() else {
                slot.is_busy = false;
                return;
            };
            drop(slot);
            let subject = &self.parts.entity_type;
            let _ = guard::call("a command", subject, || self.do_later(index, later));
        }
        // the caller has work of its own
        self.work_on_task(index);
    }

    fn work_on_task(&self, index: usize) {
        // a region that ends drops what was put aside
        let Some(region) = self.this.upgrade() else { return };
        // the caller's runtime, if it has one, may be the application's, and end before the work
        let node = region.parts.node.clone();
        let _entered = node.runtime().enter();
        task::spawn("shard queue", async move { region.work(index) });
    }

    fn do_later(&self, index: usize, later: Later<E>) {
        match later {
            Later::Send(node, envelope) => self.send(index, &node, envelope),
            Later::Refuse(command, claim, reason) => refuse_claimed(command, &claim, reason),
            Later::Drop(shard) => shard.end(),
        }
    }
}
