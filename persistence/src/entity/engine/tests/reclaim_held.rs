//! A journal that may have gone back, and an event of a peer that cannot be applied.

use std::time::Duration;

use super::log::Log;
use super::world::{World, replica_id};
use crate::entity::engine::Input;
use crate::reply::ReplyError;

/// Behaviours that cannot apply `bad`: they cannot read it, or panic at it.
fn without_bad() -> [fn() -> Log; 2] {
    [
        || Log { unknown: Some("bad"), ..Log::default() },
        || Log { poison: Some("bad"), ..Log::default() },
    ]
}

/// A and B with events of both. A's journal has the first `kept` events, and A, in doubt, cannot
/// apply B's `bad`.
fn held_in_doubt(kept: usize, log: fn() -> Log, a_has_seen_bad: bool) -> World {
    let mut world = World::new(&["A", "B"]);
    world.add("A", "a1");
    world.add("B", "good");
    world.direct = a_has_seen_bad;
    world.add("B", "bad");
    if !a_has_seen_bad {
        // B's journal has `bad` before A's next event, which has not seen `bad`
        let late = world.replica("A").published.len();
        world.add("A", "a2");
        let own = world.replica("A").published.split_off(late);
        world.feed("B", Input::Replicated(own));
    } else {
        world.add("A", "a2");
    }
    world.direct = false;
    world.replica("A").journal.truncate(kept);
    world.restart_as("A", log());
    world.feed("A", Input::Doubted(vec![replica_id("B")]));
    world
}

#[test]
fn an_event_that_is_held_back_keeps_no_entity_in_doubt() {
    for log in without_bad() {
        let mut world = held_in_doubt(3, log, false);
        let reply = world.add("A", "a3");
        for _ in 0..5 {
            world.pass(Duration::from_secs(1));
        }
        assert_eq!(world.replica("A").engine.doubts(), []);
        assert_eq!((reply.now(), world.replica("A").reclaimed), (Ok(4), 1));
        assert_eq!(world.texts("A"), ["a1", "good", "a2", "a3"]);
    }
}

#[test]
fn an_own_event_behind_one_that_is_held_back_comes_back_before_the_first_command() {
    for log in without_bad() {
        let mut world = held_in_doubt(2, log, false);
        let reply = world.add("A", "a3");
        for _ in 0..5 {
            world.pass(Duration::from_secs(1));
        }
        assert_eq!(reply.now(), Ok(4), "it does not depend on what is held");
        assert_eq!(world.texts("A"), ["a1", "good", "a2", "a3"]);
    }
}

#[test]
fn an_own_event_that_depends_on_one_that_is_held_back_keeps_commands_waiting_and_is_named() {
    for log in without_bad() {
        let mut world = held_in_doubt(2, log, true);
        let reply = world.add("A", "a3");
        for _ in 0..30 {
            world.pass(Duration::from_secs(1));
        }
        let answer = reply.now();
        assert!(
            matches!(&answer, Err(ReplyError::Unavailable(why)) if why.contains("event 2 of this replica")),
            "{answer:?}"
        );
        assert_eq!(world.replica("A").journal.len(), 2, "no number is used twice");

        world.restart("A");
        world.feed("A", Input::Doubted(vec![replica_id("B")]));
        let reply = world.add("A", "a3");
        world.pass(Duration::from_secs(1));
        assert_eq!(reply.now(), Ok(5), "a version that can read it has everything back");
        assert_eq!(world.texts("A"), ["a1", "good", "bad", "a2", "a3"]);
    }
}
