//! A journal that went back: own events come from the other replicas, and commands wait for them.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::log::Command;
use super::world::{Mode, World, replica_id, unavailable};
use crate::entity::EntitySettings;
use crate::entity::engine::Input;
use crate::event::SequenceNr;
use crate::reply::ReplyError;

/// A and B with three events each, of which A's journal has the first `kept` only; A is in doubt
/// and its I/O is held.
fn rewound(kept: usize) -> World {
    let mut world = World::new(&["A", "B"]);
    for (a, b) in [("a1", "b1"), ("a2", "b2"), ("a3", "b3")] {
        world.add("A", a);
        world.add("B", b);
    }
    rewind(&mut world, "A", kept);
    world
}

fn rewind(world: &mut World, name: &'static str, kept: usize) {
    world.direct = false;
    world.replica(name).journal.truncate(kept);
    world.mode = Mode::Hold;
    world.restart(name);
    let others = world.replicas.keys().filter(|other| **other != name);
    let others = others.map(|other| replica_id(other)).collect();
    world.feed(name, Input::Doubted(others));
}

/// Runs the next I/O that is held, and returns it as text.
fn next(world: &mut World, name: &'static str) -> String {
    let held = &world.replica(name).held;
    let text = held.front().map_or_else(String::new, |action| format!("{action:?}"));
    world.io_once(name);
    text
}

/// Runs I/O until the entity is at work.
fn recover(world: &mut World, name: &'static str) {
    while !world.replica(name).engine.is_running() {
        next(world, name);
    }
}

#[test]
fn own_events_come_back_from_a_peer_before_the_first_command() {
    for (kept, tells_highest) in [0, 1, 3, 5].into_iter().flat_map(|k| [(k, false), (k, true)]) {
        let mut world = rewound(kept);
        world.tells_highest = tells_highest;
        let reply = world.add("A", "a4");

        world.io("A");

        assert_eq!(world.replica("A").engine.doubts(), []);
        assert_eq!(reply.now(), Ok(7), "{kept} kept: the command saw all six");
        let journal = world.replica("A").journal.clone();
        let own = journal.iter().filter(|event| event.meta.origin.as_str() == "A");
        let numbers: Vec<_> = own.map(|event| event.meta.origin_nr()).collect();
        assert_eq!(numbers, [1, 2, 3, 4], "{kept} kept: no number twice");
        assert_eq!(world.replica("A").went_back, usize::from(kept < 5), "{kept} kept");
        assert_eq!(world.replica("A").reclaimed, 1);
        world.mode = Mode::Flow;
        world.news("B", "A");
        world.assert_converged();
    }
}

#[test]
fn an_event_that_comes_back_keeps_what_it_was_written_with() {
    let mut world = rewound(0);
    world.io("A");

    let (a, b) = (world.replica("A").journal.clone(), world.replica("B").journal.clone());
    for (number, (mine, theirs)) in (1..).zip(a.iter().zip(&b)) {
        assert_eq!(mine.sequence_nr, SequenceNr::new(number), "numbered anew");
        assert_eq!(mine.payload, theirs.payload);
        assert_eq!(mine.meta.version, theirs.meta.version);
        assert_eq!(mine.meta.timestamp, theirs.meta.timestamp);
        assert_eq!(mine.meta.source_seq, theirs.meta.source_seq);
    }
}

#[test]
fn a_command_waits_until_every_doubted_peer_was_read_to_its_end() {
    let mut world = rewound(4);
    let reply = world.add("A", "a4");
    recover(&mut world, "A");

    assert!(next(&mut world, "A").starts_with("WakeAfter"));
    assert_eq!(next(&mut world, "A"), "Pull(B, 4)");
    assert_eq!(next(&mut world, "A"), "Append(2 after 4)", "what came is stored at once");
    assert_eq!(next(&mut world, "A"), "Pull(B, 6)", "and read on");
    assert_eq!(next(&mut world, "A"), "Append(1 after 6)", "its end: the command");
    assert_eq!(reply.now(), Ok(7));
}

#[test]
fn without_doubt_a_command_waits_for_nobody() {
    let mut world = rewound(6);
    world.restart("A");
    let reply = world.add("A", "a4");
    recover(&mut world, "A");
    world.io("A");
    assert_eq!(reply.now(), Ok(7));
    assert_eq!(world.replica("A").counters.pulls.load(Ordering::Relaxed), 0);
}

#[test]
fn a_peer_that_cannot_be_read_refuses_commands_without_effect_until_it_can() {
    let mut world = rewound(4);
    let early = world.add("A", "early");
    recover(&mut world, "A");
    next(&mut world, "A");
    world.fail_io("A", unavailable());

    let late = world.add("A", "late");
    for reply in [early, late] {
        let answer = reply.now();
        assert!(
            matches!(&answer, Err(ReplyError::Unavailable(why)) if why.contains("`B`")),
            "{answer:?}"
        );
    }
    assert_eq!(world.replica("A").journal.len(), 4);
    assert_eq!(world.replica("A").counters.commands_doubted.load(Ordering::Relaxed), 2);

    world.pass(Duration::from_secs(1));
    world.io("A");
    let reply = world.add("A", "a4");
    world.io("A");
    assert_eq!(reply.now(), Ok(7));
}

#[test]
fn a_peer_that_does_not_answer_refuses_commands_after_a_while() {
    let mut world = rewound(4);
    recover(&mut world, "A");
    let reply = world.add("A", "a4");

    world.pass(EntitySettings::default().reclaim_wait);
    assert!(matches!(reply.now(), Err(ReplyError::Unavailable(_))));

    // the late answer ends the doubt
    world.io("A");
    let reply = world.add("A", "a4");
    world.io("A");
    assert_eq!(reply.now(), Ok(7));
}

#[test]
fn an_operator_ends_the_doubt_about_a_peer_that_never_comes_back() {
    let mut world = rewound(4);
    recover(&mut world, "A");
    next(&mut world, "A");
    world.fail_io("A", unavailable());

    world.feed("A", Input::Vouched(replica_id("B")));
    let reply = world.add("A", "a3 again");
    world.io("A");
    assert!(reply.now().is_ok());
}

#[test]
fn what_was_taken_back_and_is_not_durable_is_taken_back_again_after_a_restart() {
    let mut world = rewound(4);
    recover(&mut world, "A");
    next(&mut world, "A");
    next(&mut world, "A");
    // the append of the events that came back fails, and the entity begins anew
    world.fail_io("A", unavailable());
    assert!(!world.replica("A").engine.is_running());
    let reply = world.add("A", "a4");
    world.replica("A").held.clear();
    world.pass(Duration::from_secs(1));
    world.io("A");

    assert_eq!(reply.now(), Ok(7));
    assert_eq!(world.replica("A").journal.len(), 7);
    assert_eq!(world.replica("A").reclaimed, 1);
}

#[test]
fn a_peer_that_tells_of_unknown_own_events_puts_an_entity_in_doubt_that_was_not() {
    let mut world = rewound(2);
    world.restart("A");
    recover(&mut world, "A");
    world.news("A", "B");
    let reply = world.add("A", "a4");
    assert_eq!(world.replica("A").went_back, 1);

    world.io("A");
    assert_eq!(reply.now(), Ok(7));
    assert_eq!(world.replica("A").counters.events_reclaimed.load(Ordering::Relaxed), 2);
}

#[test]
fn an_own_event_beyond_the_next_one_waits_for_those_before_it() {
    let mut world = World::new(&["A", "B", "C"]);
    for text in ["a1", "a2", "a3"] {
        world.add("A", text);
    }
    let third = world.replica("A").published[2].clone();
    rewind(&mut world, "A", 0);
    recover(&mut world, "A");
    world.feed("A", Input::Replicated(vec![third]));
    let reply = world.add("A", "a4");

    world.io("A");
    assert_eq!(reply.now(), Ok(4));
    assert_eq!(world.texts("A"), ["a1", "a2", "a3", "a4"]);
}

#[test]
fn both_places_went_back_and_a_third_has_everything() {
    let mut world = World::new(&["A", "B", "C"]);
    for (a, b) in [("a1", "b1"), ("a2", "b2")] {
        world.add("A", a);
        world.add("B", b);
    }
    rewind(&mut world, "A", 1);
    rewind(&mut world, "B", 1);
    world.io("A");
    world.io("B");
    world.mode = Mode::Flow;
    for (to, of) in [("A", "B"), ("B", "A"), ("C", "A"), ("C", "B")] {
        world.news(to, of);
    }
    world.assert_converged();
    assert_eq!(world.texts("A").len(), 4);
}

#[test]
fn a_number_that_was_used_again_is_found_when_the_other_event_comes_back() {
    let mut world = rewound(4);
    recover(&mut world, "A");
    next(&mut world, "A");
    world.fail_io("A", unavailable());
    world.feed("A", Input::Vouched(replica_id("B")));
    let _ = world.add("A", "not a3");

    world.pass(Duration::from_secs(1));
    world.news("A", "B");
    world.io("A");
    assert_eq!(world.replica("A").counters.events_forked.load(Ordering::Relaxed), 1);
    assert_eq!(world.replica("A").forked.len(), 1, "the host is told, so that it is recorded");
}

#[test]
fn a_position_in_a_journal_that_went_back_is_begun_anew() {
    let mut world = World::new(&["A", "B", "C"]);
    world.direct = false;
    for text in ["a1", "a2", "a3"] {
        world.add("A", text);
    }
    world.news("B", "A");
    world.add("C", "c1");
    // A's third event is lost everywhere but at B; C's takes its row
    world.replica("A").journal.truncate(2);
    world.restart("A");
    world.news("A", "C");
    assert_eq!(world.replica("A").journal.len(), 3);

    // B passed three rows of A's journal before
    world.news("B", "A");
    assert!(world.texts("B").contains(&"c1".to_owned()), "{:?}", world.texts("B"));
}

/// The journal went back and is longer again than the position. A row behind the position has an
/// event whose cause is in a row before it, and nowhere else.
#[test]
fn a_cause_in_a_row_that_had_another_event_is_found() {
    let mut world = World::new(&["A", "B", "C"]);
    world.direct = false;
    for text in ["a1", "a2", "a3"] {
        world.add("A", text);
    }
    world.news("B", "A");
    for text in ["c1", "c2"] {
        world.add("C", text);
    }
    world.replica("A").journal.truncate(2);
    world.restart("A");
    world.news("A", "C");
    assert_eq!(world.replica("A").journal.len(), 4);
    world.replica("C").journal.clear();

    world.news("B", "A");
    for _ in 0..20 {
        world.pass(Duration::from_secs(10));
    }
    let texts = world.texts("B");
    assert!(texts.contains(&"c1".to_owned()) && texts.contains(&"c2".to_owned()), "{texts:?}");
}

#[test]
fn an_entity_in_doubt_stops_when_it_is_told_to() {
    let mut world = rewound(4);
    recover(&mut world, "A");
    let reply = world.add("A", "a4");
    world.feed("A", Input::Stop);
    assert!(matches!(reply.now(), Err(ReplyError::Unavailable(_))));
    assert!(world.replica("A").stopped.is_some());
}

#[test]
fn reads_wait_too() {
    let mut world = rewound(4);
    recover(&mut world, "A");
    let reply = world.command("A", Command::Read);
    world.io("A");
    assert_eq!(reply.now(), Ok(6));
}

/// A backup brought back an old journal, and the snapshots stayed newer.
#[test]
fn a_snapshot_above_the_journal_is_voided_and_what_is_missing_is_taken_back() {
    let settings =
        EntitySettings { snapshot_every: 6, pull_at_start: false, ..EntitySettings::default() };
    let mut world = World::with(&["A", "B"], settings);
    for text in ["a1", "a2", "a3", "a4", "a5", "a6"] {
        world.add("A", text);
    }
    let snapshot = world.replica("A").snapshot.clone().expect("a snapshot");
    assert_eq!(snapshot.sequence_nr, SequenceNr::new(6));
    world.replica("A").journal.truncate(4);
    world.mode = Mode::Hold;
    world.restart("A");
    let reply = world.add("A", "a7");

    world.io("A");
    assert_eq!(world.replica("A").voided, [SequenceNr::new(6)]);
    assert_eq!(world.replica("A").went_back, 1);
    assert_eq!(reply.now(), Ok(7));
    assert_eq!(world.texts("A"), ["a1", "a2", "a3", "a4", "a5", "a6", "a7"]);
}

/// A world whose replica A has a snapshot of six events, and a journal that went back to the
/// fourth.
fn with_a_snapshot_above_the_journal() -> World {
    let settings =
        EntitySettings { snapshot_every: 6, pull_at_start: false, ..EntitySettings::default() };
    let mut world = World::with(&["A", "B"], settings);
    for text in ["a1", "a2", "a3", "a4", "a5", "a6"] {
        world.add("A", text);
    }
    world.replica("A").journal.truncate(4);
    world.mode = Mode::Hold;
    world
}

/// The journal's first events are deleted, and only the snapshot has them: a newer backup of the
/// journal needs it.
#[test]
fn a_snapshot_above_the_journal_is_kept_when_nothing_takes_its_place() {
    let mut world = with_a_snapshot_above_the_journal();
    let replica = world.replica("A");
    replica.journal.drain(..2);
    replica.deleted = SequenceNr::new(2);
    world.restart("A");
    world.io("A");

    let stopped = format!("{:?}", world.replica("A").stopped);
    assert!(stopped.contains("the events 1 to 2 are not in the journal"), "{stopped}");
    assert_eq!(world.replica("A").voided, []);
    let snapshot = world.replica("A").snapshot.as_ref().map(|snapshot| snapshot.sequence_nr);
    assert_eq!(snapshot, Some(SequenceNr::new(6)));
}

#[test]
fn nothing_is_appended_before_the_snapshots_above_the_journal_are_unusable() {
    let mut world = with_a_snapshot_above_the_journal();
    let appended = world.replica("A").append_count;
    world.restart("A");
    let voids = |world: &mut World| {
        let held = world.replica("A").held.front();
        held.is_some_and(|action| format!("{action:?}").starts_with("VoidSnapshots"))
    };
    while !voids(&mut world) {
        assert!(world.io_once("A"), "the snapshot is never made unusable");
    }
    world.fail_io("A", unavailable());
    world.io("A");
    assert!(!world.replica("A").engine.is_running());
    assert_eq!(world.replica("A").append_count, appended);
    world.pass(Duration::from_secs(60));
    let reply = world.add("A", "a7");
    world.io("A");
    assert_eq!(world.replica("A").voided, [SequenceNr::new(6)]);
    assert_eq!(reply.now(), Ok(7));
    assert_eq!(world.texts("A"), ["a1", "a2", "a3", "a4", "a5", "a6", "a7"]);
}

/// A snapshot stays of a history that the journal lost: it was not made unusable.
#[test]
fn an_event_that_the_snapshot_has_already_is_not_applied_again() {
    let mut world = with_a_snapshot_above_the_journal();
    let mut stream = world.replica("A").journal.clone();
    for number in 5..=7 {
        let mut event = stream[number - 2].clone();
        event.sequence_nr = SequenceNr::new(number as u64);
        stream.push(event);
    }
    world.replica("A").journal = stream;
    world.restart("A");
    world.io("A");

    let stopped = format!("{:?}", world.replica("A").stopped);
    assert!(stopped.contains("event 7 is event 4 of `A`, which was applied before"), "{stopped}");
}
