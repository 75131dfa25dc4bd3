//! Tests of the coordinator: inputs, and the expected effects.

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

fn node(name: &str) -> NodeId {
    NodeId::new(name, 1).unwrap()
}

fn shard(number: u16) -> ShardId {
    ShardId { replica: ReplicaId::new("A").unwrap(), number }
}

fn members(states: &[(&str, MemberState, bool)]) -> Input {
    let member = |(name, state, sealed): &(&str, MemberState, bool)| Member {
        id: node(name),
        place: "A".into(),
        roles: Vec::new(),
        proxy_only: false,
        replicas: Arc::default(),
        address: String::new(),
        http_address: None,
        state: *state,
        sealed: *sealed,
    };
    Input::Members(Arc::new(Membership::new(states.iter().map(member))))
}

fn up(names: &[&str]) -> Input {
    members(&names.iter().map(|name| (*name, MemberState::Up, false)).collect::<Vec<_>>())
}

struct Fixture {
    core: CoordinatorCore,
    now: Instant,
}

impl Fixture {
    fn new(shard_count: u16, stored: &[(u16, &str)]) -> Self {
        let settings = CoordinatorSettings {
            join_wait: Duration::from_secs(1),
            rebalance_interval: Duration::from_secs(2),
            rebalance_moves_max: 2,
            retry_delay_max: Duration::from_secs(2),
        };
        let shards = (0..shard_count).map(shard).collect();
        let mut fixture = Self {
            core: CoordinatorCore::new("t".into(), "A".into(), shards, Roles::default(), settings),
            now: SystemClock.now(),
        };
        assert_eq!(fixture.step(Input::Lease(Some(TOKEN))), [Effect::Load(TOKEN)]);
        let stored = stored.iter().map(|(number, name)| (shard(*number), node(name))).collect();
        assert_eq!(fixture.step(Input::Loaded(TOKEN, Some(stored))), []);
        fixture
    }

    fn step(&mut self, input: Input) -> Vec<Effect> {
        self.core.step(self.now, input)
    }

    fn applied(&mut self) -> Vec<Effect> {
        self.step(Input::Written(TOKEN, WriteOutcome::Applied))
    }

    fn homes(&self) -> BTreeMap<u16, String> {
        let homes = self.core.homes().unwrap().homes;
        let text = |home: &Home| match home {
            Home::At(node) => node.name().to_owned(),
            Home::Moving(node, _) => format!("{} moving", node.name()),
        };
        homes.iter().map(|(shard, home)| (shard.number, text(home))).collect()
    }
}

fn write(pairs: &[(u16, &str)]) -> Effect {
    Effect::Write(TOKEN, pairs.iter().map(|(number, name)| (shard(*number), node(name))).collect())
}

#[test]
fn homes_are_written_before_they_are_told() {
    let mut fixture = Fixture::new(4, &[]);
    assert_eq!(fixture.step(up(&["a", "b"])), []);
    assert_eq!(fixture.step(Input::Host(node("a"))), [], "b may come too");
    let effects = fixture.step(Input::Host(node("b")));
    assert_eq!(effects, [write(&[(0, "a"), (1, "b"), (2, "a"), (3, "b")])]);
    assert!(fixture.homes().is_empty());

    let effects = fixture.applied();
    let [Effect::Publish(homes)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(homes.homes.len(), 4);
    assert_eq!(homes.version.token, 7);
}

#[test]
fn a_node_that_stays_silent_is_waited_for_only_so_long() {
    let mut fixture = Fixture::new(1, &[]);
    fixture.step(up(&["a", "b"]));
    assert_eq!(fixture.step(Input::Host(node("a"))), []);
    fixture.now += Duration::from_secs(1);
    assert_eq!(fixture.step(Input::Tick), [write(&[(0, "a")])]);
}

#[test]
fn shards_of_a_dead_node_wait_until_it_is_sealed() {
    let mut fixture = Fixture::new(2, &[(0, "a"), (1, "b")]);
    fixture.step(Input::Host(node("b")));
    fixture.step(up(&["a", "b"]));
    fixture.now += Duration::from_secs(1);

    let dead = [("a", MemberState::Dead, false), ("b", MemberState::Up, false)];
    assert_eq!(fixture.step(members(&dead)), []);
    let sealed = [("a", MemberState::Dead, true), ("b", MemberState::Up, false)];
    assert_eq!(fixture.step(members(&sealed)), [write(&[(0, "b")])]);
}

#[test]
fn a_leaving_node_hands_its_shards_over_after_it_stopped_them() {
    let mut fixture = Fixture::new(2, &[(0, "a"), (1, "b")]);
    fixture.step(up(&["a", "b"]));
    fixture.step(Input::Host(node("a")));
    fixture.step(Input::Host(node("b")));

    let leaving = [("a", MemberState::Leaving, false), ("b", MemberState::Up, false)];
    let effects = fixture.step(members(&leaving));
    let [Effect::Publish(homes)] = &effects[..] else { panic!("{effects:?}") };
    let Home::Moving(from, id) = homes.homes[&shard(0)].clone() else { panic!("{homes:?}") };
    assert_eq!(from, node("a"));

    let mut other = id;
    other.change -= 1;
    assert_eq!(
        fixture.step(Input::ShardStopped(shard(0), other, node("a"))),
        [],
        "of an earlier move"
    );
    let forged = Input::ShardStopped(shard(0), id, node("b"));
    assert_eq!(fixture.step(forged), [Effect::Refuse(node("b"))], "the shard may still run at a");
    assert_eq!(fixture.step(Input::ShardStopped(shard(0), id, node("a"))), [write(&[(0, "b")])]);
    fixture.applied();
    assert_eq!(fixture.homes()[&0], "b");
}

#[test]
fn a_new_node_gets_its_share_few_at_a_time() {
    let mut fixture =
        Fixture::new(6, &[(0, "a"), (1, "a"), (2, "a"), (3, "a"), (4, "a"), (5, "a")]);
    fixture.step(Input::Host(node("a")));
    fixture.step(Input::Host(node("b")));
    fixture.step(up(&["a", "b"]));
    fixture.now += Duration::from_secs(2);
    fixture.step(Input::Tick);
    let moving = fixture.homes().values().filter(|home| home.ends_with("moving")).count();
    assert_eq!(moving, 2);

    for _ in 0..10 {
        let homes = fixture.core.homes().unwrap().homes;
        for (shard, home) in homes {
            if let Home::Moving(from, id) = home {
                fixture.step(Input::ShardStopped(shard, id, from));
                fixture.applied();
            }
        }
        fixture.now += Duration::from_secs(2);
        fixture.step(Input::Tick);
    }
    let of_b = fixture.homes().values().filter(|home| *home == "b").count();
    assert_eq!(of_b, 3);
}

#[test]
fn an_unknown_write_is_repeated_and_a_refused_one_ends_the_coordinator() {
    let mut fixture = Fixture::new(1, &[]);
    fixture.step(up(&["a"]));
    assert_eq!(fixture.step(Input::Host(node("a"))), [write(&[(0, "a")])]);
    assert_eq!(fixture.step(Input::Written(TOKEN, WriteOutcome::Unknown)), []);
    // even if a is gone now: the first write may be in the store
    fixture.step(members(&[("a", MemberState::Dead, true), ("b", MemberState::Up, false)]));
    assert_eq!(fixture.step(Input::Tick), [], "not at once");
    fixture.now += Duration::from_millis(200);
    assert_eq!(fixture.step(Input::Tick), [write(&[(0, "a")])]);
    fixture.now += Duration::from_secs(20);
    assert_eq!(fixture.step(Input::Tick), [], "one at a time");

    assert_eq!(fixture.step(Input::Written(TOKEN, WriteOutcome::Refused)), []);
    assert_eq!(fixture.core.homes(), None);
    assert_eq!(fixture.step(Input::Tick), []);
}

/// The end of the old write was taken for the end of the new one: homes were told that were not
/// stored.
#[test]
fn homes_are_not_read_while_a_write_of_the_same_lease_may_still_take_effect() {
    let mut fixture = Fixture::new(1, &[]);
    fixture.step(up(&["a"]));
    assert_eq!(fixture.step(Input::Host(node("a"))), [write(&[(0, "a")])]);
    assert_eq!(fixture.step(Input::Lease(None)), []);
    assert_eq!(fixture.step(Input::Lease(Some(TOKEN))), [], "the same lease again");
    fixture.now += Duration::from_secs(20);
    assert_eq!(fixture.step(Input::Tick), []);
    assert_eq!(fixture.applied(), [], "the old write");
    assert_eq!(fixture.step(Input::Tick), [Effect::Load(TOKEN)]);
    let stored = [(shard(0), node("a"))].into();
    assert_eq!(fixture.step(Input::Loaded(TOKEN, Some(stored))), []);
    assert_eq!(fixture.homes()[&0], "a");
}

#[test]
#[should_panic(expected = "that was not under way")]
fn the_end_of_a_write_that_nobody_asked_for_is_a_bug() {
    Fixture::new(1, &[(0, "a")]).applied();
}

#[test]
fn a_store_that_refuses_is_asked_less_and_less() {
    let mut fixture = Fixture::new(1, &[]);
    assert_eq!(fixture.step(Input::Lease(Some(FencingToken(8)))), [Effect::Load(FencingToken(8))]);
    let (mut reads, mut asked) = (0, 1);
    for _ in 0..5_000 {
        if asked > 0 {
            fixture.step(Input::Loaded(FencingToken(8), None));
        }
        fixture.now += Duration::from_millis(1);
        asked = fixture.step(Input::Tick).len();
        reads += asked;
    }
    assert!((4..=7).contains(&reads), "{reads} reads in five seconds");
}

#[test]
fn a_lost_lease_ends_it_and_a_new_one_reads_again() {
    let mut fixture = Fixture::new(1, &[(0, "a")]);
    assert_eq!(fixture.step(Input::Lease(None)), []);
    assert_eq!(fixture.core.homes(), None);
    let next = FencingToken(9);
    assert_eq!(fixture.step(Input::Lease(Some(next))), [Effect::Load(next)]);
    assert_eq!(fixture.step(Input::Loaded(TOKEN, Some(BTreeMap::new()))), [], "an old answer");
    assert_eq!(fixture.core.homes(), None);
    assert_eq!(fixture.step(Input::Loaded(next, None)), []);
    fixture.now += Duration::from_secs(1);
    assert_eq!(fixture.step(Input::Tick), [Effect::Load(next)], "asked again");
}
