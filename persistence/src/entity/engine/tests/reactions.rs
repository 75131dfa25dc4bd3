//! Reactions to events of other replicas, and a node that dies between any two steps.

use std::time::Duration;

use super::log::{Command, Log};
use super::scan::scan;
use super::world::{Mode, World, unavailable};
use crate::entity::{EntityCounters, EntitySettings};
use crate::event::SequenceNr;

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 3600);

fn reacting() -> Log {
    Log { reacts: true, ..Log::default() }
}

fn world() -> World {
    let mut world = World::new(&["A", "B"]);
    world.restart_as("A", reacting());
    world
}

fn counter(world: &mut World, name: &str) -> u64 {
    let values = EntityCounters::values(&world.replica("A").counters);
    values.into_iter().find(|(known, _)| *known == name).expect("a counter").1
}

fn count(world: &World, text: &str) -> usize {
    world.texts("A").iter().filter(|known| *known == text).count()
}

#[test]
fn an_event_of_another_replica_is_reacted_to_once_when_it_is_durable() {
    let mut world = world();
    world.mode = Mode::Hold;
    world.just("B", Command::Note("x"));
    world.io("B");
    assert_eq!(world.texts("A"), ["x"]);
    let held: Vec<_> = world.replica("A").held.iter().map(|action| format!("{action:?}")).collect();
    assert_eq!(held, ["Append(1 after 0, 1 rows)"]);
    assert_eq!(counter(&mut world, "reactions"), 0, "it is not durable");
    world.io_once("A");
    assert_eq!(world.texts("A"), ["x", "re x of B"]);
    assert_eq!(world.replica("A").rows.len(), 1, "until the reaction is durable");
    world.io("A");
    assert!(world.replica("A").rows.is_empty());
    world.mode = Mode::Flow;
    world.io("B");
    world.assert_converged();
    world.restart_as("A", reacting());
    assert_eq!(counter(&mut world, "reactions"), 1, "never in recovery");
}

#[test]
fn own_events_and_those_that_came_before_have_no_reaction() {
    let mut world = World::new(&["A", "B"]);
    world.just("B", Command::Note("before"));
    world.restart_as("A", reacting());
    world.just("A", Command::Note("own"));
    world.just("B", Command::Note("silent"));
    assert_eq!(world.texts("A"), ["before", "own", "silent"]);
    assert_eq!(counter(&mut world, "reactions"), 1);
    assert!(world.replica("A").rows.is_empty());
}

#[test]
fn two_replicas_that_look_at_the_event_do_not_react_for_ever() {
    let mut world = world();
    world.restart_as("B", reacting());
    world.just("B", Command::Note("x"));
    world.assert_converged();
    assert_eq!(world.texts("A"), ["x", "re x of B"]);
    assert!(world.replica("A").rows.is_empty() && world.replica("B").rows.is_empty());
}

#[test]
fn a_reaction_that_panics_is_counted_and_not_repeated() {
    let mut world = world();
    world.just("B", Command::Note("panics"));
    world.just("B", Command::Note("x"));
    assert_eq!(world.texts("A"), ["panics", "x", "re x of B"]);
    assert_eq!(counter(&mut world, "reactions_failed"), 1);
    assert!(world.replica("A").rows.is_empty());
    scan(&mut world, 20 * SECOND);
    assert_eq!(counter(&mut world, "reactions"), 2);
}

#[test]
fn events_of_a_catch_up_have_one_row_and_their_reactions_in_order() {
    let mut world = world();
    world.direct = false;
    for text in ["x", "y", "z"] {
        world.just("B", Command::Note(text));
    }
    world.mode = Mode::Hold;
    world.news("A", "B");
    while !format!("{:?}", world.replica("A").held.front()).contains("Append") {
        assert!(world.io_once("A"));
    }
    let held = format!("{:?}", world.replica("A").held.front().unwrap());
    assert_eq!(held, "Append(3 after 0, 1 rows)");
    world.io("A");
    let texts = world.texts("A");
    assert_eq!(texts, ["x", "y", "z", "re x of B", "re y of B", "re z of B"]);
    assert!(world.replica("A").rows.is_empty());
}

#[test]
fn a_node_that_dies_between_any_two_steps_reacts_at_least_once_and_stores_it_once() {
    for text in ["x", "silent"] {
        for steps in 0..12 {
            let mut world = world();
            world.mode = Mode::Hold;
            world.just("B", Command::Note(text));
            world.just("B", Command::Note("y"));
            world.io("B");
            for _ in 0..steps {
                world.io_once("A");
            }
            world.restart_as("A", reacting());
            world.mode = Mode::Flow;
            world.io("A");
            world.news("A", "B");
            for _ in 0..4 {
                scan(&mut world, 20 * SECOND);
            }
            let stored = usize::from(text == "x");
            assert_eq!(count(&world, "re x of B"), stored, "{steps}: {:?}", world.texts("A"));
            assert_eq!(count(&world, "re y of B"), 1, "{steps}: {:?}", world.texts("A"));
            let reactions = counter(&mut world, "reactions");
            assert!((2..=4).contains(&reactions), "after {steps} steps: {reactions}");
            assert!(world.replica("A").rows.is_empty(), "after {steps} steps");
        }
    }
}

#[test]
fn events_that_cannot_be_read_for_their_reactions_come_again() {
    let mut world = world();
    world.mode = Mode::Hold;
    world.just("B", Command::Note("x"));
    world.io("B");
    world.io_once("A");
    world.restart_as("A", reacting());
    world.io("A");
    scan(&mut world, 20 * SECOND);
    world.fail_io("A", unavailable());
    world.io("A");
    assert_eq!(count(&world, "re x of B"), 0);
    scan(&mut world, SECOND);
    world.io("A");
    assert_eq!(count(&world, "re x of B"), 1);
    assert!(world.replica("A").rows.is_empty());
}

/// The reads are those of the application, the reaction, the next recovery, and the reaction to
/// the event that an earlier life has left.
#[test]
fn an_event_that_cannot_be_read_for_its_reaction_at_first_has_it_later() {
    for fails in [vec![1], vec![1, 3]] {
        let mut world = World::new(&["A", "B"]);
        world.restart_as("A", Log { reacts: true, unknown_at: fails.clone(), ..Log::default() });
        world.just("B", Command::Note("flaky"));
        world.just("B", Command::Note("behind"));
        for _ in 0..10 {
            world.pass(20 * SECOND);
            scan(&mut world, 20 * SECOND);
        }
        assert_eq!(count(&world, "re flaky of B"), 1, "{fails:?}: {:?}", world.texts("A"));
        assert_eq!(count(&world, "re behind of B"), 1, "{fails:?}: {:?}", world.texts("A"));
        assert!(world.replica("A").rows.is_empty(), "{fails:?}");
    }
}

#[test]
fn a_snapshot_keeps_the_number_up_to_which_the_replica_has_reacted() {
    let settings = EntitySettings { snapshot_every: 3, pull_at_start: false, ..Default::default() };
    let mut world = World::with(&["A", "B"], settings);
    world.restart_as("A", reacting());
    world.mode = Mode::Hold;
    world.just("B", Command::Note("x"));
    world.io("B");
    world.io_once("A");
    let row = world.replica("A").rows.first().unwrap().clone();
    world.io("A");
    world.just("A", Command::Note("third"));
    world.io("A");
    assert_eq!(world.replica("A").snapshot.as_ref().unwrap().reminders[0].set_by.value(), 1);
    world.replica("A").deleted = SequenceNr::new(3);
    world.replica("A").journal.clear();
    world.replica("A").rows.insert(row);
    world.restart_as("A", reacting());
    world.io("A");
    assert!(world.replicas["A"].engine.reminders().unwrap().is_empty(), "it is no reminder");
    scan(&mut world, 20 * SECOND);
    world.io("A");
    assert!(world.replica("A").rows.is_empty());
    assert_eq!(counter(&mut world, "reactions"), 1);
}

/// The time of the entity follows its own events, also those that a wrong clock has made.
#[test]
fn the_row_of_reactions_is_due_by_the_time_of_day_and_not_by_that_of_the_entity() {
    let mut world = world();
    let day = u64::try_from(DAY.as_micros()).unwrap();
    world.wall += day;
    world.just("A", Command::Note("by a wrong clock"));
    world.wall -= day;
    world.mode = Mode::Hold;
    world.just("B", Command::Note("x"));
    world.io("B");
    while world.replica("A").rows.is_empty() {
        assert!(world.io_once("A"));
    }
    let (wall, row) = (world.wall, world.replica("A").rows.first().unwrap().clone());
    assert!(row.due.as_micros() <= wall + 11_000_000, "{row:?}");
}

#[test]
fn a_reaction_does_not_see_the_answer_to_the_command_of_its_event() {
    let mut world = world();
    let add = |reply_to| Command::Add(vec!["x"], reply_to);
    assert_eq!(super::once::once(&mut world, "B", "r-1", add).now(), Ok(1));
    assert_eq!(count(&world, "re x of B"), 1);
}
