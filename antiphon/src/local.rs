//! A whole place in one process, in memory: for tests and first steps.

use std::sync::Arc;

use antiphon_base::time::{Clock, SystemClock};
use antiphon_persistence::memory::MemoryStores;
use antiphon_runtime::transport::memory::MemoryNetwork;
use antiphon_runtime::{Metrics, Node, NodeId, NodeParts, NodeSettings, PeerPlace, Result};

/// A place whose stores and links are in memory. Nothing survives the process.
#[derive(Clone)]
pub struct LocalPlace {
    name: String,
    network: MemoryNetwork,
    stores: MemoryStores,
    peers: Vec<(String, MemoryStores)>,
}

impl LocalPlace {
    /// Creates a place without nodes.
    pub fn new(name: impl Into<String>) -> Self {
        let network = MemoryNetwork::new(0);
        Self { name: name.into(), network, stores: MemoryStores::new(), peers: Vec::new() }
    }

    /// Creates places that know each other.
    pub fn connected<const N: usize>(names: [&str; N]) -> [Self; N] {
        let network = MemoryNetwork::new(0);
        let all: Vec<(String, MemoryStores)> =
            names.iter().map(|name| ((*name).to_owned(), MemoryStores::new())).collect();
        std::array::from_fn(|index| Self {
            name: all[index].0.clone(),
            network: network.clone(),
            stores: all[index].1.clone(),
            peers: all.iter().filter(|(name, _)| *name != all[index].0).cloned().collect(),
        })
    }

    /// Starts a node of the place. A cancelled call ends the node, as a kill does:
    /// [`Node::start`].
    ///
    /// # Errors
    /// See [`Node::start`].
    pub async fn start(&self, name: &str) -> Result<Node> {
        let clock = SystemClock;
        let incarnation = clock.wall().as_micros();
        let id = NodeId::new(name, incarnation)?;
        let settings = NodeSettings {
            name: name.to_owned(),
            place: self.name.clone(),
            ..NodeSettings::default()
        };
        let parts = NodeParts {
            clock: Arc::new(clock),
            stores: self.stores.stores(),
            transport: self.network.transport(&id),
            address: id.to_string(),
            http_address: None,
            peers: self
                .peers
                .iter()
                .map(|(place, stores)| PeerPlace { place: place.clone(), stores: stores.stores() })
                .collect(),
            incarnation,
            metrics: Arc::new(Metrics::new()),
        };
        Node::start(settings, parts).await
    }
}
