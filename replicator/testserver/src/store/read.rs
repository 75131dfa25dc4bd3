//! Reads of a stream or of `$all`.

use std::ops::RangeInclusive;

use antiphon_eventstore::{NewEvent, content_type, wire};

use super::entry::{Body, Entry, Stream, StreamId, TOMBSTONE, now_ticks, position};
use super::filter::EventFilter;
use super::links::LINK;
use super::log::Log;

/// An entry to be sent, with the link through which it was found.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Found {
    pub(crate) event: Option<wire::RecordedEvent>,
    pub(crate) link: Option<wire::RecordedEvent>,
    /// The read entry: its index in the log, and its number in its stream.
    pub(crate) index: usize,
    pub(crate) revision: u64,
}

/// A page of a stream.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum StreamPage {
    Missing,
    Tombstoned,
    Page {
        found: Vec<Found>,
        /// The number from which to continue; none at the end in this direction.
        next: Option<u64>,
        /// The first number that can be read, and the last one of the stream. The first is greater
        /// when nothing can be read.
        first: u64,
        last: u64,
    },
}

impl Found {
    /// The entry whose id a consumer of a group acknowledges.
    pub(crate) fn original(&self) -> Option<&wire::RecordedEvent> {
        self.link.as_ref().or(self.event.as_ref())
    }
}

impl Log {
    /// Number of entries, including links.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The range of numbers of a stream that can be read; none when it is empty.
    pub(crate) fn visible(&self, name: &str) -> Option<RangeInclusive<u64>> {
        let stream = self.named(name)?;
        Some(self.first(stream)..=stream.last()?)
    }

    /// The number after the last event of a stream.
    pub(crate) fn end_of(&self, name: &str) -> u64 {
        self.named(name).and_then(Stream::last).map_or(0, |last| last + 1)
    }

    /// At most `count` events from number `from`, upwards or downwards.
    pub(crate) fn read_stream(
        &self,
        name: &str,
        forwards: bool,
        from: u64,
        count: usize,
        resolve: bool,
    ) -> StreamPage {
        if self.is_dead(name) {
            return StreamPage::Tombstoned;
        }
        let Some(stream) = self.named(name) else { return StreamPage::Missing };
        if stream.last().is_none() || stream.limits.deleted() {
            return StreamPage::Missing;
        }
        self.page(stream, forwards, from, count, resolve)
    }

    /// Events of a stream from number `from` for a subscriber that is live, to whom the tombstone
    /// of the stream comes after them; none without a tombstone.
    pub(crate) fn read_buried(
        &self,
        name: &str,
        from: u64,
        count: usize,
        resolve: bool,
    ) -> Option<Vec<Found>> {
        let stream = self.named(name).filter(|stream| stream.tombstoned)?;
        match self.page(stream, true, from, count, resolve) {
            StreamPage::Page { found, .. } if !found.is_empty() => Some(found),
            StreamPage::Page { .. } | StreamPage::Missing | StreamPage::Tombstoned => {
                self.tombstone(stream).map(|tombstone| vec![tombstone])
            }
        }
    }

    fn page(
        &self,
        stream: &Stream,
        forwards: bool,
        from: u64,
        count: usize,
        resolve: bool,
    ) -> StreamPage {
        let Some(last) = stream.last() else { return StreamPage::Missing };
        let first = self.first(stream);
        let revisions: Vec<u64> = if forwards {
            (from.max(first)..=last).take(count).collect()
        } else {
            (first..=from.min(last)).rev().take(count).collect()
        };
        let next = revisions.last().and_then(|at| {
            if forwards { (*at < last).then_some(at + 1) } else { (*at > first).then(|| at - 1) }
        });
        let found = revisions
            .into_iter()
            .filter_map(|revision| usize::try_from(revision).ok())
            .filter_map(|revision| self.found(stream.places[revision], resolve))
            .collect();
        StreamPage::Page { found, next, first, last }
    }

    /// Examines at most `scan` entries of the log from index `from`, upwards or downwards. Returns
    /// the entries that pass the filter, and the index to continue from.
    pub(crate) fn read_all(
        &self,
        forwards: bool,
        from: usize,
        scan: usize,
        filter: Option<&EventFilter>,
        resolve: bool,
    ) -> (Vec<Found>, usize) {
        let range = if forwards {
            let from = from.min(self.entries.len());
            from..from.saturating_add(scan).min(self.entries.len())
        } else {
            let to = from.min(self.entries.len());
            to.saturating_sub(scan)..to
        };
        let next = if forwards { range.end } else { range.start };
        let wanted = |index: &usize| filter.is_none_or(|filter| self.passes(*index, filter));
        let found = |index| self.found(index, resolve);
        let found = if forwards {
            range.filter(wanted).filter_map(found).collect()
        } else {
            range.rev().filter(wanted).filter_map(found).collect()
        };
        (found, next)
    }

    fn passes(&self, index: usize, filter: &EventFilter) -> bool {
        let entry = &self.entries[index];
        let event_type = match &entry.body {
            Body::Event(event) => &event.event_type,
            Body::Link(_) => LINK,
        };
        filter.lets_through(&self.stream(entry.stream).name, event_type)
    }

    /// The first readable number of the stream.
    fn first(&self, stream: &Stream) -> u64 {
        let length = stream.places.len() as u64;
        if stream.name.starts_with("$$") {
            // only the newest metadata is read
            return length.saturating_sub(1);
        }
        let mut first = stream.limits.truncate_before.unwrap_or_default();
        if let Some(count) = stream.limits.max_count {
            first = first.max(length.saturating_sub(count));
        }
        if let Some(age) = stream.limits.max_age {
            let oldest = now_ticks().saturating_sub(age);
            let young =
                stream.places.partition_point(|place| self.entries[*place].created < oldest);
            first = first.max(young as u64);
        }
        first
    }

    fn can_be_read(&self, stream: &Stream, entry: &Entry) -> bool {
        let is_alive = !self.is_dead(&stream.name) && !stream.limits.deleted();
        is_alive && entry.revision >= self.first(stream)
    }

    /// The place of an event of a stream; none when it cannot be read any more.
    pub(super) fn readable_place(&self, stream: StreamId, revision: u64) -> Option<usize> {
        let stream = self.stream(stream);
        let place = *stream.places.get(usize::try_from(revision).ok()?)?;
        self.can_be_read(stream, &self.entries[place]).then_some(place)
    }

    /// An entry by its index in the log; none for a link that is not there.
    pub(crate) fn entry(&self, index: usize, resolve: bool) -> Option<Found> {
        self.found(index, resolve)
    }

    fn found(&self, index: usize, resolve: bool) -> Option<Found> {
        let entry = &self.entries[index];
        let stream = self.stream(entry.stream);
        let revision = entry.revision;
        let (event, target) = match &entry.body {
            Body::Event(event) => {
                let link = &*event.event_type == LINK && resolve;
                (recorded(index, stream, entry, event), link.then(|| self.place_of(&event.data)))
            }
            Body::Link(target) => {
                let event = self.link_event(stream, revision, *target);
                (recorded(index, stream, entry, &event), resolve.then(|| self.target_of(*target)))
            }
        };
        let Some(target) = target else {
            return Some(Found { event: Some(event), link: None, index, revision });
        };
        let target = target.and_then(|target| self.readable_event(target));
        Some(Found { event: target, link: Some(event), index, revision })
    }

    fn readable_event(&self, index: usize) -> Option<wire::RecordedEvent> {
        let entry = &self.entries[index];
        let stream = self.stream(entry.stream);
        if !self.can_be_read(stream, entry) {
            return None;
        }
        match &entry.body {
            Body::Event(event) => Some(recorded(index, stream, entry, event)),
            Body::Link(target) => {
                let event = self.link_event(stream, entry.revision, *target);
                Some(recorded(index, stream, entry, &event))
            }
        }
    }

    fn tombstone(&self, stream: &Stream) -> Option<Found> {
        let is_it = |entry: &Entry| {
            entry.revision == TOMBSTONE && *self.stream(entry.stream).name == *stream.name
        };
        self.found(self.entries.iter().rposition(is_it)?, false)
    }
}

fn recorded(index: usize, stream: &Stream, entry: &Entry, event: &NewEvent) -> wire::RecordedEvent {
    let system = [
        ("content-type", content_type(event.is_json).to_owned()),
        ("created", entry.created.to_string()),
        ("type", event.event_type.to_string()),
    ];
    wire::RecordedEvent {
        id: Some(event.id.into()),
        stream: Some((&*stream.name).into()),
        revision: entry.revision,
        prepare_position: position(index),
        commit_position: position(index),
        system: system.map(|(name, value)| (name.to_owned(), value)).into(),
        metadata: event.metadata.clone(),
        data: event.data.clone(),
    }
}
