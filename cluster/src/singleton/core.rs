//! Decides when this node holds the lease of a singleton, and when its actor runs.
//!
//! The lease is a row of its own in the store of the place, with a fencing token that grows each
//! time the lease is taken. As with the coordinator's lease, the members table says whether its
//! holder is alive: a member may take the lease of another one only when that one is dead and
//! sealed, and then that one answers nothing any more. So a holder needs no renewals: its right
//! ends, by its clock, with the right of its node to answer.
//!
//! ```text
//!            lease held, live             stop wanted, not live, or lease lost
//!   Absent -------------------> Running -------------------------------------> Stopping
//!      ^  ^                        |                                              |
//!      |  +---- ended by itself ---+  (started again after a wait)                |
//!      +----------------------------- has ended ----------------------------------+
//! ```
//!
//! The lease is given back only while the actor is absent, and no actor starts while a release may
//! still take effect. Each name has an order of all members,
//! by a hash, so that singletons spread: an earlier member of the order has a head start when a
//! lease is free, and asks a later one for it once it is up for a while (`asked_by`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use antiphon_base::backoff::{Backoff, Retry};
use antiphon_persistence::store::RowVersion;
use antiphon_runtime::{MemberState, Membership, NodeId};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::order;

/// The row of a lease, in JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LeaseRow {
    /// The holder; `None` after a release.
    pub(crate) holder: Option<NodeId>,
    /// The fencing token; grows each time the lease is taken.
    pub(crate) token: u64,
    /// A member that comes earlier in the order of the name, and wants the lease.
    #[serde(default)]
    pub(crate) asked_by: Option<NodeId>,
}

/// The row as it was read; `None` while there is none.
pub(crate) type VersionedLease = Option<(RowVersion, LeaseRow)>;

/// A fact for the singleton.
#[derive(Debug, Clone)]
pub(crate) enum Input {
    /// The row was read; the read began after this number of [`SingletonCore::changes`].
    Read(VersionedLease, u64),
    /// A change has ended: the row in the store after it, or `None` when the outcome is unknown.
    Changed(Option<VersionedLease>),
    /// The members of the place.
    Members(Arc<Membership>),
    /// The actor of this run has ended.
    Ended(u64),
    /// Give the lease back, and do not take it again.
    Leave,
    /// Time has passed.
    Tick,
}

/// The reason why an actor ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// The actor has ended by itself: it failed, or it stopped.
    Failed,
    /// The node may not answer now, or has lost the lease.
    NotLive,
    /// An earlier member in the order of the name takes over.
    Moved,
    /// The node leaves.
    Leaving,
}

/// A request of the singleton.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Change the row that has this version (`None`: create it).
    Change(Option<RowVersion>, LeaseRow),
    /// Start the actor; it has this token.
    Start { run: u64, token: u64 },
    /// Let the actor handle its mailbox, and stop it.
    Stop { run: u64 },
    /// Stop the actor at once.
    Kill { run: u64 },
    /// The actor ends, or has ended, for this reason.
    Ends(Why),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Actor {
    Absent,
    Running { run: u64, token: u64, since: Instant },
    Stopping { run: u64, is_killed: bool },
}

/// The times of a singleton.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    /// Head start of a member over the next one.
    pub(crate) turn: Duration,
    /// Time for which a member is up before it asks for the lease.
    pub(crate) settle: Duration,
    /// Time for which a holder must be unknown before it counts as gone: a member that has just
    /// joined is read within it.
    pub(crate) unknown: Duration,
    /// The longest wait before a change is tried again.
    pub(crate) retry_delay_max: Duration,
    /// The longest wait before an actor is started again.
    pub(crate) restart_delay_max: Duration,
}

/// A singleton at one node.
#[derive(Debug)]
pub(crate) struct SingletonCore {
    me: NodeId,
    name: Arc<str>,
    times: Times,
    row: VersionedLease,
    has_read: bool,
    changing: Option<(Option<RowVersion>, LeaseRow)>,
    changes: u64,
    /// The version of the row that a release without a known outcome may still end.
    in_doubt: Option<RowVersion>,
    retry: Retry,
    members: Arc<Membership>,
    up_since: BTreeMap<NodeId, Instant>,
    unknown_since: Option<(NodeId, Instant)>,
    free_since: Option<Instant>,
    actor: Actor,
    runs: u64,
    restart: Retry,
    is_leaving: bool,
}

impl SingletonCore {
    /// A singleton whose row was not read yet.
    pub(crate) fn new(me: NodeId, name: Arc<str>, times: Times) -> Self {
        Self {
            me,
            name,
            times,
            row: None,
            has_read: false,
            changing: None,
            changes: 0,
            in_doubt: None,
            retry: Retry::default(),
            members: Arc::default(),
            up_since: BTreeMap::new(),
            unknown_since: None,
            free_since: None,
            actor: Actor::Absent,
            runs: 0,
            restart: Retry::default(),
            is_leaving: false,
        }
    }

    /// Number of changes of this node that have ended. A read that began before the end of the last
    /// one may be older.
    pub(crate) fn changes(&self) -> u64 {
        self.changes
    }

    /// True when this node has nothing to do with the singleton any more.
    pub(crate) fn has_left(&self) -> bool {
        let is_mine = self.held().is_some() || self.changing.is_some();
        self.is_leaving && self.actor == Actor::Absent && !is_mine
    }

    /// True when the lease may be free soon: the holder is on its way out.
    pub(crate) fn expects_release(&self) -> bool {
        let holder = self.row.as_ref().and_then(|(_, row)| row.holder.as_ref());
        let Some(holder) = holder.filter(|holder| **holder != self.me) else {
            return self.free_since.is_some();
        };
        let asked = self.row.as_ref().and_then(|(_, row)| row.asked_by.as_ref());
        let state = self.members.get(holder).map(|member| member.state);
        state != Some(MemberState::Up) || asked == Some(&self.me)
    }

    /// Advances by one input; `is_live` says whether this node may answer now.
    pub(crate) fn step(&mut self, now: Instant, is_live: bool, input: Input) -> Vec<Effect> {
        let mut effects = Vec::new();
        match input {
            Input::Read(row, changes) => {
                if changes == self.changes && self.changing.is_none() {
                    (self.row, self.has_read) = (row, true);
                }
            }
            Input::Changed(outcome) => self.changed(now, outcome),
            Input::Members(members) => self.learn_members(now, members),
            Input::Ended(run) => self.ended(now, run, &mut effects),
            Input::Leave => self.is_leaving = true,
            Input::Tick => {}
        }
        self.guard_actor(is_live, &mut effects);
        self.note_holder(now);
        if is_live {
            self.change_lease(now, &mut effects);
            self.start(now, &mut effects);
        }
        self.check(is_live);
        effects
    }

    /// Asserts the invariants, in release builds too: that one actor acts at a time hangs on them.
    fn check(&self, is_live: bool) {
        if let Actor::Running { token, .. } = self.actor {
            assert!(is_live, "{} runs on a node that may not answer", self.name);
            assert!(
                self.held() == Some(token),
                "{} runs with token {token}, and the lease is {:?}",
                self.name,
                self.row
            );
            assert!(!self.is_in_doubt(), "{} runs, and its lease may be given back", self.name);
        }
        let Some((version, next)) = &self.changing else { return };
        let known = self.row.as_ref();
        assert!(
            *version == known.map(|(version, _)| *version),
            "the lease of {} is changed from version {version:?}, not the known one",
            self.name
        );
        let (holder, token) = known.map_or((None, 0), |(_, row)| (row.holder.as_ref(), row.token));
        let stays = next.holder.is_none() || next.holder.as_ref() == holder;
        assert!(
            if stays { next.token == token } else { next.token > token },
            "the lease of {} goes from {holder:?} with token {token} to {next:?}",
            self.name
        );
        let is_released = holder == Some(&self.me) && next.holder.is_none();
        assert!(
            !is_released || self.actor == Actor::Absent,
            "the lease of {} is given back before its actor has ended",
            self.name
        );
    }

    /// The token, if this node holds the lease as far as it knows.
    fn held(&self) -> Option<u64> {
        let (_, row) = self.row.as_ref()?;
        (row.holder.as_ref() == Some(&self.me)).then_some(row.token)
    }

    fn changed(&mut self, now: Instant, outcome: Option<VersionedLease>) {
        let change = self.changing.take();
        self.changes += 1;
        match outcome {
            Some(row) => {
                self.retry.reset();
                (self.row, self.has_read) = (row, true);
            }
            // the outcome is unknown, and it may come later: read the row first
            None => {
                if let Some((version, LeaseRow { holder: None, .. })) = change {
                    self.in_doubt = version;
                }
                self.has_read = false;
                let backoff = Backoff::up_to(self.times.retry_delay_max);
                self.retry.failed(now, backoff, &self.me);
            }
        }
    }

    fn learn_members(&mut self, now: Instant, members: Arc<Membership>) {
        self.members = members;
        let up = self.members.all().filter(|member| member.state == MemberState::Up);
        let since = |id: &NodeId| (id.clone(), self.up_since.get(id).copied().unwrap_or(now));
        self.up_since = up.map(|member| since(&member.id)).collect();
    }

    fn ended(&mut self, now: Instant, run: u64, effects: &mut Vec<Effect>) {
        match self.actor {
            Actor::Running { run: current, since, .. } if current == run => {
                let delay_max = self.times.restart_delay_max;
                if now >= since + delay_max {
                    self.restart.reset();
                }
                self.restart.failed(now, Backoff::up_to(delay_max), &self.name);
                self.actor = Actor::Absent;
                effects.push(Effect::Ends(Why::Failed));
            }
            Actor::Stopping { run: current, .. } if current == run => self.actor = Actor::Absent,
            Actor::Absent | Actor::Running { .. } | Actor::Stopping { .. } => {}
        }
    }

    /// Stops the actor when its right has ended, or when the lease is to go.
    fn guard_actor(&mut self, is_live: bool, effects: &mut Vec<Effect>) {
        match self.actor {
            Actor::Running { run, token, .. } => {
                let why = if !is_live || self.held() != Some(token) {
                    effects.push(Effect::Kill { run });
                    Why::NotLive
                } else if self.is_leaving {
                    effects.push(Effect::Stop { run });
                    Why::Leaving
                } else if self.is_asked() {
                    effects.push(Effect::Stop { run });
                    Why::Moved
                } else {
                    return;
                };
                self.actor = Actor::Stopping { run, is_killed: why == Why::NotLive };
                effects.push(Effect::Ends(why));
            }
            Actor::Stopping { run, is_killed: false } if !is_live || self.held().is_none() => {
                effects.push(Effect::Kill { run });
                self.actor = Actor::Stopping { run, is_killed: true };
            }
            Actor::Absent | Actor::Stopping { .. } => {}
        }
    }

    /// True when this node holds the lease, and an earlier member of the order wants it.
    fn is_asked(&self) -> bool {
        let Some((_, row)) = &self.row else { return false };
        let Some(other) = &row.asked_by else { return false };
        row.holder.as_ref() == Some(&self.me) && self.comes_before_me(other)
    }

    /// True when this member is up, and earlier in the order than this node.
    fn comes_before_me(&self, other: &NodeId) -> bool {
        self.up_since.contains_key(other) && order::is_before(&self.name, other, &self.me)
    }

    /// Notes since when the lease is free, or its holder unknown.
    fn note_holder(&mut self, now: Instant) {
        let holder = self.row.as_ref().and_then(|(_, row)| row.holder.clone());
        let is_free = match holder {
            None => true,
            Some(holder) if self.members.get(&holder).is_some() => {
                self.unknown_since = None;
                self.members.is_gone(&holder)
            }
            Some(holder) => {
                let since = match &self.unknown_since {
                    Some((unknown, since)) if *unknown == holder => *since,
                    Some(_) | None => now,
                };
                self.unknown_since = Some((holder, since));
                now >= since + self.times.unknown
            }
        };
        if self.has_read && is_free {
            self.free_since.get_or_insert(now);
        } else {
            self.free_since = None;
        }
    }

    fn change_lease(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if self.changing.is_some() || !self.has_read || !self.retry.is_due(now) {
            return;
        }
        let (version, row) = match &self.row {
            Some((version, row)) => (Some(*version), row.clone()),
            None => (None, LeaseRow::default()),
        };
        let next = if self.held().is_some() {
            let is_over = self.is_leaving || self.is_asked();
            match (is_over, self.actor) {
                (true, Actor::Absent) => Some(LeaseRow { holder: None, ..row }),
                // the same row in a new version, which a release under way does not fit
                (false, Actor::Absent) if self.is_in_doubt() => Some(row),
                (_, Actor::Absent | Actor::Running { .. } | Actor::Stopping { .. }) => None,
            }
        } else if self.is_leaving || self.actor != Actor::Absent {
            None
        } else if self.has_turn(now) {
            // an incarnation is above every token that was given before a store went back
            let token = row.token.checked_add(1).map(|above| above.max(self.me.incarnation()));
            token.map(|token| LeaseRow { holder: Some(self.me.clone()), token, asked_by: None })
        } else if self.wants(now, &row) {
            Some(LeaseRow { asked_by: Some(self.me.clone()), ..row })
        } else {
            None
        };
        if let Some(next) = next {
            self.changing = Some((version, next.clone()));
            effects.push(Effect::Change(version, next));
        }
    }

    /// True when a release whose outcome is unknown may still end the known row.
    fn is_in_doubt(&self) -> bool {
        let version = self.row.as_ref().map(|(version, _)| *version);
        self.in_doubt.is_some() && self.in_doubt == version
    }

    /// True when the lease is free, and it is this node's turn.
    fn has_turn(&self, now: Instant) -> bool {
        let Some(since) = self.free_since else { return false };
        let earlier = self.up_since.keys().filter(|other| self.comes_before_me(other)).count();
        let turns = u32::try_from(earlier.min(order::TURNS_MAX)).unwrap_or(u32::MAX);
        self.up_since.contains_key(&self.me) && now >= since + self.times.turn * turns
    }

    /// True when this node comes earlier than the holder, is up for a while, and no earlier one has
    /// asked.
    fn wants(&self, now: Instant, row: &LeaseRow) -> bool {
        let Some(holder) = &row.holder else { return false };
        let is_settled =
            self.up_since.get(&self.me).is_some_and(|since| now >= *since + self.times.settle);
        let is_later =
            self.up_since.contains_key(holder) && order::is_before(&self.name, &self.me, holder);
        let asked = row.asked_by.as_ref();
        let has_asked = asked.is_some_and(|by| *by == self.me || self.comes_before_me(by));
        is_settled && is_later && !has_asked
    }

    fn start(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let Some(token) = self.held() else { return };
        let is_ready = self.actor == Actor::Absent
            && self.has_read
            && self.changing.is_none()
            && !self.is_leaving
            && !self.is_asked()
            && !self.is_in_doubt()
            && self.restart.is_due(now);
        if is_ready {
            self.runs += 1;
            let run = self.runs;
            self.actor = Actor::Running { run, token, since: now };
            effects.push(Effect::Start { run, token });
        }
    }
}

#[cfg(test)]
mod tests;
