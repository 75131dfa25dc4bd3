//! Writes. The rules are those of EventStoreDB's index writer:
//!
//! - the expected number is the last one: written, for any ids;
//! - the expected number is older: a repeated append if each event from there on has the same id,
//!   else wrong;
//! - any number is expected: a repeated append if all ids are remembered for this stream, written
//!   if the first one is not, else wrong.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use antiphon_eventstore::{ExpectedRevision, NewEvent, Result};
use bytes::Bytes;
use tokio::sync::watch;
use uuid::Uuid;

use super::entry::{Body, StreamId, now_ticks, position};
use super::file::{LogFile, Record, Written};
use super::group_record::{GroupKey, GroupRecord};
use super::log::Log;
use super::metadata::{DELETED, Limits};
use super::remembered::RememberedIds;
use crate::settings::ServerSettings;

/// The data of a server. It outlives the server's restarts.
pub(crate) struct Store {
    log: Log,
    remembered: RememberedIds,
    groups: BTreeMap<GroupKey, GroupRecord>,
    link_categories: bool,
    file: Option<LogFile>,
    /// The length of the log.
    head: watch::Sender<usize>,
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
    /// Opens an empty store, or loads the file of the settings.
    pub(crate) fn open(settings: &ServerSettings) -> Result<Self> {
        let mut store = Self {
            log: Log::default(),
            remembered: RememberedIds::new(settings.remembered_ids_max),
            groups: BTreeMap::new(),
            link_categories: settings.link_categories,
            file: None,
            head: watch::Sender::new(0),
        };
        if let Some(path) = &settings.file {
            let file = LogFile::open(Path::new(path), |record| store.replay(record))?;
            store.file = Some(file);
            store.announce();
        }
        Ok(store)
    }

    fn replay(&mut self, record: Record) -> Result<()> {
        if let Some(written) = record.written {
            let stream = self.log.id_of(&written.stream);
            let created = written.created;
            self.write(stream, created, written.events()?);
        }
        if let Some(group) = record.group {
            self.apply_group(group);
        }
        Ok(())
    }

    /// The log, for reads.
    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    /// Notifies of growth of the log.
    pub(crate) fn head(&self) -> watch::Receiver<usize> {
        self.head.subscribe()
    }

    fn announce(&self) {
        self.head.send_replace(self.log.entries.len());
    }

    pub(crate) fn group(&self, key: &GroupKey) -> Option<&GroupRecord> {
        self.groups.get(key)
    }

    pub(crate) fn groups(&self) -> impl Iterator<Item = &GroupRecord> {
        self.groups.values()
    }

    /// Stores a group, or its deletion.
    ///
    /// # Errors
    /// `Unavailable` when the file of the store cannot be written.
    pub(crate) fn store_group(&mut self, record: GroupRecord) -> Result<()> {
        if let Some(file) = &mut self.file {
            file.append(&Record { written: None, group: Some(record.clone()) })?;
        }
        self.apply_group(record);
        Ok(())
    }

    fn apply_group(&mut self, record: GroupRecord) {
        if record.deleted {
            self.groups.remove(&record.key());
        } else {
            self.groups.insert(record.key(), record);
        }
    }

    /// Appends events to a stream, all or none.
    ///
    /// # Errors
    /// `Unavailable` when the file of the store cannot be written.
    pub(crate) fn append(
        &mut self,
        name: &str,
        expected: ExpectedRevision,
        events: Vec<NewEvent>,
    ) -> Result<Appended> {
        let stream = self.log.id_of(name);
        let current = self.log.stream(stream).last();
        if self.log.stream(stream).tombstoned {
            return Ok(Appended::Tombstoned);
        }
        if let Some(decided) = self.refused_or_repeated(stream, expected, &events) {
            return Ok(decided);
        }
        if events.is_empty() {
            return Ok(Appended::Repeated { last: current.unwrap_or_default() });
        }
        let revived = self.log.stream(stream).limits.deleted();
        self.persist_and_write(name, events)?;
        let last = self.log.stream(stream).last().unwrap_or_default();
        let at = self.log.stream(stream).places.last().copied().unwrap_or_default();
        if revived {
            self.set_truncation(name, current.map_or(0, |current| current + 1))?;
        }
        self.announce();
        Ok(Appended::Written { last, position: position(at) })
    }

    /// Deletes a stream.
    ///
    /// # Errors
    /// `Unavailable` when the file of the store cannot be written.
    pub(crate) fn delete(
        &mut self,
        name: &str,
        expected: ExpectedRevision,
        how: Deletion,
    ) -> Result<Appended> {
        let stream = self.log.id_of(name);
        if self.log.stream(stream).tombstoned {
            return Ok(Appended::Tombstoned);
        }
        if !self.fits(stream, expected) {
            return Ok(Appended::Wrong { current: self.log.stream(stream).last() });
        }
        match how {
            Deletion::Soft => self.set_truncation(name, DELETED)?,
            Deletion::Tombstone => {
                let event = NewEvent::json("$streamDeleted", Bytes::new());
                self.persist_and_write(name, vec![event])?;
            }
        }
        self.announce();
        let last = self.log.stream(stream).last().unwrap_or_default();
        let end = self.log.entries.len().saturating_sub(1);
        Ok(Appended::Written { last, position: position(end) })
    }

    /// Hides the events of a stream below a number.
    ///
    /// # Errors
    /// `Unavailable` when the file of the store cannot be written.
    pub(super) fn truncate(&mut self, name: &str, before: u64) -> Result<()> {
        self.set_truncation(name, before)?;
        self.announce();
        Ok(())
    }

    fn set_truncation(&mut self, name: &str, before: u64) -> Result<()> {
        let stream = self.log.id_of(name);
        let data = self.log.stream(stream).limits.with_truncate_before(before);
        self.persist_and_write(&format!("$${name}"), vec![NewEvent::json("$metadata", data)])
    }

    fn persist_and_write(&mut self, name: &str, events: Vec<NewEvent>) -> Result<()> {
        let created = now_ticks();
        if let Some(file) = &mut self.file {
            let written = Some(Written::new(name, created, &events));
            file.append(&Record { written, group: None })?;
        }
        let stream = self.log.id_of(name);
        self.write(stream, created, events);
        Ok(())
    }

    /// Writes without checks: events that were accepted.
    fn write(&mut self, stream: StreamId, created: u64, events: Vec<NewEvent>) {
        for mut event in events {
            event.event_type = self.log.interned(event.event_type);
            if &*event.event_type == "$streamDeleted" {
                self.log.stream_mut(stream).tombstoned = true;
            }
            let name = Arc::clone(&self.log.stream(stream).name);
            if let Some(described) = name.strip_prefix("$$") {
                let described = self.log.id_of(described);
                self.log.stream_mut(described).limits = Limits::parse(&event.data);
            }
            let revision = self.log.stream(stream).places.len() as u64;
            self.remembered.insert(event.id, stream, revision);
            let event_type = Arc::clone(&event.event_type);
            self.log.push(stream, created, Body::Event(Box::new(event)));
            if self.link_categories {
                self.log.link(stream, created, &event_type);
            }
        }
    }

    fn refused_or_repeated(
        &self,
        stream: StreamId,
        expected: ExpectedRevision,
        events: &[NewEvent],
    ) -> Option<Appended> {
        let current = self.log.stream(stream).last();
        let wrong = Some(Appended::Wrong { current });
        let next = match expected {
            ExpectedRevision::Any => return self.repeated(stream, events),
            ExpectedRevision::StreamExists if self.exists(stream) => {
                return self.repeated(stream, events);
            }
            ExpectedRevision::StreamExists => return wrong,
            ExpectedRevision::NoStream if self.log.stream(stream).limits.deleted() => return None,
            ExpectedRevision::NoStream => 0,
            ExpectedRevision::Exact(revision) => revision.saturating_add(1),
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
    fn repeated(&self, stream: StreamId, events: &[NewEvent]) -> Option<Appended> {
        let mut last = None;
        for event in events {
            match (self.remembered.get(&event.id), last) {
                (Some((at, revision)), _) if at == stream => last = Some(revision),
                (_, None) => return None,
                (_, Some(_)) => {
                    return Some(Appended::Wrong { current: self.log.stream(stream).last() });
                }
            }
        }
        last.map(|last| Appended::Repeated { last })
    }

    fn fits(&self, stream: StreamId, expected: ExpectedRevision) -> bool {
        match expected {
            ExpectedRevision::Any => true,
            ExpectedRevision::NoStream => !self.exists(stream),
            ExpectedRevision::StreamExists => self.exists(stream),
            ExpectedRevision::Exact(revision) => self.log.stream(stream).last() == Some(revision),
        }
    }

    fn exists(&self, stream: StreamId) -> bool {
        let stream = self.log.stream(stream);
        !stream.places.is_empty() && !stream.limits.deleted()
    }

    fn id_at(&self, stream: StreamId, revision: u64) -> Option<Uuid> {
        let place = self.log.stream(stream).places.get(usize::try_from(revision).ok()?)?;
        match &self.log.entries[*place].body {
            Body::Event(event) => Some(event.id),
            Body::Link(_) => None,
        }
    }
}
