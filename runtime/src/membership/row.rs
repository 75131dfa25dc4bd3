//! A row of the members table. JSON, so that a person can read the store; unknown fields are ignored.

use antiphon_persistence::store::RowVersion;
use serde::{Deserialize, Serialize};

use super::{Member, MemberState};
use crate::NodeId;

/// The table of the members.
pub(crate) const MEMBERS: &str = "members";

/// A vote against a member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote {
    /// Who voted.
    pub by: NodeId,
    /// How often the member had renewed its row then.
    pub at: u64,
}

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
    /// Who thinks that it is dead.
    pub votes: Vec<Vote>,
    /// When it was sealed, in microseconds since 1970; zero before.
    pub ended_micros: u64,
}

impl MemberRow {
    /// The voters whose votes have not expired.
    pub fn valid_votes(&self, renewals_max: u64) -> usize {
        let valid = |vote: &&Vote| self.renewals.saturating_sub(vote.at) <= renewals_max;
        self.votes.iter().filter(valid).count()
    }

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
}

/// A row as it was read.
pub type Versioned = (RowVersion, MemberRow);
