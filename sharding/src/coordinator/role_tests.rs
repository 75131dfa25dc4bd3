//! Tests of the coordinator with replicas that need roles: inputs, and the expected homes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use antiphon_base::time::{Clock, SystemClock};
use antiphon_persistence::identity::ReplicaId;
use antiphon_persistence::store::FencingToken;
use antiphon_runtime::{Member, MemberState, Membership, NodeId};
use tokio::time::Instant;

use super::core::WriteOutcome;
use super::{CoordinatorCore, CoordinatorSettings, Effect, Home, Input};
use crate::{Roles, ShardId};

const TOKEN: FencingToken = FencingToken(7);
const WAIT: Duration = Duration::from_secs(2);

fn node(name: &str) -> NodeId {
    NodeId::new(name, 1).unwrap()
}

fn replica(name: &str) -> ReplicaId {
    ReplicaId::new(name).unwrap()
}

/// A member that is up, with these roles; a proxy when they are `-`.
fn member(name: &str, roles: &str) -> Member {
    Member {
        id: node(name),
        place: "A".into(),
        roles: roles.split_whitespace().map(str::to_owned).collect(),
        proxy_only: roles == "-",
        replicas: Arc::default(),
        address: String::new(),
        http_address: None,
        state: MemberState::Up,
        sealed: false,
    }
}

/// The coordinator of two shards of each of the replicas `one` and `two`, which need roles of these
/// names, and `any`, which needs none.
struct Fixture {
    core: CoordinatorCore,
    members: BTreeMap<String, Member>,
    now: Instant,
    /// False: homes do not stop the shards that move.
    homes_stop: bool,
}

impl Fixture {
    fn new(stored: &[(&str, u16, &str)], members: &[(&str, &str)]) -> Self {
        let settings = CoordinatorSettings {
            join_wait: Duration::from_secs(1),
            rebalance_interval: WAIT,
            rebalance_moves_max: 10,
            retry_delay_max: WAIT,
        };
        let shards = ["any", "one", "two"].map(replica).into_iter().flat_map(|replica| {
            (0..2).map(move |number| ShardId { replica: replica.clone(), number })
        });
        let roles: Roles =
            ["one", "two"].map(|role| (replica(role), role.into())).into_iter().collect();
        let core = CoordinatorCore::new("t".into(), "A".into(), shards.collect(), roles, settings);
        let members = members.iter().map(|(name, roles)| ((*name).to_owned(), member(name, roles)));
        let mut fixture =
            Self { core, members: members.collect(), now: SystemClock.now(), homes_stop: true };
        fixture.step(Input::Lease(Some(TOKEN)));
        let home = |(name, number, home): &(&str, u16, &str)| {
            (ShardId { replica: replica(name), number: *number }, node(home))
        };
        fixture.step(Input::Loaded(TOKEN, Some(stored.iter().map(home).collect())));
        fixture.tell_members();
        fixture
    }

    fn tell_members(&mut self) {
        let members = Arc::new(Membership::new(self.members.values().cloned()));
        self.step(Input::Members(members));
    }

    /// A step whose writes succeed at once, and whose moves too if homes stop.
    fn step(&mut self, input: Input) {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            for effect in self.core.step(self.now, input) {
                match effect {
                    Effect::Write(token, _) => {
                        inputs.push(Input::Written(token, WriteOutcome::Applied));
                    }
                    Effect::Publish(homes) => {
                        for (shard, home) in homes.homes {
                            if let (Home::Moving(from, id), true) = (home, self.homes_stop) {
                                inputs.push(Input::ShardStopped(shard, id, from));
                            }
                        }
                    }
                    Effect::Load(_) | Effect::Refuse(_) => {}
                }
            }
        }
    }

    fn hosts(&mut self, names: &[&str]) {
        for name in names {
            self.step(Input::Host(node(name)));
        }
    }

    fn wait(&mut self) {
        self.now += WAIT;
        self.step(Input::Tick);
    }

    fn dies(&mut self, name: &str) {
        let lost = self.members.get_mut(name).unwrap();
        (lost.state, lost.sealed) = (MemberState::Dead, true);
        self.tell_members();
    }

    fn moving(&self) -> Vec<String> {
        let homes = self.core.homes().unwrap().homes;
        let moving = homes.iter().filter(|(_, home)| matches!(home, Home::Moving(..)));
        moving.map(|(shard, _)| shard.to_string()).collect()
    }

    /// The homes of a replica's two shards.
    fn homes(&self, name: &str) -> Vec<String> {
        let homes = self.core.homes().unwrap().homes;
        let of_replica = homes.iter().filter(|(shard, _)| shard.replica == replica(name));
        of_replica.map(|(_, home)| home.node().name().to_owned()).collect()
    }
}

#[test]
fn shards_go_only_to_nodes_with_their_role_and_never_to_a_proxy() {
    let members = [("a", "one"), ("b", "two"), ("c", "one two"), ("p", "-")];
    let mut fixture = Fixture::new(&[], &members);
    fixture.hosts(&["a", "b"]);
    assert!(fixture.homes("any").is_empty(), "c may come too");
    // a node that says that it hosts shards, and whose row says that it does not
    fixture.hosts(&["p", "c"]);
    assert!(fixture.homes("one").iter().all(|home| home == "a" || home == "c"));
    assert!(fixture.homes("two").iter().all(|home| home == "b" || home == "c"));
    let all = ["any", "one", "two"].map(|replica| fixture.homes(replica)).concat();
    for name in ["a", "b", "c"] {
        assert_eq!(all.iter().filter(|home| *home == name).count(), 2, "{all:?}");
    }
}

#[test]
fn a_proxy_is_not_waited_for() {
    let mut fixture = Fixture::new(&[], &[("a", "one two"), ("p", "-")]);
    fixture.hosts(&["a"]);
    assert_eq!(fixture.homes("any"), ["a", "a"]);
}

#[test]
fn shards_whose_role_is_lost_wait_for_it_and_the_others_do_not() {
    let mut fixture = Fixture::new(&[], &[("a", "one"), ("b", "two")]);
    fixture.hosts(&["a", "b"]);
    fixture.dies("b");
    fixture.wait();
    assert_eq!(fixture.homes("any"), ["a", "a"]);
    assert_eq!(fixture.homes("two"), ["b", "b"], "no other node may host them");

    fixture.members.insert("c".into(), member("c", "two"));
    fixture.tell_members();
    fixture.hosts(&["c"]);
    assert_eq!(fixture.homes("two"), ["c", "c"]);
}

#[test]
fn a_leaving_node_keeps_the_shards_that_no_other_can_take() {
    let mut fixture = Fixture::new(&[], &[("a", "one"), ("b", "two")]);
    fixture.hosts(&["a", "b"]);
    fixture.members.get_mut("b").unwrap().state = MemberState::Leaving;
    fixture.tell_members();
    fixture.wait();
    assert_eq!(fixture.homes("any"), ["a", "a"]);
    assert_eq!(fixture.homes("two"), ["b", "b"]);
    let homes = fixture.core.homes().unwrap().homes;
    assert!(homes.values().all(|home| matches!(home, Home::At(_))), "none is told to stop");
}

/// Coordinators of earlier versions assign shards without regard to roles.
#[test]
fn shards_on_nodes_without_their_role_move_when_a_node_with_it_is_there() {
    let stored = [("one", 0, "b"), ("one", 1, "a"), ("two", 0, "a"), ("two", 1, "a")];
    let mut fixture = Fixture::new(&stored, &[("a", "one"), ("b", "")]);
    fixture.hosts(&["a", "b"]);
    fixture.wait();
    assert_eq!(fixture.homes("one"), ["a", "a"]);
    assert_eq!(fixture.homes("two"), ["a", "a"], "no node has the role: they go on where they are");

    fixture.members.insert("c".into(), member("c", "two"));
    fixture.tell_members();
    fixture.hosts(&["c"]);
    fixture.wait();
    fixture.wait();
    assert_eq!(fixture.homes("two"), ["c", "c"]);
    assert_eq!(fixture.homes("any"), ["b", "b"], "in balance with the role's shards");
}

#[test]
fn a_move_without_a_candidate_is_withdrawn_while_its_home_is_at_work() {
    let stored = [("one", 0, "b"), ("one", 1, "b"), ("two", 0, "b"), ("two", 1, "b")];
    let mut fixture = Fixture::new(&stored, &[("a", "one"), ("b", "two")]);
    fixture.homes_stop = false;
    fixture.hosts(&["a", "b"]);
    fixture.wait();
    assert_eq!(fixture.moving().len(), 2, "those of `one`");
    let before = fixture.core.homes().unwrap();
    // the old home has stopped one of them, and the new one is lost
    let stopped = ShardId { replica: replica("one"), number: 0 };
    fixture.dies("a");
    fixture.step(Input::ShardStopped(stopped, before.version, node("b")));
    assert_eq!(fixture.moving(), [""; 0]);
    assert_eq!(fixture.homes("one"), ["b", "b"]);
    assert!(fixture.core.homes().unwrap().version > before.version, "regions take it");
}

#[test]
fn a_move_without_a_candidate_does_not_keep_other_shards_out_of_balance() {
    let stored = [("any", 0, "a"), ("any", 1, "a"), ("two", 0, "b"), ("two", 1, "b")];
    let members = [("a", "one"), ("b", "two"), ("c", "two")];
    let mut fixture = Fixture::new(&stored, &members);
    fixture.homes_stop = false;
    fixture.hosts(&["a", "b", "c"]);
    fixture.members.get_mut("b").unwrap().state = MemberState::Leaving;
    fixture.tell_members();
    assert_eq!(fixture.moving(), ["two/0", "two/1"]);
    fixture.dies("c");
    fixture.members.insert("d".into(), member("d", ""));
    fixture.tell_members();
    fixture.hosts(&["d"]);
    fixture.wait();
    assert_eq!(fixture.moving(), ["any/0", "any/1", "two/0", "two/1"], "two of four go to `d`");

    fixture.dies("b");
    assert_eq!(fixture.moving(), ["any/0", "any/1"], "the home is gone");
}

#[test]
fn homes_of_replicas_that_are_not_known_are_told_and_never_planned() {
    let stored = [("any", 0, "a"), ("any", 1, "a"), ("old", 0, "a"), ("old", 1, "gone")];
    let mut fixture = Fixture::new(&stored, &[("a", "one two"), ("b", "one two")]);
    fixture.hosts(&["a", "b"]);
    fixture.members.get_mut("a").unwrap().state = MemberState::Leaving;
    fixture.tell_members();
    for _ in 0..3 {
        fixture.wait();
    }
    assert_eq!(fixture.homes("any"), ["b", "b"]);
    assert_eq!(fixture.homes("old"), ["a", "gone"]);
    assert_eq!(fixture.moving(), [""; 0]);
}

#[test]
fn replicas_of_an_entity_go_to_different_nodes_if_that_costs_no_balance() {
    let mut fixture = Fixture::new(&[], &[("a", "one"), ("b", "one")]);
    fixture.hosts(&["a", "b"]);
    assert_eq!(fixture.homes("any"), ["a", "b"]);
    assert_eq!(fixture.homes("one"), ["b", "a"]);
}

#[test]
fn replicas_of_an_entity_that_came_together_on_one_node_are_moved_apart_in_balance() {
    let stored = [("any", 0, "a"), ("one", 0, "a"), ("any", 1, "b"), ("one", 1, "b")];
    let mut fixture = Fixture::new(&stored, &[("a", "one"), ("b", "one")]);
    fixture.hosts(&["a", "b"]);
    for _ in 0..4 {
        fixture.wait();
    }
    let (any, one) = (fixture.homes("any"), fixture.homes("one"));
    assert!((0..2).all(|number| any[number] != one[number]), "{any:?} {one:?}");
    let at_a = any.iter().chain(&one).filter(|home| *home == "a").count();
    assert_eq!(at_a, 2, "{any:?} {one:?}");
}

proptest::proptest! {
    /// Moves for balance and moves apart do not undo each other.
    #[test]
    fn the_moves_end_in_balance_with_the_replicas_of_each_entity_apart(
        at in proptest::collection::vec(0..3_usize, 6),
    ) {
        let names = ["a", "b", "c"];
        let shards = ["any", "one", "two"].into_iter().flat_map(|name| [(name, 0), (name, 1)]);
        let stored: Vec<_> =
            shards.zip(&at).map(|((name, number), at)| (name, number, names[*at])).collect();
        let mut fixture = Fixture::new(&stored, &names.map(|name| (name, "one two")));
        fixture.hosts(&names);
        for _ in 0..12 {
            fixture.wait();
        }
        let all = |fixture: &Fixture| ["any", "one", "two"].map(|name| fixture.homes(name));
        let homes = all(&fixture);
        fixture.wait();
        proptest::prop_assert_eq!(&all(&fixture), &homes, "no shard moves any more");
        for number in 0..2 {
            let apart: std::collections::BTreeSet<_> =
                homes.iter().map(|homes| &homes[number]).collect();
            proptest::prop_assert_eq!(apart.len(), 3, "{:?}", homes);
        }
        for name in names {
            let count = homes.iter().flatten().filter(|home| *home == name).count();
            proptest::prop_assert_eq!(count, 2, "{:?}", homes);
        }
    }
}
