//! Membership by effects.

#![expect(clippy::wildcard_enum_match_arm, reason = "a test looks at what it is about")]

use std::time::Duration;

use antiphon_persistence::time::{Clock, SystemClock, Timestamp};
use tokio::time::Instant;

use super::{
    Effect, Input, MemberRow, MemberState, MembershipCore, MembershipSettings, Outcome, Purpose,
    Versioned, Vote,
};
use crate::NodeId;

fn id(name: &str) -> NodeId {
    NodeId::new(name, 1).unwrap()
}

fn row(name: &str) -> MemberRow {
    MemberRow {
        id: id(name),
        place: "p".into(),
        roles: Vec::new(),
        address: String::new(),
        http_address: None,
        state: MemberState::Up,
        sealed: false,
        renewals: 5,
        votes: Vec::new(),
        ended_micros: 0,
    }
}

fn settings() -> MembershipSettings {
    MembershipSettings {
        renew_interval: Duration::from_secs(1),
        renew_timeout: Duration::from_secs(10),
        scan_interval: Duration::from_secs(3600),
        votes_required: 2,
        vote_renewals_max: 3,
        dead_retention: Duration::from_secs(3600),
        dead_rows_max: 8,
    }
}

struct Fixture {
    core: MembershipCore,
    now: Instant,
}

impl Fixture {
    fn new() -> Self {
        let now = SystemClock.now();
        let mut fixture = Self { core: MembershipCore::new(now, settings(), row("me"), 1), now };
        let effects = fixture.step(Input::Tick(Timestamp::from_micros(1)));
        assert!(matches!(
            &effects[..],
            [Effect::Change(_, Purpose::Renew, 1, Some(_)), Effect::Scan]
        ));
        fixture.changed("me", Purpose::Renew, Outcome::Applied(2));
        fixture
    }

    fn step(&mut self, input: Input) -> Vec<Effect> {
        self.core.step(self.now, input)
    }

    fn changed(&mut self, name: &str, purpose: Purpose, outcome: Outcome) -> Vec<Effect> {
        self.step(Input::Changed(id(name), purpose, outcome))
    }

    fn scanned(&mut self, rows: &[Versioned]) -> Vec<Effect> {
        let mut all = vec![(2, row("me"))];
        all.extend_from_slice(rows);
        self.step(Input::Scanned(Some(all)))
    }
}

fn dead(name: &str) -> MemberRow {
    MemberRow { state: MemberState::Dead, ..row(name) }
}

#[test]
fn a_node_that_finds_itself_dead_or_gone_is_fenced() {
    for conflict in [Some((9, dead("me"))), None] {
        let mut fixture = Fixture::new();
        fixture.now += Duration::from_secs(1);
        fixture.step(Input::Tick(Timestamp::from_micros(2)));
        let effects = fixture.changed("me", Purpose::Renew, Outcome::Conflict(conflict));
        assert!(matches!(&effects[..], [Effect::Fenced(_)]), "{effects:?}");
        assert_eq!(fixture.step(Input::Tick(Timestamp::from_micros(3))), []);
    }
}

#[test]
fn a_vote_in_the_own_row_does_not_stop_the_renewal() {
    let mut fixture = Fixture::new();
    fixture.now += Duration::from_secs(1);
    fixture.step(Input::Tick(Timestamp::from_micros(2)));
    let mut voted = row("me");
    voted.votes.push(Vote { by: id("b"), at: 5 });
    let effects = fixture.changed("me", Purpose::Renew, Outcome::Conflict(Some((7, voted))));
    let [Effect::Change(_, Purpose::Renew, 7, Some(row))] = &effects[..] else {
        panic!("{effects:?}")
    };
    assert_eq!(row.votes.len(), 1);
}

#[test]
fn the_time_to_answer_counts_from_the_begin_of_the_last_renewal_that_succeeded() {
    let mut fixture = Fixture::new();
    let before = fixture.core.live_until();
    fixture.now += Duration::from_secs(1);
    let began = fixture.now;
    fixture.step(Input::Tick(Timestamp::from_micros(2)));
    fixture.now += Duration::from_secs(4);
    fixture.changed("me", Purpose::Renew, Outcome::Failed);
    assert_eq!(fixture.core.live_until(), before);
    fixture.step(Input::Tick(Timestamp::from_micros(3)));
    let began_again = fixture.now;
    fixture.now += Duration::from_secs(2);
    fixture.changed("me", Purpose::Renew, Outcome::Applied(3));
    assert_eq!(fixture.core.live_until(), began_again + Duration::from_secs(10));
    assert!(began < began_again);
}

#[test]
fn votes_of_two_make_a_node_dead_and_old_votes_do_not_count() {
    let mut fixture = Fixture::new();
    let mut b = row("b");
    b.votes.push(Vote { by: id("c"), at: 1 });
    fixture.scanned(&[(1, b.clone()), (1, row("c"))]);
    let effects = fixture.step(Input::Suspect(id("b"), true));
    let [Effect::Change(_, Purpose::Vote, 1, Some(voted))] = &effects[..] else {
        panic!("{effects:?}")
    };
    assert_eq!((voted.state, voted.votes.len()), (MemberState::Up, 1), "c's vote has expired");

    b.votes = vec![Vote { by: id("c"), at: 4 }];
    let effects = fixture.changed("b", Purpose::Vote, Outcome::Conflict(Some((2, b))));
    let change = effects.iter().find_map(|effect| match effect {
        Effect::Change(_, Purpose::Vote, 2, Some(row)) => Some(row.state),
        _ => None,
    });
    assert_eq!(change, Some(MemberState::Dead));
}

#[test]
fn when_two_of_three_died_at_once_the_third_decides_alone_after_a_while() {
    let mut fixture = Fixture::new();
    fixture.core = {
        let settings = MembershipSettings {
            renew_timeout: Duration::from_secs(3),
            scan_interval: Duration::from_secs(1),
            ..settings()
        };
        MembershipCore::new(fixture.now, settings, row("me"), 1)
    };
    fixture.scanned(&[(1, row("b")), (1, row("c"))]);
    fixture.step(Input::Suspect(id("c"), true));
    let is_dead = |effects: &[Effect]| {
        effects.iter().any(|effect| match effect {
            Effect::Change(_, Purpose::Vote, _, Some(row)) => row.state == MemberState::Dead,
            _ => false,
        })
    };
    let voted = fixture.step(Input::Suspect(id("b"), true));
    assert!(!is_dead(&voted), "c may still vote");
    let mut b = row("b");
    b.votes.push(Vote { by: id("me"), at: 5 });
    let mut c = row("c");
    c.votes.push(Vote { by: id("me"), at: 5 });
    fixture.changed("b", Purpose::Vote, Outcome::Applied(2));
    fixture.changed("c", Purpose::Vote, Outcome::Applied(2));
    for scan in 0..4 {
        let effects = fixture.scanned(&[(2, b.clone()), (2, c.clone())]);
        assert_eq!(is_dead(&effects), scan == 3, "after {} reads", scan + 1);
    }
}

#[test]
fn the_only_other_node_decides_alone() {
    let mut fixture = Fixture::new();
    fixture.scanned(&[(1, row("b"))]);
    let effects = fixture.step(Input::Suspect(id("b"), true));
    let [Effect::Change(_, Purpose::Vote, 1, Some(voted))] = &effects[..] else {
        panic!("{effects:?}")
    };
    assert_eq!(voted.state, MemberState::Dead);
}

#[test]
fn the_dead_are_sealed_by_the_lease_holder_after_their_time_to_answer() {
    let mut fixture = Fixture::new();
    fixture.scanned(&[(4, dead("b"))]);
    fixture.step(Input::Lease(true));
    fixture.now += Duration::from_secs(10);
    let is_seal = |effect: &Effect| matches!(effect, Effect::Seal(_));
    let effects = fixture.step(Input::Tick(Timestamp::from_micros(2)));
    assert!(!effects.iter().any(is_seal), "a tenth more");
    fixture.now += Duration::from_secs(1);
    let effects = fixture.step(Input::Tick(Timestamp::from_micros(3)));
    assert!(effects.contains(&Effect::Seal(id("b"))));

    let effects = fixture.step(Input::SealDone(id("b"), false));
    assert!(effects.contains(&Effect::Seal(id("b"))), "again");
    let effects = fixture.step(Input::SealDone(id("b"), true));
    let [Effect::Change(_, Purpose::Sealed, 4, Some(row))] = &effects[..] else {
        panic!("{effects:?}")
    };
    assert!(row.sealed);
}

#[test]
fn without_the_lease_nobody_is_sealed() {
    let mut fixture = Fixture::new();
    fixture.scanned(&[(4, dead("b"))]);
    fixture.now += Duration::from_secs(100);
    let effects = fixture.step(Input::Tick(Timestamp::from_micros(3)));
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Seal(_))));
}

#[test]
fn rows_of_the_long_dead_are_deleted() {
    let mut fixture = Fixture::new();
    let mut old = dead("b");
    (old.sealed, old.ended_micros) = (true, 10);
    fixture.scanned(&[(4, old)]);
    fixture.step(Input::Lease(true));
    let hour = Timestamp::from_micros(10 + 3_600_000_000);
    let effects = fixture.step(Input::Tick(hour));
    assert!(effects.contains(&Effect::Change(id("b"), Purpose::Clean, 4, None)), "{effects:?}");
}

#[test]
fn at_the_end_the_row_says_dead_and_sealed() {
    let mut fixture = Fixture::new();
    let effects = fixture.step(Input::End);
    let [Effect::Change(_, Purpose::End, 2, Some(row))] = &effects[..] else {
        panic!("{effects:?}")
    };
    assert_eq!((row.state, row.sealed), (MemberState::Dead, true));
    let effects = fixture.changed("me", Purpose::End, Outcome::Applied(3));
    assert_eq!(effects, [Effect::Ended]);
}
