//! Correct histories, and histories with one fault each.

use std::collections::BTreeSet;

use super::*;

/// A history in short notation, operation by operation; each operation takes ten microseconds.
#[derive(Default)]
struct Book {
    history: History,
    journals: Journals,
    now: u64,
}

impl Book {
    fn note(&mut self, replica: &str, kind: Kind) -> &mut Operation {
        let invoked = self.now;
        self.now += 20;
        let (entity, replica) = ("e".to_owned(), replica.to_owned());
        let operation = Operation { entity, replica, invoked, ended: invoked + 10, kind };
        self.history.operations.push(operation);
        self.history.operations.last_mut().expect("it was pushed")
    }

    fn add(&mut self, replica: &str, id: u32, position: u64) -> &mut Operation {
        self.note(replica, Kind::Add { id, answer: Answer::Ok(position) })
    }

    fn read(&mut self, replica: &str, ids: &[u32]) -> &mut Operation {
        self.note(replica, Kind::Read(Answer::Ok(Seen::Ids(ids.to_vec()))))
    }

    fn journal(&mut self, replica: &str, events: &[(u32, &str, u64)]) {
        let event = |&(id, origin, origin_nr): &(u32, &str, u64)| Event {
            id: Some(id),
            origin: origin.to_owned(),
            origin_nr,
        };
        let stream = events.iter().map(event).collect();
        self.journals.insert(("e".to_owned(), replica.to_owned()), stream);
    }

    #[track_caller]
    fn finds(&self, rule: &str) {
        let mut found = check_answers(&self.history);
        found.extend(check_journals(&self.history, &self.journals));
        assert!(found.iter().any(|violation| violation.rule == rule), "{rule}: {found:?}");
    }

    #[track_caller]
    fn answers_are_fine(&self) {
        assert_eq!(check_answers(&self.history), []);
    }
}

/// Two places that write, read and converge.
fn good() -> Book {
    let mut book = Book::default();
    book.add("A", 1, 1);
    book.read("A", &[1]);
    book.note("A", Kind::Add { id: 2, answer: Answer::Unknown("time".into()) });
    book.note("B", Kind::Add { id: 3, answer: Answer::WithoutEffect("full".into()) });
    book.read("B", &[1]);
    book.add("B", 4, 2);
    book.read("B", &[1, 4]);
    book.read("A", &[1, 2]);
    book.read("A", &[1, 2, 4]);
    book.journal("A", &[(1, "A", 1), (2, "A", 2), (4, "B", 1)]);
    book.journal("B", &[(1, "A", 1), (4, "B", 1), (2, "A", 2)]);
    book
}

#[test]
fn a_good_history_has_no_violation() {
    let book = good();
    book.answers_are_fine();
    assert_eq!(check_journals(&book.history, &book.journals), []);
}

#[test]
fn an_acknowledged_add_that_later_reads_do_not_have_is_a_loss() {
    let mut book = Book::default();
    book.add("A", 1, 1);
    book.note("A", Kind::Add { id: 2, answer: Answer::Unknown("time".into()) });
    book.read("A", &[2]);
    book.finds("no_lost_ack");
}

#[test]
fn an_acknowledged_add_that_a_journal_does_not_have_is_a_loss() {
    let mut book = good();
    book.journal("A", &[(1, "A", 1), (2, "A", 2)]);
    book.journal("B", &[(1, "A", 1), (2, "A", 2)]);
    book.finds("no_lost_ack");
}

#[test]
fn a_read_that_goes_back_behind_an_earlier_one_is_stale() {
    let mut book = good();
    book.read("A", &[1, 2]);
    book.finds("linearizable");
}

#[test]
fn a_read_behind_an_acknowledged_add_is_stale() {
    let mut book = good();
    book.add("A", 5, 4);
    book.read("A", &[1, 2, 4]);
    book.finds("linearizable");
}

#[test]
fn a_read_that_began_before_the_answer_may_miss_the_add() {
    let mut book = Book::default();
    let sent = book.add("A", 1, 1).invoked;
    let read = book.read("A", &[]);
    read.invoked = sent + 5;
    read.ended = sent + 9;
    book.answers_are_fine();
}

#[test]
fn two_reads_of_which_none_has_all_of_the_other_are_no_single_history() {
    let mut book = good();
    book.read("A", &[1, 2, 4, 7]);
    book.read("A", &[1, 2, 4, 8, 9]);
    book.finds("linearizable");
}

#[test]
fn two_adds_at_one_position_come_from_two_homes() {
    let mut book = good();
    let sent = book.add("A", 5, 4).invoked;
    book.add("A", 6, 4).invoked = sent;
    book.finds("linearizable");
}

#[test]
fn an_add_that_answers_a_position_which_was_seen_before_is_found() {
    let mut book = good();
    book.add("A", 5, 3);
    book.finds("linearizable");
}

#[test]
fn an_event_that_is_twice_in_a_journal_is_found() {
    let mut book = good();
    for replica in ["A", "B"] {
        book.journal(replica, &[(1, "A", 1), (4, "B", 1), (2, "A", 2), (2, "A", 3)]);
    }
    book.finds("exactly_once");
}

#[test]
fn a_gap_in_the_numbers_of_an_origin_is_found() {
    let mut book = good();
    for replica in ["A", "B"] {
        book.journal(replica, &[(1, "A", 1), (4, "B", 1), (2, "A", 3)]);
    }
    book.finds("exactly_once");
}

#[test]
fn a_counter_that_counts_an_event_twice_is_ahead_of_its_journal() {
    let mut book = Book::default();
    book.add("A", 1, 1);
    book.note("A", Kind::Read(Answer::Ok(Seen::Count(2))));
    let stream = vec![Event { id: None, origin: "A".into(), origin_nr: 1 }];
    book.journals.insert(("e".into(), "A".into()), stream);
    book.answers_are_fine();
    book.finds("journal_order");
}

#[test]
fn a_counter_that_counts_what_had_no_effect_is_found() {
    let mut book = Book::default();
    book.note("A", Kind::Add { id: 1, answer: Answer::WithoutEffect("full".into()) });
    let stream = vec![Event { id: None, origin: "A".into(), origin_nr: 1 }];
    book.journals.insert(("e".into(), "A".into()), stream);
    book.finds("true_answer");
}

#[test]
fn a_counter_that_lacks_an_acknowledged_add_is_found() {
    let mut book = Book::default();
    book.add("A", 1, 1);
    book.add("A", 2, 2);
    let stream = vec![Event { id: None, origin: "A".into(), origin_nr: 1 }];
    book.journals.insert(("e".into(), "A".into()), stream);
    book.finds("no_lost_ack");
}

#[test]
fn an_answer_without_effect_whose_id_is_read_is_false() {
    let mut book = good();
    book.read("B", &[1, 3, 4]);
    book.finds("true_answer");
}

#[test]
fn an_answer_without_effect_whose_event_is_in_a_journal_is_false() {
    let mut book = good();
    book.journal("A", &[(1, "A", 1), (2, "A", 2), (4, "B", 1), (3, "B", 2)]);
    book.journal("B", &[(1, "A", 1), (4, "B", 1), (2, "A", 2), (3, "B", 2)]);
    book.finds("true_answer");
}

#[test]
fn a_read_that_has_an_add_but_not_what_its_writer_had_shown_breaks_causal_order() {
    let mut book = Book::default();
    book.add("A", 1, 1);
    book.read("B", &[1]);
    book.add("B", 2, 2);
    book.read("C", &[2]);
    book.finds("causal_order");
}

#[test]
fn an_event_before_its_cause_in_a_journal_breaks_causal_order() {
    let mut book = good();
    book.journal("A", &[(1, "A", 1), (2, "A", 2), (4, "B", 1)]);
    book.journal("B", &[(4, "B", 1), (1, "A", 1), (2, "A", 2)]);
    book.finds("journal_order");
    book.journal("A", &[(4, "B", 1), (1, "A", 1), (2, "A", 2)]);
    book.journal("B", &[(1, "A", 1), (4, "B", 1), (2, "A", 2)]);
    book.finds("causal_order");
}

#[test]
fn a_journal_in_another_order_than_clients_were_answered_is_found() {
    let mut book = Book::default();
    book.add("A", 1, 1);
    book.add("A", 2, 2);
    book.journal("A", &[(2, "A", 1), (1, "A", 2)]);
    book.finds("journal_order");
}

#[test]
fn a_read_of_an_event_that_its_journal_does_not_have_is_found() {
    let mut book = good();
    book.note("A", Kind::Add { id: 5, answer: Answer::Unknown("time".into()) });
    book.read("A", &[1, 2, 4, 5]);
    book.finds("journal_order");
}

#[test]
fn journals_with_different_events_have_not_converged() {
    let mut book = good();
    book.journal("B", &[(1, "A", 1), (4, "B", 1)]);
    book.finds("convergence");
}

#[test]
fn an_id_that_nobody_sent_or_only_later_is_an_invention() {
    let mut book = good();
    book.read("A", &[1, 2, 4, 99]);
    book.finds("no_invention");

    let mut book = good();
    book.read("A", &[1, 2, 4, 5]);
    book.add("A", 5, 4);
    book.finds("no_invention");
}

/// A's journal was replaced by an older copy after position 2; B had 1 but not 2.
fn rewound() -> Book {
    let mut book = Book::default();
    book.add("A", 1, 1);
    book.add("A", 2, 2);
    book.add("B", 3, 2);
    let (from, until) = (book.now, book.now + 100);
    book.now = until + 1;
    let lost = BTreeSet::from([2]);
    book.history.rewinds.push(Rewind { replica: "A".into(), from, until, lost });
    book
}

#[test]
fn after_a_journal_went_back_positions_are_counted_anew_and_what_a_place_had_is_there() {
    let mut book = rewound();
    book.read("A", &[1, 3]);
    book.add("A", 4, 3);
    book.journal("A", &[(1, "A", 1), (3, "B", 1), (4, "A", 2)]);
    book.journal("B", &[(1, "A", 1), (3, "B", 1), (4, "A", 2)]);
    book.answers_are_fine();
    assert_eq!(check_journals(&book.history, &book.journals), []);
}

#[test]
fn after_a_journal_went_back_what_another_place_had_must_not_be_missing() {
    let mut book = rewound();
    book.read("A", &[3]);
    book.finds("no_lost_ack");
}

#[test]
fn an_add_that_only_a_read_showed_is_lost_with_the_journal_unless_another_place_has_it() {
    let unknown = || Answer::Unknown("the connection broke".into());
    let mut book = Book::default();
    book.add("A", 1, 1);
    book.note("A", Kind::Add { id: 2, answer: unknown() });
    book.note("A", Kind::Add { id: 5, answer: unknown() });
    book.read("A", &[1, 2]);
    book.add("B", 3, 1);
    let lost_at = |kept: &[u32]| book.history.lost_at("A", &kept.iter().copied().collect());
    assert_eq!(lost_at(&[1]), BTreeSet::from([2]));
    assert_eq!(lost_at(&[1, 2]), BTreeSet::new());
    assert_eq!(lost_at(&[]), BTreeSet::from([1, 2]));

    let (from, until) = (book.now, book.now + 100);
    book.now = until + 1;
    for (kept, is_found) in [(&[1][..], false), (&[1, 2], true)] {
        let mut book = Book { history: book.history.clone(), now: book.now, ..Book::default() };
        let lost = book.history.lost_at("A", &kept.iter().copied().collect());
        book.history.rewinds.push(Rewind { replica: "A".into(), from, until, lost });
        book.read("A", &[1]);
        if is_found {
            book.finds("no_lost_ack");
        } else {
            book.answers_are_fine();
        }
    }
}
