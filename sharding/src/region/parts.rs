//! The parts that all ideas of a region share.

use std::sync::Arc;

use antiphon_persistence::identity::ReplicaId;
use antiphon_persistence::store::Stores;
use antiphon_runtime::Node;
use tokio::time::Instant;

use super::layout::Layout;
use super::metrics::RegionMetrics;
use crate::ShardingSettings;
use crate::admission::{Coordinators, Refusals};

/// The node, the layout, the settings and the metrics of a region.
pub(crate) struct RegionParts {
    pub(crate) node: Node,
    pub(crate) layout: Layout,
    pub(crate) settings: ShardingSettings,
    /// The replicas of the own place, those of the node's roles first.
    pub(crate) near: Vec<ReplicaId>,
    pub(super) metrics: RegionMetrics,
    pub(super) coordinators: Arc<Coordinators>,
    pub(super) refusals: Arc<Refusals>,
}

impl RegionParts {
    pub(crate) fn new(node: Node, layout: Layout, settings: ShardingSettings) -> Arc<Self> {
        let metrics = RegionMetrics::new(node.metrics(), layout.entity_type());
        let (coordinators, refusals) = (Coordinators::of(&node), Refusals::of(&node));
        let near = layout.near(node.place(), &node.settings().roles);
        Arc::new(Self { node, layout, settings, near, metrics, coordinators, refusals })
    }

    pub(super) fn now(&self) -> Instant {
        self.node.clock().now()
    }

    /// The reason why no member can host the shards of a replica; `None`: one can.
    pub(super) fn lacks_nodes(&self, replica: &ReplicaId) -> Option<String> {
        self.layout.lacks_nodes(replica, &self.node.members().borrow())
    }

    /// The stores of a replica's place.
    pub(crate) fn stores_of(&self, replica: &ReplicaId) -> Stores {
        let place = self.layout.place_of(replica);
        if **place == *self.node.place() {
            return self.node.stores().clone();
        }
        self.node.peers()[place].clone()
    }
}
