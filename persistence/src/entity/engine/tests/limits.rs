//! Groups and pages by bytes: the engine sends only appends that the store takes.

use std::sync::Arc;

use bytes::Bytes;

use super::log::{Command, Log};
use super::world::{Mode, World};
use crate::entity::EntitySettings;
use crate::event::MANIFEST_BYTES_MAX;
use crate::memory::MemoryStores;
use crate::reply::ReplyError;
use crate::shape::{EVENT_KINDS_MAX, SHAPES, ShapeBook, kinds};
use crate::store::{EVENT_BYTES_MAX, Limits};

fn text(bytes: usize) -> &'static str {
    Box::leak("x".repeat(bytes).into_boxed_str())
}

/// A world whose journals refuse appends of more than 5 MiB.
fn world(names: &[&'static str]) -> World {
    let mut world = World::new(names);
    world.limits = Limits { append_bytes_max: 5 << 20, ..Limits::default() };
    for name in names {
        world.restart(name);
    }
    world
}

#[test]
fn concurrent_commands_with_large_events_are_stored_in_appends_that_fit() {
    let mut world = world(&["A"]);
    world.mode = Mode::Hold;
    let large = text(400_000);
    let answers: Vec<_> = (0..20).map(|_| world.add("A", large)).collect();
    world.io("A");
    let answers: Vec<_> = answers.into_iter().map(|answer| answer.now().unwrap()).collect();
    assert_eq!(answers, (1..=20).collect::<Vec<_>>());
    assert_eq!(world.replica("A").append_count, 3, "one alone, thirteen, and the rest");
}

#[test]
fn backlogs_of_events_of_every_size_catch_up() {
    for (bytes, count) in
        [(1 << 10, 6000), (20 << 10, 300), (100 << 10, 60), (1 << 20, 12), (4 << 20, 3)]
    {
        let mut world = world(&["A", "B"]);
        world.direct = false;
        let text = text(bytes);
        for _ in 0..count {
            assert!(world.add("A", text).now().is_ok(), "{bytes} bytes");
        }
        world.news("B", "A");
        assert_eq!(world.texts("B").len(), count, "{bytes} bytes");
        world.assert_converged();
    }
}

#[test]
fn a_command_whose_events_do_not_fit_one_append_is_rejected_before_anything_is_stored() {
    let mut world = world(&["A"]);
    let half = text(2 << 20);
    let fits = world.command("A", |to| Command::Add(vec![half, half], to));
    assert_eq!(fits.now(), Ok(2));
    let answer = world.command("A", |to| Command::Add(vec![half, half, half], to));
    let Err(ReplyError::Rejected(reason)) = answer.now() else { panic!("expected a rejection") };
    assert!(reason.contains("`append_bytes_max`"), "{reason}");

    let answer = world.add("A", text(EVENT_BYTES_MAX));
    assert!(matches!(answer.now(), Err(ReplyError::Rejected(_))));

    assert_eq!((world.texts("A").len(), world.replica("A").journal.len()), (2, 2));
    assert_eq!(world.add("A", "small").now(), Ok(3));
}

#[test]
fn commands_wait_when_too_many_bytes_are_not_durable() {
    let settings = EntitySettings { unpersisted_bytes_max: 1 << 20, ..EntitySettings::default() };
    let mut world = World::with(&["A"], settings);
    world.mode = Mode::Hold;
    let large = text(600_000);
    let answers: Vec<_> = (0..5).map(|_| world.add("A", large)).collect();
    assert_eq!(world.texts("A").len(), 2, "the others wait");
    world.io("A");
    assert!(answers.into_iter().all(|answer| answer.now().is_ok()));
    assert_eq!(world.texts("A").len(), 5);
}

fn named() -> Log {
    Log { is_named_by_text: true, ..Log::default() }
}

#[test]
fn an_event_whose_manifest_is_too_long_is_rejected_before_anything_is_stored() {
    let mut world = World::new(&["A"]);
    world.restart_as("A", named());
    assert_eq!(world.add("A", text(MANIFEST_BYTES_MAX)).now(), Ok(1));
    let answer = world.add("A", text(MANIFEST_BYTES_MAX + 1));
    let Err(ReplyError::Rejected(reason)) = answer.now() else { panic!("expected a rejection") };
    for part in ["String", "256", "257", "`event_type`"] {
        assert!(reason.contains(part), "{part}: {reason}");
    }
    assert_eq!((world.texts("A").len(), world.replica("A").journal.len()), (1, 1));
}

#[tokio::test]
async fn a_kind_beyond_the_limit_of_a_place_is_rejected_and_no_other_command_fails() {
    let store = MemoryStores::new().stores().coordination;
    for number in 0..EVENT_KINDS_MAX {
        let (key, value) = (format!("event|log|{number}|1|bincode"), Bytes::from_static(b"{}"));
        store.compare_and_set(SHAPES, &key, None, Some(value)).await.unwrap();
    }
    let shapes = ShapeBook::new("log".into(), kinds(&Arc::new(named())), store.clone());
    shapes.check("A", &*store).await.unwrap();
    let mut world = World::new(&["A"]);
    world.shapes = Some(shapes);
    world.restart_as("A", named());
    world.mode = Mode::Hold;

    let (before, beyond, after) = (world.add("A", "1"), world.add("A", "x"), world.add("A", "2"));
    let Err(ReplyError::Rejected(reason)) = beyond.now() else { panic!("expected a rejection") };
    assert!(reason.contains("`EVENT_KINDS_MAX`"), "{reason}");
    world.io("A");
    assert_eq!((before.now(), after.now()), (Ok(1), Ok(2)));
    assert_eq!(world.texts("A"), ["1", "2"]);
}
