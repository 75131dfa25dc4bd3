//! The rules of membership for one node: renew the own row, vote against silent ones, seal the dead.
//!
//! Invariants: a row changes by compare-and-set only; a node that finds its row dead or gone is fenced for ever; nobody is sealed
//! before `renew_timeout` and a tenth have passed since its row was last seen to change.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use antiphon_persistence::store::RowVersion;
use antiphon_persistence::time::Timestamp;
use tokio::time::Instant;

use super::row::{MemberRow, Versioned, Vote};
use super::{MemberState, Membership};
use crate::NodeId;

/// Limits, from the node's settings.
#[derive(Debug, Clone)]
pub struct MembershipSettings {
    /// Time between two renewals.
    pub renew_interval: Duration,
    /// How long a row counts as renewed.
    pub renew_timeout: Duration,
    /// Time between two reads of the table.
    pub scan_interval: Duration,
    /// Votes that make a node dead.
    pub votes_required: usize,
    /// Renewals after which a vote expires.
    pub vote_renewals_max: u64,
    /// How long a dead row is kept.
    pub dead_retention: Duration,
    /// Most dead rows that are kept.
    pub dead_rows_max: usize,
}

/// Why a row is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The own row, still alive.
    Renew,
    /// The own row, at the end.
    End,
    /// A vote against another.
    Vote,
    /// Another was sealed.
    Sealed,
    /// An old row goes.
    Clean,
}

/// What became of a change.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Done; the new version.
    Applied(RowVersion),
    /// The row is another one, or gone.
    Conflict(Option<Versioned>),
    /// Not known.
    Failed,
}

/// A fact for the core.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// Time has passed; the time of day.
    Tick(Timestamp),
    /// The table, or `None` when it could not be read.
    Scanned(Option<Vec<Versioned>>),
    /// A change has ended.
    Changed(NodeId, Purpose, Outcome),
    /// The failure detector thinks that it is dead, or not any more.
    Suspect(NodeId, bool),
    /// The writer of a dead node was sealed or not.
    SealDone(NodeId, bool),
    /// Whether this node holds the coordinator lease.
    Lease(bool),
    /// Show this state in the own row.
    Become(MemberState),
    /// The own writer is sealed: the row is to say dead and sealed.
    End,
}

/// A request of the core.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Read the table.
    Scan,
    /// Change a row that has this version; `None` deletes it.
    Change(NodeId, Purpose, RowVersion, Option<Box<MemberRow>>),
    /// Seal the writer of a dead node.
    Seal(NodeId),
    /// What is known of the members has changed.
    Publish,
    /// This node is out for ever.
    Fenced(String),
    /// The own row says dead and sealed.
    Ended,
}

#[derive(Debug)]
struct Known {
    version: RowVersion,
    row: MemberRow,
    /// When its number of renewals was last seen to change.
    seen_at: Instant,
    /// Reads of the table since then. Reads are counted and not time, so that a node that was frozen itself, or could not read, does
    /// not take the others for silent.
    silent_scans: u32,
    changing: bool,
    sealing: bool,
}

/// The membership of one node in its place.
#[derive(Debug)]
pub struct MembershipCore {
    me: NodeId,
    settings: MembershipSettings,
    own: MemberRow,
    own_version: RowVersion,
    renewing_since: Option<Instant>,
    renewed: Instant,
    renew_at: Instant,
    scanning: bool,
    scan_at: Instant,
    known: BTreeMap<NodeId, Known>,
    suspects: BTreeSet<NodeId>,
    holds_lease: bool,
    ending: bool,
    is_over: bool,
    wall: Timestamp,
}

impl MembershipCore {
    /// Begins with the own row, which was written at `now`.
    pub fn new(
        now: Instant,
        settings: MembershipSettings,
        own: MemberRow,
        version: RowVersion,
    ) -> Self {
        Self {
            me: own.id.clone(),
            settings,
            own,
            own_version: version,
            renewing_since: None,
            renewed: now,
            renew_at: now,
            scanning: false,
            scan_at: now,
            known: BTreeMap::new(),
            suspects: BTreeSet::new(),
            holds_lease: false,
            ending: false,
            is_over: false,
            wall: Timestamp::default(),
        }
    }

    /// Until when this node may answer.
    pub fn live_until(&self) -> Instant {
        self.renewed + self.settings.renew_timeout
    }

    /// The members of this place.
    pub fn members(&self) -> Vec<super::Member> {
        let others = self.known.values().filter(|known| known.row.id != self.me);
        others.map(|known| known.row.member()).chain([self.own.member()]).collect()
    }

    /// Advances by one input.
    pub fn step(&mut self, now: Instant, input: Input) -> Vec<Effect> {
        let mut effects = Vec::new();
        if self.is_over {
            return effects;
        }
        match input {
            Input::Tick(wall) => self.wall = wall,
            Input::Scanned(rows) => self.scanned(now, rows, &mut effects),
            Input::Changed(id, _, outcome) if id == self.me => {
                self.own_changed(now, outcome, &mut effects);
            }
            Input::Changed(id, purpose, outcome) => {
                self.other_changed(now, &id, purpose, outcome, &mut effects);
            }
            Input::Suspect(id, true) => drop(self.suspects.insert(id)),
            Input::Suspect(id, false) => drop(self.suspects.remove(&id)),
            Input::SealDone(id, done) => self.seal_done(&id, done, &mut effects),
            Input::Lease(held) => self.holds_lease = held,
            Input::Become(state) => {
                if state > self.own.state {
                    self.own.state = state;
                    self.renew_at = now;
                    effects.push(Effect::Publish);
                }
            }
            Input::End => {
                self.ending = true;
                self.renew_at = now;
            }
        }
        self.act(now, &mut effects);
        self.check();
        effects
    }

    fn act(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if self.is_over {
            return;
        }
        if self.renewing_since.is_none() && now >= self.renew_at {
            self.renew(now, effects);
        }
        if !self.scanning && now >= self.scan_at {
            self.scanning = true;
            self.scan_at = now + self.settings.scan_interval;
            effects.push(Effect::Scan);
        }
        self.vote(effects);
        if self.holds_lease {
            self.seal(now, effects);
            self.clean(effects);
        }
    }

    fn renew(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        self.renewing_since = Some(now);
        self.renew_at = now + self.settings.renew_interval;
        let mut row = self.own.clone();
        row.renewals += 1;
        let mut purpose = Purpose::Renew;
        if self.ending {
            (row.state, row.sealed, row.ended_micros) =
                (MemberState::Dead, true, self.wall.as_micros());
            purpose = Purpose::End;
        }
        effects.push(Effect::Change(
            self.me.clone(),
            purpose,
            self.own_version,
            Some(Box::new(row)),
        ));
    }

    fn own_changed(&mut self, now: Instant, outcome: Outcome, effects: &mut Vec<Effect>) {
        let Some(began) = self.renewing_since.take() else { return };
        match outcome {
            Outcome::Applied(version) => {
                self.own_version = version;
                self.own.renewals += 1;
                self.renewed = began;
                if self.ending {
                    self.is_over = true;
                    effects.push(Effect::Ended);
                }
            }
            Outcome::Failed => {}
            Outcome::Conflict(Some((version, row))) if row.state != MemberState::Dead => {
                // votes were added, or a write of unknown outcome was done after all
                self.own_version = version;
                self.own.renewals = self.own.renewals.max(row.renewals);
                self.own.votes = row.votes;
                self.renew_at = now;
            }
            Outcome::Conflict(row) => self.fence(row.as_ref().map(|(_, row)| row), effects),
        }
    }

    fn fence(&mut self, row: Option<&MemberRow>, effects: &mut Vec<Effect>) {
        let why = match row {
            Some(row) => {
                let voters: Vec<String> =
                    row.votes.iter().map(|vote| vote.by.to_string()).collect();
                format!("`{}` was declared dead by {voters:?}", self.me)
            }
            None => format!("the row of `{}` is gone", self.me),
        };
        self.is_over = true;
        effects.push(Effect::Fenced(why));
    }

    fn scanned(&mut self, now: Instant, rows: Option<Vec<Versioned>>, effects: &mut Vec<Effect>) {
        self.scanning = false;
        let Some(rows) = rows else { return };
        if let Some((_, own)) = rows.iter().find(|(_, row)| row.id == self.me)
            && own.state == MemberState::Dead
            && !self.ending
        {
            // it must not vote any more: those who declared it dead may be counting
            return self.fence(Some(own), effects);
        }
        let before = self.members();
        let present: BTreeSet<NodeId> = rows.iter().map(|(_, row)| row.id.clone()).collect();
        self.known.retain(|id, _| present.contains(id));
        for (version, row) in rows {
            if let Some(known) = self.known.get_mut(&row.id) {
                known.silent_scans = known.silent_scans.saturating_add(1);
            }
            self.learn(now, version, row);
        }
        if self.members() != before {
            effects.push(Effect::Publish);
        }
    }

    fn learn(&mut self, now: Instant, version: RowVersion, row: MemberRow) {
        match self.known.get_mut(&row.id) {
            Some(known) => {
                if known.row.renewals != row.renewals {
                    known.seen_at = now;
                    known.silent_scans = 0;
                }
                if version > known.version {
                    known.changing = false;
                }
                if version >= known.version {
                    (known.version, known.row) = (version, row);
                }
            }
            None => {
                let known = Known {
                    version,
                    seen_at: now,
                    silent_scans: 0,
                    changing: false,
                    sealing: false,
                    row,
                };
                self.known.insert(known.row.id.clone(), known);
            }
        }
    }

    fn vote(&mut self, effects: &mut Vec<Effect>) {
        let alive: Vec<NodeId> = self
            .known
            .values()
            .filter(|known| known.row.state != MemberState::Dead)
            .map(|known| known.row.id.clone())
            .chain([self.me.clone()])
            .collect();
        for id in self.suspects.clone() {
            // who does not renew its row will not vote either: several may have died at once
            let voters = alive.iter().filter(|other| **other != id && !self.is_silent(other));
            let voters = voters.collect::<BTreeSet<_>>().len();
            let required = self.settings.votes_required.min(voters);
            let Some(known) = self.known.get_mut(&id) else { continue };
            if known.changing || known.row.state == MemberState::Dead || id == self.me {
                continue;
            }
            let mut row = known.row.clone();
            let max = self.settings.vote_renewals_max;
            // votes of the dead do not count, nor do old ones
            row.votes.retain(|vote| {
                row.renewals.saturating_sub(vote.at) <= max && alive.contains(&vote.by)
            });
            let has_voted = row.votes.iter().any(|vote| vote.by == self.me);
            if !has_voted {
                row.votes.push(Vote { by: self.me.clone(), at: row.renewals });
            }
            let is_dead = row.valid_votes(max) >= required;
            if has_voted && !is_dead {
                continue;
            }
            if is_dead {
                row.state = MemberState::Dead;
            }
            known.changing = true;
            effects.push(Effect::Change(id, Purpose::Vote, known.version, Some(Box::new(row))));
        }
    }

    /// Whether its row did not change over so many reads that it should have been renewed for `renew_timeout`.
    fn is_silent(&self, id: &NodeId) -> bool {
        let scans = self.settings.renew_timeout.as_millis()
            / self.settings.scan_interval.as_millis().max(1);
        *id != self.me
            && self.known.get(id).is_some_and(|known| u128::from(known.silent_scans) > scans)
    }

    fn seal(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let wait = self.settings.renew_timeout + self.settings.renew_timeout / 10;
        for (id, known) in &mut self.known {
            let is_due = known.row.state == MemberState::Dead
                && !known.row.sealed
                && !known.sealing
                && !known.changing
                && now.duration_since(known.seen_at) >= wait;
            if is_due && *id != self.me {
                known.sealing = true;
                effects.push(Effect::Seal(id.clone()));
            }
        }
    }

    fn seal_done(&mut self, id: &NodeId, done: bool, effects: &mut Vec<Effect>) {
        let Some(known) = self.known.get_mut(id) else { return };
        known.sealing = false;
        if !done || known.changing {
            return;
        }
        let mut row = known.row.clone();
        (row.sealed, row.ended_micros) = (true, self.wall.as_micros());
        known.changing = true;
        effects.push(Effect::Change(
            id.clone(),
            Purpose::Sealed,
            known.version,
            Some(Box::new(row)),
        ));
    }

    /// Rows of the long dead go, the oldest first.
    fn clean(&mut self, effects: &mut Vec<Effect>) {
        let mut ended: Vec<(u64, NodeId)> = self
            .known
            .values()
            .filter(|known| known.row.sealed && !known.changing)
            .map(|known| (known.row.ended_micros, known.row.id.clone()))
            .collect();
        ended.sort();
        let surplus = ended.len().saturating_sub(self.settings.dead_rows_max);
        let retention = u64::try_from(self.settings.dead_retention.as_micros()).unwrap_or(u64::MAX);
        for (index, (micros, id)) in ended.into_iter().enumerate() {
            let is_old = micros.saturating_add(retention) <= self.wall.as_micros();
            if index < surplus || is_old {
                let known = self.known.get_mut(&id).expect("listed above");
                known.changing = true;
                effects.push(Effect::Change(id, Purpose::Clean, known.version, None));
            }
        }
    }

    fn other_changed(
        &mut self,
        now: Instant,
        id: &NodeId,
        purpose: Purpose,
        outcome: Outcome,
        effects: &mut Vec<Effect>,
    ) {
        let Some(known) = self.known.get_mut(id) else { return };
        match outcome {
            Outcome::Applied(_) if purpose == Purpose::Clean => drop(self.known.remove(id)),
            Outcome::Conflict(None) => drop(self.known.remove(id)),
            Outcome::Conflict(Some((version, row))) => {
                known.changing = false;
                self.learn(now, version, row);
            }
            Outcome::Failed => known.changing = false,
            // what it is now is read; until then nothing else is changed in it
            Outcome::Applied(_) => {}
        }
        self.scan_at = now;
        effects.push(Effect::Publish);
    }

    /// The members of this place as one value.
    pub fn view(&self) -> Membership {
        Membership::new(self.members())
    }

    fn check(&self) {
        debug_assert!(
            self.known
                .values()
                .all(|known| !known.row.sealed || known.row.state == MemberState::Dead),
            "a living member is sealed"
        );
    }
}
