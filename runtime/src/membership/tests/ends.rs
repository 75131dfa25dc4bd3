//! The end of the own membership by effects.

use super::*;

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
    // another member was faster, but has not sealed this node
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

/// A renewal was under way when the end came: its success was taken for that of the last write,
/// which was never made.
#[test]
fn a_renewal_that_was_under_way_is_not_the_last_word_of_the_row() {
    let mut fixture = Fixture::new();
    fixture.now += Duration::from_secs(1);
    let effects = fixture.step(Input::Tick(Timestamp::from_micros(2)));
    assert!(matches!(&effects[..], [Effect::Change(_, Purpose::Renew, 2, _)]), "{effects:?}");
    assert_eq!(fixture.step(Input::End), []);

    let effects = fixture.changed("me", Purpose::Renew, Outcome::Applied(3));
    let [Effect::Change(_, Purpose::End, 3, Some(row))] = &effects[..] else {
        panic!("{effects:?}")
    };
    assert_eq!((row.state, row.sealed), (MemberState::Dead, true));
    let effects = fixture.changed("me", Purpose::End, Outcome::Applied(4));
    assert_eq!(effects, [Effect::Ended]);
}

#[test]
fn who_gives_way_while_a_renewal_is_under_way_is_out_after_its_row_says_so() {
    let mut fixture = watching();
    fixture.now += Duration::from_secs(1);
    fixture.step(Input::Tick(Timestamp::from_micros(2)));
    let verdict = Verdict { id: id("me"), by: id("b"), why: "a reason".into() };
    let verdicts = Verdicts { version: Some(9), holder: None, condemned: vec![verdict] };
    fixture.step(Input::Verdicts(verdicts));
    assert_eq!(fixture.step(Input::SealDone(id("me"), true)), []);

    let effects = fixture.changed("me", Purpose::Renew, Outcome::Applied(3));
    assert!(matches!(&effects[..], [Effect::Change(_, Purpose::End, 3, _)]), "{effects:?}");
    let effects = fixture.changed("me", Purpose::End, Outcome::Applied(4));
    assert!(matches!(&effects[..], [Effect::Fenced(_)]), "{effects:?}");
}

#[test]
fn a_node_that_was_stopped_renews_its_row_no_more() {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.step(Input::Stop), []);
    assert!(fixture.core.is_over());
    fixture.now += Duration::from_secs(60);
    assert_eq!(fixture.step(Input::Tick(Timestamp::from_micros(2))), []);
    assert_eq!(fixture.step(Input::End), []);
}
