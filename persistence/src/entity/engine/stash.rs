//! The stash: commands that wait until the entity wants them.
//!
//! A stashed command can become void, and it takes no room in the mailbox. It is handled again in
//! order, before all others, when a later command unstashes it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use tokio::time::Instant;

use super::shared::Shared;
use super::{Now, Queued, Slot};
use crate::entity::{EntityCounters, EventSourced};
use crate::reply::{Claim, ReplyError};

/// A command in the stash. Its slot of the mailbox is given back: the stash has a bound of its own,
/// and commands in it must not keep out the command that opens the stash.
#[derive(Debug)]
struct Stashed<C> {
    command: C,
    claim: Claim,
    /// The count of the mailbox that the command came from.
    mailbox: Option<Arc<AtomicUsize>>,
}

impl<C> Stashed<C> {
    /// Puts a command aside. Returns the command's slot, to be given back.
    fn of(queued: Queued<C>) -> (Self, Slot) {
        let Queued { command, slot, claim } = queued;
        (Self { command, claim, mailbox: slot.mailbox() }, slot)
    }

    /// The command with a slot again, which is taken without a limit.
    fn unstash(self) -> Queued<C> {
        let Self { command, claim, mailbox } = self;
        Queued { command, slot: Slot::take_always(mailbox), claim }
    }

    /// Makes the command void if its asker's time is over. Returns whether it is void.
    fn is_void(&self, now: Instant) -> bool {
        self.claim.is_over(now) && !self.claim.take(now)
    }
}

/// The commands that were put aside, oldest first; at most `stash_max`.
#[derive(Debug)]
pub(super) struct Stash<C> {
    commands: VecDeque<Stashed<C>>,
}

impl<C> Stash<C> {
    pub(super) fn new() -> Self {
        Self { commands: VecDeque::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.commands.len()
    }

    /// The claims of the commands.
    pub(super) fn claims(&self) -> impl Iterator<Item = &Claim> {
        self.commands.iter().map(|stashed| &stashed.claim)
    }

    /// Takes all commands out, the newest first.
    pub(super) fn take_newest_first(&mut self) -> impl Iterator<Item = Queued<C>> + use<C> {
        std::mem::take(&mut self.commands).into_iter().rev().map(Stashed::unstash)
    }

    /// Takes all commands out, the oldest first.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Queued<C>> {
        self.commands.drain(..).map(Stashed::unstash)
    }

    /// Puts a command aside, if there is room when the void commands are gone. Returns its slot of
    /// the mailbox, if it has one, which is given back when the events before the command are
    /// durable; `None`: there is no room, and the command was refused.
    pub(super) fn put<E>(&mut self, shared: &Shared<E>, now: Now, queued: Queued<C>) -> Option<Slot>
    where
        E: EventSourced<Command = C>,
    {
        let limit = shared.settings.stash_max;
        if self.commands.len() >= limit {
            self.drop_void(shared, now);
        }
        if self.commands.len() >= limit {
            EntityCounters::add(&shared.counters.stash_overflows, 1);
            tracing::warn!(id = %shared.id, limit, "`stash_max` reached, a command is dropped");
            queued.refuse(ReplyError::Overloaded(format!("`stash_max` {limit}")));
            return None;
        }
        // nothing was done yet: an asker that gives up makes the command void
        queued.claim.give_back();
        let (stashed, slot) = Stashed::of(queued);
        self.commands.push_back(stashed);
        Some(slot)
    }

    /// Drops the commands that are void; the others stay in their order.
    fn drop_void<E: EventSourced>(&mut self, shared: &Shared<E>, now: Now) {
        for _ in 0..self.commands.len() {
            let stashed = self.commands.pop_front().expect("the length was just read");
            if stashed.is_void(now.instant) {
                stashed.unstash().expire(&shared.counters);
            } else {
                self.commands.push_back(stashed);
            }
        }
    }
}
