//! The commands that an entity has taken and not handled.

use std::collections::VecDeque;

use super::queued::push;
use super::shared::Shared;
use super::stash::Stash;
use super::timers::Ticket;
use super::{Now, Queued, Slot};
use crate::entity::{EntitySettings, EventSourced};
use crate::reply::ReplyError;
use crate::store::ReminderRow;

/// An element of the inbox.
#[derive(Debug)]
pub(super) enum Waiting<C> {
    Command(Queued<C>),
    /// A timer that has fired; it has a command when its turn comes.
    Timer(Ticket),
    /// The row of a reminder that is due.
    Reminder(Box<ReminderRow>, Slot),
}

/// The commands that wait for their turn, and the stashed ones.
#[derive(Debug)]
pub(super) struct Inbox<C> {
    queue: VecDeque<Waiting<C>>,
    stash: Stash<C>,
}

impl<C> Inbox<C> {
    pub(super) fn new() -> Self {
        Self { queue: VecDeque::new(), stash: Stash::new() }
    }

    /// Returns whether no command waits for its turn. Stashed commands wait for another command.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Returns whether no command is here, not even a stashed one.
    pub(super) fn has_nothing(&self) -> bool {
        self.queue.is_empty() && self.stash.len() == 0
    }

    /// Takes a command, behind the others.
    pub(super) fn push(&mut self, queued: Queued<C>) {
        push(&mut self.queue, Waiting::Command(queued));
    }

    /// Takes the ticket of a timer that has fired, behind the commands.
    pub(super) fn push_timer(&mut self, ticket: Ticket) {
        push(&mut self.queue, Waiting::Timer(ticket));
    }

    /// Takes the row of a reminder that is due, behind the commands.
    pub(super) fn push_reminder(&mut self, row: Box<ReminderRow>, slot: Slot) {
        push(&mut self.queue, Waiting::Reminder(row, slot));
    }

    /// Drops the tickets of timers, and the rows of reminders, which come again.
    pub(super) fn forget_timers(&mut self) {
        self.queue.retain(|waiting| matches!(waiting, Waiting::Command(_)));
    }

    /// Takes a command that is handled before the others.
    pub(super) fn push_front(&mut self, queued: Queued<C>) {
        self.queue.push_front(Waiting::Command(queued));
    }

    /// The next command, or the next timer that has fired.
    pub(super) fn pop(&mut self) -> Option<Waiting<C>> {
        self.queue.pop_front()
    }

    /// Puts a command into the stash, see [`Stash::put`].
    pub(super) fn stash<E>(
        &mut self,
        shared: &Shared<E>,
        now: Now,
        queued: Queued<C>,
    ) -> Option<Slot>
    where
        E: EventSourced<Command = C>,
    {
        self.stash.put(shared, now, queued)
    }

    /// Puts all stashed commands before the others, oldest first.
    pub(super) fn unstash_all(&mut self) {
        for queued in self.stash.take_newest_first() {
            self.queue.push_front(Waiting::Command(queued));
        }
    }

    /// Refuses the commands that wait, but not the stashed ones. Timers and reminders go on
    /// waiting. Returns the number of refused commands.
    pub(super) fn refuse_waiting(&mut self, reason: &ReplyError) -> usize {
        let mut count = 0;
        for waiting in std::mem::take(&mut self.queue) {
            match waiting {
                Waiting::Command(queued) => {
                    queued.refuse(reason.clone());
                    count += 1;
                }
                Waiting::Timer(ticket) => self.push_timer(ticket),
                Waiting::Reminder(row, slot) => self.push_reminder(row, slot),
            }
        }
        count
    }

    /// Refuses all commands.
    pub(super) fn refuse_all(&mut self, reason: &ReplyError) {
        let waiting = self.queue.drain(..).filter_map(|waiting| match waiting {
            Waiting::Command(queued) => Some(queued),
            Waiting::Timer(_) | Waiting::Reminder(..) => None,
        });
        for queued in waiting.chain(self.stash.drain()) {
            queued.refuse(reason.clone());
        }
    }

    pub(super) fn check(&self, settings: &EntitySettings) {
        assert!(self.stash.len() <= settings.stash_max, "the stash is over its limit");
    }
}
