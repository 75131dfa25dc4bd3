//! The allocation of shards to nodes: which shards need a home, which have to leave theirs, and the
//! node that gets each of them.
//!
//! - A node can take a shard when it has the role that the shard's replica needs.
//! - A shard without a home goes to the candidate with the fewest shards. Without a candidate it
//!   waits: for a node with its role.
//! - All shards of a node that leaves move away, if another node can take them.
//! - While no move is under way, shards move away from nodes without their role, to which nodes of
//!   earlier versions assign them: they ignore roles.
//! - While no move is under way, shards move from the node with the most shards to the node with
//!   the fewest, until their counts differ by less than two.

use std::collections::{BTreeMap, BTreeSet};

use antiphon_runtime::{MemberState, Membership, NodeId};

use super::MoveId;
use crate::{Roles, ShardId};

/// The nodes that can take shards now, sorted, by the role that a shard needs.
pub(super) type Candidates<'a> = BTreeMap<Option<&'a str>, Vec<&'a NodeId>>;

/// A move of a shard away from its home.
#[derive(Debug)]
pub(super) struct Move {
    pub(super) id: MoveId,
    /// True when the home has stopped the shard.
    pub(super) has_stopped: bool,
}

/// The homes of today, as the allocation sees them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Allocation<'a> {
    pub(super) homes: &'a BTreeMap<ShardId, NodeId>,
    pub(super) moves: &'a BTreeMap<ShardId, Move>,
    pub(super) members: &'a Membership,
    pub(super) roles: &'a Roles,
    pub(super) candidates: &'a Candidates<'a>,
}

impl<'a> Allocation<'a> {
    /// Shards without a home that a candidate can take: never assigned, on a node that is gone, or
    /// stopped by their old home.
    pub(super) fn homeless(self, shards: &[ShardId]) -> Vec<ShardId> {
        let is_homeless = |shard: &&ShardId| self.is_homeless(shard) && self.can_move(shard);
        shards.iter().filter(is_homeless).cloned().collect()
    }

    /// The nodes that can take the shard.
    fn candidates_of(self, shard: &ShardId) -> &'a [&'a NodeId] {
        self.candidates.get(&self.roles.of(&shard.replica)).map_or(&[], Vec::as_slice)
    }

    fn can_move(self, shard: &ShardId) -> bool {
        !self.candidates_of(shard).is_empty()
    }

    fn is_homeless(self, shard: &ShardId) -> bool {
        let Some(node) = self.homes.get(shard) else { return true };
        self.members.is_gone(node) || self.moves.get(shard).is_some_and(|going| going.has_stopped)
    }

    /// Assigns each homeless shard to the candidate with the fewest shards.
    pub(super) fn assign(self, homeless: &[ShardId]) -> BTreeMap<ShardId, NodeId> {
        let mut counts = self.counts();
        for shard in homeless {
            assert!(self.is_homeless(shard), "{shard} would get a second home");
            if let Some(count) = self.homes.get(shard).and_then(|node| counts.get_mut(node)) {
                *count -= 1;
            }
        }
        let mut assigned = BTreeMap::new();
        for shard in homeless {
            let (node, _) = self.fewest(shard, &counts).expect("only shards that can move");
            counts.entry(node).and_modify(|count| *count += 1);
            assigned.insert(shard.clone(), node.clone());
        }
        assigned
    }

    /// The candidate of a shard with the fewest shards, and their number.
    fn fewest(
        self,
        shard: &ShardId,
        counts: &BTreeMap<&'a NodeId, usize>,
    ) -> Option<(&'a NodeId, usize)> {
        let counted = self.candidates_of(shard).iter().map(|node| (*node, counts[node]));
        counted.min_by_key(|(_, count)| *count)
    }

    /// Number of shards of each candidate.
    fn counts(self) -> BTreeMap<&'a NodeId, usize> {
        let candidates = self.candidates.values().flatten();
        let mut counts: BTreeMap<&NodeId, usize> = candidates.map(|node| (*node, 0)).collect();
        for node in self.homes.values() {
            if let Some(count) = counts.get_mut(node) {
                *count += 1;
            }
        }
        counts
    }

    /// Shards of leaving nodes that do not move yet, and that another node can take.
    pub(super) fn leaving(self) -> Vec<ShardId> {
        let is_leaving = |node: &NodeId| {
            self.members.get(node).is_some_and(|member| member.state == MemberState::Leaving)
        };
        let shards = self.homes.iter().filter(|(_, node)| is_leaving(node));
        shards
            .map(|(shard, _)| shard.clone())
            .filter(|shard| !self.moves.contains_key(shard) && self.can_move(shard))
            .collect()
    }

    /// Shards on nodes at work that lack their role, and that another node can take. At most `room`
    /// shards; none while a move is under way.
    pub(super) fn misplaced(self, room: usize) -> Vec<ShardId> {
        let is_misplaced = |(shard, node): &(&ShardId, &NodeId)| {
            let home = self.members.get(node);
            home.is_some_and(|home| {
                home.state == MemberState::Up && !self.roles.fits(&shard.replica, home)
            }) && self.can_move(shard)
        };
        let room = if self.moves.is_empty() { room } else { 0 };
        let misplaced = self.homes.iter().filter(is_misplaced).take(room);
        misplaced.map(|(shard, _)| shard.clone()).collect()
    }

    /// Shards to take from the nodes with the most, until the counts differ by less than two. At
    /// most `room` shards; none while a move is under way.
    pub(super) fn unbalanced(self, room: usize) -> Vec<ShardId> {
        let mut counts = self.counts();
        let mut taken: BTreeSet<&ShardId> = BTreeSet::new();
        while self.moves.is_empty() && taken.len() < room {
            let Some((shard, most, least)) = self.next_move(&counts, &taken) else { break };
            taken.insert(shard);
            counts.entry(most).and_modify(|count| *count -= 1);
            counts.entry(least).and_modify(|count| *count += 1);
        }
        taken.into_iter().cloned().collect()
    }

    /// The first shard of the node with the most shards that has at least two more than a candidate
    /// of the shard; with that node and that candidate.
    fn next_move(
        self,
        counts: &BTreeMap<&'a NodeId, usize>,
        taken: &BTreeSet<&ShardId>,
    ) -> Option<(&'a ShardId, &'a NodeId, &'a NodeId)> {
        let mut best = None;
        for (shard, node) in self.homes.iter().filter(|(shard, _)| !taken.contains(shard)) {
            let Some(high) = counts.get(node).copied() else { continue };
            let Some((least, low)) = self.fewest(shard, counts) else { continue };
            let is_best = best.as_ref().is_none_or(|(most, _)| (high, node) > *most);
            if high >= low + 2 && is_best {
                best = Some(((high, node), (shard, node, least)));
            }
        }
        best.map(|(_, found)| found)
    }
}
