//! States that cannot be: the engine panics before data is lost, in release builds too.

use std::sync::Arc;

use antiphon_base::time::Timestamp;
use bytes::Bytes;

use super::log::Log;
use super::world::{Mode, World, nowhere, replica_id};
use crate::entity::EntitySettings;
use crate::entity::engine::outbox::{Due, Outbox};
use crate::entity::engine::persisting::Persisting;
use crate::entity::engine::shared::Shared;
use crate::entity::engine::snapshots::Snapshots;
use crate::entity::engine::{Action, Input};
use crate::event::{EventMeta, Labels, Payload, SequenceNr, StoredEvent};
use crate::identity::ReplicationId;
use crate::store::{Limits, ReplayPage, Snapshot};
use crate::version::VersionVector;

#[test]
#[should_panic(expected = "an append of 2 events from 2 to 3 follows event 0")]
fn events_behind_a_hole_are_never_handed_to_the_store() {
    let mut persisting = Persisting::new(SequenceNr::ZERO);
    persisting.collect(vec![event(2), event(3)]);
    persisting.next_append(&shared());
}

#[test]
#[should_panic(expected = "a snapshot up to 2 is stored, and the journal ends at 1")]
fn a_snapshot_is_never_stored_before_its_events() {
    let mut outbox = Outbox::<Log>::new();
    let snapshot = Snapshot {
        sequence_nr: SequenceNr::new(2),
        version: VersionVector::new(),
        positions: Default::default(),
        timestamp: Timestamp::default(),
        state: payload(),
        reminders: Vec::new(),
        metadata: Default::default(),
        requests: Vec::new(),
    };
    outbox.defer(SequenceNr::new(1), Due::Snapshot(Box::new(snapshot)));
    outbox.let_out(SequenceNr::new(1), 0, &mut Vec::new());
}

#[test]
#[should_panic(expected = "events to delete")]
fn events_are_never_deleted_for_a_snapshot_that_has_not_all_of_them() {
    let settings = EntitySettings { delete_events: true, snapshots_keep: 1, ..Default::default() };
    let shared = Shared { settings: Arc::new(settings), ..shared() };
    let mut snapshots = Snapshots::new(None);
    let three = VersionVector::from_iter([(replica_id("A"), 3)]);
    snapshots.begun(SequenceNr::new(4), three);
    snapshots.saved(&shared, SequenceNr::new(4), |_| true, |last| last, &mut Vec::new());
}

#[test]
#[should_panic(expected = "an append was under way")]
fn an_answer_to_an_append_that_nobody_made_is_not_taken() {
    World::new(&["A"]).feed("A", Input::Appended(0, Ok(())));
}

#[test]
#[should_panic(expected = "no read of `B` was under way, and one has ended")]
fn a_page_that_nobody_asked_for_is_not_taken() {
    let page = ReplayPage { events: Vec::new(), highest: None };
    World::new(&["A", "B"]).feed("A", Input::Pulled(0, replica_id("B"), Ok(page)));
}

#[test]
#[should_panic(expected = "`SnapshotsVoided` is no result for an entity at work")]
fn a_result_of_another_phase_is_not_taken() {
    World::new(&["A"]).feed("A", Input::SnapshotsVoided(0, Ok(())));
}

#[test]
#[should_panic(expected = "`Start` a second time, in phase `Running`")]
fn an_entity_at_work_is_not_started_again() {
    World::new(&["A"]).feed("A", Input::Start);
}

#[test]
fn an_entity_that_is_broken_off_tells_its_askers_and_is_counted() {
    let mut world = World::new(&["A"]);
    world.mode = Mode::Hold;
    let reply = world.add("A", "stored or not");
    let actions = world.replica("A").engine.break_off("the test wants it");
    let Some(Action::Stopped(reason)) = actions.last() else { panic!("it is the last action") };
    let reason = format!("{reason:?}");
    assert!(reason.contains("Failed") && reason.contains("the test wants it"), "{reason}");
    let error = reply.now().unwrap_err();
    assert!(!error.is_without_effect(), "its append is under way: {error}");
    let counters = world.replica("A").counters.values();
    assert!(counters.contains(&("engines_broken", 1)), "{counters:?}");
}

fn shared() -> Shared<Log> {
    let id = ReplicationId::new("log", "l-1", replica_id("A")).unwrap();
    Shared {
        behaviour: Arc::new(Log::default()),
        surroundings: nowhere::<Log>(id.clone(), Arc::new([replica_id("A")]), Arc::default()),
        id,
        settings: Arc::default(),
        counters: Arc::default(),
        generation: 0,
        limits: Limits::default(),
        shapes: None,
    }
}

fn event(number: u64) -> StoredEvent {
    let sequence_nr = SequenceNr::new(number);
    let meta = EventMeta {
        origin: replica_id("A"),
        version: VersionVector::from_iter([(replica_id("A"), number)]),
        source_seq: sequence_nr,
        concurrent: false,
        timestamp: Timestamp::default(),
        labels: Labels::none(),
    };
    StoredEvent { sequence_nr, meta, payload: payload() }
}

fn payload() -> Payload {
    Payload { codec: 1, manifest: "".into(), version: 1, bytes: Bytes::new() }
}
