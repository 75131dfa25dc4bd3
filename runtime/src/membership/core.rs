//! The rules of membership for one node. Its parts: the own row (`own`), joining (`joining`),
//! giving way (`ends`), the other members (`others`), and the members that cannot reach each other
//! (`cuts`, `verdict`).
//!
//! Invariants:
//! - a row changes by compare-and-set only;
//! - a node that finds its row dead or gone, or itself condemned, is out for ever;
//! - no node is sealed before `renew_timeout` and a tenth have passed since its row was last seen
//!   to change.

use std::collections::BTreeSet;

use antiphon_base::time::Timestamp;
use antiphon_persistence::store::RowVersion;
use tokio::time::Instant;

use super::cuts::Cuts;
use super::ends::End;
use super::joining::{Decision, Joining};
use super::others::Others;
use super::own::Own;
use super::row::{MemberRow, Versioned};
use super::settings::MembershipSettings;
use super::situation::Situation;
use super::step::{Effect, Input};
use super::turns::Turns;
use super::verdict::{Pair, Patience, Verdict, Verdicts, Words};
use super::view::{Member, MemberState, Membership};
use crate::NodeId;

/// The membership of one node in its place.
#[derive(Debug)]
pub struct MembershipCore {
    pub(super) situation: Situation,
    own: Own,
    others: Others,
    scanning: bool,
    /// The reads of the table.
    scans: Turns,
    suspects: BTreeSet<NodeId>,
    joining: Joining,
    cuts: Cuts,
    holds_lease: bool,
    end: End,
}

impl MembershipCore {
    /// Begins with the own row, which was written at `now`.
    pub fn new(
        now: Instant,
        settings: MembershipSettings,
        own: MemberRow,
        version: RowVersion,
    ) -> Self {
        let me = own.id.clone();
        Self {
            own: Own::new(now, &settings, own, version),
            others: Others::default(),
            scanning: false,
            scans: Turns::new(now, settings.scan_interval),
            suspects: BTreeSet::new(),
            joining: Joining::new(now),
            cuts: Cuts::default(),
            holds_lease: false,
            end: End::default(),
            situation: Situation { now, wall: Timestamp::default(), me, settings, verdicts: None },
        }
    }

    /// The end of the time in which this node may answer.
    pub fn live_until(&self) -> Instant {
        self.own.renewed + self.situation.settings.renew_timeout
    }

    /// True when this node is out for ever.
    pub fn is_over(&self) -> bool {
        self.end.is_over()
    }

    /// True when this node may answer: it has renewed its row, does not give way, and is not out.
    pub fn may_answer(&self, now: Instant) -> bool {
        now < self.live_until() && !self.end.is_retiring() && !self.end.is_over()
    }

    /// The state of this node as it has decided it last.
    pub fn state(&self) -> MemberState {
        self.own.row.state
    }

    /// The members of this place.
    pub fn members(&self) -> Vec<Member> {
        let others = self.others.rows(&self.situation.me).map(MemberRow::member);
        others.chain([self.own.row.member()]).collect()
    }

    /// The members of this place as one value, with the pairs that cannot reach each other.
    pub fn view(&self) -> Membership {
        let words = self.with_words(|words| words.said.clone());
        Membership::new(self.members()).with_unreachable(words)
    }

    /// The members that the failure detector probes besides the neighbours on the ring: while
    /// joining, all members that the node must reach; and always the members that say that they
    /// cannot reach this node, so that both ends of a cut have a word about it.
    pub fn to_probe(&self) -> BTreeSet<NodeId> {
        let me = &self.situation.me;
        let accuses =
            |row: &&MemberRow| row.state != MemberState::Dead && row.unreachable.contains(me);
        let required = (self.own.row.state == MemberState::Joining)
            .then(|| Joining::to_reach(&self.others, &self.situation));
        let required = required.into_iter().flatten();
        required.chain(self.others.rows(me).filter(accuses)).map(|row| row.id.clone()).collect()
    }

    /// Advances by one input.
    pub fn step(&mut self, now: Instant, input: Input) -> Vec<Effect> {
        let mut effects = Vec::new();
        if self.end.is_over() {
            return effects;
        }
        self.situation.now = now;
        self.take(now, input, &mut effects);
        self.act(now, &mut effects);
        self.check();
        effects
    }

    fn take(&mut self, now: Instant, input: Input, effects: &mut Vec<Effect>) {
        match input {
            Input::Tick(wall) => self.situation.wall = wall,
            Input::Scanned(rows) => self.scanned(now, rows, effects),
            Input::Verdicts(verdicts) => self.judged(now, verdicts, effects),
            Input::Changed(id, purpose, outcome) if id == self.situation.me => {
                let change = (purpose, outcome);
                if self.own.changed(&self.situation, &mut self.end, change, effects) {
                    self.others.own_renewal();
                }
            }
            Input::Changed(id, purpose, outcome) => {
                if self.others.changed(&self.situation, &id, purpose, outcome, effects) {
                    self.scans.want();
                }
            }
            Input::Reached(id) => self.joining.reach(id),
            Input::Suspect(id, on) => self.suspect(id, on),
            Input::SealDone(id, done) if id == self.situation.me => self.own_sealed(now, done),
            Input::SealDone(id, done) => {
                self.others.seal_done(&self.situation, &id, done, effects);
            }
            Input::Lease(held) => self.holds_lease = held,
            Input::Hosted(count) => self.own.row.hosted = count,
            Input::Replicas(replicas) => {
                if self.own.row.replicas != replicas {
                    self.own.row.replicas = replicas;
                    self.own.want_renewal();
                }
            }
            Input::Look => self.scans.want(),
            Input::Leave => self.own.become_state(MemberState::Leaving, effects),
            Input::End => {
                self.end.leave();
                self.own.want_renewal();
            }
            Input::Stop => self.end.stop(),
        }
    }

    fn act(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if self.end.is_over() {
            return;
        }
        self.join(now, effects);
        self.end.retire_further(&self.situation, &self.own.retry, effects);
        if self.end.is_over() {
            return;
        }
        if !self.end.is_retiring() || self.end.is_sealed() {
            let words = self.own_words();
            self.own.renew(&self.situation, &self.end, words, effects);
        }
        if self.end.is_retiring() {
            // a member that has to go says nothing about others
            return;
        }
        if !self.scanning && self.scans.is_due(now) {
            self.scanning = true;
            self.scans.begin(now);
            effects.push(Effect::Scan);
        }
        self.others.declare(&self.situation, effects);
        if self.holds_lease {
            self.others.seal(&self.situation, effects);
            self.others.clean(&self.situation, effects);
        }
    }

    fn join(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if self.own.row.state != MemberState::Joining || self.end.is_going() {
            return;
        }
        match self.joining.decide(&self.others, &self.situation) {
            Decision::Wait => {}
            Decision::Up => self.own.become_state(MemberState::Up, effects),
            Decision::GiveUp(why) => self.retire(now, why, effects),
        }
    }

    fn retire(&mut self, now: Instant, why: String, effects: &mut Vec<Effect>) {
        self.own.retry.reset();
        self.end.retire(now, why, effects);
    }

    fn own_sealed(&mut self, now: Instant, done: bool) {
        if !self.end.sealed(done) {
            return;
        }
        if done {
            self.own.want_renewal();
            self.own.retry.reset();
        } else {
            let situation = &self.situation;
            self.own.retry.failed(now, situation.settings.backoff(), &situation.me);
        }
    }

    /// The joined members that this node cannot reach. A node that is still joining has no word.
    pub(super) fn own_words(&self) -> Vec<NodeId> {
        if !self.own.row.has_joined() {
            return Vec::new();
        }
        let has_joined =
            |id: &&NodeId| self.others.get(id).is_some_and(|known| known.row.has_joined());
        self.suspects.iter().filter(has_joined).cloned().collect()
    }

    fn suspect(&mut self, id: NodeId, on: bool) {
        if on {
            self.joining.lose(&id);
            self.suspects.insert(id);
        } else {
            self.suspects.remove(&id);
        }
        if self.own_words() != self.own.row.unreachable {
            // others judge by this row
            self.own.want_renewal();
        }
    }

    fn scanned(&mut self, now: Instant, rows: Option<Vec<Versioned>>, effects: &mut Vec<Effect>) {
        self.scanning = false;
        let was_due = self.scans.end();
        let Some(rows) = rows else { return };
        if let Some((_, own)) = rows.iter().find(|(_, row)| row.id == self.situation.me)
            && own.state == MemberState::Dead
            && !self.end.is_going()
        {
            // it must not judge any more: the members that declared it dead may be counting
            return self.end.fence(&self.situation, Some(own), effects);
        }
        let before = self.view();
        self.others.learn_all(now, rows, was_due);
        self.joining.scanned(&self.others);
        self.judge(now, effects);
        if self.view() != before {
            effects.push(Effect::Publish);
        }
    }

    fn judged(&mut self, now: Instant, verdicts: Verdicts, effects: &mut Vec<Effect>) {
        let own = verdicts.about(&self.situation.me).cloned();
        self.situation.verdicts = Some(verdicts);
        if let Some(Verdict { by, why, .. }) = own
            && !self.end.is_going()
        {
            let why = format!("`{}` was declared dead by `{by}`: {why}", self.situation.me);
            self.retire(now, why, effects);
        }
    }

    fn with_words<T>(&self, judge: impl FnOnce(&Words<'_>) -> T) -> T {
        let mut own = self.own.row.clone();
        own.unreachable = self.own_words();
        let others = self.others.sound(&self.situation).filter(|row| row.has_joined());
        let own = own.has_joined().then_some(&own);
        judge(&Words::new(others.chain(own)))
    }

    /// The time until which both ends have renewed their rows.
    fn renewed_by_both(&self, (a, b): &Pair) -> Option<Instant> {
        let renewed = |id: &NodeId| {
            if *id == self.situation.me {
                Some(self.own.renewed)
            } else {
                Some(self.others.get(id)?.seen_at)
            }
        };
        Some(renewed(a)?.min(renewed(b)?))
    }

    /// Judges the cuts, by the table as it was just read.
    fn judge(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let mut cuts = std::mem::take(&mut self.cuts);
        let now_cut = self.with_words(|words| words.cuts());
        let settings = &self.situation.settings;
        cuts.follow(now, now_cut, |pair| self.renewed_by_both(pair), settings);
        self.cuts = cuts;
        let Situation { me, settings, verdicts, .. } = &self.situation;
        let Some(verdicts) = verdicts else { return };
        let is_condemned = self.situation.is_condemned(me);
        if self.cuts.is_empty() || !self.own.row.has_joined() || is_condemned {
            return;
        }
        let limits = Patience {
            votes_required: settings.votes_required,
            cut_timeout: settings.cut_timeout,
            bridged_cut_timeout: settings.bridged_cut_timeout,
        };
        let (ages, holder) = (self.cuts.ages(), verdicts.holder.as_ref());
        let judged = self.with_words(|words| words.who_gives_way(&ages, holder, &limits));
        let Some((id, from)) = judged else { return };
        if id != *me && !from.contains(me) {
            return;
        }
        let from: Vec<String> = from.iter().map(|other| format!("`{other}`")).collect();
        let why = format!(
            "it and {} cannot reach each other, and the one gives way that does not hold the coordinator lease, hosts less, or is younger",
            from.join(", ")
        );
        let verdict = Verdict { id, by: me.clone(), why };
        effects.push(Effect::Condemn(verdict, verdicts.version));
    }

    /// Asserts the invariants, in release builds too: the right to write hangs on them.
    pub fn check(&self) {
        self.own.check(self.situation.now);
        self.others.check();
        self.cuts.check();
    }
}
