//! The numbers of the shards of an entity type: from a replica and an entity to the slot of their
//! shard, and back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use antiphon_persistence::identity::{ReplicaId, Slice};

use crate::ShardId;

/// The replicas of an entity type, their places, and the slots of their shards.
pub(crate) struct Layout {
    entity_type: Arc<str>,
    /// Sorted.
    replicas: Arc<[ReplicaId]>,
    /// The place of each replica.
    places: BTreeMap<ReplicaId, Arc<str>>,
    shard_count: u16,
}

impl Layout {
    /// `replicas` are sorted; `places` has the place of each of them.
    pub(crate) fn new(
        entity_type: Arc<str>,
        replicas: Arc<[ReplicaId]>,
        places: BTreeMap<ReplicaId, Arc<str>>,
        shard_count: u16,
    ) -> Self {
        assert!(replicas.is_sorted(), "replicas are found by binary search");
        assert!(replicas.iter().all(|replica| places.contains_key(replica)), "each has a place");
        Self { entity_type, replicas, places, shard_count }
    }

    pub(crate) fn entity_type(&self) -> &Arc<str> {
        &self.entity_type
    }

    /// All replicas, sorted.
    pub(crate) fn replicas(&self) -> &[ReplicaId] {
        &self.replicas
    }

    /// The replicas other than this one.
    pub(crate) fn others<'a>(
        &'a self,
        replica: &'a ReplicaId,
    ) -> impl Iterator<Item = &'a ReplicaId> {
        self.replicas.iter().filter(move |other| *other != replica)
    }

    pub(crate) fn is_replica(&self, replica: &ReplicaId) -> bool {
        self.replicas.binary_search(replica).is_ok()
    }

    pub(crate) fn place_of(&self, replica: &ReplicaId) -> &Arc<str> {
        &self.places[replica]
    }

    /// All replicas, and the place of each.
    pub(crate) fn replica_places(&self) -> &BTreeMap<ReplicaId, Arc<str>> {
        &self.places
    }

    /// Returns whether the place has this replica.
    pub(crate) fn has_replica(&self, place: &str, replica: &ReplicaId) -> bool {
        self.places.get(replica).is_some_and(|known| **known == *place)
    }

    /// The places of all replicas, each once.
    pub(crate) fn places(&self) -> BTreeSet<&Arc<str>> {
        self.places.values().collect()
    }

    pub(crate) fn has_place(&self, place: &str) -> bool {
        self.places.values().any(|known| **known == *place)
    }

    pub(crate) fn shard_count(&self) -> u16 {
        self.shard_count
    }

    /// Number of slots: one for each shard of each replica.
    pub(crate) fn slot_count(&self) -> usize {
        self.replicas.len() * usize::from(self.shard_count)
    }

    /// The shard of a slot.
    pub(crate) fn shard(&self, index: usize) -> ShardId {
        let count = usize::from(self.shard_count);
        let number = u16::try_from(index % count).expect("below the count");
        ShardId { replica: self.replicas[index / count].clone(), number }
    }

    /// The slot of an entity's shard; `None` when there is no such replica.
    pub(crate) fn index(&self, replica: &ReplicaId, entity: &str) -> Option<usize> {
        let slice = Slice::of(&self.entity_type, entity);
        self.index_of(replica, ShardId::number_of(slice, self.shard_count))
    }

    /// The slot of a shard; `None` when there is no such replica or number.
    pub(crate) fn index_of(&self, replica: &ReplicaId, number: u16) -> Option<usize> {
        let first = self.replicas.binary_search(replica).ok()? * usize::from(self.shard_count);
        (number < self.shard_count).then(|| first + usize::from(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_slot_has_one_shard_and_a_number_beyond_the_count_has_none() {
        let replicas = ["A", "B", "C"].map(|name| ReplicaId::new(name).unwrap());
        let places = replicas.iter().map(|replica| (replica.clone(), replica.as_str().into()));
        let layout = Layout::new("t".into(), replicas.clone().into(), places.collect(), 4);
        for index in 0..layout.slot_count() {
            let shard = layout.shard(index);
            assert_eq!(layout.index_of(&shard.replica, shard.number), Some(index));
        }
        assert_eq!(layout.index_of(&replicas[0], 4), None);
        assert_eq!(layout.index_of(&ReplicaId::new("X").unwrap(), 0), None);
        let index = layout.index(&replicas[1], "e-1").unwrap();
        assert_eq!(layout.shard(index).replica, replicas[1]);
        assert_eq!(layout.others(&replicas[1]).count(), 2);
    }
}
