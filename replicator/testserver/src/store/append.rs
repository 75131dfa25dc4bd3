//! Writes. The rules are those of EventStoreDB's index writer:
//!
//! - the expected number is the last one: written, for any ids;
//! - the expected number is older: a repeated append if each event from there on has the same id,
//!   else wrong;
//! - any number is expected: a repeated append if all ids are remembered for this stream, written
//!   if the first one is not, else wrong.

use std::sync::Arc;

use antiphon_eventstore::Result;
use bytes::Bytes;
use uuid::Uuid;

use super::entry::{Body, Entry, Event, StreamId, position};
use super::metadata::{DELETED, Limits};
use super::{Store, now_ticks};

/// The revision that the writer expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    Any,
    NoStream,
    StreamExists,
    Exact(u64),
}

/// The outcome of an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Appended {
    Written { last: u64, position: u64 },
    Repeated { last: u64 },
    Wrong { current: Option<u64> },
    Tombstoned,
}

/// The two ways to delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deletion {
    Soft,
    Tombstone,
}

impl Store {
    /// Appends events to a stream, all or none.
    ///
    /// # Errors
    /// `Unavailable` when the file of the store cannot be written.
    pub(crate) fn append(
        &mut self,
        name: &str,
        expected: Expected,
        events: Vec<Event>,
    ) -> Result<Appended> {
        let stream = self.id_of(name);
        let current = self.streams[stream].last();
        if self.streams[stream].tombstoned {
            return Ok(Appended::Tombstoned);
        }
        if let Some(decided) = self.refused_or_repeated(stream, expected, &events) {
            return Ok(decided);
        }
        if events.is_empty() {
            let last = current.unwrap_or_default();
            return Ok(Appended::Repeated { last });
        }
        let revived = self.streams[stream].limits.deleted();
        let created = now_ticks();
        self.persist(name, created, &events)?;
        let first = current.map_or(0, |current| current + 1);
        let last = self.write(stream, created, events);
        if revived {
            let data = self.streams[stream].limits.with_truncate_before(first);
            self.write_metadata(name, data)?;
        }
        self.announce();
        Ok(last)
    }

    /// Deletes a stream.
    ///
    /// # Errors
    /// `Unavailable` when the file of the store cannot be written.
    pub(crate) fn delete(
        &mut self,
        name: &str,
        expected: Expected,
        how: Deletion,
    ) -> Result<Appended> {
        let stream = self.id_of(name);
        if self.streams[stream].tombstoned {
            return Ok(Appended::Tombstoned);
        }
        let current = self.streams[stream].last();
        if !self.fits(stream, expected) {
            return Ok(Appended::Wrong { current });
        }
        match how {
            Deletion::Soft => {
                let data = self.streams[stream].limits.with_truncate_before(DELETED);
                self.write_metadata(name, data)?;
            }
            Deletion::Tombstone => {
                let event = system_event("$streamDeleted", Bytes::new());
                let created = now_ticks();
                self.persist(name, created, std::slice::from_ref(&event))?;
                self.write(stream, created, vec![event]);
            }
        }
        self.announce();
        let last = self.streams[stream].last().unwrap_or_default();
        Ok(Appended::Written { last, position: position(self.log.len().saturating_sub(1)) })
    }

    /// Writes without checks: events that were accepted before, or events of the server itself.
    pub(super) fn write(&mut self, stream: StreamId, created: u64, events: Vec<Event>) -> Appended {
        for mut event in events {
            event.event_type = self.interned(&event.event_type);
            if &*event.event_type == "$streamDeleted" {
                self.streams[stream].tombstoned = true;
            }
            self.note_metadata(stream, &event);
            self.remember(event.id, stream);
            let event_type = Arc::clone(&event.event_type);
            self.push(stream, created, Body::Event(Box::new(event)));
            self.link(stream, created, &event_type);
        }
        let last = self.streams[stream].last().unwrap_or_default();
        let at = self.streams[stream].places.last().copied().unwrap_or_default();
        Appended::Written { last, position: position(at) }
    }

    pub(super) fn push(&mut self, stream: StreamId, created: u64, body: Body) {
        let revision = self.streams[stream].places.len() as u64;
        self.streams[stream].places.push(self.log.len());
        self.log.push(Entry { stream, revision, created, body });
    }

    fn refused_or_repeated(
        &self,
        stream: StreamId,
        expected: Expected,
        events: &[Event],
    ) -> Option<Appended> {
        let current = self.streams[stream].last();
        let wrong = Some(Appended::Wrong { current });
        let next = match expected {
            Expected::Any => return self.repeated(stream, events),
            Expected::StreamExists if self.exists(stream) => return self.repeated(stream, events),
            Expected::StreamExists => return wrong,
            Expected::NoStream if self.streams[stream].limits.deleted() => return None,
            Expected::NoStream => 0,
            Expected::Exact(revision) => revision.saturating_add(1),
        };
        let length = current.map_or(0, |current| current + 1);
        if next == length {
            return None;
        }
        if next > length || events.is_empty() {
            return wrong;
        }
        let same = events
            .iter()
            .zip(next..)
            .all(|(event, revision)| self.id_at(stream, revision).is_some_and(|id| id == event.id));
        let last = (next + events.len() as u64).saturating_sub(1);
        if same { Some(Appended::Repeated { last }) } else { wrong }
    }

    /// Detects a repeated append with any revision: its ids are remembered for this stream. If the
    /// first id is remembered and another is not, the server refuses, because it would write a part
    /// twice.
    fn repeated(&self, stream: StreamId, events: &[Event]) -> Option<Appended> {
        let mut last = None;
        for event in events {
            match (self.remembered.get(&event.id), last) {
                (Some((at, revision)), _) if *at == stream => last = Some(*revision),
                (_, None) => return None,
                (_, Some(_)) => {
                    return Some(Appended::Wrong { current: self.streams[stream].last() });
                }
            }
        }
        last.map(|last| Appended::Repeated { last })
    }

    fn fits(&self, stream: StreamId, expected: Expected) -> bool {
        match expected {
            Expected::Any => true,
            Expected::NoStream => !self.exists(stream),
            Expected::StreamExists => self.exists(stream),
            Expected::Exact(revision) => self.streams[stream].last() == Some(revision),
        }
    }

    fn exists(&self, stream: StreamId) -> bool {
        let stream = &self.streams[stream];
        !stream.places.is_empty() && !stream.limits.deleted()
    }

    fn id_at(&self, stream: StreamId, revision: u64) -> Option<Uuid> {
        let place = self.streams[stream].places.get(usize::try_from(revision).ok()?)?;
        match &self.log[*place].body {
            Body::Event(event) => Some(event.id),
            Body::Link(_) | Body::Gone => None,
        }
    }

    fn remember(&mut self, id: Uuid, stream: StreamId) {
        let revision = self.streams[stream].places.len() as u64;
        self.remembered.insert(id, (stream, revision));
        while self.remembered.len() > self.remembered_max && self.forgotten < self.log.len() {
            if let Body::Event(oldest) = &self.log[self.forgotten].body {
                self.remembered.remove(&oldest.id);
            }
            self.forgotten += 1;
        }
    }

    /// Writes the metadata of `name` as the server itself.
    pub(super) fn write_metadata(&mut self, name: &str, data: Vec<u8>) -> Result<()> {
        let name = format!("$${name}");
        let event = system_event("$metadata", data.into());
        let created = now_ticks();
        self.persist(&name, created, std::slice::from_ref(&event))?;
        let stream = self.id_of(&name);
        self.write(stream, created, vec![event]);
        Ok(())
    }

    /// Applies metadata to its stream as soon as it is written.
    fn note_metadata(&mut self, stream: StreamId, event: &Event) {
        let name = Arc::clone(&self.streams[stream].name);
        if let Some(target) = name.strip_prefix("$$") {
            let target = self.id_of(target);
            self.streams[target].limits = Limits::parse(&event.data);
        }
    }
}

/// An event written by the server itself.
pub(super) fn system_event(event_type: &str, data: Bytes) -> Event {
    let id = Uuid::new_v4();
    Event { id, event_type: event_type.into(), is_json: true, data, metadata: Bytes::new() }
}
