//! The data of a server, and writes to it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use antiphon_eventstore::{ExpectedRevision, NewEvent, Result};
use tokio::sync::watch;
use uuid::Uuid;

use super::check::Verdict;
use super::entry::{Body, StreamId, now_ticks, position};
use super::file::{LogFile, Record, Written};
use super::group_record::{GroupKey, GroupRecord};
use super::log::Log;
use super::metadata::Limits;
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
    /// The last event of the stream has this number; none if it has no event still.
    Written {
        last: Option<u64>,
        position: u64,
    },
    /// The position is none when the events cannot be read any more.
    Repeated {
        last: u64,
        position: Option<u64>,
    },
    Wrong {
        current: Option<u64>,
    },
    Tombstoned,
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
            let (created, is_tombstone) = (written.created, written.tombstone);
            for event in written.events()? {
                self.write(stream, created, event, is_tombstone);
            }
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

    /// The index of a stream, which is created when it is new.
    pub(super) fn id_of(&mut self, name: &str) -> StreamId {
        self.log.id_of(name)
    }

    /// The stream and the number at which an id was written last; none when it is forgotten.
    pub(super) fn remembered_at(&self, id: &Uuid) -> Option<(StreamId, u64)> {
        self.remembered.get(id)
    }

    /// Notifies of growth of the log.
    pub(crate) fn head(&self) -> watch::Receiver<usize> {
        self.head.subscribe()
    }

    pub(super) fn announce(&self) {
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

    /// Appends events to a stream, all or none. Without events it only checks the revision, and
    /// brings a deleted stream back, as on a real server.
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
        let ids: Vec<Uuid> = events.iter().map(|event| event.id).collect();
        match self.judge(stream, expected, &ids) {
            Verdict::Tombstoned => return Ok(Appended::Tombstoned),
            Verdict::Wrong => return Ok(Appended::Wrong { current }),
            Verdict::Repeated { last } => {
                let place = self.log.readable_place(stream, last);
                return Ok(Appended::Repeated { last, position: place.map(position) });
            }
            Verdict::Accepted => {}
        }
        let deleted = self.deleted_behind(stream);
        let written = events.len();
        let mut place = self.log.entries.len().saturating_sub(1);
        if written > 0 {
            place = self.persist_and_write(name, events)?;
        }
        for one in deleted {
            let length = self.log.stream(one).places.len() as u64;
            let before = if one == stream { length - written as u64 } else { length };
            self.bring_back(one, before)?;
        }
        self.announce();
        Ok(Appended::Written { last: self.log.stream(stream).last(), position: position(place) })
    }

    /// Writes a tombstone without checks. Returns its place in the log.
    ///
    /// # Errors
    /// `Unavailable` when the file of the store cannot be written.
    pub(super) fn bury(&mut self, name: &str) -> Result<usize> {
        let event = NewEvent::binary("$streamDeleted", "");
        let created = now_ticks();
        if let Some(file) = &mut self.file {
            let mut written = Written::new(name, created, std::slice::from_ref(&event));
            written.tombstone = true;
            file.append(&Record { written: Some(written), group: None })?;
        }
        let stream = self.log.id_of(name);
        Ok(self.write(stream, created, event, true))
    }

    /// Writes events without checks. Returns the place of the last one in the log.
    ///
    /// # Errors
    /// `Unavailable` when the file of the store cannot be written.
    pub(super) fn persist_and_write(&mut self, name: &str, events: Vec<NewEvent>) -> Result<usize> {
        let created = now_ticks();
        if let Some(file) = &mut self.file {
            let written = Some(Written::new(name, created, &events));
            file.append(&Record { written, group: None })?;
        }
        let stream = self.log.id_of(name);
        let mut place = self.log.entries.len().saturating_sub(1);
        for event in events {
            place = self.write(stream, created, event, false);
        }
        Ok(place)
    }

    /// Writes an event that was accepted. Returns its place in the log.
    fn write(
        &mut self,
        stream: StreamId,
        created: u64,
        mut event: NewEvent,
        is_tombstone: bool,
    ) -> usize {
        let place = self.log.entries.len();
        event.event_type = self.log.interned(event.event_type);
        if is_tombstone {
            self.log.bury(stream, created, event);
        } else {
            let name = Arc::clone(&self.log.stream(stream).name);
            if let Some(described) = name.strip_prefix("$$") {
                let described = self.log.id_of(described);
                let limits = Limits::parse(&event.data, event.is_json);
                self.log.stream_mut(described).limits = limits;
            }
            let revision = self.log.stream(stream).places.len() as u64;
            self.remembered.insert(event.id, stream, revision);
            self.log.push(stream, created, Body::Event(Box::new(event)));
        }
        if self.link_categories {
            self.log.link_last(created);
        }
        place
    }
}
