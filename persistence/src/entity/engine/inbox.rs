//! The commands that an entity has taken and not handled.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::behind::Behind;
use super::queued::{push, shrink};
use super::shared::Shared;
use super::stash::Stash;
use super::timers::Ticket;
use super::{Now, Queued, Slot};
use crate::entity::{EntitySettings, EventSourced};
use crate::identity::ReplicaId;
use crate::reply::{Claim, ReplyError};
use crate::store::ReminderRow;
use crate::version::VersionVector;

/// An element of the inbox.
#[derive(Debug)]
pub(super) enum Waiting<C> {
    Command(Queued<C>),
    /// The command of the future of a reminder or a reaction, whose effect it has.
    Fired(Queued<C>),
    /// A timer that has fired; it has a command when its turn comes.
    Timer(Ticket),
    /// The row of a reminder that is due.
    Reminder(Box<ReminderRow>, Slot),
}

/// The commands that are not in the queue.
#[derive(Debug)]
struct Aside<C> {
    stash: Stash<C>,
    behind: Behind<C>,
}

/// The commands that wait for their turn, and those that were put aside.
#[derive(Debug)]
pub(super) struct Inbox<C> {
    queue: VecDeque<Waiting<C>>,
    /// `None`: no command was put aside yet.
    aside: Option<Box<Aside<C>>>,
}

impl<C> Inbox<C> {
    pub(super) fn new() -> Self {
        Self { queue: VecDeque::new(), aside: None }
    }

    /// Returns whether no command waits for its turn. Stashed commands wait for another command,
    /// and others for events.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Returns whether no command is here, not even one that was put aside.
    pub(super) fn has_nothing(&self) -> bool {
        let has_aside = |aside: &Aside<C>| aside.stash.len() + aside.behind.len() > 0;
        self.queue.is_empty() && !self.aside.as_deref().is_some_and(has_aside)
    }

    fn aside(&mut self) -> &mut Aside<C> {
        let new = || Box::new(Aside { stash: Stash::new(), behind: Behind::new() });
        self.aside.get_or_insert_with(new)
    }

    /// Takes a command, behind the others.
    pub(super) fn push(&mut self, queued: Queued<C>) {
        push(&mut self.queue, Waiting::Command(queued));
    }

    /// Makes room for so many more commands.
    pub(super) fn reserve(&mut self, count: usize) {
        if self.queue.is_empty() {
            self.queue.reserve_exact(count);
        } else {
            // many batches may wait: the room grows with their number, and is not copied for each
            self.queue.reserve(count);
        }
    }

    /// Gives room back that an idle entity does not need.
    pub(super) fn shrink(&mut self) {
        shrink(&mut self.queue);
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
        self.queue.retain(|waiting| matches!(waiting, Waiting::Command(_) | Waiting::Fired(_)));
    }

    /// Takes the command of the future of a reminder or a reaction, before the others.
    pub(super) fn push_fired(&mut self, queued: Queued<C>) {
        self.queue.push_front(Waiting::Fired(queued));
    }

    /// Refuses the command of the future of a reminder or a reaction, at the end of the life that
    /// knows which one: it comes again.
    pub(super) fn forget_fired(&mut self, reason: &ReplyError) {
        for waiting in std::mem::take(&mut self.queue) {
            match waiting {
                Waiting::Fired(queued) => queued.refuse(reason.clone()),
                Waiting::Command(_) | Waiting::Timer(_) | Waiting::Reminder(..) => {
                    push(&mut self.queue, waiting);
                }
            }
        }
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
        self.aside().stash.put(shared, now, queued)
    }

    /// Puts all stashed commands before the others, oldest first.
    pub(super) fn unstash_all(&mut self) {
        let Some(aside) = &mut self.aside else { return };
        for queued in aside.stash.take_newest_first() {
            self.queue.push_front(Waiting::Command(queued));
        }
    }

    /// The command, if the entity has the events that its session has seen. Else it is put aside.
    pub(super) fn admit<E>(
        &mut self,
        shared: &Shared<E>,
        now: Now,
        seen: &VersionVector,
        queued: Queued<C>,
    ) -> Option<Queued<C>>
    where
        E: EventSourced<Command = C>,
    {
        if !Behind::is_for(&queued, seen) {
            return Some(queued);
        }
        self.aside().behind.put(shared, now, seen, queued);
        None
    }

    /// Puts the commands whose events are there now before the others, oldest first, and answers
    /// those whose time is nearly over.
    pub(super) fn look_behind<E>(&mut self, shared: &Shared<E>, now: Now, seen: &VersionVector)
    where
        E: EventSourced<Command = C>,
    {
        let Some(aside) = &mut self.aside else { return };
        for queued in aside.behind.look(shared, now, seen) {
            self.queue.push_front(Waiting::Command(queued));
        }
    }

    /// The time after which the engine must be woken for the commands that wait for events.
    pub(super) fn arm(&mut self, now: Instant) -> Option<Duration> {
        self.aside.as_mut()?.behind.arm(now)
    }

    /// Returns whether a command waits for events of such an origin.
    pub(super) fn wants(&self, seen: &VersionVector, is_such: impl Fn(&ReplicaId) -> bool) -> bool {
        self.aside.as_ref().is_some_and(|aside| aside.behind.wants(seen, is_such))
    }

    /// Answers the commands that wait for events, because the entity stops.
    pub(super) fn stop_waiting<E>(&mut self, shared: &Shared<E>, seen: &VersionVector)
    where
        E: EventSourced<Command = C>,
    {
        if let Some(aside) = &mut self.aside {
            aside.behind.stop(shared, seen);
        }
    }

    /// Refuses the commands that wait, but not those that were put aside. Timers and reminders go
    /// on waiting. Returns the number of refused commands, and the request ids of those that
    /// futures have made.
    pub(super) fn refuse_waiting(&mut self, reason: &ReplyError) -> (usize, Vec<Box<str>>) {
        let (mut count, mut ended) = (0, Vec::new());
        for waiting in std::mem::take(&mut self.queue) {
            match waiting {
                Waiting::Command(queued) | Waiting::Fired(queued) => {
                    let request = queued.claim.request().filter(|_| queued.claim.has_acted());
                    ended.extend(request.map(Box::from));
                    queued.refuse(reason.clone());
                    count += 1;
                }
                Waiting::Timer(ticket) => self.push_timer(ticket),
                Waiting::Reminder(row, slot) => self.push_reminder(row, slot),
            }
        }
        (count, ended)
    }

    /// The requests of the commands that futures have made, each as often as there are commands.
    pub(super) fn followed(&self) -> Vec<Box<str>> {
        let waiting = self.queue.iter().filter_map(|waiting| match waiting {
            Waiting::Command(queued) | Waiting::Fired(queued) => Some(&queued.claim),
            Waiting::Timer(_) | Waiting::Reminder(..) => None,
        });
        let stashed = self.aside.iter().flat_map(|aside| aside.stash.claims());
        let acted = waiting.chain(stashed).filter(|claim| claim.has_acted());
        acted.filter_map(Claim::request).map(Box::from).collect()
    }

    /// Refuses all commands.
    pub(super) fn refuse_all(&mut self, reason: &ReplyError) {
        let waiting = self.queue.drain(..).filter_map(|waiting| match waiting {
            Waiting::Command(queued) | Waiting::Fired(queued) => Some(queued),
            Waiting::Timer(_) | Waiting::Reminder(..) => None,
        });
        for queued in waiting {
            queued.refuse(reason.clone());
        }
        if let Some(Aside { stash, behind }) = self.aside.as_deref_mut() {
            for queued in stash.drain().chain(behind.drain()) {
                queued.refuse(reason.clone());
            }
        }
    }

    pub(super) fn check(&self, settings: &EntitySettings) {
        if let Some(Aside { stash, behind }) = self.aside.as_deref() {
            assert!(stash.len() <= settings.stash_max, "the stash is over its limit");
            behind.check(settings);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_room_for_many_batches_is_not_made_anew_for_each() {
        let (mut inbox, mut rooms) = (Inbox::new(), std::collections::BTreeSet::new());
        for _ in 0..1000 {
            inbox.reserve(64);
            (0..64).for_each(|number| inbox.push(Queued::unlimited(number)));
            rooms.insert(inbox.queue.capacity());
        }
        assert!(rooms.len() < 20, "{} times", rooms.len());
    }
}
