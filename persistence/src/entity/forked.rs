//! Records of entities of which two places have different events with the same number, in the store
//! of the place.
//!
//! After a loss was accepted, numbers are used again. When a place that still has the lost events
//! comes back, its replicas differ from the others for ever. The entity that finds the difference
//! has it recorded, because after a restart the events are not read again.

use bytes::Bytes;

use crate::Result;
use crate::identity::ReplicationId;
use crate::store::{CasOutcome, Coordination};

/// The coordination table of the place that holds these records. An operator deletes them.
const TABLE: &str = "forked";

/// An entity whose replicas differ, found by the replica that used a number again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ForkedEntity {
    /// The entity, with the replica that used the number again.
    pub id: ReplicationId,
    /// The number, among the events of that replica, of the first event for which another replica
    /// has a different event.
    pub number: u64,
}

impl ForkedEntity {
    /// Records the entity, unless it is recorded already.
    ///
    /// # Errors
    /// The errors of the store. A cancelled call may have recorded the entity; repeat the call.
    pub async fn record(&self, coordination: &dyn Coordination) -> Result<()> {
        let number = Bytes::from(self.number.to_string());
        let key = self.id.to_string();
        coordination.compare_and_set(TABLE, &key, None, Some(number)).await.map(drop)
    }

    /// All recorded entities, sorted by their names.
    ///
    /// # Errors
    /// The errors of the store; `Rejected` or `Corrupt` for a record that cannot be understood. A
    /// cancelled call changes nothing.
    pub async fn all(coordination: &dyn Coordination) -> Result<Vec<Self>> {
        let rows = coordination.scan(TABLE).await?.rows;
        let read = |row: &crate::store::Row| {
            let number = std::str::from_utf8(&row.value).ok().and_then(|text| text.parse().ok());
            let number = number.ok_or_else(|| {
                let key = row.key.escape_debug();
                crate::Error::corrupt(format!("row `{key}` of table `{TABLE}`: expected a number"))
            })?;
            Ok(Self { id: ReplicationId::parse(&row.key)?, number })
        };
        rows.iter().map(read).collect()
    }

    /// Deletes the record of an entity; returns whether there was one.
    ///
    /// # Errors
    /// The errors of the store. A cancelled call may have deleted the record.
    pub async fn clear(coordination: &dyn Coordination, id: &ReplicationId) -> Result<bool> {
        let key = id.to_string();
        let Some(row) = coordination.read(TABLE, &key).await? else { return Ok(false) };
        let cleared = coordination.compare_and_set(TABLE, &key, Some(row.version), None).await?;
        Ok(matches!(cleared, CasOutcome::Applied(_)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemoryStores;

    #[tokio::test]
    async fn a_record_stays_until_it_is_cleared() {
        let stores = MemoryStores::new();
        let id = |text: &str| ReplicationId::parse(text).unwrap();
        let first = ForkedEntity { id: id("counter|a|A"), number: 3 };
        let second = ForkedEntity { id: id("counter|b|A"), number: 9 };
        for forked in [&second, &first, &ForkedEntity { number: 4, ..first.clone() }] {
            forked.record(&stores).await.unwrap();
        }
        let all = ForkedEntity::all(&stores).await.unwrap();
        assert_eq!(all, [first.clone(), second.clone()], "the first number stays");
        assert!(ForkedEntity::clear(&stores, &first.id).await.unwrap());
        assert!(!ForkedEntity::clear(&stores, &first.id).await.unwrap());
        assert_eq!(ForkedEntity::all(&stores).await.unwrap(), [second]);
    }
}
