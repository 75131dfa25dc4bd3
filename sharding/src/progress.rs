//! Shards, their homes and how far replication is, for the operator.

use std::sync::Arc;

use antiphon_runtime::Node;
use antiphon_runtime::admin::ClusterSection;
use serde_json::Value;

use crate::registry::Registry;

/// The part of `/cluster` that is about entities: for each type its shards with their homes, and for each shard that lives on this
/// node how far it has followed each peer: its position, how many entities are behind, and since when.
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
