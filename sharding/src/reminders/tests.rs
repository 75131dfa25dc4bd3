//! Tests of the scanner: inputs, and the exact effects.

use std::collections::BTreeSet;
use std::time::Duration;

use antiphon_base::time::{Clock, SystemClock, Timestamp};
use antiphon_persistence::event::SequenceNr;
use antiphon_persistence::identity::PersistenceId;
use antiphon_persistence::store::ReminderRow;
use tokio::time::Instant;

use super::{Effect, Input, Page, Scanner, ScannerSettings};

const SECOND: Duration = Duration::from_secs(1);

fn row(due: u64) -> ReminderRow {
    ReminderRow {
        due: Timestamp::from_micros(due),
        persistence_id: PersistenceId::parse("cart|c-1|A").unwrap(),
        name: "expire".into(),
        set_by: SequenceNr::new(1),
    }
}

fn settings(in_flight_max: usize) -> ScannerSettings {
    let (retry_min, retry_max) = (5 * SECOND, 20 * SECOND);
    ScannerSettings { interval: SECOND, in_flight_max, retry_min, retry_max }
}

fn holder(in_flight_max: usize) -> (Scanner, Instant) {
    let now = SystemClock.now();
    let mut scanner = Scanner::new(now, settings(in_flight_max));
    assert_eq!((scanner.step(now, Input::Tick), scanner.due()), (vec![], None));
    assert_eq!(scanner.step(now, Input::Lease(true)), []);
    (scanner, now)
}

fn page(rows: impl IntoIterator<Item = u64>, last: Option<u64>) -> Input {
    Input::Page(Some(Page { rows: rows.into_iter().map(row).collect(), last: last.map(row) }))
}

fn handed(due: u64, is_first: bool) -> Effect {
    Effect::HandOver(row(due), is_first)
}

#[test]
fn a_row_is_handed_over_once_and_again_after_waits_that_grow_until_it_is_gone() {
    let (mut scanner, mut now) = holder(10);
    let mut tries = Vec::new();
    for second in 0..60 {
        assert_eq!(scanner.step(now, Input::Tick), [Effect::Read(None, 10)]);
        let effects = scanner.step(now, page([1], None));
        tries.extend(effects.into_iter().map(|effect| (second, effect)));
        assert_eq!(scanner.due(), Some(now + SECOND));
        now += SECOND;
    }
    let expected = [(0, true), (5, false), (15, false), (35, false), (55, false)];
    assert_eq!(tries, expected.map(|(second, is_first)| (second, handed(1, is_first))));
    scanner.step(now, Input::Tick);
    assert_eq!(scanner.step(now, page([], None)), []);
    assert_eq!(scanner.under_way_count(), 0);
    now += SECOND;
    scanner.step(now, Input::Tick);
    assert_eq!(scanner.step(now, page([1], None)), [handed(1, true)], "it was put again");
}

#[test]
fn nothing_is_read_without_the_lease_and_a_new_holder_begins_anew() {
    let (mut scanner, now) = holder(10);
    scanner.step(now, Input::Tick);
    assert_eq!(scanner.step(now, Input::Lease(false)), []);
    assert_eq!(scanner.step(now, page([1], None)), [], "the answer comes too late");
    assert_eq!((scanner.step(now + SECOND, Input::Tick), scanner.due()), (vec![], None));
    scanner.step(now, Input::Lease(true));
    assert_eq!(scanner.due(), Some(now));
    scanner.step(now, Input::Tick);
    assert_eq!(scanner.step(now, page([1], None)), [handed(1, true)]);
}

#[test]
fn a_read_that_fails_is_repeated_after_a_wait_that_grows() {
    let (mut scanner, mut now) = holder(10);
    for wait in [5, 10, 20, 20] {
        scanner.step(now, Input::Tick);
        assert_eq!(scanner.step(now, Input::Page(None)), []);
        assert_eq!(scanner.due(), Some(now + wait * SECOND));
        now += wait * SECOND;
    }
    scanner.step(now, Input::Tick);
    scanner.step(now, page([], None));
    assert_eq!(scanner.due(), Some(now + SECOND));
}

#[test]
fn late_rows_are_handed_over_within_the_bound_and_the_rest_when_these_are_gone() {
    let (mut scanner, mut now) = holder(100);
    let mut left: BTreeSet<u64> = (0..10_000).collect();
    for read in 0..100 {
        assert_eq!(scanner.step(now, Input::Tick), [Effect::Read(None, 100)]);
        let rows: Vec<u64> = left.iter().copied().take(100).collect();
        let effects = scanner.step(now, page(rows.clone(), rows.last().copied()));
        assert_eq!(effects, rows.iter().map(|due| handed(*due, true)).collect::<Vec<_>>());
        assert_eq!(scanner.under_way_count(), 100, "read {read}");
        assert_eq!(scanner.due(), Some(now + SECOND), "no more than the bound in an interval");
        left.retain(|due| !rows.contains(due));
        now += SECOND;
    }
    assert!(left.is_empty());
}

#[test]
fn rows_that_do_not_go_away_keep_out_no_others() {
    let (mut scanner, mut now) = holder(2);
    let mut handed_over = BTreeSet::new();
    // the rows 1 to 5 fail always; row 9 goes away when it is handed over
    let all = [1, 2, 3, 4, 5, 9].map(row);
    for _ in 0..200 {
        for effect in scanner.step(now, Input::Tick) {
            let Effect::Read(after, max) = effect else { panic!("{effect:?}") };
            let due = all.iter().filter(|row| after.as_ref().is_none_or(|after| *row > after));
            let rows: Vec<_> = due.take(max).cloned().collect();
            let last = rows.last().filter(|_| rows.len() == max).cloned();
            for effect in scanner.step(now, Input::Page(Some(Page { rows, last }))) {
                let Effect::HandOver(row, _) = effect else { panic!("{effect:?}") };
                handed_over.insert(row.due.as_micros());
            }
        }
        now += SECOND;
    }
    assert_eq!(handed_over, [1, 2, 3, 4, 5, 9].into());
}

#[test]
fn a_full_page_of_rows_of_other_places_is_read_past() {
    let (mut scanner, now) = holder(2);
    scanner.step(now, Input::Tick);
    assert_eq!(scanner.step(now, page([], Some(7))), []);
    let soon = now + SECOND / 10;
    assert_eq!(scanner.due(), Some(soon));
    assert_eq!(scanner.step(soon, Input::Tick), [Effect::Read(Some(row(7)), 2)]);
    assert_eq!(scanner.step(soon, page([8], None)), [handed(8, true)]);
    assert_eq!(scanner.step(soon + SECOND, Input::Tick), [Effect::Read(None, 2)]);
}

#[test]
#[should_panic(expected = "a page that nobody has asked for")]
fn a_page_that_was_not_asked_for_is_a_broken_invariant() {
    let (mut scanner, now) = holder(2);
    scanner.step(now, page([], None));
}
