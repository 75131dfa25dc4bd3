//! [`SnapshotStore`] and [`OffsetStore`] in memory.

use async_trait::async_trait;

use super::MemoryStores;
use crate::Result;
use crate::event::SequenceNr;
use crate::identity::PersistenceId;
use crate::store::{Journal, Offset, OffsetKey, OffsetStore, Snapshot, SnapshotStore};

#[async_trait]
impl SnapshotStore for MemoryStores {
    async fn save_snapshot(&self, id: &PersistenceId, snapshot: &Snapshot) -> Result<()> {
        snapshot.check_size(id, &self.limits())?;
        self.lock().snapshots.save(id, snapshot);
        Ok(())
    }

    async fn latest_snapshot(
        &self,
        id: &PersistenceId,
        last: SequenceNr,
    ) -> Result<Option<Snapshot>> {
        Ok(self.lock_to_read().snapshots.latest(id, last).cloned())
    }

    async fn delete_snapshots_to(&self, id: &PersistenceId, last: SequenceNr) -> Result<()> {
        self.lock().snapshots.delete_to(id, last);
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
