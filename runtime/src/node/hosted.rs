//! The entity types that a node has started: the replicas of each, and the shards that the node
//! hosts. Members use the sum of the shards to decide which of two members that are cut from each
//! other stays.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::membership::{MemberReplicas, PlacedReplica};

#[derive(Debug, Default)]
pub(super) struct HostedCell {
    shards: Mutex<BTreeMap<Arc<str>, u32>>,
    replicas: Mutex<Arc<MemberReplicas>>,
}

impl HostedCell {
    pub(super) fn set(&self, entity_type: &Arc<str>, shards: u32) {
        let mut all = self.shards.lock();
        match all.get_mut(entity_type) {
            Some(known) => *known = shards,
            None => drop(all.insert(entity_type.clone(), shards)),
        }
    }

    pub(super) fn sum(&self) -> u32 {
        let all = self.shards.lock();
        all.values().fold(0, |sum, shards| sum.saturating_add(*shards))
    }

    pub(super) fn set_replicas(
        &self,
        entity_type: &Arc<str>,
        replicas: BTreeMap<Arc<str>, PlacedReplica>,
    ) {
        Arc::make_mut(&mut *self.replicas.lock()).insert(entity_type.clone(), replicas);
    }

    pub(super) fn replicas(&self) -> Arc<MemberReplicas> {
        self.replicas.lock().clone()
    }
}
