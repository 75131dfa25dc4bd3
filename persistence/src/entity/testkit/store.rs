//! The store of an entity under test: a journal, snapshots and rows of reminders in memory, each in
//! the form of its record.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::event::{SequenceNr, StoredEvent};
use crate::identity::PersistenceId;
use crate::record::{batch, snapshot};
use crate::store::{Append, ReminderRow, Snapshot};

/// The store of one replica of one entity.
#[derive(Debug, Clone)]
pub(super) struct Store {
    id: PersistenceId,
    /// The events that were not deleted.
    pub(super) events: Vec<StoredEvent>,
    snapshots: BTreeMap<SequenceNr, Snapshot>,
    pub(super) rows: BTreeSet<ReminderRow>,
    /// The highest number that was deleted.
    deleted: SequenceNr,
}

impl Store {
    pub(super) fn new(id: PersistenceId) -> Self {
        Self {
            id,
            events: Vec::new(),
            snapshots: BTreeMap::new(),
            rows: BTreeSet::new(),
            deleted: SequenceNr::ZERO,
        }
    }

    pub(super) fn highest(&self) -> SequenceNr {
        self.events.last().map_or(self.deleted, |event| event.sequence_nr)
    }

    /// Adds events as they are read from the record of their append.
    pub(super) fn append(&mut self, append: &Append) {
        append.check().expect("the engine appends events with dense numbers");
        assert_eq!(append.expected, self.highest(), "`{}`: the engine appends at the end", self.id);
        let bytes = Bytes::from(batch::encode(&append.events));
        let read = batch::decode(append.expected.next(), &bytes);
        let read = read.expect("the record of an append can be read");
        assert_eq!(read, append.events, "an append is read as it was written: report this bug");
        self.events.extend(read);
    }

    /// The events from this number on.
    pub(super) fn from(&self, first: SequenceNr) -> Vec<StoredEvent> {
        self.events.iter().filter(|event| event.sequence_nr >= first).cloned().collect()
    }

    /// Keeps a snapshot as it is read from its record.
    pub(super) fn save(&mut self, taken: &Snapshot) {
        let bytes = Bytes::from(snapshot::encode(&self.id, taken));
        let read = snapshot::decode(self.id.as_str(), taken.sequence_nr, &bytes);
        let read = read.expect("the record of a snapshot can be read");
        assert_eq!(read, *taken, "a snapshot is read as it was written: report this bug");
        self.snapshots.insert(read.sequence_nr, read);
    }

    /// The newest snapshot up to this number.
    pub(super) fn snapshot(&self, last: SequenceNr) -> Option<Snapshot> {
        self.snapshots.range(..=last).next_back().map(|(_, snapshot)| snapshot.clone())
    }

    pub(super) fn has_every_event(&self) -> bool {
        self.deleted == SequenceNr::ZERO
    }

    pub(super) fn forget_snapshots(&mut self) {
        self.snapshots.clear();
    }

    pub(super) fn void(&mut self, numbers: &[SequenceNr]) {
        self.snapshots.retain(|number, _| !numbers.contains(number));
    }

    pub(super) fn delete_snapshots(&mut self, last: SequenceNr) {
        self.snapshots.retain(|number, _| *number > last);
    }

    pub(super) fn delete_events(&mut self, last: SequenceNr) {
        self.events.retain(|event| event.sequence_nr > last);
        self.deleted = self.deleted.max(last);
    }
}
