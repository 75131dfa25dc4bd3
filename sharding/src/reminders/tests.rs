//! Tests of the scanner: inputs, and the exact effects.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use antiphon_base::time::{Clock, SystemClock, Timestamp};
use antiphon_persistence::event::SequenceNr;
use antiphon_persistence::identity::PersistenceId;
use antiphon_persistence::store::ReminderRow;
use antiphon_runtime::transport::memory::SplitMix64;
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
        let effects = scanner.step(now, Input::Tick);
        let [Effect::Read(after, 100)] = &effects[..] else { panic!("{effects:?}") };
        let is_behind = |due: &u64| after.as_ref().is_none_or(|after| row(*due) > *after);
        let rows: Vec<u64> = left.iter().copied().filter(is_behind).take(100).collect();
        assert_eq!(rows.first(), left.first(), "from the first that is left");
        let effects = scanner.step(now, page(rows.clone(), rows.last().copied()));
        assert_eq!(effects, rows.iter().map(|due| handed(*due, true)).collect::<Vec<_>>());
        assert_eq!(scanner.under_way_count(), 100, "read {read}");
        assert_eq!(scanner.due(), Some(now + SECOND), "no more than the bound in an interval");
        left.retain(|due| !rows.contains(due));
        now += SECOND;
    }
    assert!(left.is_empty());
}

/// Runs a scanner with room for `max` for a while over rows of which those below `alive` fail
/// always, and the others go away when they are handed over. Returns the second of the first turn
/// of each row, and the number of reads.
fn turns(max: usize, all: u64, alive: u64, seconds: u64) -> (BTreeMap<u64, u64>, usize) {
    let (mut scanner, begin) = holder(max);
    let (mut now, mut reads, mut turns) = (begin, 0, BTreeMap::new());
    let mut left: BTreeSet<ReminderRow> = (1..=all).map(row).collect();
    while now - begin < Duration::from_secs(seconds) {
        for effect in scanner.step(now, Input::Tick) {
            let Effect::Read(after, max) = effect else { panic!("{effect:?}") };
            reads += 1;
            let due = left.iter().filter(|row| after.as_ref().is_none_or(|after| *row > after));
            let rows: Vec<_> = due.take(max).cloned().collect();
            let last = rows.last().filter(|_| rows.len() == max).cloned();
            for effect in scanner.step(now, Input::Page(Some(Page { rows, last }))) {
                let Effect::HandOver(row, _) = effect else { panic!("{effect:?}") };
                let due = row.due.as_micros();
                turns.entry(due).or_insert((now - begin).as_secs());
                if due >= alive {
                    left.remove(&row);
                }
            }
        }
        now = scanner.due().expect("it holds the lease");
    }
    (turns, reads)
}

#[test]
fn rows_that_do_not_go_away_keep_out_no_others() {
    let (turns, _) = turns(2, 6, 6, 200);
    assert_eq!(turns.into_keys().collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
}

/// Far more rows fail than can be stuck at once: each has its turn, and so have those behind them.
#[test]
fn the_scan_goes_round_over_many_rows_that_fail_always() {
    const DEAD: u64 = 500;
    let (turns, reads) = turns(10, DEAD + 20, DEAD + 1, 400);
    assert_eq!(turns.len(), 520, "each has its turn");
    // 52 pages of ten, each of which is stuck after `retry_min`
    let last = turns[&(DEAD + 20)];
    assert!(last <= 52 * 6, "the last has its turn after {last} s");
    assert!(reads <= 400 * 4, "{reads} reads in 400 s");
}

#[test]
fn rows_that_appear_before_a_full_room_have_their_turn_when_those_behind_are_stuck() {
    let (mut scanner, mut now) = holder(2);
    scanner.step(now, Input::Tick);
    // the end of a round
    let effects = scanner.step(now, page([5, 7], None));
    assert_eq!(effects, [handed(5, true), handed(7, true)]);
    let mut all = Vec::new();
    for _ in 0..20 {
        now = scanner.due().expect("it holds the lease");
        let effects = scanner.step(now, Input::Tick);
        let [Effect::Read(after, 2)] = &effects[..] else { panic!("{effects:?}") };
        let rows = [1, 5, 6, 7]
            .into_iter()
            .filter(|due| after.as_ref().is_none_or(|after| row(*due) > *after));
        let rows: Vec<u64> = rows.take(2).collect();
        let last = rows.last().copied().filter(|_| rows.len() == 2);
        all.extend(scanner.step(now, page(rows, last)));
    }
    for due in [1, 6] {
        assert!(all.contains(&handed(due, true)), "{due}: {all:?}");
    }
}

/// Rows appear anywhere, also before those that are under way, and half of them fail always.
#[test]
fn each_row_has_its_turn_wherever_and_whenever_it_appears() {
    for seed in 0..100 {
        let mut random = SplitMix64::new(seed);
        let max = usize::try_from(1 + random.next_u64() % 6).unwrap();
        let (mut scanner, begin) = holder(max);
        let (mut now, mut left, mut waits) = (begin, BTreeSet::new(), BTreeSet::new());
        while now - begin < 1000 * SECOND {
            if now - begin < 100 * SECOND && left.len() < 40 {
                let due = random.next_u64() % 1000;
                if left.insert(row(due)) {
                    waits.insert(due);
                }
            }
            for effect in scanner.step(now, Input::Tick) {
                let Effect::Read(after, max) = effect else { panic!("{effect:?}") };
                let due = left.iter().filter(|row| after.as_ref().is_none_or(|after| *row > after));
                let rows: Vec<_> = due.take(max).cloned().collect();
                let last = rows.last().filter(|_| rows.len() == max).cloned();
                for effect in scanner.step(now, Input::Page(Some(Page { rows, last }))) {
                    let Effect::HandOver(row, _) = effect else { panic!("{effect:?}") };
                    waits.remove(&row.due.as_micros());
                    if row.due.as_micros().is_multiple_of(2) {
                        left.remove(&row);
                    }
                }
            }
            now = scanner.due().expect("it holds the lease");
        }
        assert!(waits.is_empty(), "seed {seed}, room for {max}: {waits:?} had no turn");
    }
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
