//! A command on its way through the engine: first it waits with its slot of the mailbox, then its
//! visible effects wait for the disk.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use smallvec::SmallVec;

use crate::entity::EntityCounters;
use crate::entity::then::PreparedParts;
use crate::event::SequenceNr;
use crate::reply::{Claim, CommandEffect, ReplyError, refuse_claimed};

/// A slot of the mailbox; free again when it is dropped.
#[derive(Debug, Default)]
pub struct Slot(Option<Arc<AtomicUsize>>);

impl Slot {
    /// Takes a slot if fewer than `max` are taken.
    pub fn take(taken: &Arc<AtomicUsize>, max: usize) -> Option<Self> {
        if taken.fetch_add(1, Ordering::AcqRel) < max {
            return Some(Self(Some(taken.clone())));
        }
        taken.fetch_sub(1, Ordering::AcqRel);
        None
    }

    /// The count of the mailbox that the slot is of; `None`: the slot is of no mailbox.
    pub(super) fn mailbox(&self) -> Option<Arc<AtomicUsize>> {
        self.0.clone()
    }

    /// Takes a slot of this mailbox, without a limit.
    pub(super) fn take_always(mailbox: Option<Arc<AtomicUsize>>) -> Self {
        if let Some(taken) = &mailbox {
            taken.fetch_add(1, Ordering::AcqRel);
        }
        Self(mailbox)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(taken) = &self.0 {
            taken.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

/// A command with its slot of the mailbox.
#[derive(Debug)]
pub struct Queued<C> {
    /// The command.
    pub command: C,
    /// The command's slot.
    pub slot: Slot,
    /// Taken before the command is handled; a void command is dropped.
    pub claim: Claim,
}

impl<C> Queued<C> {
    /// A command without a slot, whose asker waits for ever.
    pub fn unlimited(command: C) -> Self {
        Self { command, slot: Slot::default(), claim: Claim::unlimited() }
    }

    /// Drops the command unhandled. The asker gets `reason`, or an error with an unknown effect if
    /// the command has acted before, since a future can have made it.
    pub fn refuse(self, reason: ReplyError) {
        refuse_claimed(self.command, &self.claim, self.claim.truth(reason));
    }

    /// Drops the command unhandled, because it is void.
    pub(super) fn expire(self, counters: &EntityCounters) {
        EntityCounters::add(&counters.commands_expired, 1);
        let why = "the asker's time was over before the entity took the command".to_owned();
        self.refuse(ReplyError::Expired(why));
    }
}

/// The visible effects of commands, in order: mostly of one.
pub type Releases = SmallVec<[Release; 1]>;

/// The visible effects of a command, ready to be let out.
pub struct Release {
    pub(super) prepared: PreparedParts,
    /// The last event of the command itself; `None` when it stored nothing.
    pub(super) stored: Option<SequenceNr>,
    pub(super) claim: Claim,
    pub(super) _slot: Slot,
}

impl Release {
    /// Gives a slot back when it is let out, and does nothing else.
    pub(super) fn of_slot(slot: Slot) -> Self {
        Self {
            prepared: PreparedParts::new(),
            stored: None,
            claim: Claim::unlimited(),
            _slot: slot,
        }
    }

    /// Lets the effects out.
    pub fn release(self) {
        let acts = self.stored.is_some() || self.prepared.iter().any(|prepared| prepared.acts());
        if acts {
            self.claim.act();
        } else {
            self.claim.end();
        }
        let effect = if acts || self.claim.has_acted() {
            CommandEffect::Unknown
        } else {
            CommandEffect::None
        };
        for prepared in self.prepared {
            prepared.release(&self.claim, effect);
        }
    }

    /// Fails the answers because the node may not answer now. The events of the command are
    /// durable, so the error is `Timeout`, or one without effect if the command stored none.
    pub fn withhold(self) {
        let error = ReplyError::Timeout;
        let error = if self.stored.is_none() { error.without_effect() } else { error };
        self.fail(error);
    }

    /// Fails the answers with `error`, or with an error of unknown effect if the command has acted
    /// before.
    pub fn fail(self, error: ReplyError) {
        let error = self.claim.truth(error);
        for prepared in self.prepared {
            prepared.fail(&self.claim, error.clone());
        }
    }
}

/// Appends to a queue. The first element takes the room of one: most queues of an idle entity never
/// hold a second element, and the room of an empty queue is kept.
pub(super) fn push<T>(queue: &mut VecDeque<T>, element: T) {
    if queue.capacity() == 0 {
        queue.reserve_exact(1);
    }
    queue.push_back(element);
}

/// Gives the room of an empty queue back, but for one element.
pub(super) fn shrink<T>(queue: &mut VecDeque<T>) {
    if queue.is_empty() && queue.capacity() > 1 {
        *queue = VecDeque::new();
    }
}
