//! Reads of a stream or of `$all`.

use std::sync::Arc;

use antiphon_eventstore::wire;

use super::entry::{Body, Entry, Event, Stream, position};
use super::filter::EventFilter;
use super::links::LINK;
use super::{Store, now_ticks};

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
    },
}

/// The range of numbers of a stream that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Visible {
    pub(crate) first: u64,
    pub(crate) last: u64,
}

impl Found {
    /// The entry whose id a consumer of a group acknowledges.
    pub(crate) fn original(&self) -> Option<&wire::RecordedEvent> {
        self.link.as_ref().or(self.event.as_ref())
    }
}

impl Store {
    /// The range of numbers of a stream that can be read; none when it is empty.
    pub(crate) fn visible(&self, name: &str) -> Option<Visible> {
        let stream = self.stream(name)?;
        let last = stream.last()?;
        Some(Visible { first: self.first(stream), last })
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
        let Some(stream) = self.stream(name) else { return StreamPage::Missing };
        if stream.tombstoned {
            return StreamPage::Tombstoned;
        }
        let Some(last) = stream.last() else { return StreamPage::Missing };
        if stream.limits.deleted() {
            return StreamPage::Missing;
        }
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
        StreamPage::Page { found, next }
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
            let from = from.min(self.log.len());
            from..from.saturating_add(scan).min(self.log.len())
        } else {
            let to = from.min(self.log.len());
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

    /// Removes entries from `$all` that are no longer readable in their streams. Returns their
    /// number.
    pub(crate) fn scavenge(&mut self) -> usize {
        let gone: Vec<usize> = (0..self.log.len())
            .filter(|index| {
                let entry = &self.log[*index];
                let stream = &self.streams[entry.stream];
                let kept = stream.tombstoned && Some(entry.revision) == stream.last();
                !kept && !self.can_be_read(stream, entry)
            })
            .collect();
        for index in &gone {
            self.log[*index].body = Body::Gone;
        }
        gone.len()
    }

    fn passes(&self, index: usize, filter: &EventFilter) -> bool {
        let entry = &self.log[index];
        let event_type = match &entry.body {
            Body::Event(event) => &event.event_type,
            Body::Link(_) => LINK,
            Body::Gone => return false,
        };
        filter.lets_through(&self.streams[entry.stream].name, event_type)
    }

    /// The first readable number of the stream.
    fn first(&self, stream: &Stream) -> u64 {
        let length = stream.places.len() as u64;
        let mut first = stream.limits.truncate_before.unwrap_or_default();
        if let Some(count) = stream.limits.max_count {
            first = first.max(length.saturating_sub(count));
        }
        if let Some(age) = stream.limits.max_age {
            let oldest = now_ticks().saturating_sub(age);
            let young = stream.places.partition_point(|place| self.log[*place].created < oldest);
            first = first.max(young as u64);
        }
        first
    }

    fn can_be_read(&self, stream: &Stream, entry: &Entry) -> bool {
        !stream.tombstoned
            && !stream.limits.deleted()
            && !matches!(entry.body, Body::Gone)
            && entry.revision >= self.first(stream)
    }

    pub(super) fn found(&self, index: usize, resolve: bool) -> Option<Found> {
        let entry = &self.log[index];
        let stream = &self.streams[entry.stream];
        let revision = entry.revision;
        let (event, target) = match &entry.body {
            Body::Gone => return None,
            Body::Event(event) => {
                let link = &*event.event_type == LINK && resolve;
                (recorded(index, stream, entry, event), link.then(|| self.target_of(event)))
            }
            Body::Link(target) => {
                let event = self.link_event(stream, revision, *target);
                (recorded(index, stream, entry, &event), resolve.then_some(Some(*target)))
            }
        };
        let Some(target) = target else {
            return Some(Found { event: Some(event), link: None, index, revision });
        };
        let target = target.and_then(|target| self.readable_event(target));
        Some(Found { event: target, link: Some(event), index, revision })
    }

    fn readable_event(&self, index: usize) -> Option<wire::RecordedEvent> {
        let entry = &self.log[index];
        let stream = &self.streams[entry.stream];
        match &entry.body {
            Body::Event(event) if self.can_be_read(stream, entry) => {
                Some(recorded(index, stream, entry, event))
            }
            Body::Event(_) | Body::Link(_) | Body::Gone => None,
        }
    }
}

fn recorded(index: usize, stream: &Stream, entry: &Entry, event: &Event) -> wire::RecordedEvent {
    let content = if event.is_json { "application/json" } else { "application/octet-stream" };
    let created = entry.created.to_string();
    let system = [
        ("content-type".to_owned(), content.to_owned()),
        ("created".to_owned(), created),
        ("type".to_owned(), Arc::clone(&event.event_type).to_string()),
    ];
    let (high, low) = event.id.as_u64_pair();
    let structured = wire::uuid::Structured { high: high.cast_signed(), low: low.cast_signed() };
    wire::RecordedEvent {
        id: Some(wire::Uuid { form: Some(wire::uuid::Form::Structured(structured)) }),
        stream: Some(wire::StreamName { name: stream.wire_name.clone() }),
        revision: entry.revision,
        prepare_position: position(index),
        commit_position: position(index),
        system: system.into(),
        metadata: event.metadata.clone(),
        data: event.data.clone(),
    }
}
