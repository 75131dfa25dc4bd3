//! Membership by effects.

#![expect(clippy::wildcard_enum_match_arm, reason = "a test looks at what it is about")]

use std::sync::Arc;
use std::time::Duration;

use antiphon_base::time::{Clock, SystemClock, Timestamp};
use tokio::time::Instant;

use super::{
    Effect, Input, MemberRow, MemberState, MembershipCore, MembershipSettings, Outcome, Purpose,
    Verdict, Verdicts, Versioned,
};
use crate::NodeId;

mod cuts;
mod ends;
mod silence;

fn id(name: &str) -> NodeId {
    NodeId::new(name, 1).unwrap()
}

fn row(name: &str) -> MemberRow {
    MemberRow {
        id: id(name),
        place: "p".into(),
        roles: Vec::new(),
        proxy_only: false,
        replicas: Arc::default(),
        address: String::new(),
        http_address: None,
        state: MemberState::Up,
        sealed: false,
        renewals: 5,
        unreachable: Vec::new(),
        hosted: 0,
        ended_why: String::new(),
        ended_micros: 0,
    }
}

fn settings() -> MembershipSettings {
    MembershipSettings {
        renew_interval: Duration::from_secs(1),
        renew_timeout: Duration::from_secs(10),
        scan_interval: Duration::from_secs(3600),
        votes_required: 2,
        cut_timeout: Duration::from_secs(1),
        bridged_cut_timeout: Duration::from_secs(5),
        join_timeout: Duration::from_secs(20),
        retry_delay_max: Duration::from_secs(2),
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

/// A fixture that reads the table each second and counts a row as silent after three seconds.
fn watching() -> Fixture {
    let mut fixture = Fixture::new();
    let settings = MembershipSettings {
        renew_timeout: Duration::from_secs(3),
        scan_interval: Duration::from_secs(1),
        ..settings()
    };
    fixture.core = MembershipCore::new(fixture.now, settings, row("me"), 2);
    fixture.step(Input::Verdicts(Verdicts { version: Some(7), ..Verdicts::default() }));
    fixture.changed("me", Purpose::Renew, Outcome::Applied(2));
    fixture
}

impl Fixture {
    /// Lets one second pass: the own row is renewed, as `store` lets it, and the table is read.
    fn second(&mut self, store: &Outcome, rows: &[Versioned]) -> Vec<Effect> {
        self.now += Duration::from_secs(1);
        let mut all = self.step(Input::Tick(Timestamp::from_micros(1)));
        all.extend(self.changed("me", Purpose::Renew, store.clone()));
        all.extend(self.scanned(rows));
        all
    }
}

fn declared(effects: &[Effect]) -> Vec<(NodeId, String)> {
    let declared = effects.iter().filter_map(|effect| match effect {
        Effect::Change(id, Purpose::Declare, _, Some(row)) => {
            assert_eq!(row.state, MemberState::Dead);
            Some((id.clone(), row.ended_why.clone()))
        }
        _ => None,
    });
    declared.collect()
}

fn condemned(effects: &[Effect]) -> Vec<(NodeId, Option<u64>)> {
    let condemned = effects.iter().filter_map(|effect| match effect {
        Effect::Condemn(verdict, version) => Some((verdict.id.clone(), *version)),
        _ => None,
    });
    condemned.collect()
}

fn joining() -> Fixture {
    let mut fixture = watching();
    let settings = fixture.core.situation.settings.clone();
    let own = MemberRow { state: MemberState::Joining, ..row("me") };
    fixture.core = MembershipCore::new(fixture.now, settings, own, 2);
    fixture.step(Input::Verdicts(Verdicts { version: Some(7), ..Verdicts::default() }));
    fixture.changed("me", Purpose::Renew, Outcome::Applied(2));
    fixture
}

#[test]
fn a_node_is_up_when_it_has_reached_everybody_who_is_there() {
    let mut fixture = joining();
    assert_eq!(fixture.core.state(), MemberState::Joining, "the table was not read yet");
    let newer = MemberRow { state: MemberState::Joining, ..row("n") };
    fixture.scanned(&[(4, row("b")), (4, row("c")), (4, dead("d")), (4, newer)]);
    assert_eq!(fixture.core.to_probe(), [id("b"), id("c")].into());
    fixture.step(Input::Reached(id("b")));
    assert_eq!(fixture.core.state(), MemberState::Joining);
    let effects = fixture.step(Input::Reached(id("c")));
    assert_eq!(fixture.core.state(), MemberState::Up);
    assert!(effects.contains(&Effect::Publish), "{effects:?}");
}

#[test]
fn a_node_that_cannot_reach_a_member_says_nothing_against_it_and_leaves() {
    let mut fixture = joining();
    let b = MemberRow { address: "10.0.0.7:7000".into(), ..row("b") };
    fixture.scanned(&[(4, b.clone()), (4, row("c"))]);
    fixture.step(Input::Reached(id("c")));
    fixture.step(Input::Suspect(id("b"), true));
    assert_eq!(fixture.core.own_words(), []);
    for renewals in 6..25 {
        let rows = [(renewals, MemberRow { renewals, ..b.clone() })];
        let effects = fixture.second(&Outcome::Applied(3), &rows);
        assert_eq!((condemned(&effects), declared(&effects)), (vec![], vec![]));
    }
    fixture.now += Duration::from_secs(1);
    let effects = fixture.step(Input::Tick(Timestamp::from_micros(1)));
    let [Effect::Retire(why), Effect::Seal(_)] = &effects[..] else { panic!("{effects:?}") };
    assert!(why.starts_with("`me@1` cannot join: cannot reach `b@1` at `10.0.0.7:7000`"), "{why}");
    assert!(why.contains("`advertised_host`"), "{why}");
}

#[test]
fn a_node_that_joins_waits_for_a_silent_member_no_longer_than_for_its_death() {
    let mut fixture = joining();
    fixture.scanned(&[(4, row("b"))]);
    for second in 1..=4 {
        let effects = fixture.second(&Outcome::Applied(3), &[(4, row("b"))]);
        assert_eq!(declared(&effects).len(), usize::from(second == 4));
    }
    assert_eq!(fixture.core.state(), MemberState::Up);
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
    assert!(!effects.iter().any(is_seal), "not at once");
    fixture.now += Duration::from_millis(200);
    let effects = fixture.step(Input::Tick(Timestamp::from_micros(3)));
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
#[should_panic(expected = "renewed at a time that has not come")]
fn a_right_to_answer_that_begins_in_the_future_is_a_bug() {
    let mut fixture = Fixture::new();
    fixture.core.situation.now -= Duration::from_secs(1);
    fixture.core.check();
}
