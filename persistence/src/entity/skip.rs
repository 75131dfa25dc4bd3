//! An operator's order to skip one event of another replica, at this place, for one entity.

use bytes::Bytes;

use crate::Result;
use crate::identity::{ReplicaId, ReplicationId};
use crate::store::{CasOutcome, Coordination};

/// The coordination table of the place that holds these records. Records are never deleted: they
/// say which events were skipped.
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

    /// Returns whether the order is recorded.
    ///
    /// # Errors
    /// The errors of the store.
    pub async fn is_recorded(&self, coordination: &dyn Coordination) -> Result<bool> {
        Ok(coordination.read(TABLE, &self.key()).await?.is_some())
    }
}
