//! Application code that fails hurts only the command that it was called for.

use std::sync::atomic::Ordering;

use super::log::{Command, Log};
use super::world::{Mode, World, unavailable};
use crate::entity::engine::{Action, Input};
use crate::entity::{AsynchronousFailure, EntitySettings, Signal};
use crate::event::SequenceNr;
use crate::reply::{ReplyError, reply_channel};

fn with(log: Log) -> World {
    let mut world = World::new(&["A"]);
    world.restart_as("A", log);
    world
}

#[test]
fn an_event_without_a_type_fails_its_command_before_anything_is_applied() {
    let mut world = with(Log { untyped: Some("bad"), ..Log::default() });
    let bad = world.command("A", |to| Command::Add(vec!["1", "bad"], to));
    assert!(bad.now().unwrap_err().is_without_effect());
    assert_eq!(world.texts("A"), [""; 0]);
    assert_eq!(world.add("A", "2").now(), Ok(1));
    assert_eq!(world.replica("A").counters.restarts.load(Ordering::Relaxed), 0);
}

#[test]
fn an_answer_that_cannot_be_made_keeps_the_event_and_promises_nothing() {
    let mut world = World::new(&["A"]);
    world.mode = Mode::Hold;
    let before = world.add("A", "1");
    let then = world.command("A", Command::ThenPanics);
    let run = world.command("A", Command::RunPanics);
    let after = world.add("A", "2");
    world.io("A");

    assert_eq!((before.now(), after.now()), (Ok(1), Ok(4)));
    for answer in [then.now(), run.now()] {
        let error = answer.unwrap_err();
        assert!(matches!(error, ReplyError::Unanswered(_)), "{error}");
    }
    assert_eq!(world.texts("A"), ["1", "then", "run", "2"]);
}

#[test]
fn a_read_whose_answer_cannot_be_made_is_without_effect() {
    let mut world = World::new(&["A"]);
    let read = world.command("A", Command::ReadPanics);
    assert!(read.now().unwrap_err().is_without_effect());
}

#[test]
fn an_answer_that_cannot_be_made_beside_a_side_effect_promises_nothing() {
    let mut world = World::new(&["A"]);
    for command in [Command::RunThenPanics, Command::PanicsThenRun] {
        let error = world.command("A", command).now().unwrap_err();
        assert!(!error.is_without_effect(), "the side effect runs: {error}");
    }
    let error = world.command("A", Command::RunUnread).now().unwrap_err();
    assert!(error.is_without_effect(), "nothing has run: {error}");
}

#[test]
fn an_answer_beside_an_asynchronous_effect_or_a_stash_is_refused_with_the_reason() {
    for command in [Command::LaterThen, Command::StashThen] {
        let mut world = World::new(&["A"]);
        world.mode = Mode::Hold;
        let error = world.command("A", command).now().unwrap_err();
        let ReplyError::Unanswered(why) = error else { panic!("{error}") };
        assert!(why.contains("are not run after `Effect::"), "{why}");
    }
}

#[test]
fn a_future_is_dropped_when_its_entity_starts_again_or_ends() {
    for ends in [false, true] {
        let mut world = World::new(&["A", "B"]);
        world.direct = false;
        world.add("B", "b");
        let foreign = world.replica("B").published.clone();
        world.mode = Mode::Hold;
        world.just("A", Command::LaterOr(reply_channel().0));
        let future = world.replica("A").held.pop_front();
        assert!(matches!(future, Some(Action::RunAsynchronous(..))), "{future:?}");
        if ends {
            world.feed("A", Input::Kill);
        } else {
            world.feed("A", Input::Replicated(foreign));
            world.fail_io("A", unavailable());
        }
        assert_eq!(world.replica("A").dropped_futures, 1);
    }
}

#[test]
fn a_panic_about_a_snapshot_means_no_snapshot() {
    let mut world = with(Log { unsnapped: Some("1"), snapped: Some("2"), ..Log::default() });
    assert_eq!(world.add("A", "1").now(), Ok(1));
    assert!(world.replica("A").snapshot.is_none());
    assert_eq!(world.add("A", "2").now(), Ok(2));
    assert_eq!(world.replica("A").snapshot.as_ref().unwrap().sequence_nr, SequenceNr::new(2));
}

#[test]
fn snapshots_are_asked_for_after_events_of_other_replicas_too() {
    let mut world = World::new(&["A", "B"]);
    world.restart_as("A", Log { snapped: Some("b"), ..Log::default() });
    world.add("B", "b");
    assert!(world.replica("A").snapshot.is_some());
}

#[test]
fn an_entity_that_lives_shortly_has_its_snapshots_all_the_same() {
    let settings = EntitySettings { snapshot_every: 10, ..EntitySettings::default() };
    let mut world = World::with(&["A"], settings);
    for _ in 0..20 {
        for _ in 0..6 {
            world.add("A", "x");
        }
        world.restart("A");
    }
    let saved = world.replica("A").counters.snapshots_saved.load(Ordering::Relaxed);
    assert_eq!(saved, 12);
}

#[test]
fn snapshots_of_earlier_lives_are_deleted_too() {
    let settings =
        EntitySettings { snapshot_every: 5, snapshots_keep: 2, ..EntitySettings::default() };
    let mut world = World::with(&["A"], settings);
    for _ in 0..20 {
        for _ in 0..5 {
            world.add("A", "x");
        }
        world.restart("A");
    }
    assert_eq!(world.replica("A").deleted_snapshots, SequenceNr::new(94), "95 and 100 are kept");
}

#[test]
fn the_end_of_recovery_is_told_with_the_number_and_a_time_that_is_right() {
    let mut world = World::new(&["A"]);
    world.wall = 7_000_000;
    world.add("A", "x");
    world.add("A", "x");
    let log = std::sync::Arc::new(Log::default());
    world.restart_with("A", log.clone());
    let signals = log.signals.lock();
    let (signal, number, time) = &signals[0];
    assert_eq!((signal, *number), (&Signal::RecoveryCompleted, 2));
    assert!(time.as_micros() > 7_000_000, "{time}");
}

#[test]
fn an_asynchronous_effect_that_fails_lets_the_entity_go_on() {
    for failure in [AsynchronousFailure::TimedOut { awaited: None }, AsynchronousFailure::Panicked]
    {
        let mut world = World::new(&["A"]);
        world.mode = Mode::Hold;
        let later = world.command("A", Command::Later);
        let read = world.command("A", Command::Read);
        let Some(Action::RunAsynchronous(generation, future, _)) =
            world.replica("A").held.pop_front()
        else {
            panic!("a future")
        };
        drop(future);
        world.feed("A", Input::AsynchronousDone(generation, Err(failure.clone())));
        assert_eq!(later.now(), Err(ReplyError::NoReply));
        assert_eq!(read.now(), Ok(0), "{failure}");
    }
}

#[test]
fn a_handler_can_turn_the_failure_of_its_future_into_a_command() {
    let mut world = World::new(&["A"]);
    world.mode = Mode::Hold;
    let answer = world.command("A", Command::LaterOr);
    let Some(Action::RunAsynchronous(generation, ..)) = world.replica("A").held.pop_front() else {
        panic!("a future")
    };
    let failed = Err(AsynchronousFailure::TimedOut { awaited: None });
    world.feed("A", Input::AsynchronousDone(generation, failed));
    world.io("A");
    assert_eq!(answer.now(), Ok(1));
    assert_eq!(world.texts("A"), ["later"]);
}
