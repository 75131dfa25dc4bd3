//! The parts of a node in memory, for the tests of this folder.

use std::sync::Arc;

use antiphon_base::time::SystemClock;
use antiphon_persistence::store::Stores;
use antiphon_runtime::transport::memory::MemoryNetwork;
use antiphon_runtime::{Metrics, NodeId, NodeParts};

/// The parts of a node without peer places; its clock is the test's.
pub(crate) fn parts(
    id: &NodeId,
    incarnation: u64,
    stores: Stores,
    network: &MemoryNetwork,
) -> NodeParts {
    NodeParts {
        clock: Arc::new(SystemClock),
        stores,
        transport: network.transport(id),
        address: id.to_string(),
        http_address: None,
        peers: Vec::new(),
        incarnation,
        metrics: Arc::new(Metrics::new()),
    }
}
