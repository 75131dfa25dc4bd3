//! Events of other replicas on every path, in every phase.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::log::Command;
use super::world::{Mode, World, unavailable};
use crate::entity::EntitySettings;
use crate::entity::engine::Input;
use crate::event::StoredEvent;

#[test]
fn two_replicas_that_write_end_in_the_same_state() {
    let mut world = World::new(&["A", "B"]);
    world.add("A", "a");
    world.add("B", "b");
    world.assert_converged();
    assert_eq!(world.texts("A").len(), 2);
}

#[test]
fn a_late_replica_gets_a_long_backlog_from_the_journals() {
    let mut world = World::new(&["A", "B", "C"]);
    world.replica("C").engine = World::new(&["C"]).replicas.remove("C").unwrap().engine;
    world.direct = false;
    for _ in 0..2_500 {
        world.add("A", "a");
        world.add("B", "b");
    }
    world.settings.pull_at_start = true;
    world.restart("C");
    assert_eq!(world.texts("C").len(), 5_000);
    let appends = world.replica("C").append_count;
    assert!(appends <= 20, "{appends} appends for 5000 events");
}

#[test]
fn replicas_that_were_stopped_converge_after_all_are_restarted() {
    let settings = EntitySettings { snapshot_every: 2, ..EntitySettings::default() };
    let mut world = World::with(&["A", "B"], settings);
    world.add("A", "a1");
    world.add("B", "b1");
    world.direct = false;
    world.feed("B", Input::Kill);
    world.add("A", "a2");
    world.add("A", "a3");
    world.restart("A");
    world.restart("B");
    world.assert_converged();
    assert_eq!(world.texts("B").len(), 4);
}

#[test]
fn an_event_in_two_journals_is_applied_once() {
    let mut world = World::new(&["A", "B", "C"]);
    world.direct = false;
    world.add("A", "a");
    world.news("B", "A");
    world.news("C", "A");
    world.news("C", "B");
    world.news("C", "A");
    assert_eq!(world.texts("C"), ["a"]);
    assert_eq!(world.replica("C").caught_up.len(), 3);
}

/// Each event of one command has a version of its own.
#[test]
fn events_of_one_command_have_one_version_each() {
    let mut world = World::new(&["A", "B"]);
    world.command("A", |to| Command::Add(vec!["1", "2", "3"], to));
    let published = &world.replica("A").published;
    let versions: Vec<_> = published.iter().map(|e| e.meta.version.to_string()).collect();
    assert_eq!(versions, ["{A:1}", "{A:2}", "{A:3}"]);
    assert_eq!(world.replica("B").append_count, 1, "together at the other side too");

    // a receiver that got only the first one does not claim to know the others
    let first = world.replica("A").published[0].clone();
    let mut late = World::new(&["A", "B"]);
    late.feed("B", Input::Replicated(vec![first]));
    late.direct = false;
    late.add("B", "b");
    assert_eq!(late.replica("B").published[0].meta.version.to_string(), "{A:1, B:1}");
}

#[test]
fn causes_come_before_their_effects_on_every_path() {
    let mut world = World::new(&["A", "B", "C"]);
    world.direct = false;
    world.add("A", "1");
    world.news("B", "A");
    world.add("B", "2");
    world.news("A", "B");
    world.add("A", "3");
    let a = world.replica("A").published.clone();
    let b = world.replica("B").published.clone();

    // C gets 3, then 2, then 1 directly; nothing is pulled because all I/O is held
    world.mode = Mode::Hold;
    world.feed("C", Input::Replicated(vec![a[1].clone()]));
    world.feed("C", Input::Replicated(vec![b[0].clone()]));
    assert_eq!(world.texts("C"), [""; 0]);
    world.feed("C", Input::Replicated(vec![a[0].clone()]));
    assert_eq!(world.texts("C"), ["1", "2", "3"]);
    world.io("C");
    assert_eq!(world.replica("C").journal.len(), 3);
    assert!(world.lines("C").iter().all(|line| !line.concurrent));
}

/// With both sides writing, no event needs a read.
#[test]
fn interleaved_writers_need_no_read_and_a_gap_is_read() {
    let mut world = World::new(&["A", "B"]);
    for _ in 0..500 {
        world.add("A", "a");
        world.add("B", "b");
    }
    world.assert_converged();
    for name in ["A", "B"] {
        let counters = world.replica(name).counters.clone();
        assert_eq!(counters.pulls.load(Ordering::Relaxed), 0, "{name}");
        assert_eq!(counters.events_direct.load(Ordering::Relaxed), 500, "{name}");
    }

    world.direct = false;
    world.add("A", "lost");
    world.direct = true;
    world.add("A", "next");
    assert_eq!(world.texts("B")[1000..], ["lost", "next"]);
    assert_eq!(world.replica("B").counters.pulls.load(Ordering::Relaxed), 1);
    world.assert_converged();
}

#[test]
fn events_that_come_again_around_a_restart_are_applied_once() {
    let mut world = World::new(&["A", "B"]);
    for text in ["1", "2", "3"] {
        world.add("A", text);
    }
    let published: Vec<StoredEvent> = world.replica("A").published.clone();
    world.feed("B", Input::Replicated(published.clone()));
    world.mode = Mode::Hold;
    world.restart("B");
    world.feed("B", Input::Replicated(published.clone()));
    world.io("B");
    world.feed("B", Input::Replicated(published));
    world.io("B");
    assert_eq!(world.texts("B"), ["1", "2", "3"]);
    assert_eq!(world.replica("B").journal.len(), 3);
}

#[test]
fn a_failed_read_is_repeated_from_the_right_position_and_others_go_on() {
    let mut world = World::new(&["A", "B", "C"]);
    world.direct = false;
    world.add("A", "a");
    world.add("B", "b");
    world.mode = Mode::Hold;
    world.news("C", "A");
    world.fail_io("C", unavailable());
    world.news("C", "B");
    world.io("C");
    assert_eq!(world.texts("C"), ["b"], "A's failure does not hold up B");
    assert_eq!(world.replica("C").caught_up, [("B".to_owned(), 1)]);

    world.pass(Duration::from_millis(100));
    world.io("C");
    assert_eq!(world.texts("C"), ["b"], "not before the wait is over");
    world.pass(Duration::from_millis(150));
    world.io("C");
    assert_eq!(world.texts("C"), ["b", "a"]);
    assert_eq!(world.replica("C").caught_up.last().unwrap(), &("A".to_owned(), 1));
}

/// No phase drops events of others.
#[test]
fn events_that_arrive_in_any_phase_are_not_lost() {
    let settings = EntitySettings { snapshot_every: 1, ..EntitySettings::default() };
    for held_steps in 0..12 {
        let mut world = World::with(&["A", "B"], settings.clone());
        world.mode = Mode::Hold;
        world.io("A");
        world.io("B");
        world.add("A", "a");
        world.io("A");
        // B recovers, writes, saves a snapshot and runs a future; A's event arrives in between
        let published = world.replica("A").published.clone();
        world.restart("B");
        let own = world.add("B", "b");
        let later = world.command("B", Command::Later);
        for _ in 0..held_steps {
            world.io_once("B");
        }
        world.feed("B", Input::Replicated(published));
        world.io("B");
        assert_eq!(world.texts("B").len(), 3, "after {held_steps} steps");
        assert!(own.now().is_ok() && later.now().is_ok());
    }
}

#[test]
fn events_that_waited_long_for_a_recovery_are_read_again_and_not_stored_from_memory() {
    for (wait, is_kept) in [(2, true), (4, false)] {
        let mut world = World::new(&["A", "B"]);
        world.direct = false;
        world.add("A", "a");
        let published = world.replica("A").published.clone();
        world.mode = Mode::Hold;
        world.restart("B");
        world.feed("B", Input::Replicated(published));
        world.pass(Duration::from_secs(wait));
        world.io("B");
        assert_eq!(world.texts("B").len(), usize::from(is_kept), "after {wait} s");
        let dropped = world.replica("B").counters.arrival_overflows.load(Ordering::Relaxed);
        assert_eq!(dropped, u64::from(!is_kept));
        world.news("B", "A");
        world.io("B");
        assert_eq!(world.texts("B"), ["a"], "from the journal");
    }
}

#[test]
fn an_answer_to_the_journal_loop_waits_until_the_events_are_durable() {
    let mut world = World::new(&["A", "B"]);
    world.direct = false;
    world.add("A", "a");
    world.mode = Mode::Hold;
    world.news("B", "A");
    world.io_once("B");
    assert_eq!(world.texts("B"), ["a"]);
    assert_eq!(world.replica("B").caught_up, [], "applied, not durable");
    world.io("B");
    assert_eq!(world.replica("B").caught_up, [("A".to_owned(), 1)]);

    // events that came directly need no read
    world.mode = Mode::Flow;
    world.direct = true;
    world.add("A", "a2");
    let pulls = world.replica("B").counters.pulls.load(Ordering::Relaxed);
    world.news("B", "A");
    assert_eq!(world.replica("B").caught_up.last().unwrap(), &("A".to_owned(), 2));
    assert_eq!(world.replica("B").counters.pulls.load(Ordering::Relaxed), pulls);
}

#[test]
fn events_of_a_cut_off_replica_come_through_a_third_one() {
    let mut world = World::new(&["A", "B", "C"]);
    world.direct = false;
    world.add("A", "a");
    world.news("B", "A");
    world.add("B", "b");
    // C never hears of A
    world.news("C", "B");
    assert_eq!(world.texts("C"), ["a", "b"]);
    assert!(world.lines("C").iter().all(|line| !line.concurrent));
}

#[test]
fn after_a_partition_all_sides_converge_and_conflicts_are_flagged() {
    let mut world = World::new(&["A", "B", "C"]);
    world.direct = false;
    for name in ["A", "B", "C"] {
        world.add(name, "x");
        world.add(name, "y");
    }
    for (to, from) in [("A", "C"), ("B", "A"), ("C", "B"), ("A", "B"), ("B", "C"), ("C", "A")] {
        world.news(to, from);
    }
    for (to, from) in [("A", "B"), ("A", "C"), ("B", "A"), ("B", "C"), ("C", "A"), ("C", "B")] {
        world.news(to, from);
    }
    world.assert_converged();
    for name in ["A", "B", "C"] {
        assert!(world.lines(name).iter().all(|line| line.concurrent == (line.origin != name)));
    }
}

#[test]
fn a_full_buffer_is_read_again_from_the_journal() {
    let settings = EntitySettings {
        waiting_events_max: 2,
        arrivals_max: 2,
        pull_at_start: false,
        ..EntitySettings::default()
    };
    let mut world = World::with(&["A", "B"], settings);
    world.direct = false;
    for text in ["1", "2", "3", "4", "5"] {
        world.add("A", text);
    }
    let published = world.replica("A").published.clone();
    world.feed("B", Input::Replicated(published[1..].to_vec()));
    assert_eq!(world.texts("B"), ["1", "2", "3", "4", "5"]);
    assert_eq!(world.replica("B").counters.waiting_overflows.load(Ordering::Relaxed), 2);

    world.mode = Mode::Hold;
    world.restart("B");
    world.feed("B", Input::Replicated(published));
    assert_eq!(world.replica("B").counters.arrival_overflows.load(Ordering::Relaxed), 3);
    world.io("B");
    assert_eq!(world.texts("B").len(), 5);
}

/// The outcome is the same whether the replicas' journals are one store or several, since each
/// replica has its own stream.
#[test]
fn the_order_of_reads_does_not_change_the_outcome() {
    let run = |order: &[(&'static str, &'static str)]| {
        let mut world = World::new(&["A", "B"]);
        world.direct = false;
        world.add("A", "a");
        world.add("B", "b");
        for (to, from) in order {
            world.news(to, from);
        }
        world.assert_converged();
        world.lines("A").len()
    };
    assert_eq!(run(&[("A", "B"), ("B", "A")]), run(&[("B", "A"), ("A", "B"), ("A", "B")]));
}
