//! Snapshots: their metadata, and when they are taken.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::log::{Command, Log};
use super::world::{Mode, World, unavailable};
use crate::entity::engine::{Action, Input, Queued};
use crate::entity::{EntitySettings, Signal};
use crate::event::{Metadata, SequenceNr};
use crate::reply::{Claim, reply_channel};

fn world(settings: EntitySettings, log: Log) -> (World, Arc<Log>) {
    let mut world = World::with(&["A"], settings);
    let log = Arc::new(log);
    world.restart_with("A", log.clone());
    (world, log)
}

fn every(snapshot_every: u64) -> EntitySettings {
    EntitySettings { snapshot_every, ..EntitySettings::default() }
}

/// Hands a command with this correlation id to the replica.
fn add(world: &mut World, text: &'static str, id: &str) {
    let metadata = Metadata::new().with("correlation-id", id).unwrap();
    let command = Command::Add(vec![text], reply_channel().0);
    let claim = Claim::unlimited_with(metadata);
    world.feed("A", Input::Command(Queued { claim, ..Queued::unlimited(command) }));
}

fn with_id(signal: fn(SequenceNr) -> Signal, number: u64, id: &str) -> (Signal, Metadata) {
    let metadata = Metadata::new().with("correlation-id", id).unwrap();
    (signal(SequenceNr::new(number)), metadata)
}

#[test]
fn the_metadata_of_a_snapshot_is_shown_when_it_was_saved_and_when_it_is_recovered() {
    let (mut world, log) = world(every(2), Log::default());
    add(&mut world, "1", "one");
    add(&mut world, "2", "two");
    let saved = with_id(Signal::SnapshotSaved, 2, "two");
    assert_eq!(*log.with_metadata.lock(), std::slice::from_ref(&saved), "and in no other signal");
    world.restart_with("A", log.clone());
    let recovered = with_id(Signal::SnapshotRecovered, 2, "two");
    assert_eq!(*log.with_metadata.lock(), [saved, recovered]);
}

#[test]
fn a_snapshot_of_a_behaviour_without_metadata_has_none() {
    let (mut world, log) = world(every(1), Log::default());
    world.add("A", "1");
    assert!(world.replica("A").snapshot.as_ref().unwrap().metadata.is_empty());
    assert!(log.with_metadata.lock().is_empty());
}

#[test]
fn a_panic_of_snapshot_metadata_is_a_snapshot_that_is_not_stored() {
    let (mut world, log) = world(every(1), Log { unlabelled: Some("1"), ..Log::default() });
    assert_eq!(world.add("A", "1").now(), Ok(1));
    assert_eq!(world.replica("A").snapshot, None);
    let failed = |(signal, ..): &(Signal, u64, _)| matches!(signal, Signal::SnapshotFailed(why) if why.contains("snapshot_metadata"));
    assert!(log.signals.lock().iter().any(failed));
    assert_eq!(world.add("A", "2").now(), Ok(2));
    assert!(world.replica("A").snapshot.is_some());
}

/// The number of the stored snapshot; zero: there is none.
fn snapshot_number(world: &World) -> u64 {
    world.replicas["A"].snapshot.as_ref().map_or(0, |snapshot| snapshot.sequence_nr.value())
}

#[test]
fn the_count_of_events_goes_on_over_the_lives_of_an_entity() {
    let (mut world, log) = world(every(5), Log::default());
    let mut numbers = Vec::new();
    for _ in 0..6 {
        world.add("A", "1");
        world.add("A", "2");
        numbers.push(snapshot_number(&world));
        world.feed("A", Input::Stop);
        world.restart_with("A", log.clone());
    }
    assert_eq!(numbers, [0, 0, 5, 5, 10, 10]);
}

#[test]
fn a_recovery_that_replays_as_many_events_as_the_setting_takes_a_snapshot() {
    let settings = EntitySettings { snapshot_after_replay: 3, ..every(0) };
    let (mut world, log) = world(settings, Log::default());
    world.add("A", "1");
    world.add("A", "2");
    world.restart_with("A", log.clone());
    assert_eq!(snapshot_number(&world), 0, "two events are fewer than three");
    world.add("A", "3");
    assert_eq!(snapshot_number(&world), 0, "only a recovery counts");
    world.restart_with("A", log.clone());
    assert_eq!(snapshot_number(&world), 3);
    world.add("A", "4");
    world.restart_with("A", log.clone());
    assert_eq!(snapshot_number(&world), 3, "one event was replayed after the snapshot");
    assert_eq!(world.texts("A"), ["1", "2", "3", "4"]);
}

#[test]
fn a_recovery_takes_no_snapshot_when_the_setting_is_zero() {
    let settings = EntitySettings { snapshot_after_replay: 0, ..every(0) };
    let (mut world, log) = world(settings, Log::default());
    world.add("A", "1");
    world.restart_with("A", log.clone());
    assert_eq!(snapshot_number(&world), 0);
}

#[test]
fn a_snapshot_is_taken_by_age_with_the_next_event_or_at_the_next_start() {
    let snapshot_after_age = Duration::from_secs(60);
    let settings = EntitySettings { snapshot_after_age, ..every(0) };
    let (mut world, log) = world(settings, Log::default());
    let pass = |world: &mut World, seconds: u64| world.wall += seconds * 1_000_000;
    world.add("A", "1");
    pass(&mut world, 59);
    world.add("A", "2");
    assert_eq!(snapshot_number(&world), 0);
    pass(&mut world, 2);
    world.add("A", "3");
    assert_eq!(snapshot_number(&world), 3, "the first event is a minute old");
    pass(&mut world, 61);
    world.restart_with("A", log.clone());
    assert_eq!(snapshot_number(&world), 3, "no event since");
    world.add("A", "4");
    assert_eq!(snapshot_number(&world), 4, "its snapshot is a minute old, over two lives");
    world.add("A", "5");
    pass(&mut world, 61);
    world.restart_with("A", log.clone());
    assert_eq!(snapshot_number(&world), 5, "at the start");
    assert_eq!(world.texts("A"), ["1", "2", "3", "4", "5"]);
}

#[test]
fn a_wanted_snapshot_that_failed_is_taken_again_after_a_wait() {
    let (mut world, _) = world(every(0), Log { snapped: Some("want"), ..Log::default() });
    world.mode = Mode::Hold;
    world.add("A", "want");
    world.io_once("A");
    world.fail_io("A", unavailable());
    world.mode = Mode::Flow;
    world.add("A", "2");
    assert_eq!(snapshot_number(&world), 0, "not at once");
    world.wall += 61_000_000;
    world.add("A", "3");
    assert_eq!(snapshot_number(&world), 3);
    world.wall += 61_000_000;
    world.add("A", "4");
    assert_eq!(snapshot_number(&world), 3, "it is wanted no more");
}

#[test]
fn a_snapshot_by_age_that_failed_keeps_its_age() {
    let settings = EntitySettings { snapshot_after_age: Duration::from_secs(3600), ..every(0) };
    let (mut world, _) = world(settings, Log::default());
    world.add("A", "1");
    world.wall += 3_601_000_000;
    world.mode = Mode::Hold;
    world.add("A", "2");
    world.io_once("A");
    world.fail_io("A", unavailable());
    world.mode = Mode::Flow;
    world.wall += 61_000_000;
    world.add("A", "3");
    assert_eq!(snapshot_number(&world), 3, "and not an hour later");
}

#[test]
fn a_long_recovery_whose_snapshot_fails_is_no_failure_of_a_snapshot_that_was_asked_for() {
    let settings = EntitySettings { snapshot_after_replay: 2, ..every(0) };
    let (mut world, log) = world(settings, Log { unlabelled: Some("2"), ..Log::default() });
    world.add("A", "1");
    world.add("A", "2");
    world.restart_with("A", log.clone());
    assert_eq!(snapshot_number(&world), 0);
    assert_eq!(world.replica("A").counters.snapshots_failed.load(Ordering::Relaxed), 0);
    let is_failed = |(signal, ..): &(Signal, u64, _)| matches!(signal, Signal::SnapshotFailed(_));
    assert!(!log.signals.lock().iter().any(is_failed));
    world.wall += 61_000_000;
    world.add("A", "3");
    assert_eq!(snapshot_number(&world), 0, "it is tried once in a life");
}

#[test]
fn a_first_event_of_a_wrong_clock_puts_no_snapshot_off() {
    let snapshot_after_age = Duration::from_secs(60);
    let pull_at_start = false;
    let settings = EntitySettings { snapshot_after_age, pull_at_start, ..every(0) };
    let mut world = World::with(&["A", "B"], settings);
    let wall = std::mem::replace(&mut world.wall, 1 << 50);
    world.add("B", "1");
    world.wall = wall;
    world.restart("A");
    assert_eq!(world.texts("A"), ["1"]);
    world.wall += 61_000_000;
    world.add("A", "2");
    assert_eq!(snapshot_number(&world), 2);
}

#[test]
fn a_recovery_keeps_its_permit_until_its_snapshot_was_saved() {
    let settings = EntitySettings { snapshot_after_replay: 2, ..every(0) };
    let (mut world, log) = world(settings, Log::default());
    world.add("A", "1");
    world.add("A", "2");
    world.mode = Mode::Hold;
    world.restart_with("A", log);
    let is_saving = |world: &mut World| {
        let first = world.replica("A").held.front();
        matches!(first, Some(Action::SaveSnapshot(..)))
    };
    while !is_saving(&mut world) {
        assert!(world.io_once("A"), "no snapshot");
    }
    let Some(Action::SaveSnapshot(generation, snapshot)) = world.replica("A").held.pop_front()
    else {
        panic!("just seen")
    };
    let saved = Ok(snapshot.metadata.clone());
    let saved = Input::SnapshotSaved(generation, snapshot.sequence_nr, saved);
    let now = world.now();
    let actions = world.replica("A").engine.step(now, saved);
    assert!(actions.iter().any(|action| matches!(action, Action::ReleasePermit)), "{actions:?}");
}
