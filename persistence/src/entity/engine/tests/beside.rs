//! Futures beside the commands: they hold up nobody, begin when their events are durable, and every
//! failure is a value.

use std::sync::atomic::Ordering;

use super::log::Command;
use super::world::{Mode, World, unavailable};
use crate::entity::engine::{Action, Input};
use crate::entity::{AsynchronousFailure, EntitySettings, StopReason};
use crate::reply::ReplyError;

/// The actions that wait for the test.
fn held(world: &mut World) -> Vec<String> {
    world.replica("A").held.iter().map(|action| format!("{action:?}")).collect()
}

/// Takes the future that waits for the test first.
fn take_future(world: &mut World) -> (u64, u64) {
    match world.replica("A").held.pop_front() {
        Some(Action::RunBeside(generation, number, Ok(_))) => (generation, number),
        other => panic!("{other:?} is no future"),
    }
}

#[test]
fn a_future_begins_when_its_events_are_durable_and_its_command_comes_behind_the_others() {
    let mut world = World::new(&["A"]);
    world.mode = Mode::Hold;
    let order = world.command("A", Command::Order);
    assert_eq!(held(&mut world), ["Append(1 after 0)"], "not before its event is durable");
    world.io_once("A");
    assert_eq!(held(&mut world), ["RunBeside(0)"]);

    let other = world.add("A", "other");
    assert_eq!(world.texts("A"), ["order", "other"], "nobody waits for the future");
    world.io("A");
    assert_eq!((order.now(), other.now()), (Ok(3), Ok(2)));
    assert_eq!(world.texts("A"), ["order", "other", "ordered 1"], "the state after its own event");
}

#[test]
fn a_future_whose_events_were_not_stored_never_begins_and_its_asker_knows() {
    let mut world = World::new(&["A"]);
    world.mode = Mode::Hold;
    let order = world.command("A", Command::Order);
    world.fail_io("A", unavailable());
    assert!(matches!(order.now(), Err(ReplyError::Stopped(_))));
    let actions = held(&mut world);
    assert!(!actions.iter().any(|action| action.starts_with("RunBeside")), "{actions:?}");
    assert_eq!(world.replica("A").dropped_futures, 1);
}

#[test]
fn each_failure_of_a_future_is_the_value_of_its_command() {
    for (failure, answer) in [
        (AsynchronousFailure::TimedOut { awaited: None }, 901),
        (AsynchronousFailure::Panicked, 902),
    ] {
        let mut world = World::new(&["A"]);
        world.mode = Mode::Hold;
        let order = world.command("A", Command::Order);
        world.io_once("A");
        let (generation, number) = take_future(&mut world);
        world.feed("A", Input::BesideDone(generation, number, Err(failure)));
        assert_eq!(order.now(), Ok(answer));
    }
    let mut world = World::new(&["A"]);
    assert_eq!(world.command("A", Command::OrderPanics).now(), Ok(902));
    assert_eq!(world.texts("A"), [""; 0]);
}

#[test]
fn a_future_beyond_the_limit_is_not_begun_and_room_comes_with_the_answer_of_the_first() {
    let settings = EntitySettings { asynchronous_max: 1, ..EntitySettings::default() };
    let mut world = World::with(&["A"], settings);
    world.mode = Mode::Hold;
    let first = world.command("A", Command::Order);
    let second = world.command("A", Command::Order);
    world.io_once("A");
    assert_eq!(held(&mut world), ["RunBeside(0)", "Append(1 after 1)"]);
    let (generation, number) = take_future(&mut world);
    world.io_once("A");
    assert_eq!(held(&mut world), ["RunBeside(1, TooMany)"], "after its event is durable");
    world.io("A");
    assert_eq!(second.now(), Ok(903));
    let counters = &world.replica("A").counters;
    assert_eq!(counters.asynchronous_overflows.load(Ordering::Relaxed), 1);

    world.feed("A", Input::BesideDone(generation, number, Ok(Box::new(7_usize))));
    world.io("A");
    assert_eq!(first.now(), Ok(3));
    assert_eq!(world.texts("A"), ["order", "order", "ordered 7"]);
    let third = world.command("A", Command::Order);
    world.io("A");
    assert_eq!(third.now(), Ok(5));
}

#[test]
fn a_stop_waits_for_the_futures_and_a_kill_drops_them() {
    let mut world = World::new(&["A"]);
    world.mode = Mode::Hold;
    let order = world.command("A", Command::Order);
    world.io_once("A");
    world.feed("A", Input::Stop);
    assert_eq!(world.replica("A").stopped, None);
    world.io("A");
    assert_eq!(order.now(), Ok(2), "its command was handled");
    assert_eq!(world.replica("A").stopped, Some(StopReason::Drained));

    let mut world = World::new(&["A"]);
    world.mode = Mode::Hold;
    let order = world.command("A", Command::Order);
    world.io_once("A");
    let (generation, number) = take_future(&mut world);
    world.feed("A", Input::Kill);
    assert_eq!(world.replica("A").dropped_futures, 1);
    let error = order.now().unwrap_err();
    assert!(!error.is_without_effect(), "the future may have acted: {error}");
    world.feed("A", Input::BesideDone(generation, number, Ok(Box::new(7_usize))));
    assert!(world.replica("A").held.is_empty(), "a late value is dropped");
}
