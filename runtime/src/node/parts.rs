//! The components that a node is built from, besides its settings.

use std::sync::Arc;

use antiphon_base::time::Clock;
use antiphon_persistence::store::Stores;

use crate::metrics::Metrics;
use crate::transport::Transport;

/// The components of a node.
#[derive(Clone)]
pub struct NodeParts {
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The stores of the node's own place.
    pub stores: Stores,
    /// The network; it must have been made for the [`crate::NodeId`] of this node's name and
    /// incarnation.
    pub transport: Arc<dyn Transport>,
    /// The address at which the other nodes reach the transport.
    pub address: String,
    /// The address at which people reach the HTTP interface, if there is one.
    pub http_address: Option<String>,
    /// The stores of the other places; they are only read.
    pub peers: Vec<PeerPlace>,
    /// A number that no earlier start of a node of this name had, for example the microseconds
    /// since 1970.
    pub incarnation: u64,
    /// The metrics of the node.
    pub metrics: Arc<Metrics>,
}

/// The stores of another place.
#[derive(Clone)]
pub struct PeerPlace {
    /// The place.
    pub place: String,
    /// The stores of the place; they are only read.
    pub stores: Stores,
}
