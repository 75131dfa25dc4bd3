//! Single streams: append, seal, replay, delete.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Append, Limits};
use crate::event::{SequenceNr, StoredEvent};
use crate::identity::PersistenceId;
use crate::{Error, Result};

/// The writer of one incarnation of a node. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WriterId(Arc<str>);

impl WriterId {
    /// The writer named `name`; an incarnation of a node uses its own name once.
    ///
    /// # Errors
    /// `Rejected` when the name is empty.
    pub fn new(name: impl AsRef<str>) -> Result<Self> {
        if name.as_ref().is_empty() {
            return Err(Error::rejected("writer id: expected a name, actual an empty text"));
        }
        Ok(Self(name.as_ref().into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for WriterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The answer of [`Journal::replay_page`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayPage {
    /// The events, as [`Journal::replay`] returns them.
    pub events: Vec<StoredEvent>,
    /// The highest number of the stream at the time of the read, if the read has found it.
    pub highest: Option<SequenceNr>,
}

impl From<Vec<StoredEvent>> for ReplayPage {
    fn from(events: Vec<StoredEvent>) -> Self {
        Self { events, highest: None }
    }
}

/// The journal of one place.
///
/// # Contract
/// - `append` must be atomic: all events of the call are stored, or none, for every reader and
///   after every crash.
/// - `append` must not return `Ok` before the events are durable, as the store defines it.
/// - `append` must fail with `Fenced` when the stream's highest number is not `expected`, and leave
///   the stream as it was.
///   A store may rely on the cluster that two open writers do not append to the same stream
///   (without capability `shared_streams` of the conformance kit); it must then fail with `Corrupt`
///   when a stream with such appends is read.
/// - A stream may move from one open writer to another: after a `replay` or `highest` through the
///   session of the second writer, its appends must follow everything that the first writer had
///   acknowledged.
/// - `append` must fail with `Fenced` when the writer is sealed; with `Rejected` when it was never
///   opened.
/// - `append` must fail with `Timeout` when the outcome is unknown, and only then; where the store
///   can tell the outcome, `append` must find it out itself.
/// - After `seal` has returned, no append of that writer may take effect, however late it was
///   issued or how long it was under way.
/// - `seal` must be idempotent, and must also seal a writer that was never opened.
/// - A writer belongs to the session that opened it. The effect of an `append` with this writer
///   through another session is up to the store, but must not break a rule above.
/// - `open_writer` must fail with `Rejected` when the writer was opened before, or is sealed.
/// - `replay` must return events in order, without holes, first to last inclusive, at most
///   `event_count_max`; fewer only when the stream ends there or a size limit of the store was hit
///   (then at least one).
/// - `replay` must not return deleted events; it starts after them.
/// - `highest` must include deleted events: deleting never resets it. It is zero for an unknown
///   stream.
/// - `delete_to` must be idempotent, and must also accept a number above the highest: all events
///   that exist now are deleted.
/// - A stored event must be read back equal, metadata and payload, to the bit.
/// - `append` must take every append within `limits`, and must fail with `Rejected`, storing
///   nothing, when an event or the append is larger. The size is counted in encoded bytes, see
///   [`Limits`]; the limit of an event must be [`EVENT_BYTES_MAX`](super::EVENT_BYTES_MAX).
/// - A damaged row must be found whenever it is read: the call fails with `Corrupt`, naming table
///   and key. It must never return another value, and never take the damaged row for a missing row.
/// - A cancelled (dropped) call must leave behind what its doc says, and must not disturb other
///   calls.
///
/// # Example
/// ```
/// use antiphon_persistence::event::{EventMeta, Labels, Payload, SequenceNr, StoredEvent};
/// use antiphon_persistence::identity::{PersistenceId, ReplicaId};
/// use antiphon_persistence::memory::MemoryStores;
/// use antiphon_persistence::store::{Append, WriterId};
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let journal = MemoryStores::new().stores().journal;
/// let writer = WriterId::new("node-1@7")?;
/// journal.open_writer(&writer).await?;
///
/// let (id, origin) = (PersistenceId::parse("cart|c-1|DC-A")?, ReplicaId::new("DC-A")?);
/// let meta = EventMeta {
///     version: [(origin.clone(), 1)].into_iter().collect(),
///     origin,
///     source_seq: SequenceNr::new(1),
///     concurrent: false,
///     timestamp: Default::default(),
///     labels: Labels::none(),
/// };
/// let payload = Payload { codec: 1, manifest: "added".into(), version: 1, bytes: "x".into() };
/// let events = vec![StoredEvent { sequence_nr: SequenceNr::new(1), meta, payload }];
/// let append = Append { persistence_id: id.clone(), expected: SequenceNr::ZERO, events };
/// journal.append(&writer, append.clone()).await?;
///
/// // another append after the same number comes too late, and so does a sealed writer
/// assert!(journal.append(&writer, append).await.is_err());
/// journal.seal(&writer).await?;
/// let read = journal.replay(&id, SequenceNr::new(1), SequenceNr::MAX, 100).await?;
/// assert_eq!((read.len(), journal.highest(&id).await?), (1, SequenceNr::new(1)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[async_trait]
pub trait Journal: Send + Sync + 'static {
    /// Registers a new writer.
    ///
    /// A cancelled call may register the writer: the name is then used up.
    ///
    /// # Errors
    /// `Rejected` when it was opened before or is sealed.
    async fn open_writer(&self, writer: &WriterId) -> Result<()>;

    /// Size limits of appends and their events. Constant as long as the store is open.
    fn limits(&self) -> Limits {
        Limits::default()
    }

    /// Appends to the end of one stream. The store groups concurrent calls where that helps.
    ///
    /// A cancelled call may take effect as a whole, at once or later, or not at all.
    ///
    /// # Errors
    /// `Fenced`, `Rejected`, `Unavailable` (nothing was stored) or `Timeout` (unknown).
    async fn append(&self, writer: &WriterId, append: Append) -> Result<()>;

    /// Ends a writer for ever.
    ///
    /// A cancelled call may seal the writer or not: call again.
    ///
    /// # Errors
    /// `Unavailable` or `Timeout`: call again until it succeeds.
    async fn seal(&self, writer: &WriterId) -> Result<()>;

    /// The events `first..=last`, at most `event_count_max` of them.
    ///
    /// A cancelled call leaves nothing behind.
    ///
    /// # Errors
    /// `Corrupt` when a row cannot be read, naming stream and number; `Unavailable`.
    async fn replay(
        &self,
        persistence_id: &PersistenceId,
        first: SequenceNr,
        last: SequenceNr,
        event_count_max: usize,
    ) -> Result<Vec<StoredEvent>>;

    /// Reads like [`Self::replay`], and returns the highest number of the stream too if the same
    /// read has found it: whoever has the last event then needs no further read to know that.
    ///
    /// A store that overrides this function must take both from one moment: the events and the
    /// number that [`Self::highest`] would have returned then. A cancelled call leaves nothing
    /// behind.
    ///
    /// # Errors
    /// As [`Self::replay`].
    async fn replay_page(
        &self,
        persistence_id: &PersistenceId,
        first: SequenceNr,
        last: SequenceNr,
        event_count_max: usize,
    ) -> Result<ReplayPage> {
        Ok(self.replay(persistence_id, first, last, event_count_max).await?.into())
    }

    /// The highest number ever appended to the stream.
    ///
    /// A cancelled call leaves nothing behind.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn highest(&self, persistence_id: &PersistenceId) -> Result<SequenceNr>;

    /// Deletes the events up to and including `last`.
    ///
    /// A cancelled call may delete the events, at once or later, or not: call again.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn delete_to(&self, persistence_id: &PersistenceId, last: SequenceNr) -> Result<()>;
}
