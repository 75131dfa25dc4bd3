//! Decides which members of a place are fit for its coordinator lease. The holder decides the homes
//! of the shards of each entity type that it has started, and of no other. So of the members that
//! are up, the fit ones lack the fewest of the entity types that any living member of the place has
//! there: none, where all nodes of a place have the same types.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::NodeId;
use crate::membership::{Member, MemberState, Membership};

/// Returns whether the member has a replica of the type at its place, and so a coordinator for it.
fn has(member: &Member, entity_type: &str) -> bool {
    let replicas = member.replicas.get(entity_type);
    replicas.is_some_and(|all| all.values().any(|placed| placed.place == member.place))
}

/// The entity types that living members have at their place.
fn types(members: &Membership) -> BTreeSet<&Arc<str>> {
    let living = members.all().filter(|member| member.state != MemberState::Dead);
    living.flat_map(|member| member.replicas.keys().filter(move |name| has(member, name))).collect()
}

/// The entity types that living members of a place have and this member lacks, sorted. A member
/// that is not known, or dead, lacks nothing. `members` are those of the place.
pub(super) fn lacking(id: &NodeId, members: &Membership) -> Vec<Arc<str>> {
    let Some(member) = members.get(id).filter(|it| it.state != MemberState::Dead) else {
        return Vec::new();
    };
    types(members).into_iter().filter(|name| !has(member, name)).cloned().collect()
}

/// Returns whether another member that is up lacks fewer entity types than this one.
pub(super) fn is_surpassed(id: &NodeId, members: &Membership) -> bool {
    let own = lacking(id, members).len();
    let mut up = members.all().filter(|it| it.id != *id && it.state == MemberState::Up);
    own > 0 && up.any(|other| lacking(&other.id, members).len() < own)
}
