//! Who takes the coordinator lease of a place, and when.
//!
//! A lease has no end of its own: its holder is judged by the members table. Whoever takes it raises the token, and whoever
//! lost it can write nothing that is fenced by it. Two nodes may believe to be the holder for a moment; only one of them can act.

use antiphon_persistence::store::{FencingToken, RowVersion};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::LeaseHolder;
use crate::NodeId;
use crate::membership::{MemberState, Membership};

/// The table of leases.
pub(crate) const LEASES: &str = "leases";
/// The key of the coordinator lease.
pub(crate) const COORDINATOR: &str = "coordinator";

/// The row of a lease, in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRow {
    /// Who has it; `None` after a release.
    pub holder: Option<NodeId>,
    /// Grows by one each time it is taken.
    pub token: u64,
}

/// The row as it was read; `None` before the first time.
pub type VersionedLease = Option<(RowVersion, LeaseRow)>;

/// A fact for the lease.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// The row was read.
    Read(VersionedLease),
    /// A change was done (with the new version), or the row was another one, or nothing is known.
    Changed(Option<VersionedLease>),
    /// Who is there, and whether this node may take the lease.
    Members(Membership, bool),
    /// Give it back, and do not take it again.
    Release,
}

/// A request of the lease.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Change the row that has this version (`None`: create it).
    Change(Option<RowVersion>, LeaseRow),
    /// The row that counts has changed.
    Publish,
}

/// The coordinator lease of the place of one node.
#[derive(Debug)]
pub struct LeaseCore {
    me: NodeId,
    row: VersionedLease,
    members: Membership,
    may_take: bool,
    changing: Option<(Option<RowVersion>, LeaseRow)>,
    releasing: bool,
    has_read: bool,
}

impl LeaseCore {
    /// A lease of which nothing is known.
    pub fn new(me: NodeId) -> Self {
        Self {
            me,
            row: None,
            members: Membership::default(),
            may_take: false,
            changing: None,
            releasing: false,
            has_read: false,
        }
    }

    /// The token, if this node has the lease as far as it knows.
    pub fn held(&self) -> Option<FencingToken> {
        let (_, row) = self.row.as_ref()?;
        let is_mine = row.holder.as_ref() == Some(&self.me) && !self.releasing;
        is_mine.then_some(FencingToken(row.token))
    }

    /// Who has it, as far as this node knows.
    pub fn holder(&self) -> Option<LeaseHolder> {
        let (_, row) = self.row.as_ref()?;
        Some(LeaseHolder { holder: row.holder.clone(), token: FencingToken(row.token) })
    }

    /// Advances by one input.
    pub fn step(&mut self, _now: Instant, input: Input) -> Vec<Effect> {
        let mut effects = Vec::new();
        match input {
            Input::Read(row) => self.learn(row, &mut effects),
            Input::Changed(outcome) => {
                self.changing = None;
                match outcome {
                    Some(row) => self.learn(row, &mut effects),
                    // of unknown outcome: what is in the store now has to be read first
                    None => self.has_read = false,
                }
            }
            Input::Members(members, may_take) => {
                self.members = members;
                self.may_take = may_take;
            }
            Input::Release => self.releasing = true,
        }
        self.act(&mut effects);
        effects
    }

    fn learn(&mut self, row: VersionedLease, effects: &mut Vec<Effect>) {
        if self.changing.is_some() {
            return;
        }
        self.has_read = true;
        if self.row != row {
            self.row = row;
            effects.push(Effect::Publish);
        }
    }

    fn act(&mut self, effects: &mut Vec<Effect>) {
        if self.changing.is_some() || !self.has_read {
            return;
        }
        let (version, token) =
            self.row.as_ref().map_or((None, 0), |(v, row)| (Some(*v), row.token));
        let holder = self.row.as_ref().and_then(|(_, row)| row.holder.clone());
        let is_mine = holder.as_ref() == Some(&self.me);
        let next = if self.releasing {
            is_mine.then_some(LeaseRow { holder: None, token })
        } else {
            let is_free = holder.is_none_or(|holder| {
                self.members.get(&holder).is_none_or(|member| member.state == MemberState::Dead)
            });
            (self.may_take && is_free && !is_mine)
                .then(|| LeaseRow { holder: Some(self.me.clone()), token: token + 1 })
        };
        if let Some(row) = next {
            self.changing = Some((version, row.clone()));
            effects.push(Effect::Change(version, row));
        }
    }
}
