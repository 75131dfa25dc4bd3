//! Groups and pages by bytes: the engine sends only appends that the store takes.

use super::log::Command;
use super::world::{Mode, World};
use crate::entity::EntitySettings;
use crate::reply::ReplyError;
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
