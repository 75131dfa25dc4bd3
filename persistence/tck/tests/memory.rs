//! The stores in memory keep every contract.

use antiphon_persistence::memory::{MemoryCopy, MemoryStores};
use antiphon_persistence::store::Stores;
use antiphon_persistence_tck::{Capabilities, Place};
use async_trait::async_trait;
use parking_lot::Mutex;

#[derive(Default)]
struct InMemory {
    stores: MemoryStores,
    kept: Mutex<Option<MemoryCopy>>,
}

#[async_trait]
impl Place for InMemory {
    async fn session(&self) -> Stores {
        self.stores.stores()
    }

    async fn keep(&self) {
        *self.kept.lock() = Some(self.stores.copy());
    }

    async fn go_back(&self) {
        self.stores.restore(self.kept.lock().as_ref());
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { goes_back: true, ..Capabilities::default() }
    }
}

antiphon_persistence_tck::all_tests!(InMemory::default());

/// A place with few capabilities, which shows that cases can be skipped.
struct Modest;

#[async_trait]
impl Place for Modest {
    async fn session(&self) -> Stores {
        MemoryStores::new().stores()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            shared_streams: true,
            metadata: false,
            reopens: false,
            multi_process: false,
            goes_back: false,
            payload_bytes_max: 1000,
        }
    }
}

mod modest {
    use super::*;

    antiphon_persistence_tck::all_tests!(Modest);
}
