//! Stores that fail, writers that were sealed, handlers that panic.

use std::time::Duration;

use super::log::{Command, Log};
use super::world::{Mode, World, unavailable};
use crate::Error;
use crate::entity::engine::Input;
use crate::entity::{EntitySettings, StopReason};
use crate::reply::ReplyError;

/// After a failed append no later event counts as seen, and the event comes again.
#[test]
fn a_replicated_event_whose_append_fails_is_neither_lost_nor_doubled() {
    let mut world = World::new(&["A", "B"]);
    world.add("A", "1");
    world.mode = Mode::Hold;
    world.add("A", "2");
    world.io("A");
    world.fail_io("B", unavailable());
    world.add("A", "3");
    world.io("A");
    assert!(!world.replica("B").engine.is_running());

    world.pass(Duration::from_secs(1));
    world.io("B");
    assert_eq!(world.texts("B"), ["1", "2", "3"]);
    world.news("B", "A");
    world.io("B");
    assert_eq!(world.texts("B"), ["1", "2", "3"]);
    assert_eq!(world.replica("B").journal.len(), 3);
}

#[test]
fn after_a_failed_append_nothing_that_followed_is_answered() {
    let mut world = World::new(&["A"]);
    world.mode = Mode::Hold;
    let first = world.add("A", "1");
    let second = world.add("A", "2");
    let read = world.command("A", Command::Read);
    world.fail_io("A", unavailable());

    assert!(matches!(first.now(), Err(ReplyError::Unavailable(_))), "the store has not taken it");
    assert!(matches!(second.now(), Err(ReplyError::Unavailable(_))));
    assert!(matches!(read.now(), Err(ReplyError::Unavailable(_))));

    let later = world.add("A", "3");
    world.pass(Duration::from_secs(1));
    world.io("A");
    assert_eq!(later.now(), Ok(1), "a command that came during the wait is handled after it");
}

#[test]
fn an_append_with_an_unknown_outcome_is_answered_as_unknown_and_recovered() {
    let mut world = World::new(&["A"]);
    world.mode = Mode::Hold;
    let answer = world.add("A", "1");
    let collected = world.add("A", "2");
    let read = world.command("A", Command::Read);
    world.fail_io("A", Error::timeout("the test wants it"));
    assert_eq!(answer.now(), Err(ReplyError::Timeout));
    let error = collected.now().unwrap_err();
    assert!(error.is_without_effect(), "never handed to the store: {error}");
    let error = read.now().unwrap_err();
    assert!(error.is_without_effect(), "a read has no effect: {error}");

    world.pass(Duration::from_secs(1));
    world.io("A");
    assert_eq!(world.add_and_run("2"), Ok(1));
}

#[test]
fn a_sealed_writer_stops_the_entity_and_answers_nobody() {
    let mut world = World::new(&["A"]);
    world.mode = Mode::Hold;
    let answer = world.add("A", "1");
    world.fail_io("A", Error::fenced("the writer is sealed"));

    assert!(answer.now().is_err());
    assert!(matches!(world.replica("A").stopped, Some(StopReason::Fenced(_))));
}

/// An entity killed after any number of I/O steps has each event once.
#[test]
fn a_kill_at_any_step_leaves_each_event_once() {
    let settings = EntitySettings { snapshot_every: 2, ..EntitySettings::default() };
    for steps in 0..20 {
        let mut world = World::with(&["A", "B"], settings.clone());
        for text in ["1", "2", "3"] {
            world.add("A", text);
        }
        world.mode = Mode::Hold;
        let published = world.replica("A").published.clone();
        world.replica("B").journal.clear();
        world.replica("B").snapshot = None;
        world.restart("B");
        world.feed("B", Input::Replicated(published[1..].to_vec()));
        for _ in 0..steps {
            world.io_once("B");
        }
        world.restart("B");
        world.io("B");
        world.feed("B", Input::Replicated(published));
        world.io("B");
        assert_eq!(world.texts("B"), ["1", "2", "3"], "killed after {steps} steps");
    }
}

#[test]
fn waits_between_restarts_grow_up_to_their_limit() {
    let settings = EntitySettings {
        restart_min: Duration::from_secs(1),
        restart_max: Duration::from_secs(3),
        ..EntitySettings::default()
    };
    let mut world = World::with(&["A"], settings);
    world.mode = Mode::Hold;
    world.add("A", "1");
    for wait in [1, 2, 3, 3] {
        world.fail_io("A", unavailable());
        world.replica("A").held.clear();
        world.pass(Duration::from_millis(wait * 1000 - 1));
        assert!(world.replica("A").held.is_empty(), "{wait}");
        world.pass(Duration::from_millis(1));
        // the permit is granted, then the read of the snapshot fails next
        world.io_once("A");
    }
}

#[test]
fn an_event_handler_that_panics_does_not_persist_its_event() {
    let mut world = World::new(&["A"]);
    world.restart_as("A", Log { poison: Some("bad"), ..Log::default() });
    world.add("A", "good");
    let bad = world.add("A", "bad");
    assert!(bad.now().is_err());
    assert_eq!(world.replica("A").journal.len(), 1);

    world.pass(Duration::from_secs(1));
    assert_eq!(world.add("A", "good").now(), Ok(2));
}

#[test]
fn an_event_that_cannot_be_read_stops_the_entity_and_says_which() {
    let mut world = World::new(&["A"]);
    world.add("A", "x");
    world.replica("A").journal[0].payload.codec = 77;
    world.restart("A");
    let stopped = format!("{:?}", world.replica("A").stopped);
    assert!(
        stopped.contains("event 1 of `log|l-1|A`") && stopped.contains("codec 77"),
        "{stopped}"
    );
}

#[test]
fn results_from_before_a_restart_mean_nothing() {
    let mut world = World::new(&["A", "B"]);
    world.direct = false;
    world.add("B", "b");
    world.mode = Mode::Hold;
    world.news("A", "B");
    let pull = world.replica("A").held.pop_front().unwrap();
    world.add("A", "a");
    world.fail_io("A", unavailable());
    world.replica("A").held.push_back(pull);
    world.io("A");
    world.pass(Duration::from_secs(1));
    world.io("A");
    assert_eq!(world.texts("A"), ["b"], "read again by the new generation, at its start");
    world.io("A");
    assert_eq!(world.replica("A").journal.len(), 1);
}

impl World {
    fn add_and_run(&mut self, text: &'static str) -> Result<usize, ReplyError> {
        let answer = self.add("A", text);
        self.io("A");
        answer.now()
    }
}
