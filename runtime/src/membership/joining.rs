//! The rules about joining: a node is up when it has reached every member that it must reach.

use std::collections::BTreeSet;

use tokio::time::Instant;

use super::others::Others;
use super::row::MemberRow;
use super::situation::Situation;
use super::view::MemberState;
use crate::NodeId;

/// The decision about a node that joins.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// The node goes on trying.
    Wait,
    /// The node is up.
    Up,
    /// The node gives up, for this reason.
    GiveUp(String),
}

/// The members that this node has reached, and the time since which it joins.
#[derive(Debug)]
pub(super) struct Joining {
    since: Instant,
    has_scanned: bool,
    reached: BTreeSet<NodeId>,
}

impl Joining {
    pub(super) fn new(since: Instant) -> Self {
        Self { since, has_scanned: false, reached: BTreeSet::new() }
    }

    /// Takes the answer of a member to a probe.
    pub(super) fn reach(&mut self, id: NodeId) {
        self.reached.insert(id);
    }

    /// Takes that a member does not answer any more.
    pub(super) fn lose(&mut self, id: &NodeId) {
        self.reached.remove(id);
    }

    /// Takes a read of the table, with the members that it had.
    pub(super) fn scanned(&mut self, others: &Others) {
        self.has_scanned = true;
        self.reached.retain(|id| others.get(id).is_some());
    }

    /// The members that a node must have reached to join: all members that have joined and renew
    /// their rows, and the older ones among the members that are joining too.
    pub(super) fn to_reach<'a>(
        others: &'a Others,
        situation: &'a Situation,
    ) -> impl Iterator<Item = &'a MemberRow> {
        let age = |id: &NodeId| (id.incarnation(), id.clone());
        let is_older = move |row: &MemberRow| age(&row.id) < age(&situation.me);
        others.sound(situation).filter(move |row| {
            row.state != MemberState::Dead && (row.has_joined() || is_older(row))
        })
    }

    /// Decides about a node that joins.
    pub(super) fn decide(&self, others: &Others, situation: &Situation) -> Decision {
        let required: Vec<&MemberRow> = Self::to_reach(others, situation).collect();
        let is_missing = |row: &&&MemberRow| !self.reached.contains(&row.id);
        let mut missing = required.iter().filter(is_missing).peekable();
        if self.has_scanned && missing.peek().is_none() {
            return Decision::Up;
        }
        let limit = situation.settings.join_timeout;
        if situation.now.duration_since(self.since) < limit {
            return Decision::Wait;
        }
        let why = match missing.peek().copied() {
            None => format!("the members table could not be read within {limit:?}"),
            Some(first) => format!(
                "cannot reach `{}` at `{}` within {limit:?} (`join_timeout`; {} of {} members do not answer): check that \
                 `advertised_host`, the cookie and the firewalls let both nodes connect to each other",
                first.id,
                first.address,
                missing.count(),
                required.len()
            ),
        };
        Decision::GiveUp(format!("`{}` cannot join: {why}", situation.me))
    }
}
