//! What is tested: a place with its stores, and what these can do.

use antiphon_persistence::store::Stores;
use async_trait::async_trait;

/// A place with new, empty stores. Each case gets one of its own and drops it at the end.
///
/// `session` opens the stores: as a process that starts would, with its own connections. All sessions of a place work on the same data.
#[async_trait]
pub trait Place: Send + Sync + 'static {
    /// Opens the stores once more. Panics when that fails, with the reason.
    async fn session(&self) -> Stores;

    /// Opens the stores with one bit flipped in one of these rows, which follows from `choice`, and
    /// says which one. Each call begins with sound rows again. `None` when that cannot be done, as
    /// in memory: then the cases of damage are skipped.
    async fn damaged_session(&self, _rows: DamagedRows, _choice: u64) -> Option<(String, Stores)> {
        None
    }

    /// What the stores can do; cases that need more are skipped, with a line on stderr.
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }
}

/// Rows that are damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DamagedRows {
    /// Events, and all that leads to them: streams, feed, writers.
    Journal,
    /// Snapshots.
    Snapshots,
    /// Coordination: members, homes, leases, tokens.
    Coordination,
    /// Positions of readers.
    Offsets,
}

/// What stores can do beyond the least. The default is everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// Events keep their replication metadata. Without it, entities cannot be replicated.
    pub metadata: bool,
    /// Everything is still there after all sessions were dropped and a new one is opened.
    pub reopens: bool,
    /// Several sessions may be open at once, as several processes of one place.
    pub multi_process: bool,
    /// Writers that are open at the same time may append to the same stream: of two that expect the same number one is fenced. Without it
    /// the cluster alone sees to it that a stream has one writer at a time; a stream that moves from one open writer to another is
    /// tested in any case.
    pub shared_streams: bool,
    /// The largest payload that is tested, in bytes.
    pub payload_bytes_max: usize,
}

impl Default for Capabilities {
    fn default() -> Self {
        Self {
            metadata: true,
            reopens: true,
            multi_process: true,
            shared_streams: true,
            payload_bytes_max: 1 << 20,
        }
    }
}
