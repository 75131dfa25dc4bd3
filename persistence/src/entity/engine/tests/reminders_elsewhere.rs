//! Reminders of one name at different replicas that do not know of each other, and a reminder whose
//! command a doubt refuses.

use std::time::Duration;

use super::log::{Command, Log};
use super::scan::scan;
use super::world::{Mode, World, replica_id};
use crate::entity::engine::{Action, Input};
use crate::entity::{Effect, EntityCounters, EntitySettings, Reminder};

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 3600);

type With = fn(Effect<Log>) -> Effect<Log>;

fn at_a(effect: Effect<Log>) -> Effect<Log> {
    effect.remind("n", Reminder::after(10 * SECOND).at_replica(replica_id("A")))
}

fn at_b(effect: Effect<Log>) -> Effect<Log> {
    effect.remind("n", Reminder::after(10 * SECOND).at_replica(replica_id("B")))
}

fn silent_at_b(effect: Effect<Log>) -> Effect<Log> {
    effect.remind("silent", Reminder::after(10 * SECOND).at_replica(replica_id("B")))
}

fn pass(world: &mut World, time: Duration) {
    world.wall += u64::try_from(time.as_micros()).unwrap();
}

fn counter(world: &mut World, replica: &str, name: &str) -> u64 {
    let values = EntityCounters::values(&world.replica(replica).counters);
    values.into_iter().find(|(known, _)| *known == name).expect("a counter").1
}

fn tell_each_other(world: &mut World) {
    world.news("A", "B");
    world.news("B", "A");
}

/// A and B have set the name at the same time, A a second before B.
fn rivals(of_a: With, of_b: With) -> World {
    let settings = EntitySettings { snapshot_every: 2, pull_at_start: false, ..Default::default() };
    let mut world = World::with(&["A", "B"], settings);
    world.direct = false;
    world.just("A", Command::With("first", of_a));
    pass(&mut world, SECOND);
    world.just("B", Command::With("second", of_b));
    tell_each_other(&mut world);
    world
}

#[test]
fn of_two_reminders_that_do_not_know_of_each_other_the_later_one_fires_and_only_at_its_replica() {
    let cases: [(With, With, &str); 2] = [(at_a, at_b, "B"), (at_b, at_a, "A")];
    for (of_a, of_b, winner) in cases {
        for restarts in [false, true] {
            let mut world = rivals(of_a, of_b);
            if restarts {
                world.restart("A");
                world.restart("B");
            }
            scan(&mut world, 30 * SECOND);
            tell_each_other(&mut world);
            for replica in ["A", "B"] {
                let fired = u64::from(replica == winner);
                assert_eq!(counter(&mut world, replica, "reminders_fired"), fired, "{replica}");
                let texts = world.texts(replica);
                assert_eq!(texts.iter().filter(|text| *text == "n 0").count(), 1, "{texts:?}");
                assert!(world.replica(replica).rows.is_empty());
                assert!(world.replicas[replica].engine.reminders().unwrap().is_empty());
            }
        }
    }
}

#[test]
fn a_snapshot_keeps_the_reminders_of_other_replicas_and_they_have_no_row() {
    let mut world = rivals(at_a, at_b);
    let snapshot = world.replica("A").snapshot.clone().expect("after two events");
    let names: Vec<_> = snapshot.reminders.iter().map(|one| one.name.to_string()).collect();
    assert_eq!(names, ["antiphon.elsewhere n", "n"]);
    world.restart("A");
    let shown = world.replicas["A"].engine.reminders().unwrap();
    assert_eq!(shown.iter().map(|one| one.set_by.value()).collect::<Vec<_>>(), [1]);
    assert_eq!(world.replica("A").rows.len(), 1);
}

#[test]
fn a_cancel_that_knows_both_ends_the_reminders_of_both_replicas() {
    let mut world = rivals(at_a, at_b);
    world.just("B", Command::With("cancelled", |effect| effect.cancel_reminder("n")));
    tell_each_other(&mut world);
    assert!(world.replica("A").rows.is_empty() && world.replica("B").rows.is_empty());
    scan(&mut world, 30 * SECOND);
    assert_eq!(counter(&mut world, "A", "reminders_fired"), 0);
    assert_eq!(counter(&mut world, "B", "reminders_fired"), 0);
}

/// Its handler stores no event, so nothing says that it has fired.
#[test]
fn a_reminder_of_another_replica_is_forgotten_a_day_after_its_time() {
    let settings = EntitySettings { snapshot_every: 1, ..Default::default() };
    let mut world = World::with(&["A", "B"], settings);
    world.just("A", Command::With("set", silent_at_b));
    scan(&mut world, 10 * SECOND);
    assert_eq!(counter(&mut world, "B", "reminders_fired"), 1);
    let kept = |world: &mut World| {
        world.restart("A");
        world.just("A", Command::Note("x"));
        world.replica("A").snapshot.as_ref().expect("after each event").reminders.len()
    };
    assert_eq!(kept(&mut world), 1);
    pass(&mut world, DAY + SECOND);
    assert_eq!(kept(&mut world), 0);
}

/// The next command would count as that of the reminder.
#[test]
fn a_reminder_whose_command_a_doubt_refuses_fires_again() {
    let mut world = World::new(&["A", "B"]);
    world.direct = false;
    world.just(
        "A",
        Command::With("set", |effect| {
            effect.remind("later", Reminder::after(SECOND).at_replica(replica_id("A")))
        }),
    );
    world.mode = Mode::Hold;
    scan(&mut world, SECOND);
    world.io_once("A");
    assert!(matches!(world.replica("A").held.front(), Some(Action::RunAsynchronous(..))));
    world.feed("A", Input::Doubted(vec![replica_id("B")]));
    world.io_once("A");
    world.pass(EntitySettings::default().reclaim_wait);
    assert_eq!(counter(&mut world, "A", "reminders_failed"), 1);

    world.io("A");
    world.just("A", Command::Note("x"));
    world.io("A");
    assert_eq!(world.texts("A"), ["set", "x"]);
    assert_eq!(world.replica("A").rows.len(), 1, "the note does not end it");
    world.mode = Mode::Flow;
    scan(&mut world, SECOND);
    assert_eq!(world.texts("A"), ["set", "x", "later"]);
    assert!(world.replica("A").rows.is_empty());
}

/// The node died when it had removed the row of the later one, and not yet that of the earlier one.
#[test]
fn a_reminder_that_was_overtaken_by_one_that_has_fired_without_an_event_does_not_fire_later() {
    let silent = |effect: Effect<Log>| effect.remind("silent", Reminder::after(20 * SECOND));
    let sooner = |effect: Effect<Log>| effect.remind("silent", Reminder::after(10 * SECOND));
    let mut world = rivals(silent, sooner);
    let earlier = world.replica("A").rows.iter().find(|row| row.set_by.value() == 1).cloned();
    scan(&mut world, 10 * SECOND);
    assert_eq!(counter(&mut world, "A", "reminders_fired"), 1);
    assert!(world.replica("A").rows.is_empty());
    world.replica("A").rows.extend(earlier);
    world.restart("A");
    scan(&mut world, 10 * SECOND);
    assert_eq!(counter(&mut world, "A", "reminders_fired"), 1);
    assert!(world.replica("A").rows.is_empty());
}

/// Its event would say nothing of the reminder, which would fire and store it again.
#[test]
fn the_command_of_a_reminder_is_dropped_with_the_life_that_knows_the_reminder() {
    let mut world = World::new(&["A", "B"]);
    world.restart_as("A", Log { poison: Some("bad"), ..Log::default() });
    world.just(
        "A",
        Command::With("set", |effect| {
            effect.remind("later", Reminder::after(SECOND).at_replica(replica_id("A")))
        }),
    );
    world.mode = Mode::Hold;
    scan(&mut world, SECOND);
    world.io_once("A");
    assert!(matches!(world.replica("A").held.front(), Some(Action::RunAsynchronous(..))));
    world.just("B", Command::Note("bad"));
    world.io("B");
    world.io("A");
    assert_eq!(counter(&mut world, "A", "restarts"), 1, "its state was spoilt meanwhile");
    world.mode = Mode::Flow;
    scan(&mut world, SECOND);
    let texts = world.texts("A");
    assert_eq!(texts.iter().filter(|text| *text == "later").count(), 1, "{texts:?}");
    assert!(world.replica("A").rows.is_empty());
}
