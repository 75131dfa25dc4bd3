//! Snapshots, one row each. A read passes over damaged snapshots for the newest intact one.

use antiphon_base::Result;
use antiphon_persistence::event::SequenceNr;
use antiphon_persistence::identity::PersistenceId;
use antiphon_persistence::record::snapshot;
use antiphon_persistence::store::{Journal, Snapshot, SnapshotStore};
use async_trait::async_trait;
use bytes::Bytes;

use crate::stats::count;
use crate::stores::CassandraStores;

#[async_trait]
impl SnapshotStore for CassandraStores {
    async fn save_snapshot(&self, id: &PersistenceId, snapshot: &Snapshot) -> Result<()> {
        self.require_owner()?;
        snapshot.check_size(id, &self.limits())?;
        let number = snapshot.sequence_nr.value();
        let record = Bytes::from(snapshot::encode(id, snapshot));
        Ok(self.tables().put_snapshot(id.as_str(), number, &record).await?)
    }

    async fn latest_snapshot(
        &self,
        id: &PersistenceId,
        last: SequenceNr,
    ) -> Result<Option<Snapshot>> {
        let mut last = last.value();
        loop {
            let found = self.tables().snapshot(id.as_str(), last).await?;
            let Some((number, record)) = found else { return Ok(None) };
            match snapshot::decode(id.as_str(), SequenceNr::new(number), &record) {
                Ok(snapshot) => return Ok(Some(snapshot)),
                Err(why) => {
                    count(&self.inner.shared.counters.snapshots_damaged, 1);
                    tracing::error!(
                        "table `snapshots`, snapshot {number} of `{id}` is passed over for an older one, or the events: {why}"
                    );
                }
            }
            let Some(before) = number.checked_sub(1) else { return Ok(None) };
            last = before;
        }
    }

    async fn delete_snapshots_to(&self, id: &PersistenceId, last: SequenceNr) -> Result<()> {
        self.require_owner()?;
        Ok(self.tables().delete_snapshots(id.as_str(), last.value()).await?)
    }
}
