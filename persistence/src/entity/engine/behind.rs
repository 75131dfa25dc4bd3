//! Commands of sessions that have seen events which the entity has not: they wait until it has
//! them, within the times of their askers.
//!
//! ```text
//!                the events are here
//!   behind ----------------------------> first in the inbox, in their order
//!      |
//!      +-- the asker's time is nearly over, or the entity stops --> `Behind`, without effect
//! ```
//!
//! Invariants: at most `behind_max` commands wait, each at most `behind_wait_max`; after a look,
//! each of them needs an event that the entity has not, of an origin that the entity knows.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::shared::Shared;
use super::{Now, Queued};
use crate::entity::{EntityCounters, EntitySettings, EventSourced};
use crate::identity::ReplicaId;
use crate::reply::{Missing, ReplyError};
use crate::version::VersionVector;

/// The share of an asker's time that is left for the way of `Behind`.
const WAY_SHARE: u32 = 8;

/// The longest time that is left for it.
const WAY_MAX: Duration = Duration::from_millis(250);

/// A command that waits for events.
#[derive(Debug)]
struct Late<C> {
    queued: Queued<C>,
    give_up_at: Instant,
}

/// The commands that wait for events, oldest first.
#[derive(Debug)]
pub(super) struct Behind<C> {
    late: VecDeque<Late<C>>,
    /// The events that were there at the last look.
    looked_at: VersionVector,
    /// The time at which the shell will wake the engine for the first of them to give up.
    wake_at: Option<Instant>,
}

impl<C> Behind<C> {
    pub(super) fn new() -> Self {
        Self { late: VecDeque::new(), looked_at: VersionVector::new(), wake_at: None }
    }

    pub(super) fn len(&self) -> usize {
        self.late.len()
    }

    /// Returns whether the command must wait for events.
    pub(super) fn is_for(queued: &Queued<C>, seen: &VersionVector) -> bool {
        queued.claim.needs().is_some_and(|needs| !needs.is_included_in(seen))
    }

    /// Puts a command aside until its events are there, if there is room when the commands whose
    /// askers have given up are gone. Events of an origin that is no replica, and of which nothing
    /// was seen, are not waited for.
    pub(super) fn put<E>(
        &mut self,
        shared: &Shared<E>,
        now: Now,
        seen: &VersionVector,
        queued: Queued<C>,
    ) where
        E: EventSourced<Command = C>,
    {
        let is_foreign =
            |origin: &ReplicaId| seen.get(origin) == 0 && !shared.replicas().contains(origin);
        if queued.claim.needs().is_some_and(|needs| needs.iter().any(|(it, _)| is_foreign(it))) {
            return tell_behind(shared, seen, queued);
        }
        let limit = shared.settings.behind_max;
        if self.late.len() >= limit {
            self.give_up(
                |late| late.queued.claim.is_over(now.instant),
                |queued| {
                    queued.expire(&shared.counters);
                },
            );
        }
        if self.late.len() >= limit {
            EntityCounters::add(&shared.counters.behind_overflows, 1);
            return queued.refuse(ReplyError::Overloaded(format!("`behind_max` {limit}")));
        }
        EntityCounters::add(&shared.counters.commands_behind, 1);
        let longest = shared.settings.behind_wait_max;
        let left = queued.claim.time_left(now.instant);
        let wait = left.map_or(longest, |left| left - (left / WAY_SHARE).min(WAY_MAX));
        let give_up_at = now.instant + wait.min(longest);
        self.late.push_back(Late { queued, give_up_at });
    }

    /// Takes the commands out whose events are there, the newest first. The commands whose time is
    /// nearly over are answered with `Behind`.
    pub(super) fn look<E>(
        &mut self,
        shared: &Shared<E>,
        now: Now,
        seen: &VersionVector,
    ) -> Vec<Queued<C>>
    where
        E: EventSourced<Command = C>,
    {
        let mut ready = Vec::new();
        if self.late.is_empty() {
            return ready;
        }
        // a command was put aside because of the events that were there then
        if self.looked_at != *seen {
            self.looked_at = seen.clone();
            self.give_up(|late| !Self::is_for(&late.queued, seen), |queued| ready.push(queued));
            ready.reverse();
        }
        let is_due = |late: &Late<C>| late.give_up_at <= now.instant;
        self.give_up(is_due, |queued| tell_behind(shared, seen, queued));
        ready
    }

    /// Answers all commands with `Behind`, because the entity stops.
    pub(super) fn stop<E>(&mut self, shared: &Shared<E>, seen: &VersionVector)
    where
        E: EventSourced<Command = C>,
    {
        self.give_up(|_| true, |queued| tell_behind(shared, seen, queued));
    }

    /// Takes the commands out that `ends` chooses, oldest first; the others stay in their order.
    fn give_up(&mut self, ends: impl Fn(&Late<C>) -> bool, mut end: impl FnMut(Queued<C>)) {
        if !self.late.iter().any(&ends) {
            return;
        }
        for _ in 0..self.late.len() {
            let late = self.late.pop_front().expect("the length was just read");
            if ends(&late) {
                end(late.queued);
            } else {
                self.late.push_back(late);
            }
        }
    }

    /// The time after which the engine must be woken, unless it is woken before.
    pub(super) fn arm(&mut self, now: Instant) -> Option<Duration> {
        let first = self.late.iter().map(|late| late.give_up_at).min()?;
        if self.wake_at.is_some_and(|at| now < at && at <= first) {
            return None;
        }
        self.wake_at = Some(first);
        Some(first.saturating_duration_since(now))
    }

    /// Returns whether a command waits for events of such an origin.
    pub(super) fn wants(&self, seen: &VersionVector, is_such: impl Fn(&ReplicaId) -> bool) -> bool {
        let mut needs = self.late.iter().filter_map(|late| late.queued.claim.needs());
        needs.any(|needs| {
            needs.iter().any(|(origin, count)| count > seen.get(origin) && is_such(origin))
        })
    }

    /// Takes all commands, the oldest first.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Queued<C>> {
        self.late.drain(..).map(|late| late.queued)
    }

    pub(super) fn check(&self, settings: &EntitySettings) {
        assert!(self.late.len() <= settings.behind_max, "more commands wait than may");
        assert!(
            self.late.iter().all(|late| late.queued.claim.needs().is_some()),
            "a command waits that needs no events"
        );
    }
}

/// Answers a command that its events are missing.
fn tell_behind<E: EventSourced>(
    shared: &Shared<E>,
    seen: &VersionVector,
    queued: Queued<E::Command>,
) {
    EntityCounters::add(&shared.counters.commands_left_behind, 1);
    let missing = queued.claim.needs().and_then(|needs| Missing::between(seen, needs));
    let why = || ReplyError::Unavailable("the entity stops".to_owned());
    let reason = missing.map_or_else(why, ReplyError::Behind);
    queued.refuse(reason);
}
