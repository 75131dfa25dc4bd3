//! An operator's order to skip one event of another replica, at this place, for one entity.

use bytes::Bytes;

use crate::identity::{ReplicaId, ReplicationId};
use crate::store::{CasOutcome, Coordination};
use crate::{Error, Result};

/// The coordination table of the place that holds these records. Only an operator deletes a record:
/// the records say which events were skipped.
const TABLE: &str = "skipped";

/// An event of another replica that is to be skipped at this place: it keeps its place in the
/// stream, without its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkippedEvent {
    /// The entity, with the replica that skips.
    pub id: ReplicationId,
    /// The replica at which the event was written first.
    pub origin: ReplicaId,
    /// The event's number among the events of its origin, from one.
    pub number: u64,
}

impl SkippedEvent {
    fn key(&self) -> String {
        format!("{} {} {}", self.id.persistence_id(), self.origin, self.number)
    }

    /// Records the order, with a note of the operator. The entity skips the event at its next
    /// attempt, if it holds the event back then. Returns whether the record is new.
    ///
    /// # Errors
    /// The errors of the store. A cancelled call may have recorded the order; repeat the call.
    pub async fn record(&self, coordination: &dyn Coordination, note: &str) -> Result<bool> {
        let note = Bytes::copy_from_slice(note.as_bytes());
        let outcome = coordination.compare_and_set(TABLE, &self.key(), None, Some(note)).await?;
        Ok(matches!(outcome, CasOutcome::Applied(_)))
    }

    /// Deletes the order. An entity that has read the order, or has skipped the event, does not
    /// heed the deletion. Returns whether there was a record.
    ///
    /// # Errors
    /// `Unavailable` when the record was changed at the same time; the errors of the store. A
    /// cancelled call may have deleted the record; repeat the call.
    pub async fn withdraw(&self, coordination: &dyn Coordination) -> Result<bool> {
        let key = self.key();
        let Some(row) = coordination.read(TABLE, &key).await? else { return Ok(false) };
        match coordination.compare_and_set(TABLE, &key, Some(row.version), None).await? {
            CasOutcome::Applied(_) => Ok(true),
            CasOutcome::Conflict(None) => Ok(false),
            CasOutcome::Conflict(Some(_)) => Err(Error::unavailable(format!(
                "`{key}` of table `{TABLE}` was changed at the same time: repeat the command"
            ))),
        }
    }

    /// Returns whether the order is recorded.
    ///
    /// # Errors
    /// The errors of the store. A cancelled call changes nothing.
    pub async fn is_recorded(&self, coordination: &dyn Coordination) -> Result<bool> {
        Ok(coordination.read(TABLE, &self.key()).await?.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemoryStores;

    #[tokio::test]
    async fn an_order_can_be_taken_back_and_given_again() {
        let stores = MemoryStores::new();
        let id = ReplicationId::parse("counter|a|A").unwrap();
        let event = SkippedEvent { id, origin: ReplicaId::new("B").unwrap(), number: 7 };
        let other = SkippedEvent { number: 8, ..event.clone() };
        assert!(event.record(&stores, "a typo").await.unwrap());
        assert!(other.record(&stores, "meant").await.unwrap());
        assert!(event.withdraw(&stores).await.unwrap());
        assert!(!event.withdraw(&stores).await.unwrap(), "there is no record any more");
        assert!(!event.is_recorded(&stores).await.unwrap());
        assert!(other.is_recorded(&stores).await.unwrap(), "another record stays");
        assert!(event.record(&stores, "meant").await.unwrap(), "the record is new");
    }
}
