//! Membership by effects.

#![expect(clippy::wildcard_enum_match_arm, reason = "a test looks at what it is about")]

use std::time::Duration;

use antiphon_persistence::time::{Clock, SystemClock, Timestamp};
use tokio::time::Instant;

use super::{
    Effect, Input, MemberRow, MemberState, MembershipCore, MembershipSettings, Outcome, Purpose,
    Verdict, Verdicts, Versioned,
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
    /// One second passes: the own row is renewed, as `store` lets it, and the table is read.
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

#[test]
fn a_row_that_is_not_renewed_for_the_time_is_declared_dead_by_one_although_it_answers_probes() {
    let mut fixture = watching();
    fixture.scanned(&[(4, row("b"))]);
    fixture.step(Input::Reached(id("b")));
    let applied = Outcome::Applied(3);
    for second in 1..=4 {
        let effects = fixture.second(&applied, &[(4, row("b"))]);
        let declared = declared(&effects);
        assert_eq!(declared.len(), usize::from(second == 4), "after {second} s: {effects:?}");
        let why = declared.first().map_or("", |(_, why)| why);
        assert!(second < 4 || why.starts_with("by `me@1`: its row was not renewed"), "{why}");
    }
}

#[test]
fn a_row_that_is_renewed_once_in_time_is_alive_again() {
    let mut fixture = watching();
    let applied = Outcome::Applied(3);
    fixture.scanned(&[(4, row("b"))]);
    for renewals in [5, 5, 5, 6, 6, 6, 7, 7, 7, 8] {
        let b = MemberRow { renewals, ..row("b") };
        let effects = fixture.second(&applied, &[(renewals, b)]);
        assert_eq!(declared(&effects), [], "{renewals} renewals");
    }
}

#[test]
fn a_store_that_takes_nothing_from_anybody_makes_nobody_silent() {
    let mut fixture = watching();
    fixture.scanned(&[(4, row("b"))]);
    for second in 1..=20 {
        let effects = fixture.second(&Outcome::Failed, &[(4, row("b"))]);
        assert_eq!(declared(&effects), [], "after {second} s");
    }
}

#[test]
fn a_declaration_that_failed_is_tried_again_later_each_time() {
    let mut fixture = watching();
    fixture.scanned(&[(4, row("b"))]);
    for _ in 0..3 {
        fixture.second(&Outcome::Applied(3), &[(4, row("b"))]);
    }
    let mut now = declared(&fixture.second(&Outcome::Applied(3), &[(4, row("b"))])).len();
    // a store that refuses at once, and a clock that ticks each millisecond
    let mut tries = 0;
    for _ in 0..5_000 {
        tries += now;
        if now > 0 {
            fixture.changed("b", Purpose::Declare, Outcome::Failed);
        }
        fixture.now += Duration::from_millis(1);
        now = declared(&fixture.step(Input::Tick(Timestamp::from_micros(1)))).len();
    }
    assert!((3..=7).contains(&tries), "{tries} tries in five seconds");
}

fn cut_from(name: &str, other: &str) -> MemberRow {
    MemberRow { unreachable: vec![id(other)], ..row(name) }
}

#[test]
fn two_that_cannot_reach_each_other_are_judged_once_by_the_version_of_the_lease() {
    let mut fixture = watching();
    fixture.scanned(&[(4, row("b"))]);
    let lease = Verdicts { version: Some(9), holder: Some(id("b")), condemned: Vec::new() };
    fixture.step(Input::Verdicts(lease));
    fixture.step(Input::Suspect(id("b"), true));
    let mut b = cut_from("b", "me");
    assert_eq!(condemned(&fixture.second(&Outcome::Applied(3), &[(5, b.clone())])), []);
    // a link grows older with the renewals of both its ends
    b.renewals += 1;
    assert_eq!(condemned(&fixture.second(&Outcome::Applied(4), &[(6, b.clone())])), []);
    b.renewals += 1;
    let effects = fixture.second(&Outcome::Applied(5), &[(7, b)]);
    assert_eq!(condemned(&effects), [(id("me"), Some(9))], "b holds the lease");
}

#[test]
fn the_word_of_one_about_a_member_that_renews_its_row_puts_nobody_out() {
    let mut fixture = watching();
    fixture.scanned(&[(4, row("b")), (4, row("c"))]);
    fixture.step(Input::Suspect(id("b"), true));
    for renewals in 6..60 {
        let rows = ["b", "c"].map(|name| (renewals, MemberRow { renewals, ..row(name) }));
        let effects = fixture.second(&Outcome::Applied(3), &rows);
        assert_eq!((condemned(&effects), declared(&effects)), (vec![], vec![]), "{renewals}");
    }
    let words: Vec<_> = fixture.core.view().unreachable().cloned().collect();
    assert_eq!(words, [(id("me"), id("b"))], "it is shown");
}

/// The other node was killed while the store was away: its row says for a while that it lives.
#[test]
fn nobody_gives_way_to_a_member_that_renews_its_row_no_more() {
    let mut fixture = watching();
    fixture.core.settings.bridged_cut_timeout = Duration::from_millis(1500);
    fixture.scanned(&[(4, row("b"))]);
    let lease = Verdicts { version: Some(9), holder: Some(id("b")), condemned: Vec::new() };
    fixture.step(Input::Verdicts(lease));
    fixture.step(Input::Suspect(id("b"), true));
    for second in 1..=4 {
        let effects = fixture.second(&Outcome::Applied(3), &[(4, row("b"))]);
        assert_eq!(condemned(&effects), [], "after {second} s");
        assert_eq!(declared(&effects).len(), usize::from(second == 4), "after {second} s");
    }
}

#[test]
fn time_without_the_store_makes_no_broken_link_older() {
    let mut fixture = watching();
    fixture.scanned(&[(4, row("b"))]);
    let lease = Verdicts { version: Some(9), holder: Some(id("b")), condemned: Vec::new() };
    fixture.step(Input::Verdicts(lease));
    fixture.step(Input::Suspect(id("b"), true));
    let mut b = cut_from("b", "me");
    let mut renewed = |fixture: &mut Fixture, store: Outcome| {
        b.renewals += u64::from(store != Outcome::Failed);
        condemned(&fixture.second(&store, &[(b.renewals, b.clone())]))
    };
    assert_eq!(renewed(&mut fixture, Outcome::Applied(3)), []);
    for _ in 0..20 {
        assert_eq!(renewed(&mut fixture, Outcome::Failed), []);
    }
    assert_eq!(
        renewed(&mut fixture, Outcome::Applied(4)),
        [(id("me"), Some(9))],
        "both are back, and still cut"
    );
}

#[test]
fn a_condemned_member_is_declared_dead_by_whoever_knows() {
    let mut fixture = watching();
    fixture.scanned(&[(4, row("b"))]);
    let verdict = Verdict { id: id("b"), by: id("c"), why: "a reason".into() };
    let verdicts = Verdicts { version: Some(9), holder: None, condemned: vec![verdict] };
    let effects = fixture.step(Input::Verdicts(verdicts));
    assert_eq!(declared(&effects), [(id("b"), "by `c@1`: a reason".to_owned())]);
}

#[test]
fn who_is_condemned_stops_seals_itself_and_says_nothing_about_others() {
    let mut fixture = watching();
    fixture.scanned(&[(4, row("b"))]);
    fixture.step(Input::Suspect(id("b"), true));
    fixture.changed("me", Purpose::Renew, Outcome::Applied(2));
    let verdict = Verdict { id: id("me"), by: id("b"), why: "a reason".into() };
    let verdicts = Verdicts { version: Some(9), holder: Some(id("me")), condemned: vec![verdict] };
    let why = "`me@1` was declared dead by `b@1`: a reason".to_owned();
    let effects = fixture.step(Input::Verdicts(verdicts));
    assert_eq!(effects, [Effect::Retire(why.clone()), Effect::Seal(id("me"))]);
    assert_eq!(fixture.step(Input::Lease(true)), []);

    let effects = fixture.step(Input::SealDone(id("me"), true));
    let [Effect::Change(_, Purpose::End, 2, Some(end))] = &effects[..] else {
        panic!("{effects:?}")
    };
    assert_eq!((end.state, end.sealed), (MemberState::Dead, true));
    // another one was faster, but has not sealed it
    let other = Outcome::Conflict(Some((5, dead("me"))));
    let effects = fixture.changed("me", Purpose::End, other);
    assert!(matches!(&effects[..], [Effect::Change(_, Purpose::End, 5, _)]), "{effects:?}");
    let effects = fixture.changed("me", Purpose::End, Outcome::Applied(6));
    assert_eq!(effects, [Effect::Fenced(why)]);
}

#[test]
fn who_gives_way_and_cannot_seal_itself_is_out_in_time_all_the_same() {
    let mut fixture = watching();
    let verdict = Verdict { id: id("me"), by: id("b"), why: "a reason".into() };
    let verdicts = Verdicts { version: Some(9), holder: None, condemned: vec![verdict] };
    fixture.step(Input::Verdicts(verdicts));
    fixture.now += Duration::from_secs(1);
    assert_eq!(fixture.step(Input::SealDone(id("me"), false)), []);
    fixture.now += Duration::from_millis(200);
    let tick = Input::Tick(Timestamp::from_micros(1));
    assert_eq!(fixture.step(tick.clone()), [Effect::Seal(id("me"))]);
    fixture.now += Duration::from_secs(2);
    assert!(matches!(&fixture.step(tick)[..], [Effect::Fenced(_)]));
}

fn joining() -> Fixture {
    let mut fixture = watching();
    let settings = fixture.core.settings.clone();
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
