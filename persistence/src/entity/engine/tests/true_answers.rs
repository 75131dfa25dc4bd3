//! An asker's answer is true about the effect: it follows from the position of the command.

use std::time::Duration;

use antiphon_base::time::{Clock, SystemClock};

use super::log::{Command, Log, Passed};
use super::world::{Mode, World, replica_id, unavailable};
use crate::Error;
use crate::entity::engine::{Input, Queued};
use crate::entity::{EntitySettings, StopReason};
use crate::reply::{Claim, ReplyError, ReplyTo, claimed_reply_channel, reply_channel};

#[test]
fn a_panic_of_a_later_command_changes_no_earlier_answer() {
    let mut world = World::new(&["A"]);
    world.restart_as("A", Log { poison: Some("bad"), ..Log::default() });
    world.mode = Mode::Hold;
    let stored = world.add("A", "1");
    let collected = world.add("A", "2");
    let bad = world.command("A", |to| Command::Add(vec!["3", "bad"], to));
    let after = world.add("A", "4");
    let error = bad.now().unwrap_err();
    assert!(matches!(error, ReplyError::Failed(_)), "{error}");

    world.io("A");
    assert_eq!((stored.now(), collected.now()), (Ok(1), Ok(2)), "they are durable and said so");
    assert_eq!(after.now(), Ok(3), "handled after the state was read again");
    assert_eq!(world.texts("A"), ["1", "2", "4"]);
}

#[test]
fn a_kill_tells_each_asker_what_is_known_of_its_command() {
    let mut world = World::new(&["A"]);
    world.mode = Mode::Hold;
    let in_flight = world.add("A", "1");
    let read = world.command("A", Command::Read);
    let collected = world.add("A", "2");
    let stashed = world.command("A", |to| Command::Stash(vec!["3"], to));
    world.feed("A", Input::Kill);

    let effect = |reply: crate::reply::PendingReply<usize>| reply.now().unwrap_err();
    let (in_flight, read) = (effect(in_flight), effect(read));
    let (collected, stashed) = (effect(collected), effect(stashed));
    assert!(!in_flight.is_without_effect(), "{in_flight}");
    assert!(read.is_without_effect(), "{read}");
    assert!(collected.is_without_effect(), "{collected}");
    assert!(stashed.is_without_effect(), "{stashed}");
}

#[test]
fn stashed_commands_are_without_effect_when_the_entity_stops() {
    let mut world = World::new(&["A"]);
    let stashed = world.command("A", |to| Command::Stash(vec!["1"], to));
    world.feed("A", Input::Stop);
    assert_eq!(world.replica("A").stopped, Some(StopReason::Drained));
    assert!(stashed.now().unwrap_err().is_without_effect());
}

#[test]
fn a_sealed_writer_leaves_the_outcome_of_its_append_open_and_that_of_nothing_else() {
    let mut world = World::new(&["A"]);
    world.mode = Mode::Hold;
    let in_flight = world.add("A", "1");
    let collected = world.add("A", "2");
    world.fail_io("A", Error::fenced("the writer is sealed"));
    assert!(!in_flight.now().unwrap_err().is_without_effect(), "an earlier try may have worked");
    assert!(collected.now().unwrap_err().is_without_effect());
}

#[test]
fn events_that_the_store_refuses_are_rejected_and_the_entity_goes_on() {
    let mut world = World::new(&["A"]);
    world.mode = Mode::Hold;
    let refused = world.add("A", "1");
    world.fail_io("A", Error::rejected("the test wants it"));
    assert!(matches!(refused.now(), Err(ReplyError::Rejected(_))));
    world.pass(Duration::from_secs(1));
    let next = world.add("A", "2");
    world.io("A");
    assert_eq!(next.now(), Ok(1));
}

/// The error for the asker of a command that a future made, when `fail` happens to the command.
fn told_after_a_future(fail: impl FnOnce(&mut World)) -> ReplyError {
    let mut world = World::new(&["A", "B"]);
    world.mode = Mode::Hold;
    let later = world.command("A", Command::Later);
    fail(&mut world);
    later.now().unwrap_err()
}

#[test]
fn a_command_that_a_future_made_is_never_without_effect() {
    let refused = told_after_a_future(|world| {
        world.io_once("A");
        world.fail_io("A", unavailable());
    });
    assert!(matches!(refused, ReplyError::Stopped(_)), "the future has run: {refused}");

    let killed = told_after_a_future(|world| {
        world.feed("A", Input::Doubted(vec![replica_id("B")]));
        world.io_once("A");
        world.feed("A", Input::Kill);
    });
    assert!(!killed.is_without_effect(), "it waited in doubt: {killed}");

    let waiting = told_after_a_future(|world| {
        world.feed("A", Input::Doubted(vec![replica_id("B")]));
        world.io_once("A");
        let wait = world.settings.reclaim_wait;
        world.pass(wait);
    });
    assert!(!waiting.is_without_effect(), "it was refused in doubt: {waiting}");
}

#[test]
fn a_future_that_waits_for_the_disk_has_done_nothing() {
    let mut world = World::new(&["A"]);
    world.mode = Mode::Hold;
    world.add("A", "1");
    let later = world.command("A", Command::Later);
    world.fail_io("A", unavailable());
    assert!(later.now().unwrap_err().is_without_effect());
}

#[test]
fn a_place_for_an_answer_that_was_passed_on_is_never_told_that_nothing_happened() {
    for (pass_on_to, fails_to_append) in [
        (Command::Panic as fn(ReplyTo<usize>) -> Command, false),
        (Command::ReadPanics, false),
        (|to| Command::Add(vec!["1"], to), true),
    ] {
        let mut world = World::new(&["A"]);
        let (claim, passed) = (Claim::open(), Passed::default());
        let (reply_to, reply) = claimed_reply_channel(&claim);
        let command = Command::PassOn(reply_to, passed.clone());
        world.feed("A", Input::Command(Queued { claim, ..Queued::unlimited(command) }));
        world.mode = Mode::Hold;

        let reply_to = passed.lock().take().expect("it was passed on");
        world.just("A", pass_on_to(reply_to));
        if fails_to_append {
            world.fail_io("A", unavailable());
        }
        let error = reply.now().unwrap_err();
        assert_ne!(error, ReplyError::NoReply);
        assert!(!error.is_without_effect(), "its own command is stored: {error}");
    }
}

#[test]
fn a_place_that_a_handler_passes_on_before_its_events_are_stored_is_not_told_that_nothing_happened()
{
    for pass_on_to in [Command::Panic as fn(ReplyTo<usize>) -> Command, Command::ReadPanics, |to| {
        Command::Add(vec!["bad"], to)
    }] {
        let mut world = World::new(&["A", "B"]);
        world.restart_as("B", Log { poison: Some("bad"), ..Log::default() });
        world.mode = Mode::Hold;
        let (claim, passed) = (Claim::open(), Passed::default());
        let (reply_to, reply) = claimed_reply_channel(&claim);
        let command = Command::PassOnFirst(reply_to, passed.clone());
        world.feed("A", Input::Command(Queued { claim, ..Queued::unlimited(command) }));

        let reply_to = passed.lock().take().expect("it was passed on");
        world.just("B", pass_on_to(reply_to));
        let error = reply.now().unwrap_err();
        assert_ne!(error, ReplyError::NoReply);
        assert!(!error.is_without_effect(), "its own command may be stored yet: {error}");
        world.io("A");
        assert_eq!(world.texts("A"), ["passed on"]);
    }
}

#[test]
fn a_command_whose_asker_gave_up_before_its_turn_is_void() {
    let mut world = World::new(&["A"]);
    world.mode = Mode::Hold;
    world.add("A", "1");
    world.fail_io("A", unavailable());
    let claim = Claim::until(SystemClock.now() + Duration::from_secs(3600));
    let (reply_to, reply) = reply_channel();
    let command = Command::Add(vec!["2"], reply_to);
    let queued = Queued { claim: claim.clone(), ..Queued::unlimited(command) };
    world.feed("A", Input::Command(queued));
    assert!(claim.void(), "the entity is in its backoff, and nobody has taken it");

    world.pass(Duration::from_secs(1));
    world.io("A");
    assert!(matches!(reply.now(), Err(ReplyError::Expired(_))));
    assert!(world.replica("A").journal.is_empty());
}

#[test]
fn a_stashed_command_can_still_become_void_and_a_handled_one_cannot() {
    let mut world = World::new(&["A"]);
    let later = SystemClock.now() + Duration::from_secs(3600);
    let (stashed, handled) = (Claim::until(later), Claim::until(later));
    for (claim, command) in [
        (&stashed, Command::Stash(vec!["1"], reply_channel().0)),
        (&handled, Command::Add(vec!["2"], reply_channel().0)),
    ] {
        let queued = Queued { claim: claim.clone(), ..Queued::unlimited(command) };
        world.feed("A", Input::Command(queued));
    }
    assert!(stashed.void());
    assert!(!handled.void());
    world.just("A", Command::Unstash);
    assert_eq!(world.texts("A"), ["2", "open"]);
}

#[test]
fn the_time_of_an_asker_on_another_node_ends_here_too() {
    let mut world = World::new(&["A"]);
    let claim = Claim::until(SystemClock.now());
    let (reply_to, reply) = reply_channel();
    world.pass(Duration::from_secs(1));
    let queued = Queued { claim, ..Queued::unlimited(Command::Add(vec!["1"], reply_to)) };
    world.feed("A", Input::Command(queued));
    assert!(matches!(reply.now(), Err(ReplyError::Expired(_))));
    assert!(world.replica("A").journal.is_empty());
}

#[test]
fn an_entity_that_fails_at_each_append_waits_longer_each_time() {
    let settings = EntitySettings {
        restart_min: Duration::from_secs(1),
        restart_max: Duration::from_secs(4),
        ..EntitySettings::default()
    };
    let mut world = World::with(&["A"], settings);
    world.mode = Mode::Hold;
    for wait in [1, 2, 4, 4] {
        let refused = world.add("A", "1");
        world.fail_io("A", unavailable());
        assert!(refused.now().unwrap_err().is_without_effect());
        world.replica("A").held.clear();
        world.pass(Duration::from_millis(wait * 1000 - 1));
        assert!(world.replica("A").held.is_empty(), "{wait}");
        world.pass(Duration::from_millis(1));
        world.io("A");
        assert!(world.replica("A").engine.is_running(), "it recovers, and that is no success");
    }
    world.add_now("1");
    world.add("A", "2");
    world.fail_io("A", unavailable());
    world.pass(Duration::from_secs(1));
    world.io("A");
    assert!(world.replica("A").engine.is_running(), "after a success it begins anew");
}

impl World {
    fn add_now(&mut self, text: &'static str) {
        let answer = self.add("A", text);
        self.io("A");
        assert!(answer.now().is_ok());
    }
}
