//! Signals: each comes at its moment, with the number and a time that are right.

use std::sync::Arc;

use super::log::Log;
use super::world::{Mode, World, unavailable};
use crate::entity::engine::Input;
use crate::entity::{EntitySettings, Signal};
use crate::event::SequenceNr;

/// A world in which the behaviour of `A` keeps its signals.
fn world(names: &[&'static str], settings: EntitySettings, log: Log) -> (World, Arc<Log>) {
    let mut world = World::with(names, EntitySettings { pull_at_start: false, ..settings });
    let log = Arc::new(log);
    world.restart_with("A", log.clone());
    (world, log)
}

/// The signals since the last call, each with the number in its context. Times never go back.
fn told(log: &Log) -> Vec<(Signal, u64)> {
    let signals = std::mem::take(&mut *log.signals.lock());
    assert!(signals.is_sorted_by_key(|(_, _, time)| *time), "{signals:?}");
    assert!(signals.iter().all(|(_, number, time)| *number == 0 || time.as_micros() > 0));
    signals.into_iter().map(|(signal, number, _)| (signal, number)).collect()
}

fn nr(number: u64) -> SequenceNr {
    SequenceNr::new(number)
}

#[test]
fn a_life_has_its_signals_from_recovery_to_its_stop() {
    let settings =
        EntitySettings { snapshot_every: 2, snapshots_keep: 1, ..EntitySettings::default() };
    let settings = EntitySettings { delete_events: true, ..settings };
    let (mut world, log) = world(&["A"], settings, Log::default());
    world.add("A", "1");
    world.add("A", "2");
    world.feed("A", Input::Stop);
    assert_eq!(
        told(&log),
        [
            (Signal::RecoveryCompleted, 0),
            (Signal::SnapshotSaved(nr(2)), 2),
            (Signal::SnapshotsDeleted(nr(1)), 2),
            (Signal::EventsDeleted(nr(2)), 2),
            (Signal::PostStop, 2),
        ]
    );
    world.restart_with("A", log.clone());
    world.feed("A", Input::Kill);
    assert_eq!(
        told(&log),
        [
            (Signal::SnapshotRecovered(nr(2)), 2),
            (Signal::RecoveryCompleted, 2),
            (Signal::PostStop, 2),
        ]
    );
}

#[test]
fn failures_of_snapshots_and_deletions_are_told() {
    let settings =
        EntitySettings { snapshot_every: 1, snapshots_keep: 1, ..EntitySettings::default() };
    let (mut world, log) = world(&["A"], settings, Log::default());
    world.mode = Mode::Hold;
    world.add("A", "1");
    world.io_once("A");
    world.fail_io("A", unavailable());
    world.add("A", "2");
    world.io_once("A");
    world.io_once("A");
    world.fail_io("A", unavailable());
    let why = unavailable().to_string();
    assert_eq!(
        told(&log)[1..],
        [
            (Signal::SnapshotFailed(why.clone()), 1),
            (Signal::SnapshotSaved(nr(2)), 2),
            (Signal::SnapshotsDeleteFailed(why), 2),
        ]
    );
}

#[test]
fn a_failed_append_is_told_with_the_durable_number_before_the_restart() {
    let (mut world, log) = world(&["A"], EntitySettings::default(), Log::default());
    world.add("A", "1");
    world.mode = Mode::Hold;
    world.add("A", "2");
    world.fail_io("A", unavailable());
    let signals = told(&log);
    let [_, (Signal::PersistFailed(why), 1), (Signal::PreRestart(again), 2)] = &signals[..] else {
        panic!("{signals:?}")
    };
    assert!(why == again && why.contains("appending"), "{why}");

    world.mode = Mode::Flow;
    world.restart_with("A", log.clone());
    world.mode = Mode::Hold;
    world.add("A", "3");
    world.fail_io("A", crate::Error::rejected("the test wants it"));
    let signals = told(&log);
    let [
        (Signal::RecoveryCompleted, 1),
        (Signal::PersistRejected(_), 1),
        (Signal::PreRestart(_), 2),
    ] = &signals[..]
    else {
        panic!("{signals:?}")
    };
}

#[test]
fn events_that_could_not_be_read_again_are_rejected_and_the_entity_goes_on() {
    let log = Log { unknown: Some("bad"), ..Log::default() };
    let (mut world, log) = world(&["A"], EntitySettings::default(), log);
    world.add("A", "1");
    assert!(world.add("A", "bad").now().is_err());
    let signals = told(&log);
    assert!(matches!(signals[1..], [(Signal::PersistRejected(_), 1)]), "{signals:?}");
    assert_eq!(world.add("A", "2").now(), Ok(2));
}

#[test]
fn a_replica_is_told_when_its_own_events_are_published_and_not_of_others() {
    let (mut world, log) = world(&["A", "B"], EntitySettings::default(), Log::default());
    world.add("A", "1");
    world.add("B", "2");
    world.add("A", "3");
    assert_eq!(told(&log)[1..], [(Signal::Published(nr(1)), 1), (Signal::Published(nr(3)), 3),]);
}

#[test]
fn a_panic_of_on_event_is_told_before_the_restart_and_in_the_recovery_that_fails() {
    let log = Log { poison: Some("bad"), ..Log::default() };
    let (mut world, log) = world(&["A"], EntitySettings::default(), log);
    world.add("A", "1");
    assert!(world.add("A", "bad").now().is_err());
    let signals = told(&log);
    let [
        (Signal::RecoveryCompleted, 0),
        (Signal::PreRestart(_), 1),
        (Signal::RecoveryCompleted, 1),
    ] = &signals[..]
    else {
        panic!("{signals:?}")
    };
    world.restart("A");
    world.add("A", "bad");
    world.restart_with("A", log.clone());
    let signals = told(&log);
    let [(Signal::PostStop, 1), (Signal::RecoveryFailed(why), 2)] = &signals[..] else {
        panic!("{signals:?}")
    };
    assert!(why.contains("event 2"), "{why}");
}
