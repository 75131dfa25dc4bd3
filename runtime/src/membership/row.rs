//! A row of the members table. JSON, so that a person can read the store; unknown fields are
//! ignored.

use std::sync::Arc;

use antiphon_persistence::store::RowVersion;
use serde::{Deserialize, Serialize};

use super::view::{Member, MemberReplicas, MemberState};
use crate::NodeId;

/// The table of the members.
pub(crate) const MEMBERS: &str = "members";

/// A row of the members table; its key is the text of `id`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberRow {
    /// The node id of the member.
    pub id: NodeId,
    /// The place of the member.
    pub place: String,
    /// The roles of the member, sorted.
    pub roles: Vec<String>,
    /// True when it hosts no shards. Nodes of earlier versions do not write it, and host shards.
    #[serde(default)]
    pub proxy_only: bool,
    /// The replicas of its entity types. Nodes of earlier versions do not write them.
    #[serde(default)]
    pub replicas: Arc<MemberReplicas>,
    /// The address of its transport.
    pub address: String,
    /// The address of its HTTP interface, if it has one.
    pub http_address: Option<String>,
    /// The state of the member.
    pub state: MemberState,
    /// True when its writer is sealed.
    pub sealed: bool,
    /// Number of renewals of this row.
    pub renewals: u64,
    /// The members that do not answer its probes, sorted. The list is the member's own word, so it
    /// ends with the row's renewals.
    #[serde(default)]
    pub unreachable: Vec<NodeId>,
    /// Number of shards that it hosts.
    #[serde(default)]
    pub hosted: u32,
    /// The reason why it is dead; empty before.
    #[serde(default)]
    pub ended_why: String,
    /// Time of its seal, in microseconds since 1970; zero before.
    pub ended_micros: u64,
}

impl MemberRow {
    /// The member as other nodes see it.
    pub fn member(&self) -> Member {
        Member {
            id: self.id.clone(),
            place: self.place.as_str().into(),
            roles: self.roles.clone(),
            proxy_only: self.proxy_only,
            replicas: self.replicas.clone(),
            address: self.address.clone(),
            http_address: self.http_address.clone(),
            state: self.state,
            sealed: self.sealed,
        }
    }

    /// True when it has joined and is not dead.
    pub(super) fn has_joined(&self) -> bool {
        matches!(self.state, MemberState::Up | MemberState::Leaving)
    }
}

/// A row as it was read.
pub type Versioned = (RowVersion, MemberRow);
