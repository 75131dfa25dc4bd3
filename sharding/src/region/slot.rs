//! A shard as a region sees it: its route and, when it lives here, its entities. One lock guards
//! both.
//!
//! No application code runs under that lock. Work that runs application code (a command is encoded,
//! or a refused command is dropped) is put aside in order. It is done without the lock, piece by
//! piece, by one thread at a time, so that commands are sent in the order in which they came: by
//! the sender of a command, or else by a task of its own. Tasks that serve other shards too do none
//! of it, since application code may block.
//!
//! A panic under the lock is a bug of this crate: a core has found a broken invariant. The state of
//! the shard cannot be trusted then, so the node is fenced: it stops answering, and another node
//! takes its shards.

use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Weak};

use antiphon_base::guard;
use antiphon_base::task;
use antiphon_persistence::entity::{EventSourced, Writes};
use antiphon_persistence::reply::{Claim, ReplyError, refuse_claimed};
use antiphon_runtime::NodeId;
use parking_lot::{Mutex, MutexGuard};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::envelope::{Envelope, Message};
use super::local_shard::LocalShard;
use super::outgoing::Outgoing;
use super::parts::RegionParts;
use super::route::{Route, RouteSettings};
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
    fn new(parts: &RegionParts) -> Self {
        let settings = RouteSettings {
            shard_buffer_max: parts.settings.shard_buffer_max,
            home_timeout: parts.settings.home_timeout,
        };
        Self {
            route: Route::new(parts.node.id().clone(), settings),
            shard: None,
            writes: Arc::default(),
            way: Way::new(parts.settings.loop_wake_interval),
            later: VecDeque::new(),
            is_busy: false,
        }
    }

    /// Puts aside work that must not be done under the lock.
    pub(super) fn later(&mut self, later: Later<E>) {
        self.later.push_back(later);
    }

    /// Hands a command to its entity, if the entity is active here and no other command of the
    /// shard has to go before. A command that is not handed over comes back.
    pub(super) fn offer(
        &mut self,
        now: Instant,
        entity: &str,
        command: E::Command,
        claim: Claim,
    ) -> Result<(), (E::Command, Claim)> {
        match &mut self.shard {
            Some(shard) if self.route.is_open() => shard.offer(now, entity, command, claim),
            Some(_) | None => Err((command, claim)),
        }
    }

    /// Returns whether so much work is put aside that no more commands are taken.
    pub(super) fn is_crowded(&self, limit: usize) -> bool {
        self.later.len() >= limit
    }

    pub(super) fn refuse(&mut self, command: E::Command, claim: Claim, reason: ReplyError) {
        self.later(Later::Refuse(command, claim, reason));
    }

    /// Refuses a message. Only commands have an asker; all else comes again.
    pub(super) fn refuse_message(&mut self, message: Message<E::Command>, reason: ReplyError) {
        match message {
            Message::Command(envelope) => self.refuse(envelope.command, envelope.claim, reason),
            Message::Replicated(_) => self.shard.iter().for_each(LocalShard::read_journals),
            Message::News(_) | Message::Reminder(_) => {}
        }
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

/// The slots of all shards of a region.
pub(super) struct Slots<E: EventSourced> {
    this: Weak<Self>,
    parts: Arc<RegionParts>,
    outgoing: Arc<Outgoing<E::Command>>,
    all: Vec<Mutex<Slot<E>>>,
}

/// A locked slot. After its drop, the work that was put aside is done.
pub(super) struct SlotGuard<'a, E: EventSourced>
where
    E::Command: Serialize + DeserializeOwned,
{
    slots: &'a Slots<E>,
    index: usize,
    locked: Option<MutexGuard<'a, Slot<E>>>,
    /// True when the drop does the work itself.
    works_here: bool,
    /// True when the thread was panicking already: a destructor of application code sends a
    /// command.
    was_panicking: bool,
}

impl<E: EventSourced> SlotGuard<'_, E>
where
    E::Command: Serialize + DeserializeOwned,
{
    /// Lets the drop do the work: the caller sends a command, holds no other lock, and serves
    /// nobody else.
    pub(super) fn work_here(mut self) -> Self {
        self.works_here = true;
        self
    }
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
        if std::thread::panicking() && !self.was_panicking {
            drop(slot);
            return self.slots.broken(self.index);
        }
        if slot.is_busy || slot.later.is_empty() {
            return;
        }
        slot.is_busy = true;
        drop(slot);
        if self.works_here {
            self.slots.work(self.index);
        } else {
            self.slots.work_on_task(self.index);
        }
    }
}

impl<E: EventSourced> Slots<E>
where
    E::Command: Serialize + DeserializeOwned,
{
    pub(super) fn new(parts: Arc<RegionParts>, outgoing: Arc<Outgoing<E::Command>>) -> Arc<Self> {
        let slot = |_| Mutex::new(Slot::new(&parts));
        let all = (0..parts.layout.slot_count()).map(slot).collect();
        Arc::new_cyclic(|this| Self { this: this.clone(), parts, outgoing, all })
    }

    /// The indexes of all slots.
    pub(super) fn indexes(&self) -> std::ops::Range<usize> {
        0..self.all.len()
    }

    /// Locks the slot of a shard.
    pub(super) fn lock(&self, index: usize) -> SlotGuard<'_, E> {
        let locked = Some(self.all[index].lock());
        let was_panicking = std::thread::panicking();
        SlotGuard { slots: self, index, locked, works_here: false, was_panicking }
    }

    /// Returns whether the shard is here, draining or not.
    pub(super) fn is_hosting(&self, index: usize) -> bool {
        self.lock(index).route.is_hosting()
    }

    /// Does the work that was put aside, for a caller that has marked the slot as busy.
    fn work(&self, index: usize) {
        // the tasks that start here are the node's
        let _entered = self.parts.node.runtime().enter();
        for _ in 0..TURN_MAX {
            let mut slot = self.all[index].lock();
            let Some(later) = slot.later.pop_front() else {
                slot.is_busy = false;
                return;
            };
            drop(slot);
            let subject = self.parts.layout.entity_type();
            let _ = guard::call("a command", subject, || self.do_later(index, later));
        }
        // the caller has work of its own
        self.work_on_task(index);
    }

    fn work_on_task(&self, index: usize) {
        // a region that ends drops what was put aside
        let Some(slots) = self.this.upgrade() else { return };
        // the caller's runtime, if it has one, may be the application's, and end before the work
        let node = slots.parts.node.clone();
        let _entered = node.runtime().enter();
        task::spawn("shard queue", async move { slots.work(index) });
    }

    fn do_later(&self, index: usize, later: Later<E>) {
        match later {
            Later::Send(node, envelope) => self.outgoing.send(index, &node, envelope),
            Later::Refuse(command, claim, reason) => refuse_claimed(command, &claim, reason),
            Later::Drop(shard) => shard.end(),
        }
    }

    #[cold]
    fn broken(&self, index: usize) {
        self.parts.metrics.count("broken_shard");
        let shard = self.parts.layout.shard(index);
        let entity_type = self.parts.layout.entity_type();
        tracing::error!(%entity_type, %shard, "a broken invariant: the node stops");
        self.parts.node.fence("a shard of this node has a broken invariant: report the panic");
    }
}

#[cfg(test)]
mod tests;
