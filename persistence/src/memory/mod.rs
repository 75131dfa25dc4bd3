//! All stores in memory, for tests and for the simulation.
//!
//! One mutex guards everything, each operation is one critical section without an `.await` inside,
//! and all maps are sorted. So the stores are linearizable, and a run in the simulation is the same
//! each time. The order in which appends take the mutex is the order of the change feed, hence
//! nothing appears late.
//!
//! ```text
//!   append --> writers (open? sealed?) --> streams (expected = highest?) --> events + feed entry
//! ```
//!
//! The rules stand in `streams`, `feed`, `tables` and `snapshots`, which know neither lock nor
//! trait; the other files are the traits of the stores. [`FaultyStores`] puts the faults of a test
//! between a caller and any stores.
//!
//! A handle is a shared pointer: clones see the same stores, as the nodes of one place do. The data
//! lives as long as a handle does.

mod coordination;
mod faulty;
mod feed;
mod journal;
mod read_journal;
mod reminder_store;
mod snapshot_store;
mod snapshots;
mod streams;
mod tables;

use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

pub use faulty::{Answer, Call, Fault, FaultyStores, StoreTrait};

use crate::store::Stores;

/// Journal, change feed, snapshots, offsets and coordination of one place in memory. Cheap to
/// clone.
///
/// ```
/// use antiphon_persistence::memory::MemoryStores;
///
/// let place = MemoryStores::new();
/// let stores = place.stores();
/// assert_eq!(place.counts().appends, 0);
/// # drop(stores);
/// ```
#[derive(Debug, Clone, Default)]
pub struct MemoryStores {
    state: Arc<Mutex<State>>,
}

/// The content of stores in memory at one moment.
#[derive(Debug, Clone)]
pub struct MemoryCopy(State);

/// Numbers of uses of the stores since the beginning.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MemoryCounts {
    /// Appends that took effect.
    pub appends: u64,
    /// Events of those appends.
    pub events: u64,
    /// Calls of `replay`, `highest`, `changes`, `persistence_ids`, `latest_snapshot`, `contains`
    /// and `due`.
    pub reads: u64,
}

#[derive(Debug, Clone, Default)]
struct State {
    journal: streams::JournalState,
    feed: feed::FeedState,
    snapshots: snapshots::SnapshotState,
    reminders: reminder_store::ReminderRows,
    coordination: tables::CoordinationState,
    counts: MemoryCounts,
}

impl MemoryStores {
    /// Empty stores.
    pub fn new() -> Self {
        Self::default()
    }

    /// The stores behind the traits.
    pub fn stores(&self) -> Stores {
        Stores::from_backend(Arc::new(self.clone()))
    }

    /// A copy of everything, like a backup; [`Self::restore`] goes back to it.
    #[must_use]
    pub fn copy(&self) -> MemoryCopy {
        MemoryCopy(self.lock().clone())
    }

    /// Goes back to a copy, or to empty stores, under all handles at once: like a restored backup,
    /// or a new disk.
    pub fn restore(&self, copy: Option<&MemoryCopy>) {
        *self.lock() = copy.map_or_else(State::default, |copy| copy.0.clone());
    }

    /// The numbers of uses of the stores.
    pub fn counts(&self) -> MemoryCounts {
        self.lock().counts
    }

    /// The state. A panic elsewhere in a test cannot leave it half changed: each critical section
    /// first checks and then changes.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// The state, counted as a read.
    fn lock_to_read(&self) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        state.counts.reads += 1;
        state
    }
}
