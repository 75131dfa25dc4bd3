//! Reactions to events of other replicas: which events have none yet, and the row that finds them
//! again when the node dies before.
//!
//! ```text
//!                      append, with a row        durable, its turn          its effect is durable
//!   an event arrives ---------------------> waits ----------------> reacted ----------------> row
//!                                             ^                                            removed
//!   the row of an earlier life is due: the events from its number on are read again
//! ```
//!
//! The row has a reserved name and the number of the first event of the append. The last event of a
//! reaction's effect says to which numbers the replica has reacted in this life, so that a reaction
//! that has stored events is not repeated. An event that an adapter reads as several *parts* has a
//! reaction for each of them, in turns of their own, and the notes say how many had theirs.

use std::collections::VecDeque;
use std::time::Duration;

use antiphon_base::time::Timestamp;

use super::queued::push;
use crate::event::{SequenceNr, StoredEvent};
use crate::identity::{PersistenceId, ReplicaId};
use crate::store::{ReminderRow, ReplayPage};

/// The name of the rows of reactions.
pub(super) const REACTIONS: &str = "antiphon.reactions";

/// Most ranges of numbers that are remembered as reacted to; the newest ones. A row that is left
/// for longer than so many lives of its entity can repeat reactions.
const RANGES_MAX: usize = 16;

/// Time from an append until its row is due: only a row that was left is found by a scanner.
const LEFT_AFTER: Duration = Duration::from_secs(10);

/// The events of other replicas that a replica has to react to.
#[derive(Debug, Default)]
pub(super) struct Reactions {
    /// False while the entity recovers.
    is_begun: bool,
    /// The newest event when this life began. Events up to it are reacted to when a row that was
    /// left asks for it.
    begun_at: SequenceNr,
    /// The numbers, first and last, to which the replica has reacted, as far as its events or this
    /// life tell. Sorted, with a number between any two.
    done: Vec<(SequenceNr, SequenceNr)>,
    /// An event whose first parts, so many, have had their reactions, and the others not.
    partly: Option<(SequenceNr, u64)>,
    /// The events of this life without a reaction.
    waiting: VecDeque<StoredEvent>,
    /// The time of day at which the last of them came: the time of the entity may be far ahead.
    arrived_at: Timestamp,
    /// The rows of this life, with the number of the last event that each is for.
    rows: VecDeque<(SequenceNr, ReminderRow)>,
    left: Option<Left>,
}

/// Events of an earlier life without a reaction.
#[derive(Debug)]
struct Left {
    row: ReminderRow,
    first: SequenceNr,
    /// The first number that was not read.
    next: SequenceNr,
    is_reading: bool,
    events: VecDeque<StoredEvent>,
}

/// The way of a due row of reactions.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum LeftRow {
    /// Its events are reacted to, or read.
    Known,
    /// All its events have a reaction.
    Over,
    /// Its events are read again.
    Read,
}

impl Reactions {
    /// Begins a life after the event `newest`.
    pub(super) fn begin(&mut self, newest: SequenceNr) {
        (self.is_begun, self.begun_at) = (true, newest);
    }

    /// The numbers, first and last, to which the replica has reacted.
    pub(super) fn ranges(&self) -> &[(SequenceNr, SequenceNr)] {
        &self.done
    }

    /// Notes that the replica has reacted to the events with these numbers.
    pub(super) fn reacted(&mut self, (mut first, mut last): (SequenceNr, SequenceNr)) {
        self.done.retain(|(known_first, known_last)| {
            let is_apart = *known_first > last.next() || first > known_last.next();
            if !is_apart {
                first = first.min(*known_first);
                last = last.max(*known_last);
            }
            is_apart
        });
        let at = self.done.partition_point(|(known, _)| *known < first);
        self.done.insert(at, (first, last));
        if self.done.len() > RANGES_MAX {
            self.done.remove(0);
        }
    }

    /// The same; with `parts`, only so many first parts of the last event have their reaction.
    pub(super) fn reacted_in_part(
        &mut self,
        (first, last): (SequenceNr, SequenceNr),
        parts: Option<u64>,
    ) {
        let Some(parts) = parts else {
            self.partly.take_if(|(number, _)| *number <= last);
            return self.reacted((first, last));
        };
        self.partly = Some((last, parts));
        if first < last {
            self.reacted((first, SequenceNr::new(last.value() - 1)));
        }
    }

    /// The event whose first parts, so many, have had their reactions, and the others not.
    pub(super) fn partly(&self) -> Option<(SequenceNr, u64)> {
        self.partly
    }

    /// The number of parts of this event that have had their reactions.
    pub(super) fn parts_done(&self, number: SequenceNr) -> u64 {
        self.partly.filter(|(known, _)| *known == number).map_or(0, |(_, parts)| parts)
    }

    /// Takes an event back whose other parts have no reaction yet: its turn comes next.
    pub(super) fn again(&mut self, event: StoredEvent) {
        let of_earlier_life = self.left.as_mut().filter(|_| event.sequence_nr <= self.begun_at);
        match of_earlier_life {
            Some(left) => left.events.push_front(event),
            None => self.waiting.push_front(event),
        }
    }

    /// The first number from this one on to which the replica has not reacted.
    fn not_done(&self, number: SequenceNr) -> SequenceNr {
        let range = self.done.iter().find(|(first, last)| (*first..=*last).contains(&number));
        range.map_or(number, |(_, last)| last.next())
    }

    /// Takes events of other replicas that were applied.
    pub(super) fn arrived(&mut self, own: &ReplicaId, events: &[StoredEvent], wall: Timestamp) {
        self.arrived_at = wall;
        for event in events.iter().filter(|event| event.meta.origin != *own) {
            push(&mut self.waiting, event.clone());
        }
    }

    /// The row to be put before the append of the events up to `last`, if it has events of others.
    pub(super) fn append(&mut self, id: &PersistenceId, last: SequenceNr) -> Option<ReminderRow> {
        let covered = self.rows.back().map_or(SequenceNr::ZERO, |(number, _)| *number);
        let is_of_append =
            |event: &&StoredEvent| event.sequence_nr > covered && event.sequence_nr <= last;
        let first = self.waiting.iter().find(is_of_append)?.sequence_nr;
        let last = self.waiting.iter().rev().find(is_of_append)?.sequence_nr;
        let late = u64::try_from(LEFT_AFTER.as_micros()).unwrap_or(u64::MAX);
        let due = Timestamp::from_micros(self.arrived_at.as_micros().saturating_add(late));
        let due = due.min(ReminderRow::due_max());
        let row =
            ReminderRow { due, persistence_id: id.clone(), name: REACTIONS.into(), set_by: first };
        self.rows.push_back((last, row.clone()));
        Some(row)
    }

    /// Number of events of this life that wait.
    pub(super) fn waiting_count(&self) -> usize {
        self.waiting.len()
    }

    /// Returns whether an event waits for its turn, up to the number that is durable.
    pub(super) fn is_due(&self, durable: SequenceNr) -> bool {
        let left = self.left.iter().any(|left| !left.events.is_empty());
        left || self.waiting.front().is_some_and(|event| event.sequence_nr <= durable)
    }

    /// The next event whose turn it is, up to the number that is durable. An event of which some
    /// parts have had their reactions comes before those that an earlier life has left.
    pub(super) fn next(&mut self, durable: SequenceNr) -> Option<StoredEvent> {
        let is_begun =
            self.waiting.front().is_some_and(|event| self.parts_done(event.sequence_nr) > 0);
        let left = self.left.as_mut().filter(|_| !is_begun);
        if let Some(event) = left.and_then(|left| left.events.pop_front()) {
            return Some(event);
        }
        let is_durable = self.waiting.front().is_some_and(|event| event.sequence_nr <= durable);
        if is_durable { self.waiting.pop_front() } else { None }
    }

    /// The numbers to which the replica has reacted when it has reacted to this one: events come in
    /// order, those of this life and those that an earlier one has left.
    pub(super) fn range(&self, number: SequenceNr) -> (SequenceNr, SequenceNr) {
        let left = self.left.as_ref().filter(|_| number <= self.begun_at);
        (left.map_or(self.begun_at.next(), |left| left.first).min(number), number)
    }

    /// The number from which events of an earlier life are to be read now.
    pub(super) fn next_read(&mut self) -> Option<SequenceNr> {
        let left = self.left.as_mut()?;
        if left.is_reading || !left.events.is_empty() || left.next > self.begun_at {
            return None;
        }
        left.is_reading = true;
        Some(left.next)
    }

    /// Returns whether an event came in this life.
    pub(super) fn is_of_this_life(&self, number: SequenceNr) -> bool {
        number > self.begun_at
    }

    /// Lets go of the events of an earlier life, one of which this version cannot read. Their row
    /// stays, and comes again.
    pub(super) fn leave(&mut self) {
        self.left = None;
    }

    /// The last number that may be deleted: the events behind it may need a reaction.
    pub(super) fn deletable(&self, last: SequenceNr) -> SequenceNr {
        let waiting = self.waiting.iter().map(|event| event.sequence_nr);
        let rows = self.rows.iter().map(|(_, row)| row.set_by);
        let left = self.left.iter().map(|left| left.row.set_by);
        match waiting.chain(rows).chain(left).min() {
            Some(first) if first <= last => SequenceNr::new(first.value().saturating_sub(1)),
            Some(_) | None => last,
        }
    }

    /// Takes events of an earlier life. After a failure the row comes again.
    pub(super) fn read(&mut self, own: &ReplicaId, page: Option<ReplayPage>) {
        let Some(left) = &mut self.left else { return };
        let Some(page) = page else {
            self.left = None;
            return;
        };
        left.is_reading = false;
        left.next =
            page.events.last().map_or(self.begun_at.next(), |event| event.sequence_nr.next());
        let (begun_at, done) = (self.begun_at, &self.done);
        let is_done = |number: SequenceNr| {
            done.iter().any(|(first, last)| (*first..=*last).contains(&number))
        };
        let is_left = |event: &StoredEvent| {
            let number = event.sequence_nr;
            number <= begun_at && event.meta.origin != *own && !is_done(number)
        };
        left.events.extend(page.events.into_iter().filter(is_left));
    }

    /// The rows that are over when the reaction to this event is durable.
    pub(super) fn done(&mut self, number: SequenceNr) -> Vec<ReminderRow> {
        self.reacted_in_part(self.range(number), None);
        let mut over = Vec::new();
        while self.rows.front().is_some_and(|(last, _)| *last <= number) {
            over.extend(self.rows.pop_front().map(|(_, row)| row));
        }
        over.extend(self.left_over());
        over
    }

    /// The row of an earlier life, if all its events have a reaction.
    pub(super) fn left_over(&mut self) -> Option<ReminderRow> {
        let begun_at = self.begun_at;
        let is_over =
            |left: &mut Left| left.events.is_empty() && !left.is_reading && left.next > begun_at;
        self.left.take_if(is_over).map(|left| left.row)
    }

    /// Decides about a row that is due.
    pub(super) fn due(&mut self, row: &ReminderRow) -> LeftRow {
        if self.rows.iter().any(|(_, known)| known == row) || self.left.is_some() {
            return LeftRow::Known;
        }
        let next = self.not_done(row.set_by);
        if next > self.begun_at {
            return LeftRow::Over;
        }
        let (is_reading, events) = (false, VecDeque::new());
        self.left = Some(Left { row: row.clone(), first: next, next, is_reading, events });
        LeftRow::Read
    }

    pub(super) fn check(&self, newest: SequenceNr) {
        let last = self.done.last().map_or(SequenceNr::ZERO, |(_, last)| *last);
        assert!(last <= newest, "a reaction to event {last} of {newest}");
        let partly = self.partly.map_or(SequenceNr::ZERO, |(number, _)| number);
        assert!(partly <= newest, "a part of a reaction to event {partly} of {newest}");
        assert!(self.done.len() <= RANGES_MAX, "more ranges than are remembered");
        let is_apart = self.done.windows(2).all(|pair| pair[0].1.next() < pair[1].0);
        assert!(is_apart, "ranges with a number between them: {:?}", self.done);
        assert!(self.is_begun || self.waiting.is_empty(), "no event waits during recovery");
        let numbers = self.waiting.iter().map(|event| event.sequence_nr);
        assert!(numbers.is_sorted(), "reactions are in order");
        assert!(self.rows.iter().is_sorted_by_key(|(last, _)| *last), "rows are in order");
    }
}
