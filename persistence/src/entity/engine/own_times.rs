//! The times of the newest own events, to find a number that was used twice.
//!
//! After a loss of the journal that an operator accepted, this replica uses numbers again that
//! other replicas know. A different event under a known number is a fork: the replicas of the
//! entity differ for ever.

use std::collections::VecDeque;

use antiphon_base::time::Timestamp;

use super::queued::push;
use super::shared::Shared;
use crate::entity::{EntityCounters, EventSourced};
use crate::event::StoredEvent;

/// Most of the newest own events that are remembered by number and time.
const OWN_TIMES_MAX: usize = 64;

/// The newest own events by number and time.
#[derive(Debug, Default)]
pub(super) struct OwnTimes {
    times: VecDeque<(u64, Timestamp)>,
    is_forked: bool,
    /// The number of a fork that the host has not been told of.
    untold_fork: Option<u64>,
}

impl OwnTimes {
    /// Notes an own event, whether written or read.
    pub(super) fn note(&mut self, event: &StoredEvent) {
        if self.times.len() >= OWN_TIMES_MAX {
            self.times.pop_front();
        }
        push(&mut self.times, (event.meta.origin_nr(), event.meta.timestamp));
    }

    /// Compares an own event that comes back with the event that the journal has under its number.
    pub(super) fn compare<E: EventSourced>(&mut self, shared: &Shared<E>, event: &StoredEvent) {
        let Some(known) = self.other_time(event) else { return };
        EntityCounters::add(&shared.counters.events_forked, 1);
        if !std::mem::replace(&mut self.is_forked, true) {
            let (id, number, other) = (&shared.id, event.meta.origin_nr(), event.meta.timestamp);
            self.untold_fork = Some(number);
            tracing::error!(%id, number, ?known, ?other, "another replica has an own event with a number that was used again after a loss was accepted: the replicas of this entity differ for ever");
        }
    }

    /// The number of a fork that the host is to be told of now.
    pub(super) fn take_fork(&mut self) -> Option<u64> {
        self.untold_fork.take()
    }

    /// The time of the known own event with the number of `event`, if the two events differ.
    fn other_time(&self, event: &StoredEvent) -> Option<Timestamp> {
        let number = event.meta.origin_nr();
        let known = self.times.iter().find(|(known, _)| *known == number)?.1;
        (known != event.meta.timestamp).then_some(known)
    }
}
