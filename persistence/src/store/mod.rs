//! The contracts of the stores.
//!
//! Each "must" in the docs of these traits is a case of the conformance kit
//! (`antiphon-persistence-tck`), which any implementation can run. A backend implements all of them
//! on one session and hands them out as [`Stores`]; programs open it by [`Backend`].

mod append;
mod backend;
mod coordination;
mod deferred;
mod feed_page;
mod journal;
mod limits;
mod offset;
mod queue_room;
mod read_journal;
mod registry;
mod reminders;
mod snapshot;

use std::sync::Arc;

pub use append::Append;
pub use backend::{Backend, Count, FeedRelay, OpenBackend, Role, StatementCounts};
pub use coordination::{
    CasOutcome, Coordination, FencedOutcome, FencingToken, Row, RowVersion, TableRows,
};
pub use deferred::{DeferredStores, Opened, Opening};
pub use feed_page::{FeedPage, Room};
pub use journal::{Journal, ReplayPage, WriterId};
pub use limits::{EVENT_BYTES_MAX, Limits, check_append_bytes_max};
pub use offset::{Offset, OffsetKey, OffsetStore};
pub use queue_room::{QueueRoom, check_queue_bytes_max};
pub use read_journal::{Change, ChangesPage, ChangesQuery, ReadJournal};
pub use registry::{LocalServer, Registry, StoreKind, Table, read_table, write_table};
pub use reminders::{ReminderRow, ReminderStore};
pub use snapshot::{DoneRequest, KeptAnswer, SetReminder, Snapshot, SnapshotStore};

/// All stores of one place, cheap to clone.
#[derive(Clone)]
pub struct Stores {
    /// Writes and reads of single streams.
    pub journal: Arc<dyn Journal>,
    /// The change feed and queries over many streams.
    pub read_journal: Arc<dyn ReadJournal>,
    /// Snapshots of entities.
    pub snapshots: Arc<dyn SnapshotStore>,
    /// Positions of readers.
    pub offsets: Arc<dyn OffsetStore>,
    /// The index of reminders by time.
    pub reminders: Arc<dyn ReminderStore>,
    /// Membership, leases and shard homes.
    pub coordination: Arc<dyn Coordination>,
}

impl Stores {
    /// All stores from one backend that implements every trait.
    pub fn from_backend<B>(backend: Arc<B>) -> Self
    where
        B: Journal + ReadJournal + SnapshotStore + OffsetStore + ReminderStore + Coordination,
    {
        Self {
            journal: backend.clone(),
            read_journal: backend.clone(),
            snapshots: backend.clone(),
            offsets: backend.clone(),
            reminders: backend.clone(),
            coordination: backend,
        }
    }
}
