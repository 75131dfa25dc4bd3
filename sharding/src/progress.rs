//! Sections of `/cluster` for the operator: the homes of shards, the progress of replication, and
//! doubts about the journal.

use std::sync::Arc;

use antiphon_runtime::Node;
use antiphon_runtime::admin::ClusterSection;
use serde_json::{Value, json};

use crate::forks::Forks;
use crate::registry::Registry;

/// The section of `/cluster` about entities: the shards of each type with their homes. For each
/// shard on this node and each other replica: the position in its feed, the number of entities that
/// are behind, and for how long. It warns of replicas whose role no member of their place has.
pub struct ShardingSection {
    registry: Arc<Registry>,
}

impl ShardingSection {
    /// The section of a node.
    pub fn new(node: &Node) -> Self {
        Self { registry: Registry::of(node) }
    }
}

impl ClusterSection for ShardingSection {
    fn name(&self) -> &str {
        "sharding"
    }

    fn json(&self) -> Value {
        let regions = self.registry.all();
        regions.iter().map(|(name, region)| (name.to_string(), region.json())).collect()
    }

    fn ready(&self) -> Result<(), String> {
        self.registry.all().values().try_for_each(|region| region.ready())
    }

    fn warnings(&self) -> Vec<String> {
        self.registry.all().values().flat_map(|region| region.warnings()).collect()
    }
}

/// The section of `/cluster` about the journal of the place: doubts whether the journal went back,
/// the places that have not answered yet, the losses that an operator accepted, and the entities
/// that differ from other places since. The node is not ready while a place that has to be asked
/// cannot be read, or while own events are still taken back.
pub struct ContinuitySection {
    node: Node,
    registry: Arc<Registry>,
    forks: Arc<Forks>,
}

impl ContinuitySection {
    /// The section of a node.
    pub fn new(node: &Node) -> Self {
        Self { node: node.clone(), registry: Registry::of(node), forks: Forks::of(node) }
    }
}

impl ClusterSection for ContinuitySection {
    fn name(&self) -> &str {
        "continuity"
    }

    fn json(&self) -> Value {
        let continuity = self.node.continuity().borrow().clone();
        let regions = self.registry.all();
        let types: serde_json::Map<String, Value> =
            regions.iter().map(|(name, region)| (name.to_string(), region.doubts_json())).collect();
        json!({
            "session": continuity.session(),
            "doubts": continuity.doubts(),
            "accepted": continuity.accepted(),
            "types": types,
            "forked": self.forks.json(),
        })
    }

    fn ready(&self) -> Result<(), String> {
        self.registry.all().values().try_for_each(|region| region.ready_to_write())
    }

    fn warnings(&self) -> Vec<String> {
        self.forks.warning().into_iter().collect()
    }
}
