//! The allocation of shards to nodes: which shards need a home, which have to leave theirs, and the
//! node that gets each of them.
//!
//! - A node can take a shard when it has the role that the shard's replica needs, and does not say
//!   that the type has no such replica at this place.
//! - A shard gets no first home while a member says that its replica is at another place: both
//!   places would have entities of that name. A shard that had a home goes on.
//! - A shard without a home goes to the candidate with the fewest shards. A *sibling*, a shard of
//!   the same number of another replica, counts as two more: a lost node should not take entities
//!   with all their replicas. Without a candidate it waits: for a node with its role.
//! - All shards of a node that leaves move away, if another node can take them.
//! - A move ends without a new home when its home is gone, or is at work and no candidate is left:
//!   the shard stays there.
//! - While no move that can go on is under way, shards move away from nodes at work that lack their
//!   role: a node that does not know the role assigned them (an earlier version, or a table of
//!   `replicas` without it), or the home has started again without it.
//! - While no move that can go on is under way, shards move from the node with the most shards to
//!   the node with the fewest, until their counts differ by less than two. No such move brings
//!   siblings together, so no two siblings are chosen at the same time.
//! - Then a shard moves away from a sibling to a candidate with fewer siblings of it that has no
//!   more shards. Each such move leaves fewer siblings together, and no other move brings them
//!   together again, so the moves end.
//! - A move for balance, or apart, is planned for a node: the shard goes there when its home has
//!   stopped it, if that node can still take it, and not to more siblings than elsewhere.

use std::collections::{BTreeMap, BTreeSet};

use antiphon_persistence::identity::ReplicaId;
use antiphon_runtime::{MemberState, Membership, NodeId};

use super::MoveId;
use crate::{Roles, ShardId};

/// The nodes that can take shards of each replica now, sorted.
pub(super) type Candidates<'a> = BTreeMap<&'a ReplicaId, Vec<&'a NodeId>>;

/// A move of a shard away from its home.
#[derive(Debug)]
pub(super) struct Move {
    pub(super) id: MoveId,
    /// True when the home has stopped the shard.
    pub(super) has_stopped: bool,
    /// The node that the move was planned for; `None`: any.
    pub(super) to: Option<NodeId>,
}

/// The shards that shall move, each with the node that the move is planned for; `None`: any.
pub(super) type Planned = Vec<(ShardId, Option<NodeId>)>;

/// The replicas of each shard number, with their homes.
type Numbers<'a> = BTreeMap<u16, Vec<(&'a ReplicaId, &'a NodeId)>>;

/// The homes of today, as the allocation sees them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Allocation<'a> {
    pub(super) homes: &'a BTreeMap<ShardId, NodeId>,
    pub(super) moves: &'a BTreeMap<ShardId, Move>,
    pub(super) members: &'a Membership,
    pub(super) entity_type: &'a str,
    pub(super) roles: &'a Roles,
    /// Replicas that a node has at another place: their shards get no first home.
    pub(super) contested: &'a BTreeSet<ReplicaId>,
    pub(super) candidates: &'a Candidates<'a>,
}

impl<'a> Allocation<'a> {
    /// Shards without a home that a candidate can take: never assigned, on a node that is gone, or
    /// stopped by their old home.
    pub(super) fn homeless(self, shards: &[ShardId]) -> Vec<ShardId> {
        let is_begun = |shard: &ShardId| {
            !self.contested.contains(&shard.replica) || self.homes.contains_key(shard)
        };
        let is_homeless =
            |shard: &&ShardId| self.is_homeless(shard) && self.can_move(shard) && is_begun(shard);
        shards.iter().filter(is_homeless).cloned().collect()
    }

    /// The nodes that can take the shard.
    fn candidates_of(self, shard: &ShardId) -> &'a [&'a NodeId] {
        self.candidates.get(&shard.replica).map_or(&[], Vec::as_slice)
    }

    fn can_move(self, shard: &ShardId) -> bool {
        !self.candidates_of(shard).is_empty()
    }

    fn is_homeless(self, shard: &ShardId) -> bool {
        let Some(node) = self.homes.get(shard) else { return true };
        self.members.is_gone(node) || self.moves.get(shard).is_some_and(|going| going.has_stopped)
    }

    /// Assigns each homeless shard to the node that its move was planned for, or to the candidate
    /// with the fewest shards.
    pub(super) fn assign(self, homeless: &[ShardId]) -> BTreeMap<ShardId, NodeId> {
        let mut counts = self.counts();
        for shard in homeless {
            assert!(self.is_homeless(shard), "{shard} would get a second home");
            if let Some(count) = self.homes.get(shard).and_then(|node| counts.get_mut(node)) {
                *count -= 1;
            }
        }
        let mut by_number: BTreeMap<u16, Vec<&NodeId>> = BTreeMap::new();
        let new: BTreeSet<&ShardId> = homeless.iter().collect();
        for (shard, node) in self.homes.iter().filter(|(shard, _)| !new.contains(shard)) {
            by_number.entry(shard.number).or_default().push(node);
        }
        let mut assigned = BTreeMap::new();
        for shard in homeless {
            let siblings = by_number.entry(shard.number).or_default();
            let node = self.next_home(shard, &counts, siblings);
            counts.entry(node).and_modify(|count| *count += 1);
            siblings.push(node);
            assigned.insert(shard.clone(), node.clone());
        }
        assigned
    }

    /// The new home of a shard. `siblings` are the nodes of its siblings.
    fn next_home(
        self,
        shard: &ShardId,
        counts: &BTreeMap<&'a NodeId, usize>,
        siblings: &[&NodeId],
    ) -> &'a NodeId {
        let fewest = self.fewest(shard, counts, siblings).expect("only shards that can move");
        let to = self.moves.get(shard).and_then(|going| going.to.as_ref());
        let mut candidates = self.candidates_of(shard).iter();
        let planned = to.and_then(|to| candidates.find(|node| **node == to).copied());
        let together = sibling_count(siblings, fewest);
        planned.filter(|node| sibling_count(siblings, node) <= together).unwrap_or(fewest)
    }

    /// The candidate of a shard with the lowest weight. `siblings` are the nodes of the shards of
    /// the same number, of other replicas.
    fn fewest(
        self,
        shard: &ShardId,
        counts: &BTreeMap<&'a NodeId, usize>,
        siblings: &[&NodeId],
    ) -> Option<&'a NodeId> {
        lightest(self.candidates_of(shard).iter().copied(), counts, siblings)
    }

    /// The homes by the number of the shard.
    fn numbers(self) -> Numbers<'a> {
        let mut numbers = Numbers::new();
        for (shard, node) in self.homes {
            numbers.entry(shard.number).or_default().push((&shard.replica, node));
        }
        numbers
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

    /// Moves that end without a new home: the home is gone, or is at work while no candidate is
    /// left. The move of a home that leaves waits.
    pub(super) fn in_vain(self) -> Vec<ShardId> {
        let is_in_vain = |shard: &&ShardId| {
            let home = self.homes.get(*shard).and_then(|node| self.members.get(node));
            let stays = home.is_none_or(|home| home.is_gone() || home.state == MemberState::Up);
            stays && !self.can_move(shard)
        };
        self.moves.keys().filter(is_in_vain).cloned().collect()
    }

    /// Number of moves that can go on.
    fn going_on(self) -> usize {
        self.moves.keys().filter(|shard| self.can_move(shard)).count()
    }

    /// Shards on nodes at work that lack their role, and that another node can take. At most
    /// `moves_max` shards; none while a move that can go on is under way.
    pub(super) fn misplaced(self, moves_max: usize) -> Vec<ShardId> {
        if self.going_on() > 0 {
            return Vec::new();
        }
        let is_misplaced = |(shard, node): &(&ShardId, &NodeId)| {
            let home = self.members.get(node);
            home.is_some_and(|home| {
                home.state == MemberState::Up
                    && !self.roles.fits(self.entity_type, &shard.replica, home)
            }) && self.can_move(shard)
        };
        let misplaced = self.homes.iter().filter(is_misplaced).take(moves_max);
        misplaced.map(|(shard, _)| shard.clone()).collect()
    }

    /// Shards to take from the nodes with the most, until the counts differ by less than two. At
    /// most `moves_max` shards; none while a move that can go on is under way.
    pub(super) fn unbalanced(self, moves_max: usize) -> Planned {
        let mut counts = self.counts();
        if self.going_on() > 0 || is_balanced(&counts) {
            return Vec::new();
        }
        let numbers = self.numbers();
        let (mut planned, mut taken) = (Vec::new(), BTreeSet::new());
        while planned.len() < moves_max && !is_balanced(&counts) {
            let next = self.next_move(&counts, &numbers, &taken);
            let Some((shard, most, least)) = next else { break };
            taken.insert(shard.number);
            counts.entry(most).and_modify(|count| *count -= 1);
            counts.entry(least).and_modify(|count| *count += 1);
            planned.push((shard.clone(), Some(least.clone())));
        }
        planned
    }

    /// Shards to take from nodes with a sibling of theirs, to candidates with fewer siblings and no
    /// more shards. At most `moves_max` shards; none while a move that can go on is under way.
    pub(super) fn crowded(self, moves_max: usize) -> Planned {
        if self.going_on() > 0 {
            return Vec::new();
        }
        let (mut counts, numbers) = (self.counts(), self.numbers());
        let (mut planned, mut taken) = (Vec::new(), BTreeSet::new());
        for (shard, node) in self.homes {
            if planned.len() >= moves_max {
                break;
            }
            let siblings = siblings_of(&numbers, shard);
            let together = sibling_count(&siblings, node);
            // two siblings that both move could meet again
            let moves = taken.contains(&shard.number) || self.moves.contains_key(shard);
            let Some(count) = counts.get(node).copied().filter(|_| together > 0 && !moves) else {
                continue;
            };
            let candidates = self.candidates_of(shard).iter().copied();
            let better = candidates.filter(|candidate| {
                counts[candidate] <= count && sibling_count(&siblings, candidate) < together
            });
            let Some(least) = lightest(better, &counts, &siblings) else { continue };
            taken.insert(shard.number);
            counts.entry(node).and_modify(|count| *count -= 1);
            counts.entry(least).and_modify(|count| *count += 1);
            planned.push((shard.clone(), Some(least.clone())));
        }
        planned
    }

    /// The first shard of the node with the most shards that has at least two more than a candidate
    /// of the shard; with that node and that candidate. Shards of the numbers `taken` stay.
    fn next_move(
        self,
        counts: &BTreeMap<&'a NodeId, usize>,
        numbers: &Numbers<'a>,
        taken: &BTreeSet<u16>,
    ) -> Option<(&'a ShardId, &'a NodeId, &'a NodeId)> {
        let mut best = None;
        for (shard, node) in self
            .homes
            .iter()
            .filter(|(shard, _)| !taken.contains(&shard.number) && !self.moves.contains_key(shard))
        {
            let Some(high) = counts.get(node).copied() else { continue };
            let is_best = best.as_ref().is_none_or(|(most, _)| (high, node) > *most);
            if !is_best {
                continue;
            }
            let siblings = siblings_of(numbers, shard);
            let together = sibling_count(&siblings, node);
            let Some(least) = self.fewest(shard, counts, &siblings) else { continue };
            let keeps_apart = sibling_count(&siblings, least) <= together;
            if high >= counts[least] + 2 && keeps_apart {
                best = Some(((high, node), (shard, node, least)));
            }
        }
        best.map(|(_, found)| found)
    }
}

/// Returns whether no two candidates differ by two shards or more.
fn is_balanced(counts: &BTreeMap<&NodeId, usize>) -> bool {
    let (most, least) = (counts.values().max(), counts.values().min());
    most.zip(least).is_none_or(|(most, least)| *most < least + 2)
}

/// The nodes of the siblings of a shard.
fn siblings_of<'a>(numbers: &Numbers<'a>, shard: &ShardId) -> Vec<&'a NodeId> {
    let all = numbers.get(&shard.number).into_iter().flatten();
    all.filter(|(replica, _)| **replica != shard.replica).map(|(_, node)| *node).collect()
}

/// The node with the lowest weight, and with the fewest shards of those.
fn lightest<'a>(
    nodes: impl Iterator<Item = &'a NodeId>,
    counts: &BTreeMap<&'a NodeId, usize>,
    siblings: &[&NodeId],
) -> Option<&'a NodeId> {
    nodes.min_by_key(|node| {
        let count = counts[node];
        (weight(count, sibling_count(siblings, node)), count)
    })
}

/// The number of siblings at a node, of those at `siblings`.
fn sibling_count(siblings: &[&NodeId], node: &NodeId) -> usize {
    siblings.iter().filter(|sibling| **sibling == node).count()
}

/// The weight of a candidate with this number of shards, and of siblings of the shard.
fn weight(count: usize, together: usize) -> usize {
    count + 2 * together
}
