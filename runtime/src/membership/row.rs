//! A row of the members table. JSON, so that a person can read the store; unknown fields are ignored.

use antiphon_persistence::store::RowVersion;
use serde::{Deserialize, Serialize};

use super::{Member, MemberState};
use crate::NodeId;

/// The table of the members.
pub(crate) const MEMBERS: &str = "members";

/// A row of the members table; its key is the text of `id`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberRow {
    /// Who it is.
    pub id: NodeId,
    /// Its place.
    pub place: String,
    /// What it is for, sorted.
    pub roles: Vec<String>,
    /// Where its transport listens.
    pub address: String,
    /// Where its HTTP interface listens.
    pub http_address: Option<String>,
    /// Where it is in its life.
    pub state: MemberState,
    /// Whether its writer is sealed.
    pub sealed: bool,
    /// How often it has renewed the row.
    pub renewals: u64,
    /// The members that do not answer its probes, sorted. Its own word, so it ends with the row's renewals.
    #[serde(default)]
    pub unreachable: Vec<NodeId>,
    /// How many shards it hosts.
    #[serde(default)]
    pub hosted: u32,
    /// Why it is dead; empty before.
    #[serde(default)]
    pub ended_why: String,
    /// When it was sealed, in microseconds since 1970; zero before.
    pub ended_micros: u64,
}

impl MemberRow {
    /// What others see of it.
    pub fn member(&self) -> Member {
        Member {
            id: self.id.clone(),
            place: self.place.as_str().into(),
            roles: self.roles.clone(),
            address: self.address.clone(),
            http_address: self.http_address.clone(),
            state: self.state,
            sealed: self.sealed,
        }
    }

    /// Whether it has joined and is not dead.
    pub(super) fn has_joined(&self) -> bool {
        matches!(self.state, MemberState::Up | MemberState::Leaving)
    }
}

/// A row as it was read.
pub type Versioned = (RowVersion, MemberRow);
