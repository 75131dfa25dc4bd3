//! The allocation of shards to nodes: which shards need a home, which have to leave theirs, and the
//! node that gets each of them.
//!
//! - A shard without a home goes to the candidate with the fewest shards.
//! - All shards of a node that leaves move away.
//! - While no move is under way, shards move from the node with the most shards to the node with
//!   the fewest, until their counts differ by less than two.

use std::collections::BTreeMap;

use antiphon_runtime::{MemberState, Membership, NodeId};

use super::MoveId;
use crate::ShardId;

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
}

impl Allocation<'_> {
    /// Shards without a home: never assigned, on a node that is gone, or stopped by their old home.
    pub(super) fn homeless(self, shards: &[ShardId]) -> Vec<ShardId> {
        shards.iter().filter(|shard| self.is_homeless(shard)).cloned().collect()
    }

    fn is_homeless(self, shard: &ShardId) -> bool {
        let Some(node) = self.homes.get(shard) else { return true };
        self.members.is_gone(node) || self.moves.get(shard).is_some_and(|going| going.has_stopped)
    }

    /// Assigns each homeless shard to the candidate with the fewest shards.
    pub(super) fn assign(
        self,
        homeless: &[ShardId],
        candidates: &[NodeId],
    ) -> BTreeMap<ShardId, NodeId> {
        let mut counts = self.counts(candidates);
        for shard in homeless {
            assert!(self.is_homeless(shard), "{shard} would get a second home");
            if let Some(count) = self.homes.get(shard).and_then(|node| counts.get_mut(node)) {
                *count -= 1;
            }
        }
        let mut assigned = BTreeMap::new();
        for shard in homeless {
            let fewest = counts.iter_mut().min_by_key(|(_, count)| **count);
            let (node, count) = fewest.expect("the caller has a candidate");
            *count += 1;
            assigned.insert(shard.clone(), node.clone());
        }
        assigned
    }

    /// Number of shards of each candidate.
    fn counts(self, candidates: &[NodeId]) -> BTreeMap<NodeId, usize> {
        let mut counts: BTreeMap<NodeId, usize> =
            candidates.iter().map(|node| (node.clone(), 0)).collect();
        for node in self.homes.values() {
            if let Some(count) = counts.get_mut(node) {
                *count += 1;
            }
        }
        counts
    }

    /// Shards of leaving nodes that do not move yet.
    pub(super) fn leaving(self) -> Vec<ShardId> {
        let is_leaving = |node: &NodeId| {
            self.members.get(node).is_some_and(|member| member.state == MemberState::Leaving)
        };
        let shards = self.homes.iter().filter(|(_, node)| is_leaving(node));
        shards
            .map(|(shard, _)| shard.clone())
            .filter(|shard| !self.moves.contains_key(shard))
            .collect()
    }

    /// Shards to take from the nodes with the most, until the counts differ by less than two. At
    /// most `room` shards; none while a move is under way.
    pub(super) fn unbalanced(self, candidates: &[NodeId], room: usize) -> Vec<ShardId> {
        let mut counts = self.counts(candidates);
        let mut taken: Vec<ShardId> = Vec::new();
        if !self.moves.is_empty() {
            return taken;
        }
        while taken.len() < room {
            let most = counts.iter().max_by_key(|(_, count)| **count);
            let least = counts.iter().min_by_key(|(_, count)| **count);
            let (Some((most, high)), Some((least, low))) = (most, least) else { break };
            if *high < low + 2 {
                break;
            }
            let (most, least) = (most.clone(), least.clone());
            let mut movable =
                self.homes.iter().filter(|(shard, node)| **node == most && !taken.contains(shard));
            let Some((shard, _)) = movable.next() else { break };
            taken.push(shard.clone());
            counts.entry(most).and_modify(|count| *count -= 1);
            counts.entry(least).and_modify(|count| *count += 1);
        }
        taken
    }
}
