//! The place under test, with its stores and their capabilities.

use antiphon_persistence::store::Stores;
use async_trait::async_trait;

/// A place with new, empty stores. Each case gets a place of its own and drops it at the end.
///
/// `session` opens the stores as a starting process does, with its own connections. All sessions of
/// a place work on the same data.
///
/// The kit cancels a call only when a case has taken too long; it drops the place then.
///
/// ```
/// use antiphon_persistence::memory::{MemoryCopy, MemoryStores};
/// use antiphon_persistence::store::Stores;
/// use antiphon_persistence_tck::{Capabilities, Place};
///
/// #[derive(Default)]
/// struct InMemory {
///     stores: MemoryStores,
///     kept: parking_lot::Mutex<Option<MemoryCopy>>,
/// }
///
/// #[async_trait::async_trait]
/// impl Place for InMemory {
///     async fn session(&self) -> Stores {
///         self.stores.stores()
///     }
///
///     async fn keep(&self) {
///         *self.kept.lock() = Some(self.stores.copy());
///     }
///
///     async fn go_back(&self) {
///         self.stores.restore(self.kept.lock().as_ref());
///     }
///
///     fn capabilities(&self) -> Capabilities {
///         Capabilities { goes_back: true, ..Capabilities::default() }
///     }
/// }
///
/// let place = InMemory::default();
/// antiphon_persistence_tck::run(place, antiphon_persistence_tck::feed::pages_follow_each_other);
/// ```
#[async_trait]
pub trait Place: Send + Sync + 'static {
    /// Opens a session of the stores. Panics, with the reason, when the opening fails.
    async fn session(&self) -> Stores;

    /// Keeps a copy of the present data, in place of an earlier copy. No write is under way.
    async fn keep(&self) {}

    /// Replaces the data by the copy. No session is open.
    async fn go_back(&self) {}

    /// Opens the stores with one flipped bit in one of these rows, chosen by `choice`, and returns
    /// the name of the bit with the stores. Each call begins with sound rows again. `None` when the
    /// place cannot be damaged, as in memory: then the cases of damage are skipped.
    async fn damaged_session(&self, _rows: DamagedRows, _choice: u64) -> Option<(String, Stores)> {
        None
    }

    /// The capabilities of the stores. Cases that need more are skipped, with a line on stderr.
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }
}

/// Kind of the damaged rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DamagedRows {
    /// Events, and the rows that lead to them: streams, feed, writers.
    Journal,
    /// Snapshots.
    Snapshots,
    /// Coordination: members, homes, leases, tokens.
    Coordination,
    /// Positions of readers.
    Offsets,
    /// Rows of reminders.
    Reminders,
}

/// Capabilities of stores beyond the minimum. By default all except `goes_back`, which needs the
/// help of the place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// Events keep their replication metadata. Without it, entities cannot be replicated.
    pub metadata: bool,
    /// The data still exists when all sessions were dropped and a new one is opened.
    pub reopens: bool,
    /// Several sessions may be open at once, as several processes of one place.
    pub multi_process: bool,
    /// Writers that are open at the same time may append to the same stream: of two that expect the
    /// same number, one is fenced. Without this capability, the cluster alone ensures that a stream
    /// has one writer at a time. A stream that moves from one open writer to another is tested in
    /// any case.
    pub shared_streams: bool,
    /// [`Place::keep`] and [`Place::go_back`] work, like an operator's backup and its restoration.
    pub goes_back: bool,
    /// Size of the largest payload in the tests, in bytes.
    pub payload_bytes_max: usize,
}

impl Default for Capabilities {
    fn default() -> Self {
        Self {
            metadata: true,
            reopens: true,
            multi_process: true,
            shared_streams: true,
            goes_back: false,
            payload_bytes_max: 1 << 20,
        }
    }
}
