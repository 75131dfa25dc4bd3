//! Members that do not renew their rows, by effects.

use super::*;

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

/// Each change of another row is followed by a read of the table, and each word about another
/// member by a renewal: seven reads and four renewals within a moment were taken for two seconds.
#[test]
fn reads_and_renewals_that_others_gave_a_reason_for_are_no_time_that_has_passed() {
    let mut fixture = watching();
    let rows = [(4, row("b")), (4, row("c"))];
    let mut all = fixture.scanned(&rows);
    for turn in 0..4 {
        for on in [true, false] {
            all.extend(fixture.step(Input::Suspect(id("c"), on)));
            all.extend(fixture.changed("me", Purpose::Renew, Outcome::Applied(3)));
        }
        all.extend(fixture.changed("c", Purpose::Declare, Outcome::Applied(5)));
        all.extend(fixture.scanned(&rows));
        assert_eq!(declared(&all), [], "turn {turn}");
    }
    let renewals = all.iter().filter(|effect| matches!(effect, Effect::Change(..))).count();
    let scans = all.iter().filter(|effect| **effect == Effect::Scan).count();
    assert_eq!((renewals, scans), (8, 4));
}

/// The others were frozen too, for example with the machine: their time begins anew.
#[test]
fn a_node_that_was_frozen_takes_nobody_for_silent_although_it_reads_and_writes_often_then() {
    let mut fixture = watching();
    let rows = [(4, row("b")), (4, row("c"))];
    fixture.scanned(&rows);
    fixture.now += Duration::from_secs(60);
    let mut all = Vec::new();
    for _ in 0..8 {
        for on in [true, false] {
            all.extend(fixture.step(Input::Suspect(id("c"), on)));
            all.extend(fixture.changed("me", Purpose::Renew, Outcome::Applied(3)));
        }
        all.extend(fixture.changed("c", Purpose::Declare, Outcome::Applied(5)));
        all.extend(fixture.scanned(&rows));
    }
    assert_eq!(declared(&all), []);
}
