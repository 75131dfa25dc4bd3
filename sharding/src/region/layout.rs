//! The numbers of the shards of an entity type: from a replica and an entity to the slot of their
//! shard, and back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use antiphon_persistence::identity::{ReplicaId, Slice};
use antiphon_runtime::{Member, MemberState, Membership};

use crate::{Roles, ShardId};

/// The replicas of an entity type, their places, and the slots of their shards.
pub(crate) struct Layout {
    entity_type: Arc<str>,
    /// Sorted.
    replicas: Arc<[ReplicaId]>,
    /// The place of each replica.
    places: BTreeMap<ReplicaId, Arc<str>>,
    /// The role that each replica needs, if it needs one.
    roles: Roles,
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
        Self { entity_type, replicas, places, roles: Roles::default(), shard_count }
    }

    /// The same layout with replicas that need roles.
    pub(crate) fn with_roles(self, roles: Roles) -> Self {
        Self { roles, ..self }
    }

    /// The roles that replicas need.
    pub(crate) fn roles(&self) -> &Roles {
        &self.roles
    }

    /// Returns whether shards of the replica may be on the member.
    pub(crate) fn fits(&self, replica: &ReplicaId, member: &Member) -> bool {
        self.places[replica] == member.place && self.roles.fits(replica, member)
    }

    /// Returns whether shards of any replica may be on the member.
    pub(crate) fn may_host(&self, member: &Member) -> bool {
        self.replicas.iter().any(|replica| self.fits(replica, member))
    }

    /// The reason why no member can host the shards of a replica; `None`: one can.
    pub(crate) fn lacks_nodes(&self, replica: &ReplicaId, members: &Membership) -> Option<String> {
        let place = self.place_of(replica);
        let is_at_work = |member: &Member| {
            matches!(member.state, MemberState::Up | MemberState::Leaving)
                && self.fits(replica, member)
        };
        if members.in_place(place).any(is_at_work) {
            return None;
        }
        Some(match self.roles.of(replica) {
            Some(role) => format!(
                "no member of place `{place}` has the role `{role}`, which the replica `{replica}` of `{}` needs: start a node of that place with it in `node.roles`",
                self.entity_type
            ),
            None => format!("no member of place `{place}` hosts shards"),
        })
    }

    /// The replicas of a place, those first that are near a node with these roles.
    pub(crate) fn near(&self, place: &str, roles: &[String]) -> Vec<ReplicaId> {
        let is_of_place = |replica: &&ReplicaId| *self.places[*replica] == *place;
        let has_role = |role: &str| roles.iter().any(|own| own == role);
        let mut near: Vec<ReplicaId> = self.replicas.iter().filter(is_of_place).cloned().collect();
        near.sort_by_key(|replica| !self.roles.of(replica).is_none_or(has_role));
        near
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
