//! The rules that decide which journal is the newest one, by the rows alone.

use super::session::Witness;
use super::{Accepted, Doubt, DoubtKind, SessionRow};
use crate::NodeId;

fn id(name: &str, incarnation: u64) -> NodeId {
    NodeId::new(name, incarnation).unwrap()
}

fn opened(before: Option<&SessionRow>, incarnation: u64) -> SessionRow {
    SessionRow::open(before, &id("a", incarnation), incarnation, ["B".to_owned()])
}

/// The witness that B writes down of a session.
fn seen(row: &SessionRow, known: Option<&Witness>) -> Option<Witness> {
    row.witness("B", known).or(known.cloned())
}

fn closed(mut row: SessionRow) -> SessionRow {
    let me = row.opened_by.clone();
    row.leave(&me, |_| false);
    assert!(row.closed);
    row
}

/// The first session of a place, seen by B and closed.
fn first() -> (SessionRow, Option<Witness>) {
    let mut row = opened(None, 1);
    assert!(row.judge("B", None));
    let witness = seen(&row, None);
    assert!(witness.is_some());
    (closed(row), witness)
}

fn kind(row: &SessionRow) -> Option<DoubtKind> {
    row.doubts.get("B").and_then(|doubt| doubt.kind)
}

#[test]
fn a_session_begins_in_doubt_and_a_witness_that_saw_the_last_one_says_nothing_against_it() {
    let (before, witness) = first();
    let mut row = opened(Some(&before), 2);
    assert!(row.judge("B", witness.as_ref()));
    assert_eq!(row.doubts["B"], Doubt { since: 2, kind: None, back_since: 0, unread: false });
    assert!(!row.judge("B", witness.as_ref()), "said once");
}

#[test]
fn a_session_that_was_not_closed_is_told_apart() {
    let (before, witness) = first();
    let mut row = opened(Some(&SessionRow { closed: false, ..before }), 2);
    row.judge("B", witness.as_ref());
    assert_eq!(kind(&row), Some(DoubtKind::Unclean));
}

#[test]
fn a_witness_of_a_newer_session_proves_that_the_journal_went_back() {
    let (backup, witness) = first();
    let mut second = opened(Some(&backup), 2);
    second.judge("B", witness.as_ref());
    let witness = seen(&second, witness.as_ref());
    let lost = closed(second);

    let mut row = opened(Some(&backup), 3);
    assert_eq!(row.number, lost.number, "the number alone does not tell");
    row.judge("B", witness.as_ref());
    assert_eq!(kind(&row), Some(DoubtKind::WentBack));
    assert!(row.number > lost.number, "the next sessions are newer than what was lost");
    assert_eq!(row.doubts["B"].since, row.number);
    assert_eq!(row.doubts["B"].back_since, row.number);
    assert_eq!(seen(&row, witness.as_ref()).unwrap().number, row.number);

    // the doubt of a shard that did not read anew in this session goes over into a later one
    let later = opened(Some(&closed(row.clone())), 4);
    assert_eq!((kind(&later), later.doubts["B"].back_since), (None, row.number));
}

/// A session gets a higher number while it is open, so a backup can lack the end of the very
/// session that the witness saw. That was not taken as a proof, its number stayed the highest one
/// of the witness, and the next clean start was taken for a journal that went back.
#[test]
fn a_witness_of_a_higher_number_of_the_same_session_proves_that_the_journal_went_back() {
    let (before, witness) = first();
    let mut second = opened(Some(&before), 2);
    second.judge("B", witness.as_ref());
    let backup = second.clone();
    second.suspect(["B".to_owned()]);
    let witness = seen(&second, witness.as_ref());

    let mut third = opened(Some(&backup), 3);
    third.judge("B", witness.as_ref());
    assert_eq!(kind(&third), Some(DoubtKind::WentBack));
    assert!(third.number > second.number);
    let witness = seen(&third, witness.as_ref());

    let mut fourth = opened(Some(&closed(third)), 4);
    fourth.judge("B", witness.as_ref());
    assert_eq!(kind(&fourth), None, "it was closed, and the witness saw it");
}

#[test]
fn a_new_disk_of_a_place_that_was_seen_proves_it_too() {
    let (_, witness) = first();
    let mut row = opened(None, 2);
    row.judge("B", witness.as_ref());
    assert_eq!(kind(&row), Some(DoubtKind::WentBack));
}

#[test]
fn a_place_that_nobody_has_ever_seen_asks_its_entities_only() {
    let mut row = opened(None, 1);
    row.judge("B", None);
    assert_eq!(kind(&row), Some(DoubtKind::Unclean));
}

#[test]
fn a_witness_that_knows_less_is_no_proof() {
    let (before, witness) = first();
    let mut second = opened(Some(&before), 2);
    second.judge("B", witness.as_ref());
    // B was away the whole time
    let mut third = opened(Some(&closed(second)), 3);
    third.judge("B", witness.as_ref());
    assert_eq!(kind(&third), None);
}

#[test]
fn a_witness_is_not_replaced_before_the_place_has_read_it_nor_by_an_older_session() {
    let (before, witness) = first();
    let row = opened(Some(&before), 2);
    assert_eq!(row.witness("B", witness.as_ref()), None, "it was not read yet");

    let newer = Witness { number: 9, opened_by: id("a", 8) };
    assert_eq!(before.witness("B", Some(&newer)), None, "a journal that went back is seen");
}

#[test]
fn a_loss_that_is_accepted_is_written_down_and_ends_the_doubt() {
    let mut row = opened(None, 1);
    let doubt = row.accept("B", 77).unwrap();
    assert!(doubt.unread);
    assert_eq!(row.accepted["B"], Accepted { at_micros: 77, session_of: id("a", 1) });
    assert!(row.doubts.is_empty());
    assert_eq!(row.accept("C", 78), None);
    row.suspect(["C".to_owned()]);
    assert!(!row.returned("B"), "not in the session of the decision");

    let mut later = opened(Some(&closed(row)), 2);
    assert!(later.doubts.is_empty(), "nor asked anew as long as it is away");
    assert!(later.returned("B"));
    assert_eq!(later.doubts["B"].since, later.number);
    assert!(later.accepted.is_empty());
}

#[test]
fn the_last_member_closes_and_one_that_was_killed_does_not_let_it() {
    let mut row = opened(None, 1);
    row.join(&id("b", 2));
    row.leave(&id("a", 1), |_| false);
    assert!(!row.closed, "b lives, or nobody knows");
    row.leave(&id("b", 2), |_| false);
    assert!(row.closed);

    let mut row = opened(None, 1);
    row.join(&id("b", 2));
    row.leave(&id("a", 1), |member| member.name() == "b");
    assert!(row.closed, "b is dead and sealed");
}

#[test]
fn an_entity_that_finds_more_than_the_journal_has_puts_the_place_in_doubt() {
    let (before, witness) = first();
    let mut row = opened(Some(&before), 2);
    row.judge("B", witness.as_ref());
    row.suspect(["B".to_owned()]);
    assert_eq!(kind(&row), Some(DoubtKind::WentBack));
    assert_eq!(row.doubts["B"].since, row.number);
    assert_eq!(row.number, 3);
}

/// Such a number made the session after it zero, below every witness.
#[test]
fn a_session_after_which_there_could_be_no_other_is_not_read() {
    let (row, witness) = first();
    let mut text = serde_json::to_value(&row).unwrap();
    let read = |text: &serde_json::Value| serde_json::from_value::<SessionRow>(text.clone());
    assert_eq!(read(&text).unwrap(), row);
    text["number"] = u64::MAX.into();
    let why = read(&text).unwrap_err().to_string();
    assert!(why.contains("expected a number of at most 9223372036854775807"), "{why}");

    let mut text = serde_json::to_value(witness.unwrap()).unwrap();
    text["number"] = u64::MAX.into();
    assert!(serde_json::from_value::<Witness>(text).is_err());
}
