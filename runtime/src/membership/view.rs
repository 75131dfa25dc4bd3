//! The members of all places as a node knows them, as one value that does not change.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::NodeId;

/// The state of a member. It only ever moves forward.
///
/// ```text
///   Joining --> Up --> Leaving --> Dead
///      +--------+---------------------^   (declared dead by others)
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MemberState {
    /// In the table, not at work yet: it has not reached every other member.
    Joining,
    /// At work.
    Up,
    /// On its way out: it still serves its shards, and takes nothing new.
    Leaving,
    /// Out for ever, by its own will or declared by others.
    Dead,
}

/// The replicas of the entity types of a member, as its table of replicas or its code says them: by
/// type and replica.
pub type MemberReplicas = BTreeMap<Arc<str>, BTreeMap<Arc<str>, PlacedReplica>>;

/// The place of a replica, and the role that it needs, as a member has them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacedReplica {
    /// The place of the replica.
    pub place: Arc<str>,
    /// The role that it needs, if it needs one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Arc<str>>,
}

/// A member: one incarnation of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Member {
    /// The node id of the member.
    pub id: NodeId,
    /// The place of the member.
    pub place: Arc<str>,
    /// The roles of the member, sorted.
    pub roles: Vec<String>,
    /// True when it hosts no shards.
    pub proxy_only: bool,
    /// The replicas of its entity types. A type that it has not started yet is absent, and so are
    /// all types of a node of an earlier version.
    pub replicas: Arc<MemberReplicas>,
    /// The address of its transport.
    pub address: String,
    /// The address of its HTTP interface, if it has one.
    pub http_address: Option<String>,
    /// The state of the member.
    pub state: MemberState,
    /// True when nothing that it began can take effect any more, and it answers nothing any more.
    /// Only a dead member is ever sealed, and only then may others host its shards.
    pub sealed: bool,
}

impl Member {
    /// True when it is dead and sealed: other nodes may take over its shards.
    pub fn is_gone(&self) -> bool {
        self.state == MemberState::Dead && self.sealed
    }

    /// True when shards that need this role may be on it; `None`: shards that need no role.
    pub fn may_host(&self, role: Option<&str>) -> bool {
        let has = |role| self.roles.iter().any(|own| own == role);
        !self.proxy_only && role.is_none_or(has)
    }
}

/// All members of all places, as far as this node knows. Members of places whose store cannot be
/// read now are the last known ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Membership {
    members: BTreeMap<NodeId, Member>,
    unreachable: BTreeSet<(NodeId, NodeId)>,
}

impl Membership {
    /// A membership with these members, and no cuts.
    pub fn new(members: impl IntoIterator<Item = Member>) -> Self {
        let members = members.into_iter().map(|member| (member.id.clone(), member)).collect();
        Self { members, unreachable: BTreeSet::new() }
    }

    /// The same members, with pairs of which the first cannot reach the second.
    #[must_use]
    pub fn with_unreachable(self, pairs: impl IntoIterator<Item = (NodeId, NodeId)>) -> Self {
        Self { unreachable: pairs.into_iter().collect(), ..self }
    }

    /// Pairs of members of the own place of which the first says that the second does not answer
    /// its probes, sorted. The table limits the list: a member probes its neighbours only, and its
    /// word is as old as its last renewal.
    pub fn unreachable(&self) -> impl Iterator<Item = &(NodeId, NodeId)> {
        self.unreachable.iter()
    }

    /// True when one of the two says that it cannot reach the other.
    pub fn is_cut(&self, a: &NodeId, b: &NodeId) -> bool {
        self.unreachable
            .iter()
            .any(|(by, about)| (by == a && about == b) || (by == b && about == a))
    }

    /// The member, if it is (still) in its table. A member that is not there any more was dead and
    /// sealed.
    pub fn get(&self, id: &NodeId) -> Option<&Member> {
        self.members.get(id)
    }

    /// All members, sorted by id.
    pub fn all(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    /// The members of one place, sorted by id.
    pub fn in_place<'a>(&'a self, place: &'a str) -> impl Iterator<Item = &'a Member> {
        self.members.values().filter(move |member| &*member.place == place)
    }

    /// The members of one place that are up, sorted by id.
    pub fn up_in<'a>(&'a self, place: &'a str) -> impl Iterator<Item = &'a Member> {
        self.in_place(place).filter(|member| member.state == MemberState::Up)
    }

    /// The members that are not dead and have this name: at most one.
    pub fn by_name(&self, name: &str) -> Option<&Member> {
        self.members
            .values()
            .find(|member| member.id.name() == name && member.state != MemberState::Dead)
    }

    /// True when other nodes may take over the shards of this node: it is dead and sealed, or it
    /// was and its row is deleted.
    pub fn is_gone(&self, id: &NodeId) -> bool {
        self.members.get(id).is_none_or(Member::is_gone)
    }
}
