//! Which minutes are read, from where, and when marks end.

use super::super::marks::Marks;
use super::*;
use crate::tables::ReminderPart;

const HOUR: u64 = MINUTES * MINUTE;
const NOW: i64 = signed_hour(100);

const fn signed_hour(hour: u64) -> i64 {
    (hour * HOUR).cast_signed()
}

fn minute(minutes: u64) -> i64 {
    (minutes * MINUTE).cast_signed()
}

fn floors() -> Floors {
    Floors::new("cart".into())
}

fn key(due: i64) -> Key {
    Key { due, persistence_id: "cart|a|A".into(), name: "n".into(), set_by: 4 }
}

fn mark(marks: &mut Marks, hour: u64, minutes: &[u8]) -> MarkRow {
    marks.put(&ReminderPart { entity_type: "cart".into(), hour }, minutes.iter().copied()).0
}

fn next(floors: &Floors, until: i64) -> Option<Slice> {
    floors.next(&before_all(0), until)
}

/// Reads minute after minute and finds nothing.
fn read_empty(floors: &mut Floors, until: i64) -> Vec<i64> {
    let mut starts = Vec::new();
    while let Some(slice) = next(floors, until) {
        starts.push(slice.after.due);
        floors.found(&slice, None, until);
    }
    starts
}

#[test]
fn only_minutes_with_marks_are_read_and_each_once() {
    let mut marks = Marks::new("1".into());
    let rows = [mark(&mut marks, 98, &[7, 5]), mark(&mut marks, 100, &[0, 1])];
    let mut floors = floors();
    assert_eq!(floors.read(&rows, 100), None);
    let expected = [signed_hour(98) + minute(5), signed_hour(98) + minute(7), NOW];
    assert_eq!(read_empty(&mut floors, NOW), expected);
    floors.read(&rows, 100);
    assert_eq!(read_empty(&mut floors, NOW), [0; 0], "the marks are the same");
    assert_eq!(read_empty(&mut floors, NOW + minute(1)), [NOW + minute(1)]);
}

#[test]
fn a_read_begins_at_the_row_that_was_found_first_and_only_when_it_is_due() {
    let rows = [mark(&mut Marks::new("1".into()), 100, &[0])];
    let mut floors = floors();
    floors.read(&rows, 100);
    let first = next(&floors, NOW).unwrap();
    floors.found(&first, Some(&key(NOW + 9)), NOW);
    assert_eq!(next(&floors, NOW + 8), None);
    let again = next(&floors, NOW + 9).unwrap();
    assert!(again.after > first.after && again.after < key(NOW + 9), "{again:?}");
}

#[test]
fn a_put_into_a_minute_begins_it_anew_and_leaves_the_others() {
    let mut marks = Marks::new("1".into());
    let before = [mark(&mut marks, 100, &[0, 1])];
    let mut floors = floors();
    floors.read(&before, 100);
    read_empty(&mut floors, NOW + minute(2));
    floors.read(&[mark(&mut marks, 100, &[1])], 100);
    assert_eq!(read_empty(&mut floors, NOW + minute(2)), [NOW + minute(1)]);

    // another session
    let two = [mark(&mut marks, 100, &[]), mark(&mut Marks::new("2".into()), 100, &[0])];
    floors.read(&two, 100);
    assert_eq!(read_empty(&mut floors, NOW + minute(2)), [NOW]);
}

#[test]
fn a_page_that_begins_behind_a_row_moves_no_floor() {
    let rows = [mark(&mut Marks::new("1".into()), 100, &[0, 1])];
    let mut floors = floors();
    floors.read(&rows, 100);
    let page = floors.next(&key(NOW + 5), NOW + 9).unwrap();
    assert_eq!(page.after, key(NOW + 5));
    floors.found(&page, None, NOW + 9);
    assert_eq!(next(&floors, NOW + 9).unwrap().after, before_all(NOW));
    let later = floors.next(&behind_all(page.last), NOW + minute(1)).unwrap();
    assert_eq!(later.after, before_all(NOW + minute(1)));
}

#[test]
fn the_marks_of_a_past_hour_without_rows_end_and_those_of_the_present_hour_stay() {
    let mut marks = Marks::new("1".into());
    let rows = [mark(&mut marks, 99, &[3]), mark(&mut marks, 100, &[0])];
    let mut floors = floors();
    floors.read(&rows, 100);
    assert_eq!(floors.ended(NOW), []);
    read_empty(&mut floors, NOW);
    let sessions = vec![("1.0".into(), 1)];
    assert_eq!(floors.ended(NOW), [Ended { hour: 99, sessions, has_progress: false }]);
    floors.forget(99);
    assert_eq!(floors.ended(NOW), []);
}

#[test]
fn an_hour_with_a_row_does_not_end() {
    let rows = [mark(&mut Marks::new("1".into()), 99, &[3, 4])];
    let mut floors = floors();
    floors.read(&rows, 100);
    let slice = next(&floors, NOW).unwrap();
    floors.found(&slice, Some(&key(slice.after.due + 5)), NOW);
    let slice = floors.next(&behind_all(slice.last), NOW).unwrap();
    floors.found(&slice, None, NOW);
    assert_eq!(floors.ended(NOW), []);
}

#[test]
fn another_reader_goes_on_at_the_progress_of_the_first_under_the_same_marks_only() {
    let mut marks = Marks::new("1".into());
    let mut rows = vec![mark(&mut marks, 100, &[0, 1, 2])];
    let (mut one, mut two) = (floors(), floors());
    one.read(&rows, 100);
    let slice = next(&one, NOW + minute(1)).unwrap();
    one.found(&slice, None, NOW + minute(1));
    let slice = next(&one, NOW + minute(1)).unwrap();
    one.found(&slice, Some(&key(NOW + minute(1))), NOW + minute(1));
    let progress = one.progress();
    assert_eq!((progress.len(), one.progress()), (1, vec![]), "written once");
    check_progress("cart", &progress[0]).unwrap();

    rows.insert(0, progress[0].clone());
    two.read(&rows, 100);
    let slice = next(&two, NOW + minute(2)).unwrap();
    assert!(slice.after > before_all(NOW + minute(1)) && slice.after < key(NOW + minute(1)));

    rows[1] = mark(&mut marks, 100, &[0]);
    let mut three = floors();
    three.read(&rows, 100);
    assert_eq!(next(&three, NOW).unwrap().after, before_all(NOW), "a put came after it");
}

#[test]
fn a_damaged_mark_hides_no_row_and_damaged_progress_is_ignored() {
    let mut rows = [mark(&mut Marks::new("1".into()), 99, &[3])];
    rows[0].record = Bytes::from_static(b"damaged");
    let mut floors = floors();
    assert!(floors.read(&rows, 100).is_some());
    let mut at = before_all(0);
    for minutes in 0..60 {
        let slice = floors.next(&at, NOW).unwrap();
        assert_eq!(slice.after, before_all(signed_hour(99) + minute(minutes)));
        floors.found(&slice, None, NOW);
        at = behind_all(slice.last);
    }
    assert_eq!(floors.next(&at, NOW), None);
    assert_eq!(floors.ended(NOW), [], "the row may be needed");

    let row = mark(&mut Marks::new("1".into()), 99, &[3]);
    let record = Bytes::from_static(b"damaged");
    let progress = MarkRow { session: PROGRESS.into(), record, ..row.clone() };
    assert_eq!(floors.read(&[progress, row], 100), None);
    assert_eq!(read_empty(&mut floors, NOW), [signed_hour(99) + minute(3)]);
    assert!(floors.ended(NOW)[0].has_progress);
}

#[test]
fn the_last_minute_of_all_has_an_end() {
    let last = i64::MAX.unsigned_abs();
    let part = ReminderPart { entity_type: "cart".into(), hour: hour_of(last) };
    let within = within_hour(minute_of(last));
    let mark = Marks::new("1".into()).put(&part, [within]).0;
    let mut floors = floors();
    floors.read(&[mark], hour_of(last));
    let slice = next(&floors, i64::MAX).unwrap();
    assert_eq!(slice.last, i64::MAX);
}
