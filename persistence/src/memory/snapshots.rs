//! The rules of snapshots and of the positions of readers.

use std::collections::BTreeMap;

use crate::event::SequenceNr;
use crate::identity::PersistenceId;
use crate::store::{Offset, OffsetKey, Snapshot};

#[derive(Debug, Clone, Default)]
pub(super) struct SnapshotState {
    snapshots: BTreeMap<PersistenceId, BTreeMap<SequenceNr, Snapshot>>,
    pub(super) offsets: BTreeMap<OffsetKey, Offset>,
}

impl SnapshotState {
    /// Stores a snapshot, in place of one with the same number.
    pub(super) fn save(&mut self, id: &PersistenceId, snapshot: &Snapshot) {
        let stream = self.snapshots.entry(id.clone()).or_default();
        stream.insert(snapshot.sequence_nr, snapshot.clone());
    }

    /// The snapshot with the highest number that is at most `last`.
    pub(super) fn latest(&self, id: &PersistenceId, last: SequenceNr) -> Option<&Snapshot> {
        let (number, snapshot) = self.snapshots.get(id)?.range(..=last).next_back()?;
        assert_eq!(*number, snapshot.sequence_nr, "a snapshot lies under its number");
        Some(snapshot)
    }

    /// Deletes the snapshots up to and including `last`.
    pub(super) fn delete_to(&mut self, id: &PersistenceId, last: SequenceNr) {
        if let Some(stream) = self.snapshots.get_mut(id) {
            stream.retain(|sequence_nr, _| *sequence_nr > last);
            let first = stream.first_key_value();
            assert!(first.is_none_or(|(first, _)| *first > last), "a deleted snapshot is left");
        }
    }
}
