//! The rules of membership for one node: join, and renew the own row. `ends` has the rules for
//! giving way, `others` and `cuts` the rules about the other members.
//!
//! Invariants:
//! - a row changes by compare-and-set only;
//! - a node that finds its row dead or gone, or itself condemned, is out for ever;
//! - no node is sealed before `renew_timeout` and a tenth have passed since its row was last seen
//!   to change.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use antiphon_base::backoff::{Backoff, Retry};
use antiphon_base::time::Timestamp;
use antiphon_persistence::store::RowVersion;
use tokio::time::Instant;

use super::cuts::Cut;
use super::ends::Retiring;
use super::others::Known;
use super::row::{MemberRow, Versioned};
use super::turns::Turns;
use super::verdict::{Pair, Verdict, Verdicts};
use super::{MemberState, Membership};
use crate::NodeId;

/// Limits, from the node's settings.
#[derive(Debug, Clone)]
pub struct MembershipSettings {
    /// Time between two renewals.
    pub renew_interval: Duration,
    /// Time for which a row counts as renewed.
    pub renew_timeout: Duration,
    /// Time between two reads of the table.
    pub scan_interval: Duration,
    /// Number of members that put a node out by saying that they cannot reach it, although the node
    /// reaches them.
    pub votes_required: usize,
    /// Time for which a link may be broken before one of its ends gives way.
    pub cut_timeout: Duration,
    /// The same time when a third member reaches both ends.
    pub bridged_cut_timeout: Duration,
    /// Time in which a node that joins must have reached everybody; then it gives up.
    pub join_timeout: Duration,
    /// Longest wait before a failed operation is tried again.
    pub retry_delay_max: Duration,
    /// Time for which a dead row is kept.
    pub dead_retention: Duration,
    /// Limit of the number of dead rows that are kept.
    pub dead_rows_max: usize,
}

impl MembershipSettings {
    /// The waits before a failed operation is tried again.
    pub(super) fn backoff(&self) -> Backoff {
        Backoff::up_to(self.retry_delay_max)
    }
}

/// The purpose of a change of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Renew the own row.
    Renew,
    /// Write dead and sealed into the own row.
    End,
    /// Declare another member dead.
    Declare,
    /// Write into the row of another member that it is sealed.
    Sealed,
    /// Delete an old row.
    Clean,
}

/// The outcome of a change.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Stored; the new version.
    Applied(RowVersion),
    /// Not stored: the row has another version, with its content, or is gone.
    Conflict(Option<Versioned>),
    /// Unknown.
    Failed,
}

/// A fact for the core.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// Time has passed. The value is the time of day.
    Tick(Timestamp),
    /// The table, or `None` when it could not be read.
    Scanned(Option<Vec<Versioned>>),
    /// The verdicts in the row of the lease.
    Verdicts(Verdicts),
    /// A change has ended.
    Changed(NodeId, Purpose, Outcome),
    /// The member has answered a probe.
    Reached(NodeId),
    /// The member does not answer its probes (true), or answers again (false).
    Suspect(NodeId, bool),
    /// The sealing of a dead node's writer, or of the own one, has ended; true when sealed.
    SealDone(NodeId, bool),
    /// True when this node holds the coordinator lease.
    Lease(bool),
    /// The number of shards that this node hosts.
    Hosted(u32),
    /// Show in the own row that this node leaves.
    Leave,
    /// The own writer is sealed: write dead and sealed into the own row.
    End,
    /// End this node for a reason outside of membership: it does nothing any more, and its silence
    /// tells the other members.
    Stop,
}

/// A request of the core.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Read the table, and the row of the lease before it.
    Scan,
    /// Change a row that has this version; no new row means that it is deleted.
    Change(NodeId, Purpose, RowVersion, Option<Box<MemberRow>>),
    /// Add the verdict to the row of the lease, if it has this version.
    Condemn(Verdict, Option<RowVersion>),
    /// Seal the writer of a dead node, or the own one.
    Seal(NodeId),
    /// The members, their states or their links have changed.
    Publish,
    /// The node answers nothing any more, for this reason; `Fenced` follows when it is out.
    Retire(String),
    /// The node is out for ever, for this reason.
    Fenced(String),
    /// The own row says dead and sealed.
    Ended,
}

/// The membership of one node in its place.
#[derive(Debug)]
pub struct MembershipCore {
    /// Time of the last input.
    pub(super) now: Instant,
    pub(super) me: NodeId,
    pub(super) settings: MembershipSettings,
    pub(super) own: MemberRow,
    own_version: RowVersion,
    joined: Instant,
    renewing_since: Option<Instant>,
    /// Start of the last renewal that was stored.
    pub(super) renewed: Instant,
    /// The renewals of the own row.
    pub(super) renewals: Turns,
    pub(super) retry: Retry,
    scanning: bool,
    /// The reads of the table.
    pub(super) scans: Turns,
    pub(super) has_scanned: bool,
    pub(super) known: BTreeMap<NodeId, Known>,
    pub(super) suspects: BTreeSet<NodeId>,
    pub(super) reached: BTreeSet<NodeId>,
    pub(super) verdicts: Option<Verdicts>,
    /// The broken links that this node knows of.
    pub(super) cuts: BTreeMap<Pair, Cut>,
    pub(super) holds_lease: bool,
    pub(super) retiring: Option<Retiring>,
    pub(super) ending: bool,
    pub(super) is_over: bool,
    pub(super) wall: Timestamp,
}

impl MembershipCore {
    /// Begins with the own row, which was written at `now`.
    pub fn new(
        now: Instant,
        settings: MembershipSettings,
        own: MemberRow,
        version: RowVersion,
    ) -> Self {
        let renewals = Turns::new(now, settings.renew_interval);
        let scans = Turns::new(now, settings.scan_interval);
        Self {
            now,
            me: own.id.clone(),
            settings,
            own,
            own_version: version,
            joined: now,
            renewing_since: None,
            renewed: now,
            renewals,
            retry: Retry::default(),
            scanning: false,
            scans,
            has_scanned: false,
            known: BTreeMap::new(),
            suspects: BTreeSet::new(),
            reached: BTreeSet::new(),
            verdicts: None,
            cuts: BTreeMap::new(),
            holds_lease: false,
            retiring: None,
            ending: false,
            is_over: false,
            wall: Timestamp::default(),
        }
    }

    /// The end of the time in which this node may answer.
    pub fn live_until(&self) -> Instant {
        self.renewed + self.settings.renew_timeout
    }

    /// True when this node is out for ever.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// The state of this node as it has decided it last.
    pub fn state(&self) -> MemberState {
        self.own.state
    }

    /// The members of this place.
    pub fn members(&self) -> Vec<super::Member> {
        let others = self.known.values().filter(|known| known.row.id != self.me);
        others.map(|known| known.row.member()).chain([self.own.member()]).collect()
    }

    /// The members of this place as one value, with the pairs that cannot reach each other.
    pub fn view(&self) -> Membership {
        Membership::new(self.members()).with_unreachable(self.words())
    }

    /// The members that the failure detector probes besides the neighbours on the ring: while
    /// joining, all members that the node must reach; and always the members that say that they
    /// cannot reach this node, so that both ends of a link have a word about it.
    pub fn to_probe(&self) -> BTreeSet<NodeId> {
        let required = self.to_reach().map(|row| row.id.clone());
        let accusers = self.known.values().map(|known| &known.row);
        let accusers = accusers
            .filter(|row| row.state != MemberState::Dead && row.unreachable.contains(&self.me));
        required.chain(accusers.map(|row| row.id.clone())).collect()
    }

    /// Advances by one input.
    pub fn step(&mut self, now: Instant, input: Input) -> Vec<Effect> {
        let mut effects = Vec::new();
        if self.is_over {
            return effects;
        }
        self.now = now;
        match input {
            Input::Tick(wall) => self.wall = wall,
            Input::Scanned(rows) => self.scanned(now, rows, &mut effects),
            Input::Verdicts(verdicts) => self.judged(now, verdicts, &mut effects),
            Input::Changed(id, purpose, outcome) if id == self.me => {
                self.own_changed(now, purpose, outcome, &mut effects);
            }
            Input::Changed(id, purpose, outcome) => {
                self.other_changed(now, &id, purpose, outcome, &mut effects);
            }
            Input::Reached(id) => drop(self.reached.insert(id)),
            Input::Suspect(id, on) => self.suspect(id, on),
            Input::SealDone(id, done) if id == self.me => self.own_sealed(now, done),
            Input::SealDone(id, done) => self.seal_done(now, &id, done, &mut effects),
            Input::Lease(held) => self.holds_lease = held,
            Input::Hosted(count) => self.own.hosted = count,
            Input::Leave => self.become_state(MemberState::Leaving, &mut effects),
            Input::End => {
                self.ending = true;
                self.renewals.want();
            }
            Input::Stop => self.is_over = true,
        }
        self.act(now, &mut effects);
        self.check();
        effects
    }

    fn act(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if self.is_over {
            return;
        }
        self.join(now, effects);
        if self.retiring.is_some() {
            self.retire_further(now, effects);
        }
        if self.is_over {
            return;
        }
        let may_renew = self.retiring.is_none() || self.ending;
        if may_renew && self.renewing_since.is_none() && self.renewals.is_due(now) {
            self.renew(now, effects);
        }
        if self.retiring.is_some() {
            // a member that has to go says nothing about others
            return;
        }
        if !self.scanning && self.scans.is_due(now) {
            self.scanning = true;
            self.scans.begin(now);
            effects.push(Effect::Scan);
        }
        self.declare(now, effects);
        if self.holds_lease {
            self.seal(now, effects);
            self.clean(now, effects);
        }
    }

    fn become_state(&mut self, state: MemberState, effects: &mut Vec<Effect>) {
        if state > self.own.state {
            self.own.state = state;
            self.renewals.want();
            effects.push(Effect::Publish);
        }
    }

    /// The members that a node must have reached to join: all members that have joined and renew
    /// their rows, and the older ones among the members that are joining too.
    fn to_reach(&self) -> impl Iterator<Item = &MemberRow> {
        let is_joining = self.own.state == MemberState::Joining;
        let age = |id: &NodeId| (id.incarnation(), id.clone());
        self.known
            .values()
            .filter(move |known| {
                is_joining
                    && known.row.id != self.me
                    && known.row.state != MemberState::Dead
                    && (known.row.has_joined() || age(&known.row.id) < age(&self.me))
                    && !self.is_silent(known)
                    && !self.is_condemned(&known.row.id)
            })
            .map(|known| &known.row)
    }

    fn join(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if self.own.state != MemberState::Joining || self.is_going() {
            return;
        }
        let missing: Vec<&MemberRow> =
            self.to_reach().filter(|row| !self.reached.contains(&row.id)).collect();
        if self.has_scanned && missing.is_empty() {
            return self.become_state(MemberState::Up, effects);
        }
        let limit = self.settings.join_timeout;
        if now.duration_since(self.joined) < limit {
            return;
        }
        let why = match missing.first() {
            None => format!("the members table could not be read within {limit:?}"),
            Some(first) => format!(
                "cannot reach `{}` at `{}` within {limit:?} (`join_timeout`; {} of {} members do not answer): check that \
                 `advertised_host`, the cookie and the firewalls let both nodes connect to each other",
                first.id,
                first.address,
                missing.len(),
                self.to_reach().count()
            ),
        };
        self.retire(now, format!("`{}` cannot join: {why}", self.me), effects);
    }

    fn renew(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        self.renewing_since = Some(now);
        self.renewals.begin(now);
        self.own.unreachable = self.own_words();
        let mut row = self.own.clone();
        row.renewals += 1;
        let mut purpose = Purpose::Renew;
        if self.ending {
            (row.state, row.sealed, row.ended_micros) =
                (MemberState::Dead, true, self.wall.as_micros());
            row.ended_why =
                self.retiring.as_ref().map_or("it has left", |retiring| &retiring.why).into();
            purpose = Purpose::End;
        }
        effects.push(Effect::Change(
            self.me.clone(),
            purpose,
            self.own_version,
            Some(Box::new(row)),
        ));
    }

    fn own_changed(
        &mut self,
        now: Instant,
        purpose: Purpose,
        outcome: Outcome,
        effects: &mut Vec<Effect>,
    ) {
        let Some(began) = self.renewing_since.take() else { return };
        let was_due = self.renewals.end();
        match outcome {
            Outcome::Applied(version) => {
                self.own_version = version;
                self.own.renewals += 1;
                self.renewed = began;
                self.retry.reset();
                if was_due {
                    for known in self.known.values_mut() {
                        known.own_renewals = known.own_renewals.saturating_add(1);
                    }
                }
                // a renewal that was under way when the end came says that this node lives
                if purpose == Purpose::End {
                    self.is_over = true;
                    effects.push(match self.retiring.take() {
                        Some(retiring) => Effect::Fenced(retiring.why),
                        None => Effect::Ended,
                    });
                }
            }
            Outcome::Failed => {}
            // the renewal of unknown outcome was stored after all; at the end, others may have
            // declared this node dead and not sealed it yet
            Outcome::Conflict(Some((version, row)))
                if row.state != MemberState::Dead || (self.is_going() && !row.sealed) =>
            {
                self.own_version = version;
                self.own.renewals = self.own.renewals.max(row.renewals);
                self.retry_later(now);
            }
            Outcome::Conflict(row) => self.fence(row.as_ref().map(|(_, row)| row), effects),
        }
    }

    fn retry_later(&mut self, now: Instant) {
        // the first try is at once, since most often one is enough
        if self.retry.is_due(now) {
            self.renewals.want();
        }
        self.retry.failed(now, self.settings.backoff(), &self.me);
    }

    fn scanned(&mut self, now: Instant, rows: Option<Vec<Versioned>>, effects: &mut Vec<Effect>) {
        self.scanning = false;
        let was_due = self.scans.end();
        let Some(rows) = rows else { return };
        if let Some((_, own)) = rows.iter().find(|(_, row)| row.id == self.me)
            && own.state == MemberState::Dead
            && !self.is_going()
        {
            // it must not judge any more: the members that declared it dead may be counting
            return self.fence(Some(own), effects);
        }
        let before = self.view();
        self.has_scanned = true;
        self.learn_all(now, rows, was_due);
        self.reached.retain(|id| self.known.contains_key(id));
        self.judge(now, effects);
        if self.view() != before {
            effects.push(Effect::Publish);
        }
    }

    fn judged(&mut self, now: Instant, verdicts: Verdicts, effects: &mut Vec<Effect>) {
        let own = verdicts.about(&self.me).cloned();
        self.verdicts = Some(verdicts);
        if let Some(Verdict { by, why, .. }) = own
            && !self.is_going()
        {
            self.retire(now, format!("`{}` was declared dead by `{by}`: {why}", self.me), effects);
        }
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
