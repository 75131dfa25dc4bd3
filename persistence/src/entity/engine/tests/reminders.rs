//! Reminders: set, replaced, cancelled, due, fired; and a node that dies between any two steps.

use std::collections::BTreeSet;
use std::time::Duration;

use super::log::{Command, Log};
use super::scan::scan;
use super::world::{Mode, World, replica_id, unavailable};
use crate::entity::engine::Action;
use crate::entity::{Effect, EntityCounters, EntitySettings, Reminder};
use crate::reply::ReplyError;

const SECOND: Duration = Duration::from_secs(1);

fn once(effect: Effect<Log>) -> Effect<Log> {
    effect.remind("n", Reminder::after(10 * SECOND))
}

fn later(effect: Effect<Log>) -> Effect<Log> {
    effect.remind("n", Reminder::after(20 * SECOND))
}

fn periodic(effect: Effect<Log>) -> Effect<Log> {
    effect.remind("n", Reminder::after(10 * SECOND).every(10 * SECOND))
}

fn cancelled(effect: Effect<Log>) -> Effect<Log> {
    effect.cancel_reminder("n")
}

fn rows(world: &mut World, name: &str) -> Vec<(String, u64)> {
    let rows = world.replica(name).rows.iter();
    rows.map(|row| (row.name.to_string(), row.set_by.value())).collect()
}

fn counter(world: &mut World, name: &str) -> u64 {
    let values = EntityCounters::values(&world.replica("A").counters);
    values.into_iter().find(|(known, _)| *known == name).expect("a counter").1
}

fn set(world: &mut World, text: &'static str, more: fn(Effect<Log>) -> Effect<Log>) {
    world.just("A", Command::With(text, more));
}

#[test]
fn a_reminder_fires_once_with_its_row_before_its_event() {
    let mut world = World::new(&["A"]);
    world.mode = Mode::Hold;
    world.io("A");
    set(&mut world, "set", once);
    let held: Vec<_> = world.replica("A").held.iter().map(|action| format!("{action:?}")).collect();
    assert_eq!(held, ["Append(1 after 0, 1 rows)"]);
    world.io("A");
    assert_eq!(rows(&mut world, "A"), [("n".into(), 1)]);

    assert!(scan(&mut world, 9 * SECOND).is_empty());
    assert_eq!(scan(&mut world, SECOND), ["n"]);
    // told twice, and again while it is looked for
    assert_eq!(scan(&mut world, SECOND), ["n"]);
    world.io("A");
    assert_eq!(world.texts("A"), ["set", "n 0"]);
    assert!(rows(&mut world, "A").is_empty());
    assert!(scan(&mut world, 100 * SECOND).is_empty());
    assert_eq!(counter(&mut world, "reminders_fired"), 1);
    world.restart("A");
    world.io("A");
    assert!(world.replicas["A"].engine.reminders().unwrap().is_empty(), "the journal knows it");
}

#[test]
fn a_name_that_is_set_again_takes_the_place_of_the_first() {
    let mut world = World::new(&["A"]);
    set(&mut world, "first", once);
    set(&mut world, "second", later);
    assert_eq!(rows(&mut world, "A"), [("n".into(), 2)]);
    assert!(scan(&mut world, 10 * SECOND).is_empty());
    assert_eq!(scan(&mut world, 10 * SECOND), ["n"]);
    assert_eq!(world.texts("A"), ["first", "second", "n 0"]);
}

#[test]
fn of_the_events_of_one_append_only_the_last_of_a_name_has_a_row() {
    let mut world = World::new(&["A"]);
    world.mode = Mode::Hold;
    world.io("A");
    set(&mut world, "under way", once);
    set(&mut world, "replaced", later);
    set(&mut world, "cancelled", cancelled);
    set(&mut world, "last", once);
    let taken =
        world.replica("A").held.iter().map(|action| format!("{action:?}")).collect::<Vec<_>>();
    assert_eq!(taken, ["Append(1 after 0, 1 rows)"]);
    world.io_once("A");
    assert_eq!(rows(&mut world, "A"), [("n".into(), 1)]);
    world.io_once("A");
    assert_eq!(rows(&mut world, "A"), [("n".into(), 1), ("n".into(), 4)], "put before, not more");
    world.io("A");
    assert_eq!(rows(&mut world, "A"), [("n".into(), 4)], "the row of the first is removed after");
}

#[test]
fn a_cancelled_reminder_does_not_fire_even_when_it_is_due() {
    let mut world = World::new(&["A"]);
    set(&mut world, "set", once);
    world.mode = Mode::Hold;
    scan(&mut world, 10 * SECOND);
    assert!(matches!(world.replica("A").held.back(), Some(Action::FindReminder(..))));
    set(&mut world, "cancelled", cancelled);
    world.io("A");
    assert_eq!(world.texts("A"), ["set", "cancelled"]);
    assert!(rows(&mut world, "A").is_empty());
    assert_eq!(counter(&mut world, "reminders_fired"), 0);
}

#[test]
fn a_row_whose_append_failed_is_kept_for_an_hour_and_then_removed() {
    let mut world = World::new(&["A"]);
    let row = {
        set(&mut world, "set", once);
        world.replica("A").rows.first().unwrap().clone()
    };
    world.replica("A").journal.clear();
    world.restart("A");
    assert_eq!(scan(&mut world, 10 * SECOND), ["n"]);
    assert!(world.texts("A").is_empty(), "never without its event");
    assert!(world.replica("A").rows.contains(&row));
    scan(&mut world, 3601 * SECOND);
    assert!(world.replica("A").rows.is_empty() && world.texts("A").is_empty());
    assert_eq!(counter(&mut world, "reminders_stale"), 1);
}

#[test]
fn a_row_whose_number_another_event_has_is_removed_when_it_is_due() {
    let mut world = World::new(&["A"]);
    set(&mut world, "set", once);
    world.replica("A").journal.clear();
    world.restart("A");
    world.just("A", Command::Note("other"));
    scan(&mut world, 10 * SECOND);
    assert_eq!(world.texts("A"), ["other"]);
    assert!(rows(&mut world, "A").is_empty());
}

#[test]
fn a_periodic_reminder_tells_the_periods_that_it_missed_and_goes_on_at_its_multiples() {
    let mut world = World::new(&["A"]);
    set(&mut world, "set", periodic);
    scan(&mut world, 10 * SECOND);
    scan(&mut world, 35 * SECOND);
    scan(&mut world, 4 * SECOND);
    scan(&mut world, SECOND);
    assert_eq!(world.texts("A"), ["set", "n 0", "n 2", "n 0"]);
    assert_eq!(rows(&mut world, "A"), [("n".into(), 1)]);
    world.restart("A");
    let due = world.replicas["A"].engine.reminders().unwrap()[0].due;
    assert_eq!(Some(due), world.replica("A").rows.first().map(|row| row.due));
    set(&mut world, "cancelled", cancelled);
    assert!(rows(&mut world, "A").is_empty());
}

#[test]
fn a_reminder_that_is_set_again_by_its_own_handler_fires_again() {
    let mut world = World::new(&["A"]);
    set(&mut world, "set", |effect| effect.remind("again", Reminder::after(SECOND)));
    scan(&mut world, SECOND);
    assert_eq!(rows(&mut world, "A"), [("again".into(), 2)]);
    scan(&mut world, 11 * SECOND);
    assert_eq!(world.texts("A"), ["set", "again", "again"]);
    assert_eq!(rows(&mut world, "A"), [("again".into(), 3)]);
}

#[test]
fn a_reminder_fires_at_each_replica_or_at_the_chosen_one() {
    let mut world = World::new(&["A", "B"]);
    set(&mut world, "each", once);
    set(&mut world, "one", |effect| {
        effect.remind("b", Reminder::after(5 * SECOND).at_replica(replica_id("B")))
    });
    assert_eq!(rows(&mut world, "A"), [("n".into(), 1)]);
    assert_eq!(rows(&mut world, "B"), [("b".into(), 2), ("n".into(), 1)]);
    scan(&mut world, 10 * SECOND);
    let mut texts = world.texts("A");
    texts.sort();
    assert_eq!(texts, ["b 0", "each", "n 0", "n 0", "one"]);
    world.assert_converged();
    assert!(rows(&mut world, "A").is_empty() && rows(&mut world, "B").is_empty());
}

#[test]
fn events_that_a_catch_up_brings_put_their_rows_together_and_only_the_last_of_a_name() {
    let mut world = World::new(&["A", "B"]);
    world.direct = false;
    set(&mut world, "first", once);
    set(&mut world, "second", later);
    set(&mut world, "third", |effect| effect.remind("m", Reminder::after(SECOND)));
    let appends = world.replica("B").append_count;
    world.news("B", "A");
    assert_eq!(world.replica("B").append_count, appends + 1);
    assert_eq!(rows(&mut world, "B"), [("m".into(), 3), ("n".into(), 2)]);
}

/// The events that set one name, at both replicas.
#[test]
fn of_two_reminders_that_know_nothing_of_each_other_the_later_one_fires_everywhere() {
    let mut world = World::new(&["A", "B"]);
    world.direct = false;
    world.just("A", Command::With("a", once));
    world.just("B", Command::With("b", later));
    world.news("A", "B");
    world.news("B", "A");
    let due = |world: &World, name: &str| {
        let set = world.replicas[name].engine.reminders().unwrap();
        set.iter()
            .map(|reminder| (reminder.origin.to_string(), reminder.due))
            .collect::<BTreeSet<_>>()
    };
    assert_eq!(due(&world, "A"), due(&world, "B"));
    world.direct = true;
    scan(&mut world, 10 * SECOND);
    assert_eq!(world.texts("A"), ["a", "b"], "that of A is overtaken");
    scan(&mut world, 10 * SECOND);
    world.assert_converged();
    assert_eq!(world.texts("A").iter().filter(|text| *text == "n 0").count(), 2);
}

#[test]
fn a_cancel_ends_the_reminders_that_its_event_knows_and_no_other() {
    let mut world = World::new(&["A", "B"]);
    world.just("A", Command::With("a", once));
    world.direct = false;
    world.just("A", Command::With("cancelled", cancelled));
    world.just("B", Command::With("b", later));
    world.news("A", "B");
    world.news("B", "A");
    for name in ["A", "B"] {
        let set = world.replicas[name].engine.reminders().unwrap();
        let origins: Vec<_> = set.iter().map(|reminder| reminder.origin.to_string()).collect();
        assert_eq!(origins, ["B"], "at {name}");
        assert_eq!(rows(&mut world, name).len(), 1, "at {name}");
    }
}

#[test]
fn a_snapshot_keeps_the_reminders_of_the_events_before_it() {
    let settings = EntitySettings { snapshot_every: 2, pull_at_start: false, ..Default::default() };
    let mut world = World::with(&["A"], settings);
    set(&mut world, "set", periodic);
    world.just("A", Command::Note("more"));
    assert_eq!(world.replica("A").snapshot.as_ref().unwrap().reminders.len(), 1);
    world.replica("A").deleted = crate::event::SequenceNr::new(2);
    world.replica("A").journal.clear();
    world.restart("A");
    scan(&mut world, 10 * SECOND);
    assert_eq!(world.texts("A"), ["set", "more", "n 0"]);
}

#[test]
fn a_handler_that_fails_is_called_again_and_its_row_stays() {
    let mut world = World::new(&["A"]);
    set(&mut world, "set", |effect| {
        let soon = || Reminder::after(SECOND);
        effect.remind("panics", soon()).remind("refused", soon())
    });
    scan(&mut world, SECOND);
    scan(&mut world, SECOND);
    assert_eq!(world.texts("A"), ["set"]);
    assert_eq!(counter(&mut world, "reminders_failed"), 4);
    world.just("A", Command::Note("open"));
    scan(&mut world, SECOND);
    assert_eq!(world.texts("A"), ["set", "open", "panics 0", "refused 0"]);
    assert!(rows(&mut world, "A").is_empty());
}

#[test]
fn a_handler_that_waits_for_a_future_has_fired_when_its_command_is_durable() {
    let mut world = World::new(&["A"]);
    set(&mut world, "set", |effect| effect.remind("later", Reminder::after(SECOND)));
    world.mode = Mode::Hold;
    scan(&mut world, SECOND);
    world.io_once("A");
    assert!(matches!(world.replica("A").held.front(), Some(Action::RunAsynchronous(..))));
    world.restart("A");
    world.io("A");
    assert_eq!(rows(&mut world, "A"), [("later".into(), 1)], "the node died before the command");
    scan(&mut world, SECOND);
    world.io("A");
    assert_eq!(world.texts("A"), ["set", "later"]);
    assert!(rows(&mut world, "A").is_empty());
    world.restart("A");
    world.io("A");
    assert!(world.replicas["A"].engine.reminders().unwrap().is_empty());
}

#[test]
fn a_reminder_without_a_handler_is_counted_and_over() {
    let mut world = World::new(&["A"]);
    set(&mut world, "set", |effect| effect.remind("unhandled", Reminder::after(SECOND)));
    scan(&mut world, SECOND);
    assert_eq!(counter(&mut world, "reminders_unhandled"), 1);
    assert!(rows(&mut world, "A").is_empty());
}

#[test]
fn a_row_that_cannot_be_read_comes_again() {
    let mut world = World::new(&["A"]);
    set(&mut world, "set", once);
    world.mode = Mode::Hold;
    scan(&mut world, 10 * SECOND);
    world.fail_io("A", unavailable());
    assert!(world.replica("A").held.is_empty());
    scan(&mut world, SECOND);
    world.io("A");
    assert_eq!(world.texts("A"), ["set", "n 0"]);
}

#[test]
fn wrong_reminders_refuse_their_command_and_nothing_is_stored() {
    let settings = EntitySettings { reminders_max: 2, pull_at_start: false, ..Default::default() };
    let mut world = World::with(&["A"], settings);
    let refused = |world: &mut World, text, more: fn(Effect<Log>) -> Effect<Log>| {
        let (reply_to, reply) = crate::reply::reply_channel::<usize>();
        drop(reply);
        drop(reply_to);
        let before = counter(world, "reminders_refused");
        set(world, text, more);
        counter(world, "reminders_refused") - before
    };
    assert_eq!(refused(&mut world, "", once), 1, "without an event");
    assert_eq!(refused(&mut world, "x", |effect| effect.remind("", Reminder::after(SECOND))), 1);
    let three = |effect: Effect<Log>| {
        ["a", "b", "c"]
            .into_iter()
            .fold(effect, |effect, name| effect.remind(name, Reminder::after(SECOND)))
    };
    assert_eq!(refused(&mut world, "x", three), 1);
    assert!(world.texts("A").is_empty() && rows(&mut world, "A").is_empty());
    let two = |effect: Effect<Log>| {
        effect.remind("a", Reminder::after(SECOND)).remind("b", Reminder::after(SECOND))
    };
    assert_eq!(refused(&mut world, "two", two), 0);
    assert_eq!(refused(&mut world, "x", once), 1);
    scan(&mut world, SECOND);
    assert_eq!(refused(&mut world, "room again", once), 0);
}

#[test]
fn metadata_under_a_key_of_antiphon_refuses_a_command() {
    let mut world = World::new(&["A"]);
    let (reply_to, reply) = crate::reply::reply_channel();
    let metadata = crate::event::Metadata::new().with_reminders("[]".into());
    let claim = crate::reply::Claim::unlimited_with(metadata);
    let command = Command::Add(vec!["x"], reply_to);
    let queued = crate::entity::engine::Queued { command, slot: Default::default(), claim };
    world.feed("A", crate::entity::engine::Input::Command(queued));
    let Err(ReplyError::Rejected(why)) = reply.now() else { panic!("expected a refusal") };
    assert!(why.contains("which is reserved"), "{why}");
    assert!(world.texts("A").is_empty());
}

/// A node dies after every number of steps of I/O, and its rows are scanned until none is left.
fn dies_after(step_count: usize, more: fn(Effect<Log>) -> Effect<Log>) -> (bool, World) {
    let mut world = World::new(&["A"]);
    world.mode = Mode::Hold;
    world.io("A");
    set(&mut world, "set", more);
    let mut left = step_count;
    for _ in 0..10 {
        while left > 0 && world.io_once("A") {
            left -= 1;
        }
        if left == 0 {
            break;
        }
        scan(&mut world, 10 * SECOND);
    }
    let is_over = left > 0;
    world.restart("A");
    world.mode = Mode::Flow;
    world.io("A");
    (is_over, world)
}

#[test]
fn a_node_that_dies_between_any_two_steps_fires_at_least_once_and_never_without_its_event() {
    let silent = |effect: Effect<Log>| effect.remind("silent", Reminder::after(SECOND));
    for more in [once as fn(Effect<Log>) -> Effect<Log>, silent] {
        for steps in 0.. {
            assert!(steps < 50, "the scenario ends");
            let (is_over, mut world) = dies_after(steps, more);
            for _ in 0..3 {
                scan(&mut world, 1200 * SECOND);
            }
            scan(&mut world, 3600 * SECOND);
            let texts = world.texts("A");
            let fired = counter(&mut world, "reminders_fired");
            let is_set = texts.first().is_some_and(|text| text == "set");
            assert_eq!(is_set, fired > 0, "after {steps} steps: {texts:?}");
            assert!(texts.iter().filter(|text| *text == "n 0").count() <= 1, "{steps}: {texts:?}");
            assert!(rows(&mut world, "A").is_empty(), "after {steps} steps");
            if is_over {
                break;
            }
        }
    }
}

#[test]
fn a_periodic_reminder_goes_on_after_a_death_between_any_two_steps() {
    let silent = |effect: Effect<Log>| {
        effect.remind("silent", Reminder::after(10 * SECOND).every(10 * SECOND))
    };
    for more in [periodic as fn(Effect<Log>) -> Effect<Log>, silent] {
        for steps in 2..40 {
            let (_, mut world) = dies_after(steps, more);
            assert_eq!(world.texts("A").first().map(String::as_str), Some("set"));
            let before = counter(&mut world, "reminders_fired");
            for _ in 0..5 {
                scan(&mut world, 10 * SECOND);
            }
            let fired = counter(&mut world, "reminders_fired") - before;
            assert!((4..=7).contains(&fired), "after {steps} steps: {fired} times");
            assert_eq!(rows(&mut world, "A").len(), 1, "after {steps} steps");
        }
    }
}
