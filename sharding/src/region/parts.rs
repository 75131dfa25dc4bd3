//! The parts that all ideas of a region share.

use std::collections::BTreeSet;
use std::sync::Arc;

use antiphon_persistence::identity::ReplicaId;
use antiphon_persistence::store::Stores;
use antiphon_runtime::Node;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::differences::differences;
use super::layout::Layout;
use super::metrics::RegionMetrics;
use crate::ShardingSettings;
use crate::admission::{Coordinators, Refusals};

/// The node, the layout, the settings and the metrics of a region.
pub(crate) struct RegionParts {
    pub(crate) node: Node,
    pub(crate) layout: Layout,
    pub(crate) settings: ShardingSettings,
    /// Commands go through their codec also within this node.
    pub(crate) encodes_commands: bool,
    /// The replicas of the own place, those of the node's roles first.
    pub(crate) near: Vec<ReplicaId>,
    /// Replicas of the own place that had homes before this node came, and that it does not have.
    pub(super) strange: Mutex<BTreeSet<ReplicaId>>,
    pub(super) metrics: RegionMetrics,
    pub(super) coordinators: Arc<Coordinators>,
    pub(super) refusals: Arc<Refusals>,
}

impl RegionParts {
    pub(crate) fn new(
        node: Node,
        layout: Layout,
        settings: ShardingSettings,
        encodes_commands: bool,
    ) -> Arc<Self> {
        let metrics = RegionMetrics::new(node.metrics(), layout.entity_type());
        let (coordinators, refusals) = (Coordinators::of(&node), Refusals::of(&node));
        let near = layout.near(node.place(), &node.settings().roles);
        let strange = Mutex::default();
        Arc::new(Self {
            node,
            layout,
            settings,
            encodes_commands,
            near,
            strange,
            metrics,
            coordinators,
            refusals,
        })
    }

    pub(super) fn now(&self) -> Instant {
        self.node.clock().now()
    }

    /// The reason why no member can host the shards of a replica; `None`: one can.
    pub(super) fn lacks_nodes(&self, replica: &ReplicaId) -> Option<String> {
        self.layout.lacks_nodes(replica, &self.node.members().borrow())
    }

    /// A line for each member with other replicas of the type than this node.
    pub(super) fn differences(&self) -> Vec<String> {
        differences(&self.layout, self.node.id(), &self.node.members().borrow())
    }

    /// The reason why nobody decides the homes of the type at the own place; `None`: somebody does.
    pub(super) fn lacks_coordinator(&self) -> Option<String> {
        let leases = self.node.coordinator_lease().borrow().clone();
        let (entity_type, place) = (self.layout.entity_type(), self.node.place());
        let holder = leases.holder_of(place).filter(|_| leases.lacking.contains(entity_type))?;
        Some(format!(
            "`{holder}` holds the coordinator lease of place `{place}` and has not started `{entity_type}`: nobody decides the homes of its shards there. Give all nodes of the place the same entity types"
        ))
    }

    /// The reason why the homes of the own place name replicas that this node does not have.
    pub(super) fn strange(&self) -> Option<String> {
        let strange = self.strange.lock();
        let names: Vec<String> = strange.iter().map(|name| format!("`{name}`")).collect();
        let (entity_type, place) = (self.layout.entity_type(), self.node.place());
        (!names.is_empty()).then(|| {
            format!(
                "the journal of place `{place}` has homes of the replica {} of `{entity_type}`, which this node does not have: its entities are served by nobody. Add it to `[[replicas]]` or the provider again, or name it in `sharding.removed_replicas`",
                names.join(", ")
            )
        })
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
