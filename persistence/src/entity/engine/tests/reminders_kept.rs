//! Reminders beside futures, replicas without their history, lost rows, wrong clocks and notes of
//! later versions.

use std::time::Duration;

use antiphon_base::time::Timestamp;

use super::log::{Command, Log};
use super::scan::scan;
use super::world::{Mode, World, replica_id};
use crate::entity::engine::{Action, Input, Slot};
use crate::entity::{Effect, EntityCounters, EntitySettings, Reminder};
use crate::event::{Labels, Metadata, SequenceNr, Tags};
use crate::store::ReminderRow;

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 3600);

fn once(effect: Effect<Log>) -> Effect<Log> {
    effect.remind("n", Reminder::after(10 * SECOND))
}

fn periodic(effect: Effect<Log>) -> Effect<Log> {
    effect.remind("n", Reminder::after(10 * SECOND).every(10 * SECOND))
}

fn set(world: &mut World, name: &'static str, more: fn(Effect<Log>) -> Effect<Log>) {
    world.just(name, Command::With("set", more));
}

fn rows(world: &mut World, name: &str) -> Vec<(u64, u64)> {
    let rows = world.replica(name).rows.iter();
    rows.map(|row| (row.set_by.value(), row.due.as_micros() / 1_000_000)).collect()
}

fn set_by(world: &World, name: &str) -> Vec<u64> {
    let set = world.replicas[name].engine.reminders().unwrap();
    set.iter().map(|reminder| reminder.set_by.value()).collect()
}

fn counter(world: &mut World, name: &str) -> u64 {
    let values = EntityCounters::values(&world.replica("A").counters);
    values.into_iter().find(|(known, _)| *known == name).expect("a counter").1
}

fn pass(world: &mut World, time: Duration) {
    world.wall += u64::try_from(time.as_micros()).unwrap();
}

/// The handler of A waits for a future when B sets the name again.
fn is_set_while_the_handler_waits(
    first: fn(Effect<Log>) -> Effect<Log>,
    second: fn(Effect<Log>) -> Effect<Log>,
) -> World {
    let mut world = World::new(&["A", "B"]);
    set(&mut world, "A", first);
    world.mode = Mode::Hold;
    scan(&mut world, SECOND);
    world.io_once("A");
    assert!(matches!(world.replica("A").held.front(), Some(Action::RunAsynchronous(..))));
    world.just("B", Command::With("again", second));
    world.io("B");
    world.io("A");
    assert!(world.texts("A").contains(&"again".to_owned()));
    world
}

#[test]
fn a_reminder_that_is_set_while_the_handler_of_its_name_waits_for_a_future_stays() {
    let mut world = is_set_while_the_handler_waits(
        |effect| effect.remind("later", Reminder::after(SECOND).at_replica(replica_id("A"))),
        |effect| effect.remind("later", Reminder::after(DAY)),
    );
    assert_eq!(world.texts("A"), ["set", "again", "later"]);
    assert_eq!((set_by(&world, "A"), rows(&mut world, "A").len()), (vec![2], 1));
    world.restart("A");
    world.io("A");
    assert_eq!(set_by(&world, "A"), [2], "the journal says the same");
    world.mode = Mode::Flow;
    assert_eq!(scan(&mut world, DAY), ["later", "later"]);
}

#[test]
fn a_handler_without_events_ends_no_reminder_that_was_set_while_it_waited() {
    let mut world = is_set_while_the_handler_waits(
        |effect| {
            let soon = Reminder::after(SECOND).every(SECOND).at_replica(replica_id("A"));
            effect.remind("later silent", soon)
        },
        |effect| effect.remind("later silent", Reminder::after(DAY).every(DAY)),
    );
    assert_eq!(set_by(&world, "A"), [2]);
    assert_eq!(rows(&mut world, "A"), [(2, 2 + DAY.as_secs())]);
}

#[test]
fn a_new_replica_does_not_fire_what_has_fired_elsewhere_long_ago() {
    let mut world = World::new(&["A", "B"]);
    world.direct = false;
    set(&mut world, "A", once);
    scan(&mut world, 10 * SECOND);
    pass(&mut world, 2 * DAY);
    world.news("B", "A");
    assert_eq!(world.texts("B"), ["set", "n 0"]);
    assert!(rows(&mut world, "B").is_empty() && set_by(&world, "B").is_empty());
    world.restart("B");
    assert!(set_by(&world, "B").is_empty(), "the journal says the same");
}

#[test]
fn a_new_replica_waits_a_minute_for_the_news_that_an_old_reminder_has_fired() {
    let mut world = World::new(&["A", "B"]);
    world.direct = false;
    set(&mut world, "A", once);
    pass(&mut world, 2 * DAY);
    world.news("B", "A");
    world.replica("A").rows.clear();
    scan(&mut world, 50 * SECOND);
    assert_eq!(world.texts("B"), ["set"]);
    scan(&mut world, 11 * SECOND);
    assert_eq!(world.texts("B"), ["set", "n 0"]);
}

#[test]
fn a_replica_that_was_behind_for_hours_fires_all_the_same() {
    let mut world = World::new(&["A", "B"]);
    world.direct = false;
    set(&mut world, "A", once);
    scan(&mut world, 10 * SECOND);
    pass(&mut world, DAY / 2);
    world.news("B", "A");
    scan(&mut world, SECOND);
    assert_eq!(world.texts("B").iter().filter(|text| *text == "n 0").count(), 2);
}

#[test]
fn a_recovery_puts_the_rows_that_are_missing_and_forgets_reminders_that_are_past() {
    let mut world = World::new(&["A"]);
    set(&mut world, "A", once);
    world.replica("A").rows.clear();
    world.restart("A");
    assert_eq!(rows(&mut world, "A"), [(1, 11)]);
    assert_eq!(counter(&mut world, "reminders_mended"), 1);
    world.replica("A").rows.clear();
    pass(&mut world, 20 * SECOND);
    world.restart("A");
    assert!(rows(&mut world, "A").is_empty() && set_by(&world, "A").is_empty());

    set(&mut world, "A", periodic);
    world.replica("A").rows.clear();
    pass(&mut world, 35 * SECOND);
    world.restart("A");
    assert_eq!(rows(&mut world, "A"), [(2, 61)], "set at 21, due at multiples of 10 s");
    scan(&mut world, 5 * SECOND);
    assert_eq!(world.texts("A"), ["set", "set", "n 0"]);
    world.restart("A");
    assert_eq!(counter(&mut world, "reminders_mended"), 2, "each row is there");
}

#[test]
fn a_cancelled_reminder_gets_no_row_from_a_recovery_that_looks_for_it() {
    let mut world = World::new(&["A"]);
    set(&mut world, "A", periodic);
    world.replica("A").rows.clear();
    world.mode = Mode::Hold;
    world.restart("A");
    while !matches!(world.replica("A").held.front(), Some(Action::FindReminder(..))) {
        assert!(world.io_once("A"));
    }
    world.just("A", Command::With("cancelled", |effect| effect.cancel_reminder("n")));
    world.io("A");
    assert!(rows(&mut world, "A").is_empty());
}

#[test]
fn a_row_that_is_not_due_by_the_clock_of_the_entity_waits() {
    let mut world = World::new(&["A"]);
    set(&mut world, "A", periodic);
    for _ in 0..3 {
        let row = world.replica("A").rows.first().unwrap().clone();
        world.feed("A", Input::ReminderDue(Box::new(row), Slot::default()));
    }
    assert_eq!(world.texts("A"), ["set"]);
    assert_eq!(rows(&mut world, "A"), [(1, 11)]);
    scan(&mut world, 10 * SECOND);
    assert_eq!(world.texts("A"), ["set", "n 0"]);
}

#[test]
fn a_reaction_does_not_take_the_place_of_a_reminder_that_waits_for_a_future() {
    let mut world = World::new(&["A", "B"]);
    let reacting = || Log { reacts: true, ..Log::default() };
    world.restart_as("A", reacting());
    set(&mut world, "A", |effect| {
        effect.remind("later", Reminder::after(SECOND).at_replica(replica_id("A")))
    });
    world.mode = Mode::Hold;
    scan(&mut world, SECOND);
    world.io_once("A");
    assert!(matches!(world.replica("A").held.front(), Some(Action::RunAsynchronous(..))));
    world.just("B", Command::Note("x"));
    world.io("B");
    world.replica("A").held.rotate_left(1);
    world.io("A");
    assert_eq!(world.texts("A"), ["set", "x", "later", "re x of B"]);
    assert!(set_by(&world, "A").is_empty() && rows(&mut world, "A").is_empty());
    world.restart_as("A", reacting());
    world.io("A");
    assert!(set_by(&world, "A").is_empty(), "the journal says the same");
}

#[test]
fn a_row_whose_event_is_not_known_is_kept_after_it_was_seen_first_however_late_it_is() {
    let mut world = World::new(&["A"]);
    world.just("A", Command::Note("x"));
    pass(&mut world, DAY);
    let persistence_id = {
        set(&mut world, "A", once);
        world.replica("A").rows.first().unwrap().persistence_id.clone()
    };
    let (due, set_by) = (Timestamp::from_micros(1), SequenceNr::new(3));
    let row = ReminderRow { due, persistence_id, name: "m".into(), set_by };
    world.replica("A").rows.insert(row.clone());
    scan(&mut world, SECOND);
    assert!(world.replica("A").rows.contains(&row), "another node may be about to store its event");
    scan(&mut world, 31 * SECOND);
    assert!(!world.replica("A").rows.contains(&row));
}

#[test]
fn an_event_with_a_note_of_a_later_version_keeps_its_entity_from_snapshots() {
    let settings = EntitySettings { snapshot_every: 2, pull_at_start: false, ..Default::default() };
    let mut world = World::with(&["A"], settings);
    set(&mut world, "A", once);
    let text = r#"[{"paused":{"name":"m"}},{"set":{"name":"m","due":90000000}}]"#;
    let metadata = Metadata::new().with_reminders(text.into());
    world.replica("A").journal[0].meta.labels = Labels::read(metadata, Tags::default()).unwrap();
    world.replica("A").rows.clear();
    world.restart("A");
    assert_eq!(rows(&mut world, "A"), [(1, 90)], "the other notes count");
    world.just("A", Command::Note("x"));
    world.just("A", Command::Note("y"));
    assert!(world.replica("A").snapshot.is_none());
    assert_eq!(counter(&mut world, "snapshots_failed"), 1);
    assert_eq!(counter(&mut world, "reminders_unread"), 1);
}
