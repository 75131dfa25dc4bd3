//! Commands of sessions: they wait for the events that their sessions have seen.

#![expect(clippy::wildcard_enum_match_arm, reason = "a test looks at what it is about")]

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use proptest::prelude::*;

use super::log::Command;
use super::world::{Mode, World, replica_id, unavailable};
use crate::entity::EntitySettings;
use crate::entity::engine::{Action, Input, Queued};
use crate::identity::ReplicationId;
use crate::reply::{Claim, PendingReply, ReplyError, ReplyTo, Session, claimed_reply_channel};
use crate::version::SessionToken;

const SECOND: Duration = Duration::from_secs(1);

fn id() -> ReplicationId {
    ReplicationId::parse("log|l-1").unwrap()
}

fn token(counters: &[(&str, u64)]) -> SessionToken {
    let version = counters.iter().map(|(name, counter)| (replica_id(name), *counter)).collect();
    SessionToken::new(&id(), version)
}

/// An ask with a second of time, after these events.
fn ask(
    world: &mut World,
    name: &'static str,
    after: &SessionToken,
    command: impl FnOnce(ReplyTo<usize>) -> Command,
) -> (PendingReply<usize>, Arc<Session>) {
    ask_for(world, name, after, SECOND, command)
}

/// A read with this time, after these events.
fn lasting(
    world: &mut World,
    name: &'static str,
    after: &SessionToken,
    time: Duration,
) -> (PendingReply<usize>, Arc<Session>) {
    ask_for(world, name, after, time, Command::Read)
}

fn ask_for(
    world: &mut World,
    name: &'static str,
    after: &SessionToken,
    time: Duration,
    command: impl FnOnce(ReplyTo<usize>) -> Command,
) -> (PendingReply<usize>, Arc<Session>) {
    let session = Arc::new(Session::after(&id(), Some(after)).unwrap().with_version());
    let claim = Claim::lasting(world.now().instant, time).in_session(Some(session.clone()));
    let (reply_to, reply) = claimed_reply_channel(&claim);
    let queued = Queued { claim, ..Queued::unlimited(command(reply_to)) };
    world.feed(name, Input::Command(queued));
    (reply, session)
}

/// Two replicas whose events go to the other one only when the test brings them.
fn cut(settings: EntitySettings) -> World {
    let mut world = World::with(&["A", "B"], settings);
    world.direct = false;
    world.mode = Mode::Hold;
    world
}

fn quiet() -> EntitySettings {
    EntitySettings { pull_at_start: false, ..EntitySettings::default() }
}

fn count(world: &World, name: &str) -> [u64; 3] {
    let counters = &world.replicas[name].counters;
    [&counters.commands_behind, &counters.commands_left_behind, &counters.behind_overflows]
        .map(|counter| counter.load(Ordering::Relaxed))
}

/// Writes a text at a replica, and returns the token of the answer.
fn write(world: &mut World, name: &'static str, text: &'static str) -> SessionToken {
    let (reply, session) = ask(world, name, &token(&[]), |to| Command::Add(vec![text], to));
    world.io(name);
    assert!(reply.now().is_ok());
    session.token()
}

#[test]
fn a_read_after_a_token_waits_for_its_events_and_reads_them_at_once() {
    let mut world = cut(quiet());
    let seen = write(&mut world, "A", "1");
    assert_eq!(seen, token(&[("A", 1)]));
    let (read, session) = ask(&mut world, "B", &seen, Command::Read);
    let held: Vec<_> = world.replica("B").held.iter().map(|io| format!("{io:?}")).collect();
    assert!(held.iter().any(|io| io.starts_with("Pull(A")), "without the journal loop: {held:?}");
    assert!(held.iter().any(|io| io.contains("875ms")), "the time to give up: {held:?}");

    world.io("B");
    assert_eq!(read.now(), Ok(1));
    assert_eq!(session.token(), seen);
    assert_eq!(count(&world, "B"), [1, 0, 0]);
}

#[test]
fn events_that_do_not_come_in_time_are_named_and_the_command_has_no_effect() {
    let mut world = cut(quiet());
    let (reply, _) =
        ask(&mut world, "B", &token(&[("A", 2), ("B", 1)]), |to| Command::Add(vec!["1"], to));
    world.pass(SECOND * 3 / 4);
    assert_eq!(count(&world, "B"), [1, 0, 0], "there is time left");
    world.pass(SECOND / 8);
    let error = reply.now().unwrap_err();
    let ReplyError::Behind(missing) = &error else { panic!("{error}") };
    assert_eq!(missing.to_string(), "events 1 to 2 of `A`, event 1 of `B`");
    assert!(error.is_without_effect());
    assert_eq!((world.texts("B"), count(&world, "B")), (Vec::new(), [1, 1, 0]));
}

#[test]
fn other_commands_do_not_wait_and_those_that_waited_keep_their_order() {
    let mut world = cut(quiet());
    write(&mut world, "A", "1");
    let seen = write(&mut world, "A", "2");
    let add = |text| move |to| Command::Add(vec![text], to);
    let (first, _) = ask(&mut world, "B", &seen, add("first"));
    let (early, _) = ask(&mut world, "B", &token(&[("A", 1)]), add("early"));
    let plain = world.add("B", "plain");
    let (last, _) = ask(&mut world, "B", &seen, add("last"));
    world.mode = Mode::Flow;
    world.io("B");
    for reply in [first, early, plain, last] {
        assert!(reply.now().is_ok());
    }
    assert_eq!(world.texts("B"), ["plain", "1", "2", "first", "early", "last"]);
}

#[test]
fn a_full_room_refuses_and_an_asker_that_gave_up_makes_room() {
    let mut world = cut(EntitySettings { behind_max: 1, ..quiet() });
    let future = token(&[("A", 9)]);
    let claim = Claim::lasting(world.now().instant, SECOND);
    let session = Session::after(&id(), Some(&future)).unwrap();
    let claim = claim.in_session(Some(Arc::new(session)));
    let (reply_to, gone) = claimed_reply_channel(&claim);
    let command = Command::Read(reply_to);
    world.feed("B", Input::Command(Queued { claim: claim.clone(), ..Queued::unlimited(command) }));

    let (refused, _) = ask(&mut world, "B", &future, Command::Read);
    let why = refused.now().unwrap_err().to_string();
    assert!(why.contains("`behind_max` 1"), "{why}");
    assert!(claim.void(), "the asker gives up");
    let (waits, _) = ask(&mut world, "B", &future, Command::Read);
    assert!(matches!(gone.now(), Err(ReplyError::Expired(_))));
    assert_eq!((waits.now(), count(&world, "B")), (Err(ReplyError::NoReply), [2, 0, 1]));
}

#[test]
fn an_entity_that_stops_answers_at_once_that_it_is_behind() {
    let mut world = cut(quiet());
    let (reply, _) = ask(&mut world, "B", &token(&[("A", 1)]), Command::Read);
    assert_eq!(world.replica("B").engine.is_empty(), Some(false));
    world.feed("B", Input::Stop);
    assert!(matches!(reply.now(), Err(ReplyError::Behind(_))));
    assert!(world.replica("B").stopped.is_some());

    world.restart("B");
    let (killed, _) = ask(&mut world, "B", &token(&[("A", 1)]), Command::Read);
    world.io("B");
    world.feed("B", Input::Kill);
    assert!(matches!(killed.now(), Err(ReplyError::NotHere(_))));
}

#[test]
fn the_version_of_an_answer_has_no_event_that_is_not_durable() {
    let mut world = cut(quiet());
    let (reply, session) = ask(&mut world, "A", &token(&[]), |to| Command::Add(vec!["1"], to));
    assert_eq!(session.token(), token(&[]), "the disk has not answered");
    world.feed("A", Input::Kill);
    assert!(reply.now().is_err());
    assert_eq!(session.token(), token(&[]));
}

#[test]
fn an_answer_of_a_future_has_the_version_of_the_command_that_its_value_became() {
    for command in [Command::Order, Command::Later, Command::OrderByHand] {
        let mut world = cut(quiet());
        world.mode = Mode::Flow;
        let (reply, session) = ask(&mut world, "A", &token(&[]), command);
        let count = reply.now().expect("an answer") as u64;
        assert_eq!(session.token(), token(&[("A", count)]));
    }
}

/// The journals whose reads wait for the test, oldest first.
fn reads(world: &mut World, name: &str) -> Vec<String> {
    let held = world.replica(name).held.iter();
    held.filter_map(|action| match action {
        Action::Pull(_, other, _) => Some(other.to_string()),
        _ => None,
    })
    .collect()
}

/// Drops the actions that wake the entity, which the test does itself.
fn without_wakes(world: &mut World, name: &str) {
    world.replica(name).held.retain(|action| !matches!(action, Action::WakeAfter(_)));
}

#[test]
fn events_of_an_unknown_origin_are_not_waited_for() {
    let mut world = cut(quiet());
    let (reply, _) = ask(&mut world, "B", &token(&[("nowhere", 1)]), Command::Read);
    assert!(matches!(reply.now(), Err(ReplyError::Behind(_))));
    assert_eq!(count(&world, "B"), [0, 1, 0]);
    assert_eq!(reads(&mut world, "B"), [""; 0]);
}

#[test]
fn reads_for_events_that_never_come_wait_longer_each_time() {
    let mut world = cut(quiet());
    let begin = world.replicas["B"].read_count;
    let (reply, _) = lasting(&mut world, "B", &token(&[("A", 9)]), SECOND * 20);
    for _ in 0..100 {
        world.io("B");
        world.pass(SECOND / 10);
    }
    let read_count = world.replicas["B"].read_count - begin;
    assert!((4..=8).contains(&read_count), "{read_count} reads in ten seconds");
    drop(reply);
}

#[test]
fn short_asks_do_not_end_the_wait_before_the_next_read() {
    let mut world = cut(quiet());
    let begin = world.replicas["B"].read_count;
    for _ in 0..100 {
        let millis = Duration::from_millis(1);
        let (reply, _) = lasting(&mut world, "B", &token(&[("A", 9)]), millis);
        world.io("B");
        world.pass(millis);
        world.io("B");
        assert!(reply.now().is_err());
    }
    let read_count = world.replicas["B"].read_count - begin;
    assert!((1..=2).contains(&read_count), "{read_count} reads in 100 ms");

    // events that are there are read within `pull_retry_min`
    for _ in 0..9 {
        write(&mut world, "A", "1");
    }
    let (reply, _) = ask(&mut world, "B", &token(&[("A", 9)]), Command::Read);
    world.pass(Duration::from_millis(200));
    world.io("B");
    assert_eq!(reply.now(), Ok(9));
}

#[test]
fn missing_events_are_read_from_another_place_when_their_own_one_cannot_be_read() {
    let mut world = World::with(&["A", "B", "C"], quiet());
    (world.direct, world.mode) = (false, Mode::Hold);
    for name in ["A", "B", "C"] {
        world.io(name);
    }
    let seen = write(&mut world, "C", "1");
    // A has the event of C
    let (there, _) = ask(&mut world, "A", &seen, Command::Read);
    world.io("A");
    assert_eq!(there.now(), Ok(1));

    let (reply, _) = ask(&mut world, "B", &seen, Command::Read);
    without_wakes(&mut world, "B");
    assert_eq!(reads(&mut world, "B"), ["C"]);
    world.fail_io("B", unavailable());
    without_wakes(&mut world, "B");
    assert_eq!(reads(&mut world, "B"), ["A"], "C is down");
    world.io("B");
    assert_eq!(reply.now(), Ok(1));
}

#[test]
fn a_command_without_a_limit_of_time_waits_at_most_behind_wait_max() {
    let mut world = cut(EntitySettings { behind_wait_max: SECOND, ..quiet() });
    for time in [Duration::MAX, SECOND * 3600] {
        let (reply, _) = lasting(&mut world, "B", &token(&[("A", 1)]), time);
        world.pass(SECOND);
        assert!(matches!(reply.now(), Err(ReplyError::Behind(_))));
    }
}

#[test]
fn the_version_of_an_answer_is_known_before_the_future_of_its_command_begins() {
    let mut world = cut(quiet());
    let (_reply, session) = ask(&mut world, "A", &token(&[]), Command::Order);
    let Some(Action::Append(generation, ..)) = world.replica("A").held.pop_front() else {
        panic!("its event is stored first")
    };
    let now = world.now();
    let actions = world.replica("A").engine.step(now, Input::Appended(generation, Ok(())));
    assert!(actions.iter().any(|action| matches!(action, Action::RunBeside(..))), "{actions:?}");
    assert_eq!(session.token(), token(&[("A", 1)]), "the parts of the command are not let out yet");
}

/// One step of a session that goes from replica to replica.
#[derive(Debug, Clone)]
enum Step {
    Write(&'static str),
    Read(&'static str),
    /// The replica reads the journals that it wants.
    Bring(&'static str),
    Pass(u64),
    Restart(&'static str),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let name = || prop::sample::select(vec!["A", "B"]);
    let step = prop_oneof![
        name().prop_map(Step::Write),
        name().prop_map(Step::Read),
        name().prop_map(Step::Bring),
        (1..400_u64).prop_map(Step::Pass),
        name().prop_map(Step::Restart),
    ];
    prop::collection::vec(step, 1..40)
}

proptest! {
    /// Every answer of the session has at least the lines of the answers before it, also when the
    /// session asks another replica that was started anew.
    #[test]
    fn a_session_never_reads_less_than_it_has_seen(steps in steps()) {
        let mut world = cut(quiet());
        let (mut seen, mut lines) = (token(&[]), 0);
        let mut under_way: Vec<(PendingReply<usize>, Arc<Session>, usize)> = Vec::new();
        for step in steps {
            match step {
                Step::Write(name) => {
                    let add = |to| Command::Add(vec!["x"], to);
                    let (reply, session) = ask(&mut world, name, &seen, add);
                    world.io(name);
                    under_way.push((reply, session, lines + 1));
                }
                Step::Read(name) => {
                    let (reply, session) = ask(&mut world, name, &seen, Command::Read);
                    under_way.push((reply, session, lines));
                }
                Step::Bring(name) => world.io(name),
                Step::Pass(millis) => world.pass(Duration::from_millis(millis)),
                Step::Restart(name) => {
                    world.restart(name);
                    world.io(name);
                }
            }
            let mut waiting = Vec::new();
            for (mut reply, session, least) in under_way {
                match reply.try_now() {
                    None => waiting.push((reply, session, least)),
                    Some(Ok(count)) => {
                        prop_assert!(count >= least, "{count} lines, {least} were seen");
                        lines = lines.max(count);
                        seen.merge(&session.token()).unwrap();
                    }
                    Some(Err(error)) => prop_assert!(error.is_without_effect(), "{error}"),
                }
            }
            under_way = waiting;
        }
        prop_assert!(seen.version().event_count() >= lines as u64, "the events of all lines");
    }
}
