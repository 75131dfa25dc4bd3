//! Requests whose handling goes on after their first command, in futures and in the stash.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::log::Command;
use super::once::once;
use super::world::{Mode, World, replica_id, unavailable};
use crate::entity::engine::{Action, Input, Queued};
use crate::entity::{AsynchronousFailure, EntitySettings};
use crate::event::{Metadata, RequestId};
use crate::reply::{Claim, PendingEncoded, ReplyError, ReplyTo, encoded_reply_channel};

fn add(text: &'static str) -> impl FnOnce(ReplyTo<usize>) -> Command {
    move |reply_to| Command::Add(vec![text], reply_to)
}

fn later_stash(reply_to: ReplyTo<usize>) -> Command {
    Command::LaterStash("stashed", reply_to)
}

/// Takes the next action of this name out of those that wait for the test.
fn take(world: &mut World, name: &str) -> Action<super::log::Log> {
    let held = &mut world.replica("A").held;
    let at = held.iter().position(|action| format!("{action:?}").starts_with(name));
    held.remove(at.expect("it waits")).unwrap()
}

/// Hands a command with a request id to A, whose asker waits for so long.
fn once_for(world: &mut World, id: &str, time: Duration) -> PendingEncoded<usize> {
    let metadata = Metadata::new().with_request(&RequestId::new(id).unwrap());
    let claim = Claim::lasting_with(world.now().instant, time, metadata);
    let (reply_to, reply) = encoded_reply_channel(&claim);
    let queued = Queued { claim, ..Queued::unlimited(add("repeated")(reply_to)) };
    world.feed("A", Input::Command(queued));
    reply
}

#[test]
fn a_repetition_waits_for_the_stashed_command_of_an_asynchronous_effect() {
    let mut world = World::new(&["A"]);
    let first = once(&mut world, "A", "x", later_stash);
    let second = once(&mut world, "A", "x", later_stash);
    assert_eq!(world.replica("A").counters.commands_joined.load(Ordering::Relaxed), 1);
    world.just("A", Command::Unstash);
    assert_eq!((first.now(), second.now()), (Ok(2), Ok(2)));
    assert_eq!(world.texts("A"), ["open", "stashed"], "one event of the request");
}

#[test]
fn a_repetition_after_an_entity_restart_waits_for_the_command_of_a_future_in_the_stash() {
    let mut world = World::new(&["A"]);
    let first = once(&mut world, "A", "x", later_stash);
    world.mode = Mode::Hold;
    world.add("A", "fails");
    world.fail_io("A", unavailable());
    world.mode = Mode::Flow;
    world.pass(Duration::from_secs(60));
    world.io("A");
    let second = once(&mut world, "A", "x", later_stash);
    world.just("A", Command::Unstash);
    assert_eq!((first.now(), second.now()), (Ok(2), Ok(2)));
    assert_eq!(world.texts("A"), ["open", "stashed"], "one event of the request");
}

#[test]
fn another_command_with_the_id_of_a_request_that_is_under_way_is_rejected() {
    let mut world = World::new(&["A"]);
    world.mode = Mode::Hold;
    let id = |content: &str| RequestId::new("x").unwrap().with_content(content).marked_text();
    let first = once(&mut world, "A", &id("1"), Command::OrderLater);
    let second = once(&mut world, "A", &id("1"), Command::OrderLater);
    let other = once(&mut world, "A", &id("2"), add("2"));
    assert!(matches!(other.now(), Err(ReplyError::Rejected(_))));
    assert_eq!(world.replica("A").counters.commands_joined.load(Ordering::Relaxed), 1);
    drop((first, second));
}

#[test]
fn a_repetition_is_handled_when_an_asynchronous_effect_within_the_handling_gave_nothing() {
    let mut world = World::new(&["A"]);
    world.mode = Mode::Hold;
    let first = once(&mut world, "A", "x", Command::OrderLater);
    let second = once(&mut world, "A", "x", add("1"));
    world.io_once("A");
    let Action::RunAsynchronous(generation, ..) = take(&mut world, "RunAsynchronous") else {
        panic!("it has this name");
    };
    world.feed("A", Input::AsynchronousDone(generation, Err(AsynchronousFailure::Panicked)));
    world.io("A");
    assert!(!first.now().unwrap_err().is_without_effect());
    assert_eq!(second.now(), Ok(1), "nothing was done, so it is handled");
}

#[test]
fn a_repetition_gets_its_turn_after_two_futures_of_which_one_is_stashed() {
    let mut world = World::new(&["A"]);
    let first = once(&mut world, "A", "x", Command::OrderTwo);
    let second = once(&mut world, "A", "x", Command::OrderTwo);
    assert_eq!(world.replica("A").counters.commands_joined.load(Ordering::Relaxed), 1);
    world.just("A", Command::Unstash);
    assert_eq!((first.now(), second.now()), (Ok(2), Ok(2)));
}

#[test]
fn the_command_of_a_future_stores_nothing_when_its_request_comes_back_from_another_place() {
    let mut world = World::new(&["A", "B"]);
    assert_eq!(once(&mut world, "A", "x", add("done")).now(), Ok(1));
    world.direct = false;
    world.replica("A").journal.clear();
    world.mode = Mode::Hold;
    world.restart("A");
    world.io("A");
    let again = once(&mut world, "A", "x", Command::Later);
    let future = take(&mut world, "RunAsynchronous");
    world.feed("A", Input::Doubted(vec![replica_id("B")]));
    world.news("A", "B");
    world.io("A");
    assert_eq!(world.texts("A"), ["done"], "the own event came back");
    world.replica("A").held.push_back(future);
    world.io("A");
    assert_eq!(again.now(), Ok(1), "the answer of the event that came back");
    assert_eq!(world.texts("A"), ["done"]);
}

#[test]
fn repetitions_that_wait_expire_with_their_askers_and_have_a_bound() {
    let settings = EntitySettings { mailbox_max: 4, pull_at_start: false, ..Default::default() };
    let mut world = World::with(&["A"], settings);
    let first = once(&mut world, "A", "x", later_stash);
    let second = Duration::from_secs(1);
    let waiting = [(); 2].map(|()| once_for(&mut world, "x", second));
    let beyond = once_for(&mut world, "x", second).now().unwrap_err();
    assert!(matches!(&beyond, ReplyError::Overloaded(why) if why.contains("at most 2")));
    world.pass(second);
    for reply in waiting {
        assert!(matches!(reply.now(), Err(ReplyError::Expired(_))));
    }
    let third = once_for(&mut world, "x", second);
    world.just("A", Command::Unstash);
    assert_eq!((first.now(), third.now()), (Ok(2), Ok(2)));
}

#[test]
fn the_error_of_another_command_leaves_the_effect_of_a_repetition_open() {
    let mut world = World::new(&["A"]);
    assert_eq!(once(&mut world, "A", "x", add("1")).now(), Ok(1));
    world.mode = Mode::Hold;
    let other = world.add("A", "other");
    let second = once(&mut world, "A", "x", add("1"));
    world.fail_io("A", crate::Error::rejected("the test wants it"));
    assert!(other.now().unwrap_err().is_without_effect());
    let error = second.now().unwrap_err();
    assert!(!error.is_without_effect(), "the request is done: {error}");
}
