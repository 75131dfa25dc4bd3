//! The lease by effects.

use std::sync::Arc;
use std::time::Duration;

use antiphon_base::time::{Clock, SystemClock};
use antiphon_persistence::store::FencingToken;

use super::{Effect, Input, LeaseCore, LeaseRow, VersionedLease};
use crate::NodeId;
use crate::membership::{Member, MemberState, Membership, PlacedReplica, Verdict};

fn id(name: &str) -> NodeId {
    NodeId::new(name, 1).unwrap()
}

fn members(states: &[(&str, MemberState)]) -> Membership {
    Membership::new(states.iter().map(|(name, state)| Member {
        id: id(name),
        place: "p".into(),
        roles: Vec::new(),
        proxy_only: false,
        replicas: Arc::default(),
        address: String::new(),
        http_address: None,
        state: *state,
        sealed: false,
    }))
}

fn row(holder: Option<&str>, token: u64) -> LeaseRow {
    LeaseRow { holder: holder.map(id), token, condemned: Vec::new() }
}

fn step(core: &mut LeaseCore, input: Input) -> Vec<Effect> {
    core.step(SystemClock.now(), input)
}

fn read(core: &mut LeaseCore, row: VersionedLease) -> Vec<Effect> {
    let changes = core.changes();
    step(core, Input::Read(row, changes))
}

#[test]
fn a_free_lease_is_taken_with_a_higher_token() {
    let mut core = LeaseCore::new(id("me"), Duration::from_secs(2), PATIENCE);
    let both = members(&[("me", MemberState::Up), ("b", MemberState::Up)]);
    assert_eq!(step(&mut core, Input::Members(both.clone(), true)), [], "nothing was read yet");
    assert_eq!(read(&mut core, Some((3, row(Some("b"), 7)))), [Effect::Publish]);
    let dead = members(&[("me", MemberState::Up), ("b", MemberState::Dead)]);
    let taken = [Effect::Change(Some(3), row(Some("me"), 8))];
    assert_eq!(step(&mut core, Input::Members(dead, true)), taken);
    assert_eq!(core.held(), None);
    let effects = step(&mut core, Input::Changed(Some(Some((4, row(Some("me"), 8))))));
    assert_eq!(effects, [Effect::Publish]);
    assert_eq!(core.held(), Some(FencingToken(8)));
}

#[test]
fn a_lease_with_the_greatest_token_is_left_alone() {
    let mut core = LeaseCore::new(id("me"), Duration::from_secs(2), PATIENCE);
    step(&mut core, Input::Members(members(&[("me", MemberState::Up)]), true));
    let effects = read(&mut core, Some((3, row(None, u64::MAX))));
    assert!(effects.iter().all(|effect| !matches!(effect, Effect::Change(..))), "{effects:?}");
    assert_eq!(core.held(), None);
}

#[test]
fn after_an_unknown_outcome_the_row_is_read_before_anything_else() {
    let mut core = LeaseCore::new(id("me"), Duration::from_secs(2), PATIENCE);
    let me = members(&[("me", MemberState::Up)]);
    step(&mut core, Input::Members(me, true));
    assert_eq!(read(&mut core, None), [Effect::Change(None, row(Some("me"), 1))]);
    assert_eq!(step(&mut core, Input::Changed(None)), []);
    assert_eq!(read(&mut core, None), [], "not again at once");
    read(&mut core, Some((1, row(Some("me"), 1))));
    assert_eq!(core.held(), Some(FencingToken(1)));
}

#[test]
fn a_released_lease_has_no_holder_and_is_not_taken_again() {
    let mut core = LeaseCore::new(id("me"), Duration::from_secs(2), PATIENCE);
    step(&mut core, Input::Members(members(&[("me", MemberState::Leaving)]), true));
    read(&mut core, Some((1, row(Some("me"), 1))));
    let given_back = Effect::Change(Some(1), row(None, 1));
    assert_eq!(step(&mut core, Input::Release), [Effect::Publish, given_back]);
    assert_eq!(core.held(), None);
    assert_eq!(step(&mut core, Input::Changed(Some(Some((2, row(None, 1)))))), [Effect::Publish]);
}

fn verdict(name: &str) -> Verdict {
    Verdict { id: id(name), by: id("me"), why: "a reason".into() }
}

#[test]
fn a_verdict_is_written_only_into_the_row_that_it_was_found_by() {
    let mut core = LeaseCore::new(id("me"), Duration::from_secs(2), PATIENCE);
    let all = [("me", MemberState::Up), ("b", MemberState::Up), ("c", MemberState::Dead)];
    step(&mut core, Input::Members(members(&all), true));
    let before = LeaseRow { condemned: vec![verdict("c")], ..row(Some("me"), 3) };
    read(&mut core, Some((5, before)));
    assert_eq!(step(&mut core, Input::Condemn(verdict("b"), Some(4))), [], "an older row");
    let after = LeaseRow { condemned: vec![verdict("b")], ..row(Some("me"), 3) };
    let change = [Effect::Change(Some(5), after)];
    assert_eq!(step(&mut core, Input::Condemn(verdict("b"), Some(5))), change, "c is dead");
    assert_eq!(step(&mut core, Input::Condemn(verdict("b"), Some(5))), [], "under way");
}

#[test]
fn of_two_that_condemn_each_other_the_second_finds_itself_condemned() {
    let both = [("me", MemberState::Up), ("b", MemberState::Up), ("x", MemberState::Up)];
    let start = |name: &str| {
        let mut core = LeaseCore::new(id(name), Duration::from_secs(2), PATIENCE);
        step(&mut core, Input::Members(members(&both), true));
        read(&mut core, Some((5, row(Some("x"), 3))));
        core
    };
    let (mut me, mut b) = (start("me"), start("b"));
    let by_me = step(&mut me, Input::Condemn(verdict("b"), Some(5)));
    let by_b = step(&mut b, Input::Condemn(verdict("me"), Some(5)));
    let [Effect::Change(Some(5), stored)] = &by_me[..] else { panic!("{by_me:?}") };
    assert!(matches!(&by_b[..], [Effect::Change(Some(5), _)]), "{by_b:?}");

    // the store takes the first verdict, and tells the second writer the stored row
    step(&mut b, Input::Changed(Some(Some((6, stored.clone())))));
    let verdicts = b.verdicts().unwrap();
    assert!(verdicts.about(&id("b")).is_some() && verdicts.about(&id("me")).is_none());
    assert_eq!(step(&mut b, Input::Condemn(verdict("me"), Some(6))), []);
}

#[test]
fn who_is_condemned_neither_condemns_nor_takes_the_lease() {
    let mut core = LeaseCore::new(id("me"), Duration::from_secs(2), PATIENCE);
    step(&mut core, Input::Members(members(&[("me", MemberState::Up)]), true));
    let condemned = LeaseRow { condemned: vec![verdict("me")], ..row(None, 3) };
    assert_eq!(read(&mut core, Some((5, condemned))), [Effect::Publish]);
    assert_eq!(step(&mut core, Input::Condemn(verdict("b"), Some(5))), []);
    let free = LeaseRow { condemned: Vec::new(), ..row(None, 3) };
    let taken = Effect::Change(Some(6), row(Some("me"), 4));
    assert_eq!(read(&mut core, Some((6, free))), [Effect::Publish, taken]);
}

/// Other nodes remember the tokens of a store that was replaced by an older one: each token given
/// from then on must be newer than those.
#[test]
fn a_token_is_above_those_that_a_store_forgot() {
    let later = NodeId::new("me", 900).unwrap();
    let mut core = LeaseCore::new(later.clone(), Duration::from_secs(2), PATIENCE);
    let me = Member {
        id: later.clone(),
        place: "p".into(),
        roles: Vec::new(),
        proxy_only: false,
        replicas: Arc::default(),
        address: String::new(),
        http_address: None,
        state: MemberState::Up,
        sealed: false,
    };
    step(&mut core, Input::Members(Membership::new([me]), true));
    let taken = LeaseRow { holder: Some(later), ..row(None, 900) };
    assert_eq!(
        read(&mut core, Some((3, row(None, 7)))),
        [Effect::Publish, Effect::Change(Some(3), taken)]
    );
}

/// The read began before the lease was taken, and ended after: the holder let the coordinator go
/// again.
#[test]
fn a_read_that_began_before_a_change_had_ended_says_nothing() {
    let mut core = LeaseCore::new(id("me"), Duration::from_secs(2), PATIENCE);
    step(&mut core, Input::Members(members(&[("me", MemberState::Up)]), true));
    let began = core.changes();
    let effects = read(&mut core, Some((9, row(None, 7))));
    assert_eq!(effects, [Effect::Publish, Effect::Change(Some(9), row(Some("me"), 8))]);
    step(&mut core, Input::Changed(Some(Some((10, row(Some("me"), 8))))));
    assert_eq!(step(&mut core, Input::Read(Some((9, row(None, 7))), began)), []);
    assert_eq!(core.held(), Some(FencingToken(8)));

    // a store that was replaced by an older one has lower versions
    assert_eq!(read(&mut core, Some((4, row(Some("me"), 3)))), [Effect::Publish]);
    assert_eq!(core.held(), Some(FencingToken(3)));
}

#[test]
#[should_panic(expected = "which is not the known one")]
fn a_change_of_a_row_that_is_not_the_known_one_is_a_bug() {
    let mut core = LeaseCore::new(id("me"), Duration::from_secs(2), PATIENCE);
    step(&mut core, Input::Members(members(&[("me", MemberState::Up)]), true));
    read(&mut core, Some((1, row(None, 1))));
    core.row = Some((2, row(Some("b"), 2)));
    core.check();
}

/// Members that are up, each with entity types that have a replica at the place.
fn with_types(names: &[(&str, &[&str])]) -> Membership {
    let up: Vec<_> = names.iter().map(|(name, _)| (*name, MemberState::Up)).collect();
    let all = members(&up);
    Membership::new(names.iter().map(|(name, types)| {
        let placed = || PlacedReplica { place: "p".into(), role: None };
        let of = |name: &&str| (Arc::from(*name), [(Arc::from("R"), placed())].into());
        let replicas = Arc::new(types.iter().map(of).collect());
        Member { replicas, ..all.get(&id(name)).unwrap().clone() }
    }))
}

const PATIENCE: Duration = Duration::from_secs(4);

#[test]
fn a_free_lease_is_left_to_the_member_that_has_more_of_the_types() {
    let mut core = LeaseCore::new(id("me"), Duration::from_secs(2), PATIENCE);
    let now = SystemClock.now();
    let both = with_types(&[("me", &["cart"]), ("b", &["cart", "stock"])]);
    core.step(now, Input::Members(both.clone(), true));
    assert_eq!(core.step(now, Input::Read(Some((3, row(None, 7))), 0)), [Effect::Publish]);
    let just_before = now + PATIENCE - Duration::from_millis(1);
    assert_eq!(core.step(just_before, Input::Members(both.clone(), true)), []);

    // it is not taken: no standstill
    let taken = [Effect::Change(Some(3), row(Some("me"), 8))];
    assert_eq!(core.step(now + PATIENCE, Input::Members(both, true)), taken);
}

#[test]
fn of_members_that_lack_the_same_number_of_types_each_may_take_the_lease() {
    for others in [&["stock"][..], &["cart", "stock"], &[]] {
        let mut core = LeaseCore::new(id("me"), Duration::from_secs(2), PATIENCE);
        let own: &[&str] = if others.len() == 2 { others } else { &["cart"] };
        let both = with_types(&[("me", own), ("b", others)]);
        step(&mut core, Input::Members(both, true));
        let effects = read(&mut core, Some((3, row(None, 7))));
        assert_eq!(effects, [Effect::Publish, Effect::Change(Some(3), row(Some("me"), 8))]);
    }
}

#[test]
fn a_holder_that_lacks_a_type_gives_the_lease_back_to_a_member_that_has_it() {
    let mut core = LeaseCore::new(id("me"), Duration::from_secs(2), PATIENCE);
    let now = SystemClock.now();
    let alone = with_types(&[("me", &["cart"])]);
    let both = with_types(&[("me", &["cart"]), ("b", &["cart", "stock"])]);
    core.step(now, Input::Members(alone, true));
    core.step(now, Input::Read(Some((3, row(Some("me"), 7))), 0));
    assert_eq!(core.step(now, Input::Members(both.clone(), true)), [], "it may be about to start");
    assert_eq!(core.lacking(), [] as [Arc<str>; 0]);

    let later = now + PATIENCE;
    let given_back = Effect::Change(Some(3), row(None, 7));
    let effects = core.step(later, Input::Members(both.clone(), true));
    assert_eq!(effects, [Effect::Publish, given_back]);
    assert_eq!(core.lacking(), [Arc::from("stock")]);
    let effects = core.step(later, Input::Changed(Some(Some((4, row(None, 7))))));
    assert_eq!((effects.as_slice(), core.held()), (&[Effect::Publish, Effect::Publish][..], None));
    assert_eq!(core.lacking(), [] as [Arc<str>; 0], "nobody holds it");

    let taken = Some((5, row(Some("b"), 8)));
    assert_eq!(core.step(later, Input::Read(taken, 1)), [Effect::Publish]);
    assert_eq!(core.step(later + 9 * PATIENCE, Input::Members(both, true)), []);
}

#[test]
fn a_holder_that_starts_its_types_in_time_keeps_the_lease() {
    let mut core = LeaseCore::new(id("me"), Duration::from_secs(2), PATIENCE);
    let now = SystemClock.now();
    let late = with_types(&[("me", &[]), ("b", &["cart"])]);
    core.step(now, Input::Members(late.clone(), true));
    core.step(now, Input::Read(Some((3, row(Some("me"), 7))), 0));
    let equal = with_types(&[("me", &["cart"]), ("b", &["cart"])]);
    assert_eq!(core.step(now + PATIENCE / 2, Input::Members(equal, true)), []);
    assert_eq!(core.step(now + PATIENCE, Input::Members(late, true)), [], "the time begins anew");
}

/// No member has all types: the lease stays, and the types that have no coordinator are told.
#[test]
fn the_types_that_the_holder_lacks_are_told_when_no_member_has_all() {
    let mut core = LeaseCore::new(id("me"), Duration::from_secs(2), PATIENCE);
    let now = SystemClock.now();
    let both = with_types(&[("me", &["stock"]), ("b", &["cart"]), ("c", &["auction", "stock"])]);
    core.step(now, Input::Members(both.clone(), true));
    core.step(now, Input::Read(Some((3, row(Some("c"), 7))), 0));
    assert_eq!(core.step(now + PATIENCE, Input::Members(both.clone(), true)), [Effect::Publish]);
    assert_eq!(core.lacking(), [Arc::from("cart")]);
    assert_eq!(core.step(now + 2 * PATIENCE, Input::Members(both, true)), [], "told once");
    let gone = with_types(&[("me", &["stock"]), ("c", &["auction", "stock"])]);
    assert_eq!(core.step(now + 2 * PATIENCE, Input::Members(gone, true)), [Effect::Publish]);
    assert_eq!(core.lacking(), [] as [Arc<str>; 0]);
}

/// A type whose replicas are at other places needs no coordinator here.
#[test]
fn a_type_without_a_replica_at_the_place_makes_no_member_fitter() {
    let mut core = LeaseCore::new(id("me"), Duration::from_secs(2), PATIENCE);
    let both = with_types(&[("me", &[]), ("b", &["cart"])]);
    let elsewhere =
        Membership::new(both.all().map(|member| Member { place: "q".into(), ..member.clone() }));
    step(&mut core, Input::Members(elsewhere, true));
    let effects = read(&mut core, Some((3, row(None, 7))));
    assert_eq!(effects, [Effect::Publish, Effect::Change(Some(3), row(Some("me"), 8))]);
}
