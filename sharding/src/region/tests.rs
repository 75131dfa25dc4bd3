//! Tests of the route: inputs, and the expected effects.

use std::time::Duration;

use antiphon_base::time::{Clock, SystemClock};
use antiphon_runtime::NodeId;
use tokio::time::Instant;

use super::Reach::{Reached, Unreached};
use super::{Backlog, Effect, Input, Reach, Route, RouteSettings};
use crate::coordinator::{Home, HomesVersion};

const MOVE: HomesVersion = HomesVersion { token: 1, change: 5 };

fn node(name: &str) -> NodeId {
    NodeId::new(name, 1).unwrap()
}

fn route() -> (Route<u32>, Instant) {
    let settings = RouteSettings { shard_buffer_max: 2, home_timeout: Duration::from_secs(10) };
    (Route::new(node("me"), settings), SystemClock.now())
}

fn send(route: &mut Route<u32>, now: Instant, command: u32, reach: Reach) -> Option<Effect<u32>> {
    route.send(now, command, Backlog::Low, |_| reach)
}

fn at(name: &str) -> Input {
    Input::Home(Some(Home::At(node(name))))
}

fn moving(name: &str) -> Input {
    Input::Home(Some(Home::Moving(node(name), MOVE)))
}

#[test]
fn commands_wait_for_a_home_and_keep_their_order() {
    let (mut route, t0) = route();
    assert_eq!(send(&mut route, t0, 1, Unreached), None);
    assert_eq!(send(&mut route, t0, 2, Unreached), None);
    assert_eq!(send(&mut route, t0, 3, Unreached), Some(Effect::RefuseFull(3)));
    assert_eq!(route.step(t0, at("b")), []);
    assert_eq!(route.step(t0, Input::Tick(Unreached)), [], "not reachable yet");
    let flushed = [Effect::Remote(node("b"), 1), Effect::Remote(node("b"), 2)];
    assert_eq!(route.step(t0, Input::Tick(Reached)), flushed);
    assert_eq!(send(&mut route, t0, 4, Reached), Some(Effect::Remote(node("b"), 4)));
}

#[test]
fn a_command_that_waits_too_long_is_refused() {
    let (mut route, t0) = route();
    send(&mut route, t0, 1, Unreached);
    let t1 = t0 + Duration::from_secs(5);
    send(&mut route, t1, 2, Unreached);
    let t2 = t0 + Duration::from_secs(10);
    assert_eq!(route.step(t2, Input::Tick(Unreached)), [Effect::RefuseNotHere(1)]);
    assert_eq!(route.waiting_count(), 1);
}

#[test]
fn a_command_whose_asker_gave_up_makes_room_and_the_others_keep_their_order() {
    let (mut route, t0) = route();
    send(&mut route, t0, 1, Unreached);
    send(&mut route, t0, 2, Unreached);
    assert_eq!(route.take_where(|command| *command == 1), [1]);
    assert_eq!(send(&mut route, t0, 3, Unreached), None);
    route.step(t0, at("b"));
    let flushed = [Effect::Remote(node("b"), 2), Effect::Remote(node("b"), 3)];
    assert_eq!(route.step(t0, Input::Tick(Reached)), flushed);
}

#[test]
fn a_shard_that_moves_is_drained_reported_until_heard_and_buffered_for() {
    let (mut route, t0) = route();
    assert_eq!(route.step(t0, at("me")), [Effect::Start]);
    assert_eq!(send(&mut route, t0, 1, Reached), Some(Effect::Local(1)));
    assert_eq!(route.step(t0, moving("me")), [Effect::Drain]);
    assert_eq!(send(&mut route, t0, 2, Reached), None);
    assert_eq!(route.step(t0, Input::Drained), [Effect::ReportStopped(MOVE)]);
    assert_eq!(route.step(t0, Input::Tick(Unreached)), [Effect::ReportStopped(MOVE)]);
    assert_eq!(route.step(t0, at("b")), []);
    assert_eq!(route.step(t0, Input::Tick(Reached)), [Effect::Remote(node("b"), 2)]);
}

#[test]
fn a_move_of_a_shard_that_is_not_here_is_reported_at_once() {
    let (mut route, t0) = route();
    assert_eq!(route.step(t0, moving("me")), [Effect::ReportStopped(MOVE)]);
}

#[test]
fn a_shard_that_another_node_was_given_is_killed() {
    let (mut route, t0) = route();
    route.step(t0, at("me"));
    assert_eq!(route.step(t0, at("b")), [Effect::Kill]);
    assert_eq!(route.remote(), Some(&node("b")));
}

#[test]
fn a_fenced_node_hosts_nothing_ever_again() {
    let (mut route, t0) = route();
    route.step(t0, at("me"));
    assert_eq!(route.step(t0, Input::Fenced), [Effect::Kill]);
    assert_eq!(route.step(t0, at("me")), []);
    assert_eq!(send(&mut route, t0, 1, Reached), Some(Effect::RefuseNotHere(1)));
}

#[test]
fn after_the_node_stopped_it_by_itself_a_shard_is_not_begun_again() {
    let (mut route, t0) = route();
    route.step(t0, at("me"));
    assert_eq!(route.step(t0, Input::StopHere), [Effect::Drain]);
    assert_eq!(route.step(t0, at("me")), []);
    assert_eq!(route.step(t0, Input::Drained), []);
    assert!(!route.is_hosting());

    // homes that were published before the coordinator knew that the node leaves
    assert_eq!(send(&mut route, t0, 1, Unreached), None);
    assert_eq!(route.step(t0, at("me")), []);
    assert!(!route.is_hosting());
    assert_eq!(route.step(t0, at("b")), []);
    assert_eq!(route.step(t0, at("me")), [], "an old map of a newer coordinator");
    assert_eq!(route.step(t0, moving("me")), [Effect::ReportStopped(MOVE)]);
    assert_eq!(route.step(t0, at("b")), []);
    assert_eq!(route.step(t0, Input::Tick(Reached)), [Effect::Remote(node("b"), 1)]);
}

#[test]
fn a_shard_that_was_never_here_does_not_begin_at_a_node_that_has_drained() {
    let (mut route, t0) = route();
    assert_eq!(route.step(t0, Input::StopHere), []);
    assert_eq!(route.step(t0, at("me")), []);
    assert!(!route.is_hosting());
}

#[test]
fn a_shard_that_moves_while_its_node_leaves_does_not_begin_anew() {
    let (mut route, t0) = route();
    route.step(t0, at("me"));
    assert_eq!(route.step(t0, moving("me")), [Effect::Drain]);
    assert_eq!(route.step(t0, at("me")), [], "it would begin anew");
    assert_eq!(route.step(t0, Input::StopHere), []);
    assert_eq!(route.step(t0, at("me")), []);
    assert_eq!(route.step(t0, Input::Drained), [Effect::ReportStopped(MOVE)]);
    assert!(!route.is_hosting());
}

#[test]
fn a_shard_that_a_newer_coordinator_leaves_here_begins_anew_when_it_has_drained() {
    let (mut route, t0) = route();
    assert_eq!(route.step(t0, at("me")), [Effect::Start]);
    assert_eq!(route.step(t0, moving("me")), [Effect::Drain]);
    assert_eq!(route.step(t0, at("me")), []);
    assert_eq!(send(&mut route, t0, 1, Unreached), None, "it waits for the new begin");
    assert_eq!(route.step(t0, Input::Drained), [Effect::Start, Effect::Local(1)]);
    assert_eq!(route.step(t0, Input::Tick(Unreached)), [], "nothing is reported");

    // the newer coordinator moves the shard too, before it has drained
    assert_eq!(route.step(t0, moving("me")), [Effect::Drain]);
    assert_eq!(route.step(t0, at("me")), []);
    assert_eq!(route.step(t0, moving("me")), []);
    assert_eq!(route.step(t0, Input::Drained), [Effect::ReportStopped(MOVE)]);
}

#[test]
fn while_much_is_put_aside_only_active_entities_get_commands() {
    let (mut route, t0) = route();
    let busy = |route: &mut Route<u32>| route.send(t0, 1, Backlog::High, |_| Reached);
    assert_eq!(busy(&mut route), Some(Effect::RefuseFull(1)), "it may not wait either");
    route.step(t0, at("b"));
    assert_eq!(busy(&mut route), Some(Effect::RefuseFull(1)));
    route.step(t0, at("me"));
    assert_eq!(busy(&mut route), Some(Effect::LocalIfActive(1)));
}
