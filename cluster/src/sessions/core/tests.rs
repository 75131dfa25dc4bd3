//! Exact effects of the core.

use super::*;

fn node(name: &str) -> NodeId {
    NodeId::new(name, 1).unwrap()
}

fn core(name: &str) -> (Core, Instant) {
    let (retry_min, retry_max) = (Duration::from_millis(100), Duration::from_secs(1));
    #[expect(clippy::disallowed_methods, reason = "any time: all others are counted from it")]
    let now = Instant::now();
    let ready_timeout = Duration::from_secs(3);
    (Core::new(node(name), CoreSettings { retry_min, retry_max, ready_timeout }), now)
}

fn members(names: &[&str]) -> Input {
    Input::Members(names.iter().map(|name| (node(name), address(name))).collect())
}

fn address(name: &str) -> Arc<str> {
    format!("at {name}").into()
}

fn open(name: &str) -> Effect {
    Effect::Open(node(name), address(name))
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[test]
fn the_node_with_the_smaller_id_opens_and_the_other_one_takes() {
    let (mut core, now) = core("b");
    assert_eq!(core.step(now, members(&["a", "b", "c"])), [open("c")]);
    assert_eq!(core.step(now, Input::Opened(node("c"), 1)), [Effect::Begin(1)]);
    assert_eq!(core.step(now, Input::Taken(node("a"), 2)), [Effect::Begin(2)]);
    assert_eq!(core.step(now, members(&["a", "b", "c"])), []);
}

#[test]
fn a_cut_is_healed_with_longer_waits_until_a_session_has_lasted() {
    let (mut core, now) = core("a");
    assert_eq!(core.step(now, members(&["b"])), [open("b")]);
    assert_eq!(core.step(now, Input::NotOpened(node("b"))), []);
    assert_eq!(core.step(now + millis(99), Input::Tick), []);
    assert_eq!(core.step(now + millis(100), Input::Tick), [open("b")]);
    let now = now + millis(100);
    assert_eq!(core.step(now, Input::Opened(node("b"), 1)), [Effect::Begin(1)]);
    // it has not lasted
    assert_eq!(core.step(now, Input::Ended(1)), []);
    assert_eq!(core.step(now + millis(199), Input::Tick), []);
    assert_eq!(core.step(now + millis(200), Input::Tick), [open("b")]);
    let now = now + millis(200);
    core.step(now, Input::Opened(node("b"), 2));
    core.step(now, Input::Ready(2));
    // it has
    let now = now + millis(1000);
    assert_eq!(core.step(now, Input::Ended(2)), []);
    assert_eq!(core.step(now + millis(100), Input::Tick), [open("b")]);
}

#[test]
fn a_session_that_is_not_ready_in_time_begins_anew() {
    let (mut core, now) = core("a");
    core.step(now, members(&["b", "c"]));
    core.step(now, Input::Opened(node("b"), 1));
    core.step(now, Input::Opened(node("c"), 2));
    core.step(now, Input::Ready(2));
    assert_eq!(core.step(now + millis(2999), Input::Tick), []);
    let late = now + millis(3000);
    assert_eq!(core.step(late, Input::Tick), [Effect::End(1, Why::Stalled)]);
    assert_eq!(core.step(late, Input::Ended(1)), []);
    assert_eq!(core.step(late, Input::Ready(1)), []);
    assert_eq!(core.step(late + millis(100), Input::Tick), [open("b")]);
    assert_eq!(core.step(late + millis(60_000), Input::Tick), [], "the other one is ready");
}

#[test]
fn a_session_ends_at_once_when_its_member_is_gone() {
    let (mut core, now) = core("a");
    core.step(now, members(&["b", "c"]));
    core.step(now, Input::Opened(node("b"), 1));
    core.step(now, Input::Opened(node("c"), 2));
    assert_eq!(core.step(now, members(&["c"])), [Effect::End(1, Why::NoMember)]);
    assert_eq!(core.step(now, Input::Ended(1)), []);
    // a stream that was opened meanwhile
    assert_eq!(core.step(now, Input::Opened(node("b"), 3)), [Effect::End(3, Why::NoMember)]);
}

#[test]
fn a_frozen_member_has_no_session_until_it_answers() {
    let (mut core, now) = core("b");
    core.step(now, members(&["a", "c"]));
    core.step(now, Input::Taken(node("a"), 1));
    core.step(now, Input::Opened(node("c"), 2));
    let frozen = |name, is_frozen| Input::Frozen(node(name), is_frozen);
    assert_eq!(core.step(now, frozen("a", true)), [Effect::End(1, Why::Frozen)]);
    assert_eq!(core.step(now, frozen("c", true)), [Effect::End(2, Why::Frozen)]);
    let later = now + millis(5000);
    assert_eq!(core.step(later, Input::Tick), []);
    assert_eq!(core.step(later, Input::Taken(node("a"), 3)), [Effect::End(3, Why::Frozen)]);
    assert_eq!(core.step(later, frozen("c", false)), [open("c")]);
    assert_eq!(core.step(later, frozen("a", false)), []);
    assert_eq!(core.step(later, Input::Taken(node("a"), 4)), [Effect::Begin(4)]);
}

#[test]
fn a_newer_stream_of_a_member_takes_the_place_of_its_session() {
    let (mut core, now) = core("b");
    core.step(now, members(&["a"]));
    core.step(now, Input::Taken(node("a"), 1));
    let effects = core.step(now, Input::Taken(node("a"), 2));
    assert_eq!(effects, [Effect::End(1, Why::Replaced), Effect::Begin(2)]);
    assert_eq!(core.step(now, Input::Ended(1)), []);
}

#[test]
fn the_goodbye_ends_all_for_good() {
    let (mut core, now) = core("a");
    core.step(now, members(&["b", "c"]));
    core.step(now, Input::Opened(node("b"), 1));
    assert_eq!(core.step(now, Input::Goodbye), [Effect::End(1, Why::Goodbye)]);
    assert_eq!(core.step(now, Input::Opened(node("c"), 2)), [Effect::End(2, Why::Goodbye)]);
    assert_eq!(core.step(now, members(&["b", "c"])), []);
}

#[test]
fn a_stream_of_a_node_that_is_no_member_yet_is_not_begun() {
    let (mut core, now) = core("b");
    assert_eq!(core.step(now, Input::Taken(node("a"), 1)), [Effect::End(1, Why::NoMember)]);
    core.step(now, members(&["a"]));
    assert_eq!(core.step(now, Input::Taken(node("a"), 2)), [Effect::Begin(2)]);
}
