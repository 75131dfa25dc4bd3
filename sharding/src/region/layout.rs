//! The numbers of the shards of an entity type: from a replica and an entity to the slot of their
//! shard, and back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use antiphon_persistence::identity::{ReplicaId, Slice};
use antiphon_runtime::{Member, MemberState, Membership, PlacedReplica};

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
        self.places[replica] == member.place && self.roles.fits(&self.entity_type, replica, member)
    }

    /// Returns whether shards of any replica may be on the member.
    pub(crate) fn may_host(&self, member: &Member) -> bool {
        self.replicas.iter().any(|replica| self.fits(replica, member))
    }

    /// The reason why no member can take shards of a replica; `None`: one can.
    pub(crate) fn lacks_nodes(&self, replica: &ReplicaId, members: &Membership) -> Option<String> {
        let place = self.place_of(replica);
        if self.has_nodes(replica, members) {
            return None;
        }
        if members.in_place(place).next().is_none() {
            return Some(format!(
                "no member of place `{place}` is known here: none has started, or the store of that place was not read yet"
            ));
        }
        let has_role = |member: &&Member| member.may_host(self.roles.of(replica));
        if let Some(other) = members.up_in(place).find(has_role) {
            return Some(format!(
                "`{}`, which could host the replica `{replica}` of `{}` at place `{place}`, does not have it there: give all nodes the same replicas",
                other.id, self.entity_type
            ));
        }
        let is_leaving =
            |member: &&Member| member.state == MemberState::Leaving && self.fits(replica, member);
        let leaving = members.in_place(place).find(is_leaving).map(|member| &member.id);
        let entity_type = &self.entity_type;
        Some(match (self.roles.of(replica), leaving) {
            (Some(role), None) => format!(
                "no member of place `{place}` has the role `{role}`, which the replica `{replica}` of `{entity_type}` needs: start a node of that place with it in `node.roles`"
            ),
            (Some(role), Some(leaving)) => format!(
                "`{leaving}` is leaving, and no other member of place `{place}` has the role `{role}`, which the replica `{replica}` of `{entity_type}` needs"
            ),
            (None, None) => format!("no member of place `{place}` hosts shards"),
            (None, Some(leaving)) => {
                format!(
                    "`{leaving}` is leaving, and no other member of place `{place}` hosts shards"
                )
            }
        })
    }

    /// Returns whether a member can take shards of the replica.
    fn has_nodes(&self, replica: &ReplicaId, members: &Membership) -> bool {
        members.up_in(self.place_of(replica)).any(|member| self.fits(replica, member))
    }

    /// The replicas among `homeless` that do not count for the readiness of the member `me`:
    /// neither it nor another member can host them, and another replica of the place is served.
    /// `homeless` are the replicas of the place that have shards without a home.
    pub(crate) fn excused<'a>(
        &self,
        homeless: &'a BTreeSet<ReplicaId>,
        me: &Member,
        members: &Membership,
    ) -> BTreeSet<&'a ReplicaId> {
        let is_here = |replica: &&ReplicaId| *self.places[*replica] == *me.place;
        let is_served =
            |replica: &ReplicaId| !homeless.contains(replica) || self.has_nodes(replica, members);
        if !self.replicas.iter().filter(is_here).any(is_served) {
            return BTreeSet::new();
        }
        let is_excused =
            |replica: &&ReplicaId| !self.has_nodes(replica, members) && !self.fits(replica, me);
        homeless.iter().filter(is_excused).collect()
    }

    /// The replicas of a place in three ranks: those of a role among `roles`, then those without a
    /// role, then those of other roles.
    pub(crate) fn near(&self, place: &str, roles: &[String]) -> Vec<ReplicaId> {
        let is_of_place = |replica: &&ReplicaId| *self.places[*replica] == *place;
        let rank = |replica: &ReplicaId| match self.roles.of(replica) {
            Some(role) if roles.iter().any(|own| own == role) => 0,
            None => 1,
            Some(_) => 2,
        };
        let mut near: Vec<ReplicaId> = self.replicas.iter().filter(is_of_place).cloned().collect();
        near.sort_by_key(rank);
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

    /// The place and the role of each replica, for the own row in the table of members.
    pub(crate) fn placed_replicas(&self) -> BTreeMap<Arc<str>, PlacedReplica> {
        let placed = |(replica, place): (&ReplicaId, &Arc<str>)| {
            let role = self.roles.of(replica).map(Arc::from);
            (replica.as_str().into(), PlacedReplica { place: place.clone(), role })
        };
        self.places.iter().map(placed).collect()
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
mod tests;
