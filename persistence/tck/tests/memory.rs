//! The stores in memory keep every contract.

use antiphon_persistence::memory::MemoryStores;
use antiphon_persistence::store::Stores;
use antiphon_persistence_tck::{Capabilities, Place};
use async_trait::async_trait;

struct InMemory(MemoryStores);

#[async_trait]
impl Place for InMemory {
    async fn session(&self) -> Stores {
        self.0.stores()
    }
}

antiphon_persistence_tck::all_tests!(InMemory(MemoryStores::new()));

/// A place that claims nothing, to see that the cases can be skipped.
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
            payload_bytes_max: 1000,
        }
    }
}

mod modest {
    use super::*;

    antiphon_persistence_tck::all_tests!(Modest);
}
