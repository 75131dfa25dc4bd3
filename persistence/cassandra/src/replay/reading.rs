//! An answer under construction: rows of the partitions, and events that are not copied yet, become
//! events in order without holes.

use std::collections::VecDeque;
use std::sync::Arc;

use antiphon_base::{Error, Result};
use antiphon_persistence::event::StoredEvent;
use antiphon_persistence::record::batch;
use bytes::Bytes;

use super::page;
use crate::log::entry::{Entry, decode_events, decode_events_into};
use crate::log::event_row::{events_of, may_be_cut};
use crate::tables::EventRow;

/// A replay under way.
pub(super) struct Reading {
    pub(super) stream: Arc<str>,
    /// The first event that is not deleted.
    pub(super) first: u64,
    pub(super) next: u64,
    pub(super) last: u64,
    pub(super) events: Vec<StoredEvent>,
    pub(super) bytes: usize,
    pub(super) bytes_max: usize,
    /// Entries that may not be copied yet, in order.
    pub(super) tail: VecDeque<Entry>,
    /// True when the last event ends a row that may be the first part of an append
    /// ([`may_be_cut`]): the append may have been written and half copied after the look at the
    /// lanes.
    pub(super) may_end_in_append: bool,
    pub(super) partition_events_max: u64,
}

impl Reading {
    /// Asserts that the answer is dense: its events end just before `next`.
    ///
    /// # Panics
    /// When they do not: an entity would recover without an event, and not notice it.
    pub(super) fn check(&self) {
        let Some((first, last)) = self.events.first().zip(self.events.last()) else { return };
        let (first, last) = (first.sequence_nr.value(), last.sequence_nr.value());
        assert_eq!(last + 1, self.next, "the last event of `{}` is another one", self.stream);
        let count = self.events.len() as u64;
        assert_eq!(first + count, self.next, "the events of `{}` are not dense", self.stream);
        assert!(first >= self.first, "event {first} of `{}` is deleted", self.stream);
        assert!(last <= self.last, "event {last} of `{}` was not asked for", self.stream);
    }

    /// True when the answer ended at a limit, and not at the end of the stream.
    pub(super) fn is_whole(&self) -> bool {
        self.next > self.last || self.bytes >= self.bytes_max
    }

    /// Makes room for the events of `rows`.
    pub(super) fn expect(&mut self, rows: &[EventRow]) {
        let Some(last) = rows.last().map(|row| row.last.min(self.last)) else { return };
        // an event has at least eight bytes, so a damaged row reserves no more memory than its
        // bytes allow
        let most = page::bytes_of(rows) / 8;
        let count = last.saturating_add(1).saturating_sub(self.next);
        self.events.reserve(usize::try_from(count).unwrap_or(usize::MAX).min(most));
    }

    pub(super) fn add_row(&mut self, row: &EventRow) -> Result<()> {
        self.add_tail(row.first)?;
        self.add(row.first, row.last, &events_of(row)?)?;
        if row.last + 1 == self.next {
            self.may_end_in_append = may_be_cut(row, self.partition_events_max);
        }
        Ok(())
    }

    /// Adds an answer that goes on where this one ends.
    ///
    /// # Panics
    /// When it begins elsewhere.
    pub(super) fn go_on(&mut self, more: Self) {
        let first = more.next - more.events.len() as u64;
        assert_eq!(first, self.next, "the answer for `{}` goes on elsewhere", self.stream);
        self.may_end_in_append = more.may_end_in_append;
        self.next = more.next;
        self.bytes += more.bytes;
        self.events.extend(more.events);
        self.check();
    }

    /// Adds the entries that are not copied and begin before `end`.
    pub(super) fn add_tail(&mut self, end: u64) -> Result<()> {
        while self.tail.front().is_some_and(|entry| entry.first < end) {
            let Some(entry) = self.tail.pop_front() else { break };
            let before = self.next;
            self.add(entry.first, entry.last, &entry.events)?;
            self.may_end_in_append &= self.next == before;
        }
        Ok(())
    }

    /// Adds the next events. Compares events that were read before: two writers of one stream are
    /// noticed.
    fn add(&mut self, first: u64, last: u64, record: &Bytes) -> Result<()> {
        if self.is_whole() {
            return Ok(());
        }
        let start = self.next - self.events.len() as u64;
        if last < start {
            return Ok(());
        }
        if last < self.next && first >= start {
            return self.compare(&decode_events(&self.stream, first, last, record)?);
        }
        if first > self.next {
            return Err(Error::corrupt(format!(
                "the events of `{}` have a hole: expected {}, actual {first}",
                self.stream, self.next
            )));
        }
        if first == self.next && last <= self.last {
            let before = self.events.len();
            decode_events_into(&mut self.events, &self.stream, first, last, record)?;
            self.next = last + 1;
            self.bytes += self.events[before..].iter().map(bytes_of).sum::<usize>();
            return Ok(());
        }
        let events = decode_events(&self.stream, first, last, record)?;
        self.compare(&events)?;
        for event in events {
            if event.sequence_nr.value() == self.next && self.next <= self.last {
                self.next += 1;
                self.bytes += bytes_of(&event);
                self.events.push(event);
            }
        }
        Ok(())
    }

    fn compare(&self, again: &[StoredEvent]) -> Result<()> {
        let Some(start) = self.events.first().map(|event| event.sequence_nr.value()) else {
            return Ok(());
        };
        for event in again {
            let index = event.sequence_nr.value().checked_sub(start);
            let known = index
                .and_then(|index| usize::try_from(index).ok())
                .and_then(|index| self.events.get(index));
            if known.is_some_and(|known| known != event) {
                return Err(Error::corrupt(format!(
                    "event {} of `{}` was written twice, by two writers that were open at the same time",
                    event.sequence_nr, self.stream
                )));
            }
        }
        Ok(())
    }
}

/// Approximate bytes of an event in memory.
fn bytes_of(event: &StoredEvent) -> usize {
    event.payload.bytes.len() + batch::labels_bytes(&event.meta.labels) + 64
}
