//! Tests of the allocation: homes, and the moves that are planned.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use antiphon_persistence::identity::ReplicaId;
use antiphon_runtime::{Member, MemberState, Membership, NodeId};

use super::MoveId;
use super::allocation::{Allocation, Candidates, Move, Planned};
use crate::{Roles, ShardId};

fn node(name: &str) -> NodeId {
    NodeId::new(name, 1).unwrap()
}

fn shard(replica: &str, number: u16) -> ShardId {
    ShardId { replica: ReplicaId::new(replica).unwrap(), number }
}

/// Nodes that can all take shards of all replicas, and the homes of today.
struct World {
    replicas: BTreeSet<ReplicaId>,
    nodes: Vec<NodeId>,
    members: Membership,
    homes: BTreeMap<ShardId, NodeId>,
    moves: BTreeMap<ShardId, Move>,
}

impl World {
    fn new(names: &[&str], homes: impl IntoIterator<Item = (ShardId, &'static str)>) -> Self {
        let nodes: Vec<NodeId> = names.iter().map(|name| node(name)).collect();
        let member = |id: &NodeId| Member {
            id: id.clone(),
            place: "A".into(),
            roles: Vec::new(),
            proxy_only: false,
            replicas: Arc::default(),
            address: String::new(),
            http_address: None,
            state: MemberState::Up,
            sealed: false,
        };
        let homes: BTreeMap<_, _> =
            homes.into_iter().map(|(shard, name)| (shard, node(name))).collect();
        Self {
            replicas: homes.keys().map(|shard| shard.replica.clone()).collect(),
            members: Membership::new(nodes.iter().map(member)),
            nodes,
            homes,
            moves: BTreeMap::new(),
        }
    }

    fn with<T>(&self, look: impl FnOnce(Allocation<'_>) -> T) -> T {
        let nodes: Vec<&NodeId> = self.nodes.iter().collect();
        let candidates: Candidates<'_> =
            self.replicas.iter().map(|replica| (replica, nodes.clone())).collect();
        look(Allocation {
            homes: &self.homes,
            moves: &self.moves,
            members: &self.members,
            entity_type: "t",
            roles: &Roles::default(),
            contested: &BTreeSet::new(),
            candidates: &candidates,
        })
    }

    fn plan(&mut self, planned: Planned) {
        let id = MoveId { token: 1, change: 1 };
        let moving =
            planned.into_iter().map(|(shard, to)| (shard, Move { id, has_stopped: false, to }));
        self.moves = moving.collect();
    }

    /// The home has stopped the shard, which gets its next home.
    fn stopped(&mut self, shard: &ShardId) {
        self.moves.get_mut(shard).unwrap().has_stopped = true;
        let assigned = self.with(|allocation| allocation.assign(std::slice::from_ref(shard)));
        self.moves.remove(shard);
        self.homes.extend(assigned);
    }

    fn assert_apart(&self) {
        let places: BTreeSet<_> =
            self.homes.iter().map(|(shard, node)| (shard.number, node)).collect();
        assert_eq!(places.len(), self.homes.len(), "{:?}", self.homes);
    }

    fn counts(&self) -> Vec<usize> {
        let count = |node| self.homes.values().filter(|home| *home == node).count();
        self.nodes.iter().map(count).collect()
    }
}

#[test]
fn no_move_to_a_new_node_brings_replicas_of_an_entity_together() {
    let home = |number: u16, turn: u16| ["a", "b"][usize::from((number + turn) % 2)];
    let homes = (0..9).flat_map(|number| {
        [(shard("r1", number), home(number, 0)), (shard("r2", number), home(number, 1))]
    });
    let mut world = World::new(&["a", "b", "c"], homes);
    let mut rounds = 0;
    while world.counts() != [6; 3] {
        let planned = world.with(|allocation| allocation.unbalanced(8));
        assert!(!planned.is_empty(), "{:?}", world.counts());
        world.plan(planned);
        let moving: Vec<ShardId> = world.moves.keys().rev().cloned().collect();
        for shard in moving {
            world.stopped(&shard);
            world.assert_apart();
        }
        rounds += 1;
    }
    assert_eq!(rounds, 1, "six of eight moves");
}

#[test]
fn a_shard_goes_to_the_node_that_its_move_was_planned_for() {
    let homes = [(shard("r1", 0), "a"), (shard("r1", 1), "a"), (shard("r1", 2), "c")];
    let mut world = World::new(&["a", "b", "c"], homes);
    world.plan(vec![(shard("r1", 0), Some(node("c")))]);
    world.stopped(&shard("r1", 0));
    assert_eq!(world.homes[&shard("r1", 0)], node("c"), "though `b` has fewer");
}

#[test]
fn a_node_that_got_a_sibling_meanwhile_is_not_the_planned_home_any_more() {
    let homes = [(shard("r1", 0), "a"), (shard("r2", 0), "c")];
    let mut world = World::new(&["a", "b", "c"], homes);
    world.plan(vec![(shard("r1", 0), Some(node("c")))]);
    world.stopped(&shard("r1", 0));
    world.assert_apart();
}

#[test]
fn a_move_apart_never_goes_to_a_node_with_more_shards_than_the_home() {
    let crowd = ["r1", "r2", "r3"].map(|replica| (shard(replica, 0), "a"));
    let others = (1..=4).map(|number| (shard("r1", number), "b"));
    let world = World::new(&["a", "b"], crowd.into_iter().chain(others));
    let planned = world.with(|allocation| allocation.crowded(8));
    assert!(planned.is_empty(), "`b` would have three more: {planned:?}");
}

#[test]
fn a_balanced_cluster_plans_no_move() {
    let homes = (0..100).map(|number| (shard("r1", number), ["a", "b"][usize::from(number % 2)]));
    let world = World::new(&["a", "b"], homes);
    assert!(world.with(|allocation| allocation.unbalanced(8)).is_empty());
}
