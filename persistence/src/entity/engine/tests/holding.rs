//! Events of another replica that cannot be applied here.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::log::{Command, Log};
use super::world::{Mode, World, replica_id, unavailable};
use crate::entity::engine::Input;
use crate::entity::{EntitySettings, PeerHas, StopReason};
use crate::event::SequenceNr;

fn logs() -> [fn() -> Log; 2] {
    [
        || Log { unknown: Some("bad"), ..Log::default() },
        || Log { poison: Some("bad"), ..Log::default() },
    ]
}

/// A world in which A has seen `good` of B and cannot apply `bad`.
fn holding(log: fn() -> Log) -> World {
    let mut world = World::new(&["A", "B"]);
    world.restart_as("A", log());
    world.add("B", "good");
    world.add("B", "bad");
    world.add("B", "next");
    world.direct = false;
    world
}

#[test]
fn an_entity_goes_on_with_its_own_commands_and_says_what_it_holds_back() {
    for log in logs() {
        let mut world = holding(log);
        for count in 2..102 {
            assert_eq!(world.add("A", "own").now(), Ok(count));
        }
        assert_eq!(world.texts("A").len(), 101);
        assert_eq!(world.replica("A").stopped, None::<StopReason>);
        assert_eq!(world.replica("A").journal.len(), 101, "what was not applied is not stored");
        assert_eq!(world.replica("A").counters.origins_held.load(Ordering::Relaxed), 1);

        world.news("A", "B");
        let (replica, highest, held) = world.replica("A").held_back.pop().unwrap();
        assert_eq!((replica.as_str(), highest), ("B", 3));
        assert_eq!((held.origin.as_str(), held.number), ("B", 2));
        assert!(held.why.contains("event"), "{}", held.why);
        assert_eq!(world.replica("A").caught_up, []);
    }
}

#[test]
fn own_commands_that_are_under_way_keep_their_answers() {
    for log in logs() {
        let mut world = World::new(&["A", "B"]);
        world.restart_as("A", log());
        world.direct = false;
        world.add("B", "bad");
        world.direct = true;
        world.mode = Mode::Hold;
        let first = world.add("A", "1");
        let second = world.add("A", "2");
        let bad = world.replica("B").published.clone();
        world.feed("A", Input::Replicated(bad));
        let third = world.add("A", "3");
        world.io("A");
        assert_eq!((first.now(), second.now(), third.now()), (Ok(1), Ok(2), Ok(3)));
        world.restart("A");
        world.io("A");
        assert_eq!(world.texts("A")[..3], ["1", "2", "3"]);
    }
}

#[test]
fn a_version_that_can_read_the_event_catches_up_without_a_new_write() {
    for log in logs() {
        let mut world = holding(log);
        world.add("A", "own");
        world.restart("A");
        world.news("A", "B");
        assert_eq!(world.texts("A"), ["good", "own", "bad", "next"]);
        assert_eq!(world.replica("A").caught_up.last().unwrap(), &("B".to_owned(), 3));
        world.news("B", "A");
        world.assert_converged();
    }
}

#[test]
fn it_is_tried_again_with_growing_waits_and_never_in_between() {
    for log in logs() {
        let settings = EntitySettings {
            held_retry_min: Duration::from_secs(1),
            held_retry_max: Duration::from_secs(4),
            pull_at_start: false,
            ..EntitySettings::default()
        };
        let mut world = World::with(&["A", "B"], settings);
        world.restart_as("A", log());
        world.direct = false;
        world.add("B", "bad");
        world.news("A", "B");
        world.mode = Mode::Hold;
        for wait in [1, 2, 4, 4] {
            world.replica("A").held.clear();
            world.pass(Duration::from_millis(wait * 1000 - 1));
            let pulls =
                |world: &mut World| world.replica("A").counters.pulls.load(Ordering::Relaxed);
            let before = pulls(&mut world);
            world.pass(Duration::from_millis(1));
            assert_eq!(pulls(&mut world), before + 1, "after {wait} s");
            world.io("A");
            assert!(world.replica("A").engine.is_running());
        }
    }
}

#[test]
fn what_depends_on_it_waits_and_what_does_not_comes() {
    for log in logs() {
        let mut world = World::new(&["A", "B", "C"]);
        world.restart_as("A", log());
        world.direct = false;
        world.add("B", "bad");
        world.news("C", "B");
        world.add("C", "after");
        world.news("A", "B");
        world.news("A", "C");
        assert_eq!(world.texts("A"), [""; 0]);
        assert_eq!(world.replica("A").held_back.len(), 2, "both peers' loops move on");

        world.restart("A");
        world.news("A", "B");
        world.news("A", "C");
        assert_eq!(world.texts("A"), ["bad", "after"]);
    }
}

#[test]
fn an_origin_that_is_not_affected_is_not_held_up() {
    for log in logs() {
        let mut world = World::new(&["A", "B", "C"]);
        world.restart_as("A", log());
        world.direct = false;
        world.add("B", "bad");
        world.add("C", "c");
        world.news("A", "B");
        world.news("A", "C");
        assert_eq!(world.texts("A"), ["c"]);
        assert_eq!(world.replica("A").caught_up, [("C".to_owned(), 1)]);
    }
}

#[test]
fn an_event_that_an_operator_skips_keeps_its_place_and_everybody_else_their_content() {
    for log in logs() {
        let mut world = holding(log);
        world.replica("A").skips.push(("B", 2));
        world.pass(Duration::from_secs(5));
        world.news("A", "B");
        assert_eq!(world.texts("A"), ["good", "next"]);
        assert_eq!(world.replica("A").caught_up.last().unwrap(), &("B".to_owned(), 3));
        assert_eq!(world.replica("A").counters.events_skipped.load(Ordering::Relaxed), 1);

        world.restart_as("A", log());
        assert_eq!(world.texts("A"), ["good", "next"], "skipped at each recovery too");
        let seen = world.replica("A").engine.seen().cloned();
        assert_eq!(seen.as_ref(), world.replica("B").engine.seen());
        assert!(world.command("A", Command::Read).now().is_ok());
    }
}

#[test]
fn an_earlier_event_that_comes_again_after_a_restart_frees_nothing() {
    for log in logs() {
        let mut world = World::new(&["A", "B"]);
        world.restart_as("A", log());
        world.direct = false;
        for text in ["good", "bad", "next"] {
            world.add("B", text);
        }
        world.mode = Mode::Hold;
        let events = world.replica("B").journal.clone();
        world.feed("A", Input::Replicated(events));
        world.fail_io("A", unavailable());
        world.mode = Mode::Flow;
        assert!(world.replica("A").journal.is_empty(), "nothing was durable");

        world.pass(Duration::from_secs(1));
        assert_eq!(world.texts("A"), ["good"]);
        let freed = world.replica("A").counters.origins_freed.load(Ordering::Relaxed);
        assert_eq!(freed, 0, "`bad` still cannot be applied");
        world.replica("A").skips.push(("B", 2));
        world.pass(Duration::from_secs(60));
        assert_eq!(world.texts("A"), ["good", "next"], "`bad` was taken again, and skipped");
    }
}

#[test]
fn versions_of_a_later_page_do_not_stand_for_what_is_held_back() {
    for log in logs() {
        let mut world = World::new(&["A", "B", "C"]);
        world.restart_as("A", log());
        world.direct = false;
        world.add("B", "bad");
        world.add("C", "c");
        world.news("B", "C");
        world.news("A", "B");
        world.news("A", "C");
        assert_eq!(world.replica("A").caught_up, [("C".to_owned(), 1)]);

        // after a restart the entity knows nothing of earlier news
        world.restart_as("A", log());
        let seen = world.replica("B").journal[1].meta.version.clone();
        let [highest, read_to] = [2, 1].map(SequenceNr::new);
        let news = PeerHas { replica: replica_id("B"), highest, seen, read_to };
        world.feed("A", Input::PeerHas(Box::new(news.clone())));
        assert_eq!(world.replica("A").caught_up.len(), 1, "event 1 of B is missing");

        world.restart("A");
        world.feed("A", Input::PeerHas(Box::new(news)));
        assert_eq!(world.texts("A"), ["c", "bad"]);
        assert_eq!(world.replica("A").caught_up.last().unwrap(), &("B".to_owned(), 2));
    }
}

#[test]
fn an_event_that_one_replica_skipped_is_never_taken_from_its_journal() {
    let mut world = World::new(&["A", "B", "C"]);
    world.restart_as("A", Log { unknown: Some("bad"), ..Log::default() });
    world.direct = false;
    world.add("B", "bad");
    world.news("A", "B");
    world.replica("A").skips.push(("B", 1));
    world.pass(Duration::from_secs(5));
    world.news("A", "B");
    world.add("A", "a");
    world.news("C", "A");
    assert_eq!(world.texts("C"), [""; 0], "A has the event without its content");
    world.news("C", "B");
    world.pass(Duration::from_secs(20));
    assert_eq!(world.texts("C"), ["bad", "a"]);
}
