//! Output commit: at most one append is under way while the next one collects events.

use std::collections::VecDeque;

use antiphon_base::time::Timestamp;

use super::Action;
use super::failure::Failure;
use super::queued::push;
use super::shared::Shared;
use crate::Result;
use crate::entity::{EntityCounters, EntitySettings, EventSourced};
use crate::event::{SequenceNr, StoredEvent};
use crate::reply::ReplyError;
use crate::store::{Append, Limits};

struct InFlight {
    last: SequenceNr,
    bytes: usize,
    /// The events of this replica, to be passed on.
    own: Vec<StoredEvent>,
    /// The times of the events of other replicas.
    others: Vec<Timestamp>,
    /// All events, for listeners; empty when nobody listens.
    heard: Vec<StoredEvent>,
}

/// Events that are stored together or not at all.
struct Group {
    events: Vec<StoredEvent>,
    /// The size of the events, as the store counts it.
    bytes: usize,
}

/// The events on their way to the disk.
pub(super) struct Persisting {
    durable: SequenceNr,
    in_flight: Option<InFlight>,
    /// The last event of the append that failed; the failure's answer is about the events in it.
    failed: Option<SequenceNr>,
    collected: VecDeque<Group>,
    collected_count: usize,
    collected_bytes: usize,
}

impl Persisting {
    /// Begins with everything durable.
    pub(super) fn new(durable: SequenceNr) -> Self {
        Self {
            durable,
            in_flight: None,
            failed: None,
            collected: VecDeque::new(),
            collected_count: 0,
            collected_bytes: 0,
        }
    }

    /// The number of the newest event that is durable.
    pub(super) fn durable(&self) -> SequenceNr {
        self.durable
    }

    pub(super) fn is_appending(&self) -> bool {
        self.in_flight.is_some()
    }

    /// The number of events that are applied and not durable.
    fn unpersisted_count(&self) -> usize {
        let in_flight = self.in_flight.as_ref().map_or(0, |append| {
            usize::try_from(append.last.value() - self.durable.value()).unwrap_or(usize::MAX)
        });
        self.collected_count + in_flight
    }

    /// Returns whether there is room for more events that are applied and not durable.
    pub(super) fn has_room(&self, settings: &EntitySettings) -> bool {
        let bytes = self.collected_bytes + self.in_flight.as_ref().map_or(0, |append| append.bytes);
        self.unpersisted_count() < settings.unpersisted_events_max
            && bytes < settings.unpersisted_bytes_max
    }

    /// Returns whether no event is on its way.
    pub(super) fn is_settled(&self) -> bool {
        self.in_flight.is_none() && self.collected.is_empty()
    }

    /// Takes events that are stored together or not at all.
    pub(super) fn collect(&mut self, group: Vec<StoredEvent>) {
        if !group.is_empty() {
            let bytes = Limits::append_bytes(&group);
            self.collected_count += group.len();
            self.collected_bytes += bytes;
            push(&mut self.collected, Group { events: group, bytes });
        }
    }

    /// The next append, if none is under way and events are collected.
    pub(super) fn next_append<E: EventSourced>(&mut self, shared: &Shared<E>) -> Option<Append> {
        if self.in_flight.is_some() {
            return None;
        }
        let Group { mut events, mut bytes } = self.collected.pop_front()?;
        while let Some(next) = self.collected.front() {
            if events.len() + next.events.len() > shared.settings.append_events_max
                || bytes + next.bytes > shared.limits.append_bytes_max
            {
                break;
            }
            let next = self.collected.pop_front().expect("just seen");
            events.extend(next.events);
            bytes += next.bytes;
        }
        self.collected_count -= events.len();
        self.collected_bytes -= bytes;
        let (first, last) = self.ends(shared, &events);
        assert!(
            first == self.durable.next() && last == self.durable.plus(events.len() as u64),
            "`{}`: an append of {} events from {first} to {last} follows event {}",
            shared.id,
            events.len(),
            self.durable
        );
        let own = if shared.replicas().len() > 1 {
            events.iter().filter(|event| shared.is_own(&event.meta.origin)).cloned().collect()
        } else {
            Vec::new()
        };
        let others = events.iter().filter(|event| !shared.is_own(&event.meta.origin));
        let others = others.map(|event| event.meta.timestamp).collect();
        let is_heard = shared.surroundings.kin.listeners.any();
        let heard = if is_heard { events.clone() } else { Vec::new() };
        self.in_flight = Some(InFlight { last, bytes, own, others, heard });
        Some(Append { persistence_id: shared.id.persistence_id(), expected: self.durable, events })
    }

    /// The numbers of the first and of the last event of an append.
    fn ends<E: EventSourced>(
        &self,
        shared: &Shared<E>,
        events: &[StoredEvent],
    ) -> (SequenceNr, SequenceNr) {
        match events {
            [first, .., last] => (first.sequence_nr, last.sequence_nr),
            [only] => (only.sequence_nr, only.sequence_nr),
            [] => panic!("`{}`: an append without events after {}", shared.id, self.durable),
        }
    }

    /// Takes the result of the append under way. What follows from a durable append goes into
    /// `actions`. Returns the number of the newest event that is passed on, if there is one.
    pub(super) fn appended<E: EventSourced>(
        &mut self,
        shared: &Shared<E>,
        result: Result<()>,
        actions: &mut Vec<Action<E>>,
    ) -> Result<Option<SequenceNr>, Failure> {
        // an append that fails has ended, too: recovery need not wait for it
        let append = self.in_flight.take().expect("an append was under way");
        if let Err(error) = result {
            EntityCounters::add(&shared.counters.appends_failed, 1);
            self.failed = Some(append.last);
            return Err(Failure::of_append(error));
        }
        EntityCounters::add(&shared.counters.appends, 1);
        assert!(
            append.last > self.durable,
            "`{}`: event {} becomes durable after event {}",
            shared.id,
            append.last,
            self.durable
        );
        self.durable = append.last;
        let published = append.own.last().map(|event| event.sequence_nr);
        if !append.own.is_empty() {
            actions.push(Action::Publish(append.own));
        }
        if !append.others.is_empty() {
            actions.push(Action::Received(append.others));
        }
        if !append.heard.is_empty() {
            actions.push(Action::Durable(append.heard));
        }
        Ok(published)
    }

    /// The error for a command whose last event is `stored`, or that stored nothing, when the
    /// entity fails with `answer`. The position of the command decides its known effect.
    pub(super) fn error_of(&self, stored: Option<SequenceNr>, answer: &ReplyError) -> ReplyError {
        let Some(last) = stored else { return answer.clone().without_effect() };
        if self.failed.is_some_and(|failed| last <= failed) {
            // the answer of the store is about its append
            return answer.clone();
        }
        let handed_over = self.in_flight.as_ref().map_or(self.durable, |append| append.last);
        if last <= handed_over {
            // its append was under way when something else failed
            return answer.clone().with_unknown_effect();
        }
        // its events were collected, and never handed to the store
        answer.clone().without_effect()
    }

    /// Asserts that the events up to `newest` are durable or on their way, each once.
    pub(super) fn check(&self, newest: SequenceNr) {
        let unpersisted = self.unpersisted_count() as u64;
        assert_eq!(self.durable.plus(unpersisted), newest, "each event is on its way once");
        let groups = self.collected.iter();
        let (count, bytes) = groups.fold((0, 0), |(count, bytes), group| {
            (count + group.events.len(), bytes + group.bytes)
        });
        assert_eq!((count, bytes), (self.collected_count, self.collected_bytes), "counted right");
    }
}
