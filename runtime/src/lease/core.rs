//! Decides when a node takes the coordinator lease of its place.
//!
//! A lease has no end of its own: the members table says whether its holder is alive. A node that
//! takes the lease raises the token. A node that has lost the lease can write nothing that the
//! lease fences. Two nodes may believe for a moment that they are the holder; only one of them can
//! act.
//!
//! The verdicts about members are in the same row, so that verdicts and changes of the lease are in
//! one order: a verdict depends on the holder of the lease, and a condemned node neither condemns
//! nor takes the lease.
//!
//! A node that is surpassed by a fitter member (`fitness`) leaves the lease to it, and gives it
//! back when it has it: a holder without an entity type decides no homes of that type. Both end
//! after
//! `patience`, so that a fitter member that does not take the lease makes no standstill.

use std::sync::Arc;
use std::time::Duration;

use antiphon_base::backoff::{Backoff, Retry};
use antiphon_persistence::store::{FencingToken, RowVersion};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{LeaseHolder, fitness};
use crate::NodeId;
use crate::membership::{MemberState, Membership, Verdict, Verdicts};

/// The table of leases.
pub(crate) const LEASES: &str = "leases";
/// The key of the coordinator lease.
pub(crate) const COORDINATOR: &str = "coordinator";

/// The row of a lease, in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRow {
    /// The holder; `None` after a release.
    pub holder: Option<NodeId>,
    /// The fencing token; grows each time the lease is taken.
    pub token: u64,
    /// Members that have to go although they renew their rows; a verdict stays here until its
    /// member is dead.
    #[serde(default)]
    pub condemned: Vec<Verdict>,
}

/// Limit of the number of verdicts; the oldest go first. Each is about a member that was alive, so
/// the limit is never reached.
const CONDEMNED_MAX: usize = 64;

/// The row as it was read; `None` before the first time.
pub type VersionedLease = Option<(RowVersion, LeaseRow)>;

/// The verdicts of the row, with its holder and version.
pub fn verdicts(row: &VersionedLease) -> Verdicts {
    row.as_ref().map_or_else(Verdicts::default, |(version, row)| Verdicts {
        version: Some(*version),
        holder: row.holder.clone(),
        condemned: row.condemned.clone(),
    })
}

/// A fact for the lease.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// The row was read; the read began after this number of [`LeaseCore::changes`].
    Read(VersionedLease, u64),
    /// A change has ended: the row in the store after it, or `None` when the outcome is unknown.
    Changed(Option<VersionedLease>),
    /// The members, and true when this node may take the lease.
    Members(Membership, bool),
    /// Add a verdict, if the row still has this version.
    Condemn(Verdict, Option<RowVersion>),
    /// Give the lease back, and do not take it again.
    Release,
}

/// A request of the lease.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Change the row that has this version (`None`: create it).
    Change(Option<RowVersion>, LeaseRow),
    /// The known row has changed, or this node does not act under it any more.
    Publish,
}

/// The coordinator lease of the place of one node.
#[derive(Debug)]
pub struct LeaseCore {
    me: NodeId,
    pub(super) row: VersionedLease,
    members: Membership,
    may_take: bool,
    changing: Option<(Option<RowVersion>, LeaseRow)>,
    /// Number of changes that have ended. A read that began before the end of the last change may
    /// have come before it in the store too.
    changes: u64,
    releasing: bool,
    has_read: bool,
    retry: Retry,
    backoff: Backoff,
    patience: Duration,
    /// The time since when a fitter member is up while this node holds the lease (true), or while
    /// the lease is free.
    surpassed: Option<(bool, Instant)>,
    /// The time since when the holder lacks entity types.
    lacks_since: Option<Instant>,
    /// The entity types that the holder has lacked for `patience`.
    lacking: Vec<Arc<str>>,
}

impl LeaseCore {
    /// A lease whose row was not read yet. `patience` is the time that a node has to start its
    /// entity types, and that a fitter member has to take a free lease.
    pub fn new(me: NodeId, retry_delay_max: Duration, patience: Duration) -> Self {
        Self {
            me,
            row: None,
            members: Membership::default(),
            may_take: false,
            changing: None,
            changes: 0,
            releasing: false,
            has_read: false,
            retry: Retry::default(),
            backoff: Backoff::up_to(retry_delay_max),
            patience,
            surpassed: None,
            lacks_since: None,
            lacking: Vec::new(),
        }
    }

    /// The token, if this node holds the lease as far as it knows.
    pub fn held(&self) -> Option<FencingToken> {
        let (_, row) = self.row.as_ref()?;
        let is_mine = row.holder.as_ref() == Some(&self.me) && !self.releasing;
        is_mine.then_some(FencingToken(row.token))
    }

    /// The holder as far as this node knows; `None` before the row was read.
    pub fn holder(&self) -> Option<LeaseHolder> {
        let (_, row) = self.row.as_ref()?;
        Some(LeaseHolder { holder: row.holder.clone(), token: FencingToken(row.token) })
    }

    /// The entity types of the place that its holder has lacked for a while: nobody decides their
    /// homes. Sorted; mostly empty.
    pub fn lacking(&self) -> &[Arc<str>] {
        &self.lacking
    }

    /// The verdicts of the row; `None` before the row was read.
    pub fn verdicts(&self) -> Option<Verdicts> {
        self.has_read.then(|| verdicts(&self.row))
    }

    /// Number of changes of this node that have ended. Versions do not tell which row is newer: a
    /// store may go back.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// True when a read that began after `changes` changes is not outdated.
    pub fn is_current(&self, changes: u64) -> bool {
        changes == self.changes
    }

    /// Advances by one input.
    pub fn step(&mut self, now: Instant, input: Input) -> Vec<Effect> {
        let mut effects = Vec::new();
        match input {
            Input::Read(row, changes) => {
                if self.is_current(changes) {
                    self.learn(row, &mut effects);
                }
            }
            Input::Changed(outcome) => {
                self.changing = None;
                self.changes += 1;
                match outcome {
                    Some(row) => {
                        self.retry.reset();
                        self.learn(row, &mut effects);
                    }
                    // the outcome is unknown: read the row in the store first
                    None => {
                        self.has_read = false;
                        self.retry.failed(now, self.backoff, &self.me);
                    }
                }
            }
            Input::Members(members, may_take) => {
                self.members = members;
                self.may_take = may_take;
            }
            Input::Condemn(verdict, version) => self.condemn(now, verdict, version, &mut effects),
            Input::Release => {
                if self.held().is_some() {
                    effects.push(Effect::Publish);
                }
                self.releasing = true;
            }
        }
        self.act(now, &mut effects);
        self.check();
        effects
    }

    /// Asserts the invariants, in release builds too: the fencing of the coordinator hangs on them.
    pub fn check(&self) {
        let Some((version, next)) = &self.changing else { return };
        let known = self.row.as_ref();
        assert!(
            *version == known.map(|(version, _)| *version),
            "the lease is changed from version {version:?}, which is not the known one"
        );
        let (holder, token) = known.map_or((None, 0), |(_, row)| (row.holder.as_ref(), row.token));
        let stays = next.holder.is_none() || next.holder.as_ref() == holder;
        assert!(
            if stays { next.token >= token } else { next.token > token },
            "the lease goes from {holder:?} with token {token} to {:?} with token {}",
            next.holder,
            next.token
        );
        let is_condemned = next.condemned.iter().any(|verdict| verdict.id == self.me);
        assert!(stays || !is_condemned, "a condemned node takes the lease");
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

    fn may_change(&self, now: Instant) -> bool {
        self.changing.is_none() && self.has_read && self.retry.is_due(now)
    }

    /// The row as it is now, without verdicts about the dead.
    fn current(&self) -> (Option<RowVersion>, LeaseRow) {
        let Some((version, row)) = &self.row else {
            return (None, LeaseRow { holder: None, token: 0, condemned: Vec::new() });
        };
        let is_dead = |id: &NodeId| {
            self.members.get(id).is_some_and(|member| member.state == MemberState::Dead)
        };
        let mut row = row.clone();
        row.condemned.retain(|verdict| !is_dead(&verdict.id));
        (Some(*version), row)
    }

    fn condemn(
        &mut self,
        now: Instant,
        verdict: Verdict,
        expected: Option<RowVersion>,
        effects: &mut Vec<Effect>,
    ) {
        let (version, mut row) = self.current();
        let is_known = |id: &NodeId| row.condemned.iter().any(|verdict| verdict.id == *id);
        if !self.may_change(now)
            || version != expected
            || is_known(&self.me)
            || is_known(&verdict.id)
        {
            return;
        }
        let surplus = (row.condemned.len() + 1).saturating_sub(CONDEMNED_MAX);
        row.condemned.drain(..surplus);
        row.condemned.push(verdict);
        self.change(version, row, effects);
    }

    fn change(&mut self, version: Option<RowVersion>, row: LeaseRow, effects: &mut Vec<Effect>) {
        self.changing = Some((version, row.clone()));
        effects.push(Effect::Change(version, row));
    }

    /// Notes the entity types that the holder lacks.
    fn note_lacking(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let holder = self.row.as_ref().and_then(|(_, row)| row.holder.as_ref());
        let lacks = holder.map(|holder| fitness::lacking(holder, &self.members));
        let mut lacks = lacks.unwrap_or_default();
        if lacks.is_empty() {
            self.lacks_since = None;
        } else if now < *self.lacks_since.get_or_insert(now) + self.patience {
            lacks.clear();
        }
        if self.lacking != lacks {
            self.lacking = lacks;
            effects.push(Effect::Publish);
        }
    }

    /// Returns whether a fitter member is up, and whether this has lasted for `patience` while this
    /// node holds the lease, or while the lease is free.
    fn surpassed(&mut self, now: Instant, is_mine: bool, is_free: bool) -> (bool, bool) {
        let is_of_interest = is_mine || is_free;
        if !is_of_interest || !fitness::is_surpassed(&self.me, &self.members) {
            self.surpassed = None;
            return (false, false);
        }
        let since = match self.surpassed {
            Some((of_mine, since)) if of_mine == is_mine => since,
            Some(_) | None => now,
        };
        self.surpassed = Some((is_mine, since));
        (true, now >= since + self.patience)
    }

    fn act(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        self.note_lacking(now, effects);
        let (version, row) = self.current();
        let LeaseRow { holder, token, condemned } = row;
        let is_mine = holder.as_ref() == Some(&self.me);
        let is_free = holder.is_none_or(|holder| {
            self.members.get(&holder).is_none_or(|member| member.state == MemberState::Dead)
        });
        let (is_surpassed, is_overdue) = self.surpassed(now, is_mine, is_free);
        if !self.may_change(now) {
            return;
        }
        let is_condemned = condemned.iter().any(|verdict| verdict.id == self.me);
        let next = if self.releasing || is_mine {
            (is_mine && (self.releasing || is_overdue)).then_some(None)
        } else {
            let has_turn = is_free && (!is_surpassed || is_overdue);
            (self.may_take && has_turn && !is_condemned).then(|| Some(self.me.clone()))
        };
        if let Some(holder) = next {
            // an incarnation is above every token that was given before the store went back to an
            // older state
            let token = match (&holder, token.checked_add(1)) {
                (None, _) => token,
                (Some(_), Some(above)) => above.max(self.me.incarnation()),
                (Some(_), None) => {
                    tracing::error!(token, "the lease has the greatest token: nobody can take it");
                    return;
                }
            };
            self.change(version, LeaseRow { holder, token, condemned }, effects);
        }
    }
}
