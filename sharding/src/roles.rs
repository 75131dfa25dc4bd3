//! The roles that replicas need of the nodes that host their shards.

use std::collections::BTreeMap;
use std::sync::Arc;

use antiphon_persistence::identity::ReplicaId;
use antiphon_runtime::Member;

/// The role that each replica needs of the nodes that host its shards. A replica without a role can
/// be on every node of its place that hosts shards.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roles(BTreeMap<ReplicaId, Arc<str>>);

impl Roles {
    /// The role that a replica needs, if it needs one.
    pub fn of(&self, replica: &ReplicaId) -> Option<&str> {
        self.0.get(replica).map(|role| &**role)
    }

    /// Returns whether shards of the replica may be on this member of its place: it has the role,
    /// and it does not say that the type has no such replica at its place.
    pub(crate) fn fits(&self, entity_type: &str, replica: &ReplicaId, member: &Member) -> bool {
        let is_here = place_at(member, entity_type, replica)
            .is_none_or(|place| place.is_some_and(|place| **place == *member.place));
        is_here && member.may_host(self.of(replica))
    }

    /// The replicas that need a role, and the role of each.
    pub fn iter(&self) -> impl Iterator<Item = (&ReplicaId, &str)> {
        self.0.iter().map(|(replica, role)| (replica, &**role))
    }

    pub(crate) fn insert(&mut self, replica: ReplicaId, role: Arc<str>) {
        self.0.insert(replica, role);
    }
}

impl FromIterator<(ReplicaId, Arc<str>)> for Roles {
    fn from_iter<I: IntoIterator<Item = (ReplicaId, Arc<str>)>>(roles: I) -> Self {
        Self(roles.into_iter().collect())
    }
}

/// The place of a replica as a member has it: `None` when its replicas are not known here, and
/// `Some(None)` when it has no such replica.
pub(crate) fn place_at<'a>(
    member: &'a Member,
    entity_type: &str,
    replica: &ReplicaId,
) -> Option<Option<&'a Arc<str>>> {
    let replicas = member.replicas.get(entity_type)?;
    Some(replicas.get(replica.as_str()).map(|placed| &placed.place))
}
