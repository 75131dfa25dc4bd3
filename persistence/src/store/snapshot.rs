//! Snapshots of entities.

use std::collections::BTreeMap;
use std::sync::Arc;

use antiphon_base::time::Timestamp;
use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::Limits;
use crate::event::{Metadata, Payload, RequestId, SequenceNr};
use crate::identity::{PersistenceId, ReplicaId};
use crate::version::VersionVector;
use crate::{Error, Result};

/// The state of an entity after one of its events, and all that replication needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The last event that the state includes.
    pub sequence_nr: SequenceNr,
    /// The events by origin that the state includes.
    pub version: VersionVector,
    /// Safe positions in the journals of the other replicas.
    pub positions: BTreeMap<ReplicaId, SequenceNr>,
    /// The hybrid clock of the entity.
    pub timestamp: Timestamp,
    /// The encoded state.
    pub state: Payload,
    /// The reminders of the entity that were set and have not fired, sorted by name.
    pub reminders: Vec<SetReminder>,
    /// The metadata that the behaviour gave to the snapshot.
    pub metadata: Metadata,
    /// The requests that were done and are remembered, oldest first.
    pub requests: Vec<DoneRequest>,
}

/// A request to an entity that was done: a command with a request id, which stored events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoneRequest {
    /// The name that its client gave it.
    pub id: RequestId,
    /// The replica that handled it.
    pub origin: ReplicaId,
    /// The number of its first event among those of its origin.
    pub first: u64,
    /// The time of that event.
    pub at: Timestamp,
    /// The answer for repetitions.
    pub answer: KeptAnswer,
}

impl DoneRequest {
    /// About the bytes of the request in a snapshot, at least what is stored.
    pub(crate) fn bytes(&self) -> usize {
        /// The numbers, and the lengths of the texts.
        const FIXED: usize = 64;
        let answer = match &self.answer {
            KeptAnswer::None | KeptAnswer::Later | KeptAnswer::TooLarge(_) => 0,
            KeptAnswer::Bytes(bytes) => bytes.len(),
        };
        FIXED + self.id.marked_text().len() + self.origin.as_str().len() + answer
    }
}

/// The answer to a request, as far as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeptAnswer {
    /// The effect had no answer, or its answer could not be encoded.
    None,
    /// The answer comes with a later event of the handling, if it stores one.
    Later,
    /// The answer with so many bytes was larger than `request_answer_bytes_max`.
    TooLarge(u64),
    /// The answer, encoded.
    Bytes(Bytes),
}

/// A reminder of an entity that was set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetReminder {
    /// The name within the entity.
    pub name: Arc<str>,
    /// The time at which it is due next.
    pub due: Timestamp,
    /// The period in microseconds; zero: it is due once.
    pub every: u64,
    /// The number of the event that set it, in the stream of this replica.
    pub set_by: SequenceNr,
    /// The replica at which that event was written first.
    pub origin: ReplicaId,
    /// The number of that event among those of its origin.
    pub origin_nr: u64,
    /// The time of that event.
    pub set_at: Timestamp,
}

impl Snapshot {
    /// A snapshot without a state, which replaces an unusable snapshot of the same number. Its
    /// version names no events.
    pub fn void(sequence_nr: SequenceNr) -> Self {
        Self {
            sequence_nr,
            version: VersionVector::new(),
            positions: BTreeMap::new(),
            timestamp: Timestamp::default(),
            state: Payload { codec: 0, manifest: "".into(), version: 0, bytes: Bytes::new() },
            reminders: Vec::new(),
            metadata: Metadata::new(),
            requests: Vec::new(),
        }
    }

    /// Checks the size of the state with the requests.
    ///
    /// # Errors
    /// `Rejected`, naming the limit, when they are larger than the store takes.
    pub fn check_size(&self, persistence_id: &PersistenceId, limits: &Limits) -> Result<()> {
        let requests: usize = self.requests.iter().map(DoneRequest::bytes).sum();
        let (limit, actual) = (limits.snapshot_bytes_max, self.state.bytes.len() + requests);
        if actual <= limit {
            return Ok(());
        }
        Err(Error::rejected(format!(
            "snapshot {} of `{persistence_id}`: expected a state of at most {limit} bytes, with {requests} bytes of requests, actual {actual}",
            self.sequence_nr
        )))
    }
}

/// Snapshots of one place.
///
/// # Contract
/// - `latest_snapshot` must return the snapshot with the highest number that is at most `last`, or
///   `None`.
/// - `save_snapshot` must fail with `Rejected`, and store nothing, when the state with the requests
///   is larger than the journal's [`Limits`] say ([`Snapshot::check_size`]).
/// - `save_snapshot` must replace a snapshot with the same stream and number.
/// - `delete_snapshots_to` must delete the snapshots with numbers up to and including `last`, and
///   no other; it is idempotent.
/// - A snapshot must be read back equal, to the bit.
/// - A snapshot that is damaged, or of a form that the store does not know, must be passed over for
///   the newest one before it that is sound, logged and counted. A caller that cannot use a
///   snapshot asks for the one before it, with its number less one as `last`.
///
/// # Example
/// ```
/// use antiphon_persistence::event::SequenceNr;
/// use antiphon_persistence::identity::PersistenceId;
/// use antiphon_persistence::memory::MemoryStores;
/// use antiphon_persistence::store::Snapshot;
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let snapshots = MemoryStores::new().stores().snapshots;
/// let id = PersistenceId::parse("cart|c-1|DC-A")?;
/// for number in [10, 20] {
///     snapshots.save_snapshot(&id, &Snapshot::void(SequenceNr::new(number))).await?;
/// }
/// snapshots.delete_snapshots_to(&id, SequenceNr::new(10)).await?;
/// let newest = snapshots.latest_snapshot(&id, SequenceNr::MAX).await?;
/// assert_eq!(newest, Some(Snapshot::void(SequenceNr::new(20))));
/// assert_eq!(snapshots.latest_snapshot(&id, SequenceNr::new(19)).await?, None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[async_trait]
pub trait SnapshotStore: Send + Sync + 'static {
    /// Stores a snapshot.
    ///
    /// A cancelled call may store the snapshot as a whole, at once or later, or not at all.
    ///
    /// # Errors
    /// `Rejected` when it is too large; `Unavailable` or `Timeout`.
    async fn save_snapshot(
        &self,
        persistence_id: &PersistenceId,
        snapshot: &Snapshot,
    ) -> Result<()>;

    /// The newest snapshot at or before `last`.
    ///
    /// A cancelled call leaves nothing behind.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn latest_snapshot(
        &self,
        persistence_id: &PersistenceId,
        last: SequenceNr,
    ) -> Result<Option<Snapshot>>;

    /// Deletes snapshots.
    ///
    /// A cancelled call may delete all of them or some, at once or later: call again.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn delete_snapshots_to(
        &self,
        persistence_id: &PersistenceId,
        last: SequenceNr,
    ) -> Result<()>;
}
