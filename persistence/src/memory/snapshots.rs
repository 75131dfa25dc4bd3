//! Snapshots and offsets in memory.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::MemoryStores;
use crate::Result;
use crate::event::SequenceNr;
use crate::identity::PersistenceId;
use crate::store::{Journal, Offset, OffsetKey, OffsetStore, Snapshot, SnapshotStore};

#[derive(Debug, Default)]
pub(super) struct SnapshotState {
    snapshots: BTreeMap<PersistenceId, BTreeMap<SequenceNr, Snapshot>>,
    offsets: BTreeMap<OffsetKey, Offset>,
}

#[async_trait]
impl SnapshotStore for MemoryStores {
    async fn save_snapshot(
        &self,
        persistence_id: &PersistenceId,
        snapshot: &Snapshot,
    ) -> Result<()> {
        snapshot.check_size(persistence_id, &self.limits())?;
        let all = &mut self.lock().snapshots.snapshots;
        let stream = all.entry(persistence_id.clone()).or_default();
        stream.insert(snapshot.sequence_nr, snapshot.clone());
        Ok(())
    }

    async fn latest_snapshot(
        &self,
        persistence_id: &PersistenceId,
        last: SequenceNr,
    ) -> Result<Option<Snapshot>> {
        let state = self.lock_to_read();
        let Some(stream) = state.snapshots.snapshots.get(persistence_id) else {
            return Ok(None);
        };
        Ok(stream.range(..=last).next_back().map(|(_, snapshot)| snapshot.clone()))
    }

    async fn delete_snapshots_to(
        &self,
        persistence_id: &PersistenceId,
        last: SequenceNr,
    ) -> Result<()> {
        if let Some(stream) = self.lock().snapshots.snapshots.get_mut(persistence_id) {
            stream.retain(|sequence_nr, _| *sequence_nr > last);
        }
        Ok(())
    }
}

#[async_trait]
impl OffsetStore for MemoryStores {
    async fn load_offset(&self, key: &OffsetKey) -> Result<Offset> {
        Ok(self.lock().snapshots.offsets.get(key).cloned().unwrap_or_default())
    }

    async fn save_offset(&self, key: &OffsetKey, offset: &Offset) -> Result<()> {
        self.lock().snapshots.offsets.insert(key.clone(), offset.clone());
        Ok(())
    }
}
