//! Commands with a request id: each is handled once, and a repetition gets the first one's answer.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::log::{Command, Log};
use super::world::{Mode, World, unavailable};
use crate::entity::EntitySettings;
use crate::entity::engine::{Action, Input, Queued};
use crate::event::{Metadata, RequestId};
use crate::reply::{Claim, PendingEncoded, ReplyError, ReplyTo, encoded_reply_channel};
use crate::store::KeptAnswer;

/// Hands a command with this request id to a replica.
pub(super) fn once(
    world: &mut World,
    name: &'static str,
    id: &str,
    command: impl FnOnce(ReplyTo<usize>) -> Command,
) -> PendingEncoded<usize> {
    let claim = Claim::open_with(Metadata::new().with_request(&RequestId::parse(id).unwrap()));
    let (reply_to, reply) = encoded_reply_channel(&claim);
    let queued = Queued { claim, ..Queued::unlimited(command(reply_to)) };
    world.feed(name, Input::Command(queued));
    reply
}

fn add(text: &'static str) -> impl FnOnce(ReplyTo<usize>) -> Command {
    move |reply_to| Command::Add(vec![text], reply_to)
}

fn settings() -> EntitySettings {
    EntitySettings { pull_at_start: false, ..EntitySettings::default() }
}

/// The actions that wait for the test.
fn held(world: &mut World) -> Vec<String> {
    world.replica("A").held.iter().map(|action| format!("{action:?}")).collect()
}

fn notes(world: &World, name: &str) -> Vec<Option<String>> {
    let journal = &world.replicas[name].journal;
    let note = |metadata: &Metadata| metadata.done().map(str::to_owned);
    journal.iter().map(|event| note(event.meta.labels.metadata())).collect()
}

#[test]
fn a_repetition_stores_nothing_and_gets_the_answer_of_the_first_command() {
    let mut world = World::new(&["A"]);
    assert_eq!(once(&mut world, "A", "x", add("1")).now(), Ok(1));
    assert_eq!(world.add("A", "2").now(), Ok(2));
    assert_eq!(once(&mut world, "A", "x", add("1")).now(), Ok(1), "and not 2 or 3");
    assert_eq!(once(&mut world, "A", "y", add("3")).now(), Ok(3));
    assert_eq!(world.texts("A"), ["1", "2", "3"]);
    assert_eq!(notes(&world, "A"), [Some("0 0 x".into()), None, Some("0 0 y".into())]);
    assert_eq!(world.replica("A").counters.commands_repeated.load(Ordering::Relaxed), 1);
}

/// The id with the mark of this content.
fn marked(id: &str, content: &str) -> String {
    RequestId::new(id).unwrap().with_content(content).marked_text()
}

#[test]
fn another_command_with_the_id_of_a_request_is_rejected() {
    for snapshot_every in [0, 1] {
        let settings = EntitySettings { snapshot_every, ..settings() };
        let mut world = World::with(&["A", "B"], settings);
        assert_eq!(once(&mut world, "A", &marked("x", "1"), add("1")).now(), Ok(1));
        assert_eq!(once(&mut world, "A", "y", add("2")).now(), Ok(2), "without a content");
        world.restart("A");
        for name in ["A", "B"] {
            let other = once(&mut world, name, &marked("x", "2"), add("2")).now();
            let Err(ReplyError::Rejected(why)) = other else { panic!("{other:?}") };
            assert!(why.starts_with("request `x` was another command before"), "{why}");
            assert_eq!(once(&mut world, name, &marked("x", "1"), add("1")).now(), Ok(1));
            assert_eq!(
                once(&mut world, name, "x", add("1")).now(),
                Ok(1),
                "the content is unknown"
            );
            assert_eq!(once(&mut world, name, &marked("y", "3"), add("3")).now(), Ok(2));
        }
        assert_eq!(world.texts("A"), ["1", "2"]);
        world.assert_converged();
    }
}

#[test]
fn a_repetition_after_a_restart_is_known_from_the_events_and_from_a_snapshot() {
    for snapshot_every in [0, 1, 2, 5] {
        let mut world = World::with(&["A"], EntitySettings { snapshot_every, ..settings() });
        let two = |reply_to| Command::Add(vec!["1", "2"], reply_to);
        assert_eq!(once(&mut world, "A", "x", two).now(), Ok(2));
        assert_eq!(once(&mut world, "A", "y", add("3")).now(), Ok(3));
        for _ in 0..2 {
            world.restart("A");
            assert_eq!(once(&mut world, "A", "x", two).now(), Ok(2));
            assert_eq!(once(&mut world, "A", "y", add("3")).now(), Ok(3));
        }
        assert_eq!(world.texts("A"), ["1", "2", "3"]);
        let expected = ["0 0 x", "1 0 x", "0 0 y"].map(|note| Some(note.to_owned()));
        assert_eq!(notes(&world, "A"), expected);
    }
}

#[test]
fn a_repetition_at_another_replica_gets_the_answer_when_the_event_has_arrived() {
    let mut world = World::new(&["A", "B"]);
    world.direct = false;
    assert_eq!(once(&mut world, "A", "x", add("1")).now(), Ok(1));
    assert_eq!(world.add("B", "2").now(), Ok(1));
    world.news("B", "A");
    assert_eq!(once(&mut world, "B", "x", add("1")).now(), Ok(1));
    assert_eq!(world.texts("B"), ["2", "1"]);
    world.news("A", "B");
    world.assert_converged();
    assert_eq!(world.texts("A").len(), 2);
}

#[test]
fn a_request_at_two_replicas_at_once_has_two_events_of_which_all_choose_the_same() {
    let mut world = World::new(&["A", "B"]);
    let logs = ["A", "B"].map(|name| {
        let log = Arc::new(Log::default());
        world.restart_with(name, log.clone());
        log
    });
    world.direct = false;
    assert_eq!(world.add("B", "other").now(), Ok(1));
    assert_eq!(once(&mut world, "B", "x", add("of B")).now(), Ok(2));
    assert_eq!(once(&mut world, "A", "x", add("of A")).now(), Ok(1));
    world.news("A", "B");
    world.news("B", "A");
    world.assert_converged();
    let repeat = |origin: &str, is_overruled| ("x".to_owned(), origin.to_owned(), is_overruled);
    assert_eq!(*logs[0].repeats.lock(), [repeat("A", true)], "the event of B is earlier");
    assert_eq!(*logs[1].repeats.lock(), [repeat("B", false)]);
    for name in ["A", "B"] {
        assert_eq!(once(&mut world, name, "x", add("again")).now(), Ok(2), "as at B");
    }
    world.restart_with("A", logs[0].clone());
    assert_eq!(*logs[0].repeats.lock(), [repeat("A", true), repeat("A", true)], "at a replay too");
    assert_eq!(
        world.replicas["A"].engine.requests(),
        world.replicas["B"].engine.requests(),
        "and they remember the same"
    );
}

#[test]
fn a_repetition_waits_for_the_append_of_the_first_command() {
    let mut world = World::new(&["A"]);
    world.mode = Mode::Hold;
    let first = once(&mut world, "A", "x", add("1"));
    let second = once(&mut world, "A", "x", add("1"));
    assert_eq!(held(&mut world), ["Append(1 after 0)"]);
    let third = once(&mut world, "A", "x", add("1"));
    world.io("A");
    for reply in [first, second, third] {
        assert_eq!(reply.now(), Ok(1));
    }
    assert_eq!((world.replica("A").append_count, world.texts("A").len()), (1, 1));
}

#[test]
fn an_append_that_fails_leaves_the_effect_of_all_repetitions_open() {
    let mut world = World::new(&["A"]);
    world.mode = Mode::Hold;
    let first = once(&mut world, "A", "x", add("1"));
    let second = once(&mut world, "A", "x", add("1"));
    world.fail_io("A", crate::Error::timeout("the test wants it"));
    for reply in [first, second] {
        let error = reply.now().unwrap_err();
        assert!(!error.is_without_effect(), "{error}");
    }
}

#[test]
fn a_node_that_dies_between_the_append_and_the_answer_answers_in_its_next_life() {
    let mut world = World::new(&["A"]);
    world.mode = Mode::Hold;
    let lost = once(&mut world, "A", "x", add("1"));
    let Some(Action::Append(_, append, _)) = world.replica("A").held.pop_front() else {
        panic!("an append")
    };
    world.replica("A").journal.extend(append.events);
    world.mode = Mode::Flow;
    world.restart("A");
    assert!(lost.now().is_err());
    assert_eq!(once(&mut world, "A", "x", add("1")).now(), Ok(1));
    assert_eq!(world.replica("A").journal.len(), 1);
}

#[test]
fn a_command_without_an_event_is_not_remembered() {
    let mut world = World::new(&["A"]);
    assert_eq!(once(&mut world, "A", "x", Command::Read).now(), Ok(0));
    world.add("A", "1");
    assert_eq!(once(&mut world, "A", "x", Command::Read).now(), Ok(1), "it is read anew");
    assert_eq!(world.replicas["A"].engine.requests(), Some(Vec::new()));
    assert_eq!(once(&mut world, "A", "x", add("2")).now(), Ok(2));
    assert_eq!(once(&mut world, "A", "x", Command::Read).now(), Ok(2), "it was done meanwhile");
}

#[test]
fn an_answer_that_is_too_large_or_was_given_by_hand_is_not_kept() {
    let none = EntitySettings { request_answer_bytes_max: 0, ..settings() };
    let mut world = World::with(&["A"], none);
    assert_eq!(once(&mut world, "A", "x", add("1")).now(), Ok(1));
    let done = once(&mut world, "A", "x", add("1")).now().unwrap_err();
    let ReplyError::Done(why) = &done else { panic!("{done:?}") };
    assert!(why.contains("request `x`") && why.contains("it had 1 bytes"), "{why}");
    assert_eq!(world.replica("A").counters.answers_unkept.load(Ordering::Relaxed), 1);
    let noted = |text| move |_: ReplyTo<usize>| Command::Note(text);
    assert_eq!(once(&mut world, "A", "y", noted("2")).now(), Err(ReplyError::NoReply));
    let done = once(&mut world, "A", "y", add("2")).now().unwrap_err();
    assert!(matches!(&done, ReplyError::Done(why) if why.contains("had none")), "{done}");
    assert_eq!(world.texts("A"), ["1", "2"]);
}

#[test]
fn requests_beyond_the_bound_are_forgotten_and_a_bound_of_zero_takes_none() {
    let requests_kept_min = Duration::ZERO;
    let one = EntitySettings { requests_max: 1, requests_kept_min, ..settings() };
    let mut world = World::with(&["A"], one);
    for (id, length) in [("x", 1), ("y", 2), ("x", 3), ("x", 3)] {
        assert_eq!(once(&mut world, "A", id, add("1")).now(), Ok(length), "{id}");
    }
    assert_eq!(world.replica("A").counters.requests_forgotten.load(Ordering::Relaxed), 2);
    let mut world = World::with(&["A"], EntitySettings { requests_max: 0, ..settings() });
    let refused = once(&mut world, "A", "x", add("1")).now().unwrap_err();
    assert!(matches!(&refused, ReplyError::Rejected(why) if why.contains("`requests_max`")));
    assert_eq!(world.add("A", "1").now(), Ok(1));
}

#[test]
fn a_new_request_is_refused_while_the_remembered_ones_are_young() {
    let mut world = World::with(&["A"], EntitySettings { requests_max: 1, ..settings() });
    assert_eq!(once(&mut world, "A", "x", add("1")).now(), Ok(1));
    let refused = once(&mut world, "A", "y", add("2")).now().unwrap_err();
    assert!(
        matches!(&refused, ReplyError::Overloaded(why) if why.contains("`requests_kept_min`")),
        "{refused}"
    );
    assert!(refused.is_without_effect());
    assert_eq!(once(&mut world, "A", "x", add("1")).now(), Ok(1), "a repetition is answered");
    assert_eq!(world.add("A", "2").now(), Ok(2), "a command without an id needs no room");
    world.wall += 61_000_000;
    assert_eq!(once(&mut world, "A", "y", add("3")).now(), Ok(3));
    assert_eq!(world.replica("A").counters.requests_refused.load(Ordering::Relaxed), 1);
}

#[test]
fn a_repetition_waits_for_the_future_of_the_first_command() {
    let mut world = World::new(&["A"]);
    world.mode = Mode::Hold;
    let first = once(&mut world, "A", "x", Command::Order);
    world.io_once("A");
    assert_eq!(held(&mut world), ["RunBeside(0)"]);
    let second = once(&mut world, "A", "x", Command::Order);
    assert_eq!(held(&mut world), ["RunBeside(0)"], "no second future");
    let other = world.add("A", "other");
    world.io("A");
    assert_eq!((first.now(), second.now(), other.now()), (Ok(3), Ok(3), Ok(2)));
    assert_eq!(world.texts("A"), ["order", "other", "ordered 1"]);
    assert_eq!(world.replica("A").counters.commands_joined.load(Ordering::Relaxed), 1);
    let notes = notes(&world, "A");
    assert_eq!(notes[0].as_deref(), Some("0 0 x"));
    assert!(notes[2].as_ref().unwrap().starts_with("2 "), "the same handling: {notes:?}");
    world.mode = Mode::Flow;
    world.restart("A");
    assert_eq!(once(&mut world, "A", "x", Command::Order).now(), Ok(3));
    assert_eq!(world.texts("A").len(), 3);
}

#[test]
fn a_repetition_is_handled_when_the_future_of_the_first_command_gave_nothing() {
    let mut world = World::new(&["A"]);
    world.mode = Mode::Hold;
    let first = once(&mut world, "A", "x", Command::OrderNothing);
    assert_eq!(held(&mut world), ["RunBeside(0)"]);
    let second = once(&mut world, "A", "x", add("1"));
    world.io("A");
    assert_eq!(first.now(), Err(ReplyError::NoReply));
    assert_eq!(second.now(), Ok(1), "nothing was done, so it is handled");
}

#[test]
fn a_repetition_waits_behind_an_asynchronous_effect_and_for_the_stash() {
    let mut world = World::new(&["A"]);
    world.mode = Mode::Hold;
    let first = once(&mut world, "A", "x", Command::Later);
    let second = once(&mut world, "A", "x", Command::Later);
    world.io("A");
    assert_eq!((first.now(), second.now()), (Ok(1), Ok(1)));
    world.mode = Mode::Flow;
    let stash = |reply_to| Command::Stash(vec!["stashed"], reply_to);
    let first = once(&mut world, "A", "y", stash);
    let second = once(&mut world, "A", "y", stash);
    world.just("A", Command::Unstash);
    assert_eq!((first.now(), second.now()), (Ok(3), Ok(3)));
    assert_eq!(world.texts("A"), ["later", "open", "stashed"]);
}

#[test]
fn the_end_of_the_entity_refuses_the_repetitions_that_wait() {
    let mut world = World::new(&["A"]);
    world.mode = Mode::Hold;
    let first = once(&mut world, "A", "x", Command::Order);
    world.io_once("A");
    let second = once(&mut world, "A", "x", Command::Order);
    world.add("A", "fails");
    world.replica("A").held.pop_front();
    world.fail_io("A", unavailable());
    assert!(!first.now().unwrap_err().is_without_effect());
    assert!(matches!(second.now(), Err(ReplyError::Unavailable(_) | ReplyError::Stopped(_))));
}

#[test]
fn an_answer_of_a_future_without_an_event_is_kept_in_memory() {
    let mut world = World::new(&["A"]);
    let refusing = |reply_to: ReplyTo<usize>| Command::OrderRefused(reply_to);
    assert_eq!(once(&mut world, "A", "x", refusing).now(), Ok(900));
    assert_eq!(once(&mut world, "A", "x", refusing).now(), Ok(900));
    assert_eq!(world.texts("A"), ["order"]);
    world.restart("A");
    let done = once(&mut world, "A", "x", refusing).now().unwrap_err();
    assert!(matches!(done, ReplyError::Done(_)), "{done}");
    assert_eq!(world.replicas["A"].engine.requests().unwrap()[0].answer, KeptAnswer::Later);
}

#[test]
fn a_repetition_elsewhere_is_refused_while_the_answer_is_on_its_way() {
    let mut world = World::new(&["A", "B"]);
    world.mode = Mode::Hold;
    let first = once(&mut world, "A", "x", Command::Order);
    world.io_once("A");
    world.io("B");
    let refused = once(&mut world, "B", "x", Command::Order).now().unwrap_err();
    assert!(
        matches!(&refused, ReplyError::Unavailable(why) if why.contains("handled at replica `A`")),
        "{refused}"
    );
    world.io("A");
    world.io("B");
    assert_eq!(first.now(), Ok(2));
    assert_eq!(once(&mut world, "B", "x", Command::Order).now(), Ok(2), "the answer has arrived");
    assert_eq!(world.texts("B"), ["order", "ordered 1"]);
}

#[test]
fn a_request_whose_answer_never_comes_is_done_elsewhere_after_a_while() {
    let mut world = World::new(&["A", "B"]);
    let refusing = |reply_to: ReplyTo<usize>| Command::OrderRefused(reply_to);
    assert_eq!(once(&mut world, "A", "x", refusing).now(), Ok(900));
    world.wall += 61_000_000;
    let done = once(&mut world, "B", "x", refusing).now().unwrap_err();
    assert!(matches!(done, ReplyError::Done(_)), "{done}");
    assert_eq!(world.texts("B"), ["order"]);
}
