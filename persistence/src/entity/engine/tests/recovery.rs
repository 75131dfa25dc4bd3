//! The state and version of an entity after a restart.

use super::log::Command;
use super::world::{Mode, World};
use crate::entity::{EntitySettings, StopReason};
use crate::event::SequenceNr;

/// The version is recovered on every path, also for own events, so that a concurrent write is still
/// flagged.
#[test]
fn after_replay_snapshot_or_both_a_concurrent_write_is_flagged() {
    for (snapshot_every, writes) in [(0, 3), (3, 3), (2, 3)] {
        let settings =
            EntitySettings { snapshot_every, pull_at_start: false, ..EntitySettings::default() };
        let mut world = World::with(&["A", "B"], settings);
        world.direct = false;
        for _ in 0..writes {
            world.add("A", "a");
        }
        assert_eq!(world.replica("A").snapshot.is_some(), snapshot_every > 0);
        world.restart("A");
        let seen = world.replica("A").engine.seen().unwrap().to_string();
        assert_eq!(seen, "{A:3}", "snapshot every {snapshot_every}");

        world.add("B", "b");
        world.news("A", "B");
        let last = world.lines("A").pop().unwrap();
        assert_eq!((last.text.as_str(), last.concurrent), ("b", true));
    }
}

#[test]
fn flags_are_the_same_at_replay() {
    let mut world = World::new(&["A", "B"]);
    world.direct = false;
    world.add("A", "a1");
    world.add("B", "b1");
    world.news("A", "B");
    world.add("A", "a2");
    world.news("B", "A");

    for name in ["A", "B"] {
        let before = world.lines(name);
        let own: Vec<_> = before.iter().filter(|line| line.origin == name).collect();
        assert!(own.iter().all(|line| !line.concurrent), "own events are never concurrent");
        world.restart(name);
        assert_eq!(world.lines(name), before);
    }
    assert!(world.lines("A").iter().any(|line| line.concurrent));
}

#[test]
fn time_does_not_go_back_across_a_restart_or_with_the_clock() {
    let mut world = World::new(&["A", "B"]);
    world.wall = 9_000_000;
    world.add("A", "late");
    world.wall = 5_000;
    world.restart("A");
    world.add("A", "a");
    world.add("B", "b");

    for name in ["A", "B"] {
        let times: Vec<_> = world.lines(name).iter().map(|line| line.time).collect();
        assert!(times.is_sorted(), "{name}: {times:?}");
        assert!(times[0].as_micros() >= 9_000_000);
    }
}

#[test]
fn a_stream_whose_versions_do_not_name_its_events_stops_the_entity_loudly() {
    let mut world = World::new(&["A"]);
    world.add("A", "a1");
    world.add("A", "a2");
    let version = &mut world.replica("A").journal[1].meta.version;
    *version = version.iter().map(|(origin, _)| (origin.clone(), 7)).collect();
    world.restart("A");

    let Some(StopReason::Failed(reason)) = &world.replica("A").stopped else {
        panic!("the entity goes on with a stream that it cannot understand");
    };
    assert!(reason.contains("expected 2 events by their versions, actual 7"), "{reason}");
}

#[test]
fn a_hole_in_the_journal_stops_the_entity_loudly() {
    let mut world = World::new(&["A"]);
    for _ in 0..3 {
        world.add("A", "x");
    }
    world.replica("A").journal.remove(1);
    world.restart("A");

    let Some(StopReason::Failed(reason)) = &world.replica("A").stopped else {
        panic!("{:?}", world.replica("A").stopped)
    };
    assert!(reason.contains("the events 2 to 2 are not in the journal"), "{reason}");
}

#[test]
fn a_journal_that_has_lost_what_was_acknowledged_is_never_adopted() {
    let mut world = World::new(&["A"]);
    world.mode = Mode::Hold;
    world.add("A", "x");
    world.io("A");
    let lost = world.add("A", "y");
    world.replica("A").journal.clear();
    world.fail_io("A", super::world::unavailable());
    assert!(lost.now().is_err());

    world.mode = Mode::Flow;
    world.pass(std::time::Duration::from_secs(60));
    let stopped = format!("{:?}", world.replica("A").stopped);
    assert!(stopped.contains("the store has lost data"), "{stopped}");
}

#[test]
fn events_are_deleted_only_up_to_what_every_replica_has() {
    let settings = EntitySettings {
        snapshot_every: 2,
        snapshots_keep: 1,
        delete_events: true,
        pull_at_start: false,
        ..EntitySettings::default()
    };
    let mut world = World::with(&["A", "B"], settings);
    world.direct = false;
    for _ in 0..4 {
        world.add("A", "a");
    }
    assert_eq!(world.replica("A").journal.len(), 4, "B has none of them");

    world.news("B", "A");
    world.news("A", "B");
    world.add("A", "a");
    world.add("A", "a");
    let kept: Vec<_> = world.replica("A").journal.iter().map(|e| e.sequence_nr.value()).collect();
    assert_eq!(kept, [1, 2, 3, 4, 5, 6], "the newest snapshot has what B has not");
    world.news("B", "A");
    world.news("A", "B");
    world.direct = true;
    world.add("A", "a");
    world.add("B", "b");
    world.add("A", "a");
    world.news("A", "B");
    world.add("A", "a");
    world.add("A", "a");
    assert!(world.replica("A").journal.len() < 9, "{}", world.replica("A").journal.len());
    world.restart("A");
    world.news("B", "A");
    world.news("A", "B");
    assert!(world.replica("A").engine.is_running());
    world.assert_converged();
}

/// The entity from before replication keeps its stream and becomes the first replica.
#[test]
fn an_existing_entity_is_migrated_with_its_events() {
    let mut before = World::new(&[""]);
    before.add("", "old-1");
    before.add("", "old-2");
    let journal = before.replica("").journal.clone();

    let mut world = World::new(&["", "B"]);
    world.replica("").journal = journal;
    world.restart("");
    assert_eq!(world.texts(""), ["old-1", "old-2"]);
    world.news("B", "");
    assert_eq!(world.texts("B"), ["old-1", "old-2"]);
    world.add("B", "new");
    assert_eq!(world.texts(""), ["old-1", "old-2", "new"]);
    assert!(!world.lines("").pop().unwrap().concurrent);
    world.assert_converged();
}

#[test]
fn a_snapshot_that_fails_does_not_stop_the_entity() {
    let settings = EntitySettings { snapshot_every: 1, ..EntitySettings::default() };
    let mut world = World::with(&["A"], settings);
    world.mode = Mode::Hold;
    world.add("A", "x");
    world.io_once("A");
    world.fail_io("A", super::world::unavailable());
    let answer = world.command("A", |to| Command::Add(vec!["y"], to));
    world.io("A");
    assert_eq!(answer.now(), Ok(2));
    assert_eq!(world.replica("A").snapshot.as_ref().unwrap().sequence_nr, SequenceNr::new(2));
}

#[test]
fn a_page_with_the_highest_number_needs_no_further_read_to_find_the_end() {
    for (tells_highest, full, empty_and_other) in [(false, 2, 2 + 2), (true, 1, 1 + 1)] {
        let mut world = World::new(&["A", "B"]);
        world.direct = false;
        world.tells_highest = tells_highest;
        for text in ["b1", "b2", "b3"] {
            world.add("B", text);
        }
        world.replica("B").read_count = 0;
        world.restart("B");
        assert_eq!(world.texts("B"), ["b1", "b2", "b3"]);
        assert_eq!(world.replica("B").read_count, full, "of a journal with events");

        world.settings.pull_at_start = true;
        world.replica("A").read_count = 0;
        world.restart("A");
        world.assert_converged();
        assert_eq!(world.replica("A").read_count, empty_and_other, "of an empty one, and B's");
    }
}

#[test]
fn a_page_after_the_highest_number_ends_recovery_only_with_all_events() {
    for kept in [2, 3] {
        let mut world = World::new(&["A"]);
        world.tells_highest = true;
        for text in ["a1", "a2", "a3"] {
            world.add("A", text);
        }
        world.replica("A").journal.truncate(kept);
        world.replica("A").deleted = SequenceNr::new(3);
        world.restart("A");
        let is_whole = kept == 3;
        assert_eq!(world.replica("A").engine.is_running(), is_whole, "{kept}");
    }
}
