//! The durable records of entities that hold back: a coordination table for each shard and other
//! replica, in the place of the shard.
//!
//! The key is the entity's stream at the other replica. The value is the number up to which the
//! entity should have events. A record is changed by its version, so that a late write of an old
//! home of the shard never undoes a record of the new home.

use std::collections::BTreeMap;
use std::sync::Arc;

use antiphon_base::{Error, Result};
use antiphon_persistence::event::SequenceNr;
use antiphon_persistence::identity::{PersistenceId, ReplicaId};
use antiphon_persistence::store::{CasOutcome, Coordination, Row};
use bytes::Bytes;

use crate::ShardId;

/// The records of one shard and one other replica.
pub(crate) struct HeldRecords {
    coordination: Arc<dyn Coordination>,
    table: String,
}

/// The name of the coordination table in which a shard records the entities that hold back events
/// of the replica `other`.
pub fn held_table(entity_type: &str, shard: &ShardId, other: &ReplicaId) -> String {
    format!("held {entity_type}/{shard} {other}")
}

fn read(row: &Row) -> Option<SequenceNr> {
    let bytes: [u8; 8] = (*row.value).try_into().ok()?;
    Some(SequenceNr::new(u64::from_le_bytes(bytes)))
}

fn value(highest: SequenceNr) -> Bytes {
    Bytes::copy_from_slice(&highest.value().to_le_bytes())
}

impl HeldRecords {
    /// The records of a shard about the replica `other`, in the store of the shard's place.
    pub(crate) fn new(
        coordination: Arc<dyn Coordination>,
        entity_type: &str,
        shard: &ShardId,
        other: &ReplicaId,
    ) -> Self {
        Self { coordination, table: held_table(entity_type, shard, other) }
    }

    /// Reads all records.
    pub(crate) async fn load(&self) -> Result<BTreeMap<PersistenceId, SequenceNr>> {
        let table = self.coordination.scan(&self.table).await?;
        let mut records = BTreeMap::new();
        for row in table.rows {
            let id = PersistenceId::parse(&row.key)?;
            let highest = read(&row).ok_or_else(|| {
                Error::corrupt(format!(
                    "`{}` of table `{}`: expected 8 bytes, actual {}",
                    row.key,
                    self.table,
                    row.value.len()
                ))
            })?;
            records.insert(id, highest);
        }
        Ok(records)
    }

    /// Records that the entity should have the events up to `highest`, at least.
    pub(crate) async fn record(&self, id: &PersistenceId, highest: SequenceNr) -> Result<()> {
        let row = self.coordination.read(&self.table, id.as_str()).await?;
        if row.as_ref().and_then(read).is_some_and(|recorded| recorded >= highest) {
            return Ok(());
        }
        self.change(id, row, Some(value(highest))).await
    }

    /// Deletes the record, unless it names a higher number.
    pub(crate) async fn forget(&self, id: &PersistenceId, highest: SequenceNr) -> Result<()> {
        let row = self.coordination.read(&self.table, id.as_str()).await?;
        match &row {
            Some(found) if read(found).is_none_or(|recorded| recorded <= highest) => {
                self.change(id, row, None).await
            }
            Some(_) | None => Ok(()),
        }
    }

    async fn change(
        &self,
        id: &PersistenceId,
        row: Option<Row>,
        value: Option<Bytes>,
    ) -> Result<()> {
        let expected = row.map(|row| row.version);
        match self.coordination.compare_and_set(&self.table, id.as_str(), expected, value).await? {
            CasOutcome::Applied(_) => Ok(()),
            CasOutcome::Conflict(_) => Err(Error::unavailable(format!(
                "`{id}` of table `{}` was changed at the same time",
                self.table
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use antiphon_persistence::memory::MemoryStores;

    use super::*;

    #[tokio::test]
    async fn a_record_grows_and_is_deleted_only_by_who_knows_all_of_it() {
        let coordination = MemoryStores::new().stores().coordination;
        let shard = ShardId { replica: ReplicaId::new("A").unwrap(), number: 0 };
        let records = HeldRecords::new(coordination, "t", &shard, &ReplicaId::new("B").unwrap());
        assert_eq!(records.table, "held t/A/0 B", "operators and later versions read it");
        let id = PersistenceId::parse("t|a|B").unwrap();
        let nr = SequenceNr::new;
        records.record(&id, nr(3)).await.unwrap();
        records.record(&id, nr(5)).await.unwrap();
        records.record(&id, nr(4)).await.unwrap();
        assert_eq!(records.load().await.unwrap(), [(id.clone(), nr(5))].into());
        records.forget(&id, nr(4)).await.unwrap();
        assert_eq!(records.load().await.unwrap().len(), 1, "a newer home recorded more");
        records.forget(&id, nr(5)).await.unwrap();
        assert_eq!(records.load().await.unwrap(), BTreeMap::new());
        records.forget(&id, nr(5)).await.unwrap();
    }
}
