//! Snapshots: one row each, the record in bincode behind a format byte.

use antiphon_persistence::codec::CodecId;
use antiphon_persistence::event::SequenceNr;
use antiphon_persistence::identity::PersistenceId;
use antiphon_persistence::store::{Snapshot, SnapshotStore};
use antiphon_persistence::{Error, Result};
use async_trait::async_trait;

use crate::stores::CassandraStores;

/// The first byte of a record: bincode of [`Snapshot`], first form.
const FORMAT: u8 = 1;

#[async_trait]
impl SnapshotStore for CassandraStores {
    async fn save_snapshot(&self, id: &PersistenceId, snapshot: &Snapshot) -> Result<()> {
        self.require_owner()?;
        let mut record = vec![FORMAT];
        record.extend(CodecId::Bincode.encode(snapshot)?);
        let limit = self.inner.shared.settings.append_bytes_max;
        if record.len() > limit {
            return Err(Error::rejected(format!(
                "snapshot of `{id}`: expected at most {limit} bytes (`append_bytes_max`), actual {}",
                record.len()
            )));
        }
        let number = snapshot.sequence_nr.value();
        Ok(self.tables().put_snapshot(id.as_str(), number, &record.into()).await?)
    }

    async fn latest_snapshot(
        &self,
        id: &PersistenceId,
        last: SequenceNr,
    ) -> Result<Option<Snapshot>> {
        let found = self.tables().snapshot(id.as_str(), last.value()).await?;
        let Some((number, record)) = found else { return Ok(None) };
        let unreadable = |why: String| {
            Error::corrupt(format!("snapshot {number} of `{id}` is unreadable: {why}"))
        };
        match record.split_first() {
            Some((&FORMAT, rest)) => CodecId::Bincode
                .decode(rest)
                .map(Some)
                .map_err(|error| unreadable(error.to_string())),
            Some((format, _)) => {
                Err(unreadable(format!("expected format {FORMAT}, actual {format}")))
            }
            None => Err(unreadable("it is empty".into())),
        }
    }

    async fn delete_snapshots_to(&self, id: &PersistenceId, last: SequenceNr) -> Result<()> {
        self.require_owner()?;
        Ok(self.tables().delete_snapshots(id.as_str(), last.value()).await?)
    }
}
