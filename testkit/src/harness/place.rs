//! The stores of a place in a run.

use antiphon_persistence::memory::MemoryStores;
use antiphon_persistence::store::Stores;

/// The stores of one place, for a run without a disk and a server.
pub trait PlaceStores: Send + Sync {
    /// The stores without faults, for the invariants.
    fn stores(&self) -> Stores;

    /// The stores as one process sees them, with the faults of their server by the seed.
    fn session(&self, seed: u64) -> Stores;

    /// The stores in memory, which can go back to an earlier state. `None` for other stores.
    fn memory(&self) -> Option<&MemoryStores> {
        None
    }
}

/// Makes the stores of a new place.
pub type Model = fn() -> Box<dyn PlaceStores>;

/// Memory, which has no faults of its own.
pub const MEMORY: Model = || Box::new(MemoryStores::new());

impl PlaceStores for MemoryStores {
    fn stores(&self) -> Stores {
        Self::stores(self)
    }

    fn session(&self, _seed: u64) -> Stores {
        Self::stores(self)
    }

    fn memory(&self) -> Option<&MemoryStores> {
        Some(self)
    }
}
