//! Output commit, batches, stash, asynchronous effects, stopping.

use super::log::Command;
use super::world::{Mode, World};
use crate::entity::{EntitySettings, StopReason};
use crate::reply::ReplyError;

#[test]
fn an_answer_waits_until_everything_it_could_have_seen_is_durable() {
    let mut world = World::new(&["A"]);
    world.mode = Mode::Hold;

    let write = world.add("A", "x");
    let read = world.command("A", Command::Read);
    assert_eq!(world.texts("A"), ["x"], "the newest state");
    assert_eq!(read.now(), Err(ReplyError::NoReply), "the read saw what is not durable");

    let read = world.command("A", Command::Read);
    world.io("A");
    assert_eq!(write.now(), Ok(1));
    assert_eq!(read.now(), Ok(1));
}

#[test]
fn commands_that_come_during_an_append_share_the_next_one() {
    let mut world = World::new(&["A"]);
    world.mode = Mode::Hold;

    let answers: Vec<_> = (0..100).map(|_| world.add("A", "x")).collect();
    world.io("A");

    assert_eq!(world.replica("A").append_count, 2);
    let answers: Vec<_> = answers.into_iter().map(|answer| answer.now().unwrap()).collect();
    assert_eq!(answers, (1..=100).collect::<Vec<_>>());
}

#[test]
fn without_pipelining_each_command_has_its_own_append() {
    let settings = EntitySettings { pipelined: false, ..EntitySettings::default() };
    let mut world = World::with(&["A"], settings);
    world.mode = Mode::Hold;

    let answers: Vec<_> = (0..10).map(|_| world.add("A", "x")).collect();
    let read = world.command("A", Command::Read);
    world.io("A");

    assert_eq!(world.replica("A").append_count, 10);
    assert!(answers.into_iter().all(|answer| answer.now().is_ok()));
    assert_eq!(read.now(), Ok(10));
}

#[test]
fn events_of_one_command_are_in_one_append() {
    let settings =
        EntitySettings { append_events_max: 3, command_events_max: 3, ..EntitySettings::default() };
    let mut world = World::with(&["A"], settings);
    world.mode = Mode::Hold;

    world.add("A", "a");
    let both = world.command("A", |to| Command::Add(vec!["b", "c"], to));
    let more = world.command("A", |to| Command::Add(vec!["d", "e"], to));
    world.io_once("A");
    assert_eq!(world.replica("A").journal.len(), 1);
    world.io_once("A");
    assert_eq!(world.replica("A").journal.len(), 3, "the next command's two would not fit");
    assert_eq!((both.now(), more.now()), (Ok(3), Err(ReplyError::NoReply)));
    world.io("A");
    assert_eq!(world.replica("A").journal.len(), 5);
}

#[test]
fn a_command_with_too_many_events_is_rejected_and_changes_nothing() {
    let settings = EntitySettings { command_events_max: 2, ..EntitySettings::default() };
    let mut world = World::with(&["A"], settings);

    let answer = world.command("A", |to| Command::Add(vec!["a", "b", "c"], to)).now();
    let Err(ReplyError::Rejected(reason)) = answer else { panic!("{answer:?}") };
    assert!(reason.contains("expected at most 2 (`command_events_max`)"), "{reason}");
    assert_eq!(world.add("A", "x").now(), Ok(1));
}

#[test]
fn stashed_commands_come_back_in_order_before_the_others() {
    let mut world = World::new(&["A"]);
    let first = world.command("A", |to| Command::Stash(vec!["1"], to));
    let second = world.command("A", |to| Command::Stash(vec!["2"], to));
    assert_eq!(world.texts("A"), [""; 0]);

    world.just("A", Command::Unstash);
    assert_eq!(world.texts("A"), ["open", "1", "2"]);
    assert_eq!((first.now(), second.now()), (Ok(2), Ok(3)));
}

#[test]
fn a_full_stash_answers_and_events_of_others_still_come() {
    let settings = EntitySettings { stash_max: 1, ..EntitySettings::default() };
    let mut world = World::with(&["A", "B"], settings);
    let kept = world.command("A", |to| Command::Stash(vec!["1"], to));
    let dropped = world.command("A", |to| Command::Stash(vec!["2"], to));
    assert_eq!(dropped.now(), Err(ReplyError::Overloaded("`stash_max` 1".into())));

    world.add("B", "b");
    assert_eq!(world.texts("A"), ["b"]);
    world.just("A", Command::Unstash);
    assert_eq!(kept.now(), Ok(3));
}

#[test]
fn while_a_future_runs_commands_wait_and_events_of_others_do_not() {
    let mut world = World::new(&["A", "B"]);
    world.mode = Mode::Hold;
    let later = world.command("A", Command::Later);
    let read = world.command("A", Command::Read);

    world.add("B", "b");
    world.io("B");
    assert_eq!(world.texts("A"), ["b"]);
    world.io("A");
    assert_eq!(later.now(), Ok(2));
    assert_eq!(read.now(), Ok(2), "after the future's command");
}

#[test]
fn a_handler_that_panics_fails_its_command_only() {
    let mut world = World::new(&["A"]);
    world.mode = Mode::Hold;
    let before = world.add("A", "x");
    let panicked = world.command("A", Command::Panic);
    let after = world.add("A", "y");
    world.io("A");

    assert_eq!((before.now(), after.now()), (Ok(1), Ok(2)));
    assert_eq!(panicked.now(), Err(ReplyError::Failed("`on_command` panicked".into())));
}

#[test]
fn stopping_finishes_what_was_taken() {
    let mut world = World::new(&["A"]);
    world.mode = Mode::Hold;
    let answer = world.add("A", "x");
    world.feed("A", crate::entity::engine::Input::Stop);
    assert_eq!(world.replica("A").stopped, None);

    world.io("A");
    assert_eq!(answer.now(), Ok(1));
    assert_eq!(world.replica("A").stopped, Some(StopReason::Drained));
}

#[test]
fn an_entity_can_stop_itself_and_starts_again_with_its_events() {
    let mut world = World::new(&["A"]);
    world.add("A", "x");
    world.just("A", Command::Stop);
    assert_eq!(world.replica("A").stopped, Some(StopReason::Drained));

    world.restart("A");
    assert_eq!(world.texts("A"), ["x"]);
}
