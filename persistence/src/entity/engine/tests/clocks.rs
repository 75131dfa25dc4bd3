//! Clocks that are wrong: the times of own events, and of events of other replicas.

use std::sync::atomic::Ordering;

use super::world::World;

const HOUR: u64 = 3_600_000_000;

/// The time of the newest event in the journal of a replica.
fn newest(world: &mut World, name: &'static str) -> u64 {
    world.replica(name).journal.last().unwrap().meta.timestamp.as_micros()
}

fn ahead(world: &mut World, name: &'static str) -> u64 {
    world.replica(name).counters.events_ahead.load(Ordering::Relaxed)
}

/// One wrong clock set the times of all replicas wrong for ever.
#[test]
fn an_event_of_a_clock_that_is_far_ahead_is_applied_and_sets_no_other_clock() {
    let mut world = World::new(&["A", "B"]);
    world.direct = false;
    world.wall += HOUR;
    world.add("A", "a");
    world.wall -= HOUR;
    world.news("B", "A");
    assert_eq!(world.texts("B"), ["a"], "nothing is lost");
    assert_eq!(ahead(&mut world, "B"), 1);
    world.add("B", "b");
    assert!(newest(&mut world, "B") < HOUR, "{}", newest(&mut world, "B"));

    world.restart("B");
    let before = newest(&mut world, "B");
    world.add("B", "c");
    assert!((before..HOUR).contains(&newest(&mut world, "B")), "also after a replay");
    assert_eq!(ahead(&mut world, "B"), 1, "counted once");
    world.news("A", "B");
    world.assert_converged();

    // the replica whose clock was wrong goes on from its own times
    let before = newest_own(&mut world);
    for restarts in [false, true] {
        if restarts {
            world.restart("A");
        }
        world.add("A", "d");
        assert!(newest(&mut world, "A") > before, "restarts: {restarts}");
    }
}

/// The newest time of an own event of A.
fn newest_own(world: &mut World) -> u64 {
    let of_a = |event: &&crate::event::StoredEvent| event.meta.origin.as_str() == "A";
    let journal = &world.replica("A").journal;
    journal.iter().rev().find(of_a).unwrap().meta.timestamp.as_micros()
}

#[test]
fn later_times_follow_an_event_that_is_not_too_far_ahead() {
    let mut world = World::new(&["A", "B"]);
    world.direct = false;
    let most = u64::try_from(world.settings.time_skew_max.as_micros()).unwrap();
    world.wall += most / 2;
    world.add("A", "a");
    world.wall -= most / 2;
    world.news("B", "A");
    world.add("B", "b");
    assert_eq!(ahead(&mut world, "B"), 0);
    assert_eq!(newest(&mut world, "B"), newest(&mut world, "A") + 1);
}

/// When the time of day has come near, a replay follows the event after all.
#[test]
fn a_time_that_is_not_ahead_any_more_is_followed_after_a_replay() {
    let mut world = World::new(&["A", "B"]);
    world.direct = false;
    world.wall += HOUR;
    world.add("A", "a");
    world.wall -= HOUR;
    world.news("B", "A");
    world.wall += HOUR - 30_000_000;
    world.restart("B");
    world.add("B", "b");
    let of_a = newest(&mut world, "A");
    assert!(newest(&mut world, "B") > of_a, "it is later than the event that it follows");
}
