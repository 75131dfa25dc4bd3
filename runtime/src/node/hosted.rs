//! Counts the shards that a node hosts, by entity type. Members use the sum to decide which of two
//! members that are cut from each other stays.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

#[derive(Debug, Default)]
pub(super) struct HostedCell(Mutex<BTreeMap<Arc<str>, u32>>);

impl HostedCell {
    pub(super) fn set(&self, entity_type: &Arc<str>, shards: u32) {
        let mut all = self.0.lock();
        match all.get_mut(entity_type) {
            Some(known) => *known = shards,
            None => drop(all.insert(entity_type.clone(), shards)),
        }
    }

    pub(super) fn sum(&self) -> u32 {
        let all = self.0.lock();
        all.values().fold(0, |sum, shards| sum.saturating_add(*shards))
    }
}
