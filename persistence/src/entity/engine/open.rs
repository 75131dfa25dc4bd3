//! The requests whose handling goes on after their first command: a future of it is under way, or
//! the command of one waits. Their repetitions wait for the end.
//!
//! ```text
//!   begin (a future) ----> under way ----> its command waits, or is stashed ----> ended
//!                                                                                   |
//!                                 the repetitions get their turn <-- the last one --+
//! ```
//!
//! A future or its command is a *member* of the handling. The members outlive a restart of the
//! entity in the inbox, and the handling is opened again for them.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::Queued;
use super::inbox::Inbox;
use crate::entity::EntityCounters;
use crate::reply::ReplyError;

/// The requests whose handling goes on, by id.
#[derive(Debug)]
pub(super) struct Open<C> {
    handled: BTreeMap<Box<str>, Handled<C>>,
    /// The time at which the shell will wake the engine for the first repetition that gives up.
    wake_at: Option<Instant>,
}

/// A request that is being handled.
#[derive(Debug)]
struct Handled<C> {
    /// The number of members that have not ended, at least one.
    under_way: usize,
    /// The number of the first event of the handling, as the memory of requests has it.
    first: Option<u64>,
    /// The checksum of the content of its command, if its client gave one.
    content: Option<u64>,
    /// The repetitions, which wait for the end, oldest first.
    waiting: Vec<Queued<C>>,
}

impl<C> Open<C> {
    pub(super) fn new() -> Self {
        Self { handled: BTreeMap::new(), wake_at: None }
    }

    /// Returns whether the handling of the request goes on.
    pub(super) fn has(&self, id: &str) -> bool {
        self.handled.contains_key(id)
    }

    /// Notes that a member of the request's handling begins. `first` is the number of the first
    /// event that the handling has stored.
    pub(super) fn begin(&mut self, (id, content): (&str, Option<u64>), first: Option<u64>) {
        let begun = || Handled { under_way: 0, first: None, content, waiting: Vec::new() };
        let handled = self.handled.entry(id.into()).or_insert_with(begun);
        handled.under_way += 1;
        handled.first = handled.first.or(first);
    }

    /// The checksum of the content of a request whose handling goes on, if its client gave one.
    pub(super) fn content(&self, id: &str) -> Option<u64> {
        self.handled.get(id)?.content
    }

    /// Notes the number of the first event of the handling, after a member has stored events.
    pub(super) fn stored(&mut self, id: &str, first: Option<u64>) {
        if let Some(handled) = self.handled.get_mut(id)
            && first.is_some()
        {
            handled.first = first;
        }
    }

    /// Returns whether a command of a future of the request goes on with the handling whose first
    /// event has the number `known`; `None`: no handling is remembered.
    pub(super) fn goes_on(&self, id: &str, known: Option<u64>) -> bool {
        let is_of = |handled: &Handled<C>| known.is_none() || handled.first == known;
        self.handled.get(id).is_some_and(is_of)
    }

    /// The number of requests whose handling has stored no event yet.
    pub(super) fn unstored(&self) -> usize {
        self.handled.values().filter(|handled| handled.first.is_none()).count()
    }

    /// Puts a repetition aside until the handling has ended, if there is room among `max` when
    /// those are gone whose askers have given up.
    pub(super) fn wait(
        &mut self,
        counters: &EntityCounters,
        now: Instant,
        (id, max): (&str, usize),
        queued: Queued<C>,
    ) {
        self.expire(counters, now);
        let count: usize = self.handled.values().map(|handled| handled.waiting.len()).sum();
        if count >= max {
            let why = format!(
                "request `{id}`: expected at most {max} repetitions that wait (half of `mailbox_max`)"
            );
            return queued.refuse(ReplyError::Overloaded(why));
        }
        EntityCounters::add(&counters.commands_joined, 1);
        queued.claim.give_back();
        self.handled.get_mut(id).expect("the request is open").waiting.push(queued);
    }

    /// Drops the repetitions whose askers have given up, or whose time is over.
    pub(super) fn expire(&mut self, counters: &EntityCounters, now: Instant) {
        for handled in self.handled.values_mut() {
            let is_void =
                |queued: &mut Queued<C>| queued.claim.is_over(now) && !queued.claim.take(now);
            handled.waiting.extract_if(.., is_void).for_each(|queued| queued.expire(counters));
        }
    }

    /// The time after which the engine must be woken for the repetitions that give up.
    pub(super) fn arm(&mut self, now: Instant) -> Option<Duration> {
        let waiting = self.handled.values().flat_map(|handled| &handled.waiting);
        let left = waiting.filter_map(|queued| queued.claim.time_left(now)).min()?;
        let first = now + left;
        if self.wake_at.is_some_and(|at| now < at && at <= first) {
            return None;
        }
        self.wake_at = Some(first);
        Some(left)
    }

    /// Notes that a member of the request's handling has ended. The repetitions get their turn when
    /// it was the last one.
    pub(super) fn ended(&mut self, id: &str, inbox: &mut Inbox<C>) {
        let Some(handled) = self.handled.get_mut(id) else { return };
        handled.under_way -= 1;
        if handled.under_way > 0 {
            return;
        }
        let Handled { waiting, .. } = self.handled.remove(id).expect("just seen");
        waiting.into_iter().rev().for_each(|queued| inbox.push_front(queued));
    }

    /// Refuses the repetitions, at the end of the entity.
    pub(super) fn end(self, reason: &ReplyError) {
        let waiting = self.handled.into_values().flat_map(|handled| handled.waiting);
        waiting.for_each(|queued| queued.refuse(reason.clone()));
    }

    pub(super) fn check(&self) {
        let goes_on = self.handled.values().all(|handled| handled.under_way > 0);
        assert!(goes_on, "a handling that has ended");
    }
}
