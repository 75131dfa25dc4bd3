//! The stash: commands that wait until the entity wants them.
//!
//! A stashed command can become void, and it takes no room in the mailbox. It is handled again in
//! order, before all others, when a later command unstashes it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use tokio::time::Instant;

use super::core::Shared;
use super::persisting::Due;
use super::running::Running;
use super::{Now, Queued, Release, Slot};
use crate::entity::{EntityCounters, EventSourced};
use crate::reply::{Claim, ReplyError};

/// A command in the stash. Its slot of the mailbox is given back: the stash has a bound of its own,
/// and commands in it must not keep out the command that opens the stash.
#[derive(Debug)]
pub(super) struct Stashed<C> {
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
    pub(super) fn unstash(self) -> Queued<C> {
        let Self { command, claim, mailbox } = self;
        Queued { command, slot: Slot::take_always(mailbox), claim }
    }

    /// Makes the command void if its asker's time is over. Returns whether it is void.
    fn is_void(&self, now: Instant) -> bool {
        self.claim.is_over(now) && !self.claim.take(now)
    }
}

impl<E: EventSourced> Running<E> {
    /// Puts a command aside, if there is room when the void commands are gone.
    pub(super) fn stash(
        &mut self,
        shared: &Shared<E>,
        now: Now,
        queued: Queued<E::Command>,
        stash: &mut VecDeque<Stashed<E::Command>>,
    ) {
        let limit = shared.settings.stash_max;
        if stash.len() >= limit {
            drop_void(shared, now, stash);
        }
        if stash.len() >= limit {
            EntityCounters::add(&shared.counters.stash_overflows, 1);
            tracing::warn!(id = %shared.id, limit, "`stash_max` reached, a command is dropped");
            return queued.refuse(ReplyError::Overloaded(format!("`stash_max` {limit}")));
        }
        // nothing was done yet: an asker that gives up makes the command void
        queued.claim.give_back();
        let (stashed, slot) = Stashed::of(queued);
        stash.push_back(stashed);
        if slot.mailbox().is_some() {
            self.persisting.defer(self.newest, Due::Release(Release::of_slot(slot)));
        }
    }
}

/// Drops a command that is void.
pub(super) fn expired<E: EventSourced>(shared: &Shared<E>, queued: Queued<E::Command>) {
    EntityCounters::add(&shared.counters.commands_expired, 1);
    let why = "the asker's time was over before the entity took the command".to_owned();
    queued.refuse(ReplyError::Expired(why));
}

/// Drops the stashed commands that are void; the others stay in their order.
fn drop_void<E: EventSourced>(
    shared: &Shared<E>,
    now: Now,
    stash: &mut VecDeque<Stashed<E::Command>>,
) {
    for _ in 0..stash.len() {
        let stashed = stash.pop_front().expect("the length was just read");
        if stashed.is_void(now.instant) {
            expired(shared, stashed.unstash());
        } else {
            stash.push_back(stashed);
        }
    }
}
