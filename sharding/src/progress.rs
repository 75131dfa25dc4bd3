//! Shards, their homes, how far replication is, and whether the journal went back, for the
//! operator.

use std::sync::Arc;

use antiphon_runtime::Node;
use antiphon_runtime::admin::ClusterSection;
use serde_json::{Value, json};

use crate::forks::Forks;
use crate::registry::Registry;

/// The part of `/cluster` that is about entities: for each type its shards with their homes, and
/// for each shard that lives on this node how far it has followed each peer: its position, how many
/// entities are behind, and since when.
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
}

/// The part of `/cluster` that is about the journal of the place: whether it may have gone back,
/// whose word is missing, what an operator has accepted, and the entities that differ from other
/// places since. While a place that has to be asked
/// cannot be, or own events are still taken back, the node is not ready.
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
