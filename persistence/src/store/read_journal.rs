//! Queries over many streams: the change feed and listings.

use std::sync::Arc;

use async_trait::async_trait;

use super::Offset;
use crate::Result;
use crate::event::SequenceNr;
use crate::identity::{PersistenceId, ReplicaId, SliceRange};
use crate::version::VersionVector;

/// A request for one page of a part of the change feed.
#[derive(Debug, Clone, PartialEq)]
pub struct ChangesQuery {
    /// Streams of this entity type.
    pub entity_type: Arc<str>,
    /// Streams of this replica.
    pub replica: ReplicaId,
    /// Streams whose entity has one of these slices.
    pub slices: SliceRange,
    /// Changes after this position.
    pub after: Offset,
    /// Most streams in the page; zero counts as one.
    pub change_count_max: usize,
}

/// A stream that has changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The stream.
    pub persistence_id: PersistenceId,
    /// The highest sequence number among its events that this page covers.
    pub highest: SequenceNr,
    /// The merged versions of those events: a replica that has seen all of them needs to read
    /// nothing.
    pub seen: VersionVector,
}

/// A page of the change feed.
#[derive(Debug, Clone, PartialEq)]
pub struct ChangesPage {
    /// Streams that changed, each once.
    pub changes: Vec<Change>,
    /// The position after the page: `changes` covers everything up to it. Equal to the requested
    /// position when nothing is new.
    pub through: Offset,
    /// True when more changes are there already: ask again at once.
    pub more: bool,
}

/// Reads over many streams of the journal of one place.
///
/// # Contract
/// - `changes` must never pass over a change: nothing may appear later at or below a `through` that
///   was returned, however slow, concurrent or interrupted the writers are.
/// - `changes` must return only durable events, and each event in a page exactly once when pages
///   follow each other.
/// - `changes` must return a page by the rule of [`FeedPage`](super::FeedPage): each stream once,
///   at most `change_count_max` streams, and at least one if there is a change, also when
///   `change_count_max` is zero.
/// - `changes` from [`Offset::start`] must cover every event that is not deleted.
/// - `changes` must move `through` forward also over events that do not match, so that an idle
///   reader stays cheap.
/// - `changes` must begin anew, as from the start, when the store went back to an earlier state and
///   the position belongs to the lost part, as far as the store can tell. It must never pass over
///   the events that took the place of the lost part.
/// - `persistence_ids` must return each stream of the type once, sorted by text, after `after`
///   (exclusive), at most `count_max`.
///
/// # Example
/// A reader that goes through the whole feed:
/// ```
/// use antiphon_persistence::identity::{ReplicaId, SliceRange};
/// use antiphon_persistence::memory::MemoryStores;
/// use antiphon_persistence::store::{ChangesQuery, Offset};
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let read_journal = MemoryStores::new().stores().read_journal;
/// let mut query = ChangesQuery {
///     entity_type: "cart".into(),
///     replica: ReplicaId::new("DC-A")?,
///     slices: SliceRange::ALL,
///     after: Offset::start(),
///     change_count_max: 100,
/// };
/// loop {
///     let page = read_journal.changes(&query).await?;
///     for change in &page.changes {
///         println!("{} has events up to {}", change.persistence_id, change.highest);
///     }
///     // store this position, and go on from it after a restart
///     query.after = page.through;
///     if !page.more {
///         break;
///     }
/// }
/// assert!(read_journal.persistence_ids("cart", None, 100).await?.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[async_trait]
pub trait ReadJournal: Send + Sync + 'static {
    /// The next page of the change feed.
    ///
    /// A cancelled call leaves nothing behind, and moves no position.
    ///
    /// # Errors
    /// `Unavailable`; `Rejected` when the offset is not from this store; `Corrupt`.
    async fn changes(&self, query: &ChangesQuery) -> Result<ChangesPage>;

    /// The streams of an entity type, by pages.
    ///
    /// A cancelled call leaves nothing behind.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn persistence_ids(
        &self,
        entity_type: &str,
        after: Option<&PersistenceId>,
        count_max: usize,
    ) -> Result<Vec<PersistenceId>>;
}
