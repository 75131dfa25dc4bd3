//! Tests of the shard's lifecycle: inputs, and the expected effects.

use std::sync::Arc;
use std::time::Duration;

use antiphon_base::time::{Clock, SystemClock};
use tokio::time::Instant;

use super::{Effect, Input, Lifecycle, LifecycleSettings, Pressure, Use};

fn shard() -> (Lifecycle<u32>, Instant) {
    let settings = LifecycleSettings {
        entity_buffer_max: 2,
        stop_timeout: Duration::from_secs(10),
        restart_min: Duration::from_secs(1),
        restart_max: Duration::from_secs(3),
        passivate_after: Duration::from_secs(60),
        shard_entities_max: 2,
    };
    (Lifecycle::new(settings), SystemClock.now())
}

fn id(name: &str) -> Arc<str> {
    name.into()
}

fn deliver(name: &str, message: u32) -> Input<u32> {
    Input::Deliver { entity: id(name), message, by: Use::Command }
}

fn forward(name: &str, message: u32) -> Effect<u32> {
    Effect::Forward(id(name), message)
}

#[test]
fn a_message_during_passivation_restarts_the_entity() {
    let (mut shard, t0) = shard();
    assert_eq!(shard.step(t0, deliver("a", 1)), [Effect::Start(id("a")), forward("a", 1)]);

    let t1 = t0 + Duration::from_secs(60);
    assert_eq!(shard.step(t1, Input::Tick), [Effect::Stop(id("a"))]);
    assert_eq!(shard.step(t1, deliver("a", 2)), []);
    assert_eq!(shard.step(t1, deliver("a", 3)), []);
    assert_eq!(shard.step(t1, deliver("a", 4)), [Effect::Refuse(4)], "over `entity_buffer_max`");

    let effects = shard.step(t1, Input::Stopped(id("a")));
    assert_eq!(effects, [Effect::Start(id("a")), forward("a", 2), forward("a", 3)]);
}

/// An entity that replication started is passivated again.
#[test]
fn events_wake_an_entity_and_do_not_keep_it_awake() {
    let (mut shard, t0) = shard();
    let event = |message| Input::Deliver { entity: id("a"), message, by: Use::Replication };
    assert_eq!(shard.step(t0, event(1)).len(), 2);
    let t1 = t0 + Duration::from_secs(59);
    assert_eq!(shard.step(t1, event(2)), [forward("a", 2)]);
    assert_eq!(shard.step(t1 + Duration::from_secs(1), Input::Tick), [Effect::Stop(id("a"))]);
    assert_eq!(shard.step(t1, Input::Stopped(id("a"))), []);
    assert_eq!(shard.entity_count(), 0);
}

#[test]
fn a_command_with_an_earlier_time_than_the_last_use_does_not_set_the_use_back() {
    let (mut shard, t0) = shard();
    shard.step(t0 + Duration::from_secs(9), deliver("a", 1));
    assert!(shard.forwards(t0, "a", Use::Command));
    assert_eq!(shard.used_at("a"), Some(t0 + Duration::from_secs(9)));
}

#[test]
fn over_the_limit_those_used_least_recently_go() {
    let (mut shard, t0) = shard();
    for (second, name) in [(0, "a"), (1, "b"), (2, "c"), (3, "a")] {
        shard.step(t0 + Duration::from_secs(second), deliver(name, 1));
    }
    assert_eq!(shard.step(t0 + Duration::from_secs(4), Input::Tick), [Effect::Stop(id("b"))]);
}

#[test]
fn draining_stops_everything_and_starts_nothing() {
    let (mut shard, t0) = shard();
    shard.step(t0, deliver("a", 1));
    shard.step(t0, deliver("b", 1));
    assert_eq!(shard.step(t0, Input::Drain), [Effect::Stop(id("a")), Effect::Stop(id("b"))]);
    assert_eq!(shard.step(t0, deliver("c", 2)), [Effect::Refuse(2)]);
    assert_eq!(shard.step(t0, Input::Stopped(id("a"))), []);
    assert_eq!(shard.step(t0, Input::Stopped(id("b"))), [Effect::Drained]);
}

#[test]
fn a_message_to_an_entity_that_died_waits_for_its_end() {
    let (mut shard, t0) = shard();
    shard.step(t0, deliver("a", 1));
    assert_eq!(shard.step(t0, Input::Returned(id("a"), 2)), []);
    assert_eq!(shard.step(t0, deliver("a", 3)), []);
    let effects = shard.step(t0, Input::Stopped(id("a")));
    assert_eq!(effects, [Effect::Start(id("a")), forward("a", 2), forward("a", 3)]);
}

#[test]
fn an_empty_shard_is_drained_at_once() {
    let (mut shard, t0) = shard();
    assert_eq!(shard.step(t0, Input::Drain), [Effect::Drained]);
}

#[test]
fn a_shard_drains_although_an_entity_does_not_stop() {
    let (mut shard, t0) = shard();
    shard.step(t0, deliver("a", 1));
    shard.step(t0, deliver("b", 1));
    shard.step(t0, Input::Drain);
    assert_eq!(shard.step(t0, deliver("a", 2)), []);
    assert_eq!(shard.step(t0, Input::Stopped(id("b"))), []);
    assert_eq!(shard.step(t0 + Duration::from_secs(9), Input::Tick), []);
    let killed = [Effect::Kill(id("a")), Effect::Refuse(2), Effect::Drained];
    assert_eq!(shard.step(t0 + Duration::from_secs(10), Input::Tick), killed);
    assert_eq!(shard.step(t0 + Duration::from_secs(11), Input::Tick), [], "said once");
    assert_eq!(shard.step(t0 + Duration::from_secs(12), Input::Stopped(id("a"))), [], "too late");
}

#[test]
fn an_entity_that_was_killed_before_the_shard_drains_does_not_hold_it_up() {
    let (mut shard, t0) = shard();
    shard.step(t0, deliver("a", 1));
    shard.step(t0, Input::Passivate(id("a")));
    let t1 = t0 + Duration::from_secs(10);
    assert_eq!(shard.step(t1, Input::Tick), [Effect::Kill(id("a"))]);
    assert_eq!(shard.step(t1, deliver("a", 2)), []);
    assert_eq!(shard.step(t1, Input::Drain), []);
    assert_eq!(shard.step(t1, Input::Tick), [Effect::Refuse(2), Effect::Drained]);
    assert_eq!(shard.step(t1, Input::Tick), [], "said once");
}

#[test]
fn an_entity_that_is_passivated_and_does_not_stop_is_killed_and_waited_for() {
    let (mut shard, t0) = shard();
    shard.step(t0, deliver("a", 1));
    shard.step(t0, Input::Passivate(id("a")));
    shard.step(t0, deliver("a", 2));
    let t1 = t0 + Duration::from_secs(10);
    assert_eq!(shard.step(t1, Input::Tick), [Effect::Kill(id("a"))]);
    let effects = shard.step(t1, Input::Stopped(id("a")));
    assert_eq!(effects, [Effect::Start(id("a")), forward("a", 2)]);
}

#[test]
fn an_entity_that_fails_is_not_started_before_a_wait_that_grows() {
    let (mut shard, t0) = shard();
    let why: Arc<str> = "event 7".into();
    let failed = || Input::Failed(id("a"), why.clone());
    let mut now = t0;
    for wait in [1, 2, 3, 3] {
        assert_eq!(shard.step(now, deliver("a", 1))[0], Effect::Start(id("a")));
        assert_eq!(shard.step(now, failed()), []);
        let early = now + Duration::from_millis(wait * 1000 - 1);
        let refused = [Effect::RefuseFailed(2, why.clone())];
        assert_eq!(shard.step(early, deliver("a", 2)), refused, "{wait}");
        now += Duration::from_secs(wait);
    }
    assert_eq!(shard.entity_count(), 0);
    shard.step(now, deliver("a", 1));
    let later = now + Duration::from_secs(3);
    assert_eq!(shard.step(later, failed()), []);
    let again = shard.step(later + Duration::from_secs(1), deliver("a", 1));
    assert_eq!(again[0], Effect::Start(id("a")), "it had worked meanwhile");
}

#[test]
fn a_failed_entity_does_not_keep_a_shard_from_draining_and_is_forgotten() {
    let (mut shard, t0) = shard();
    shard.step(t0, deliver("a", 1));
    shard.step(t0, Input::Failed(id("a"), "x".into()));
    let (mut other, _) = self::shard();
    other.step(t0, deliver("a", 1));
    other.step(t0, Input::Failed(id("a"), "x".into()));
    other.step(t0 + Duration::from_secs(4), Input::Tick);
    assert_eq!(shard.step(t0, Input::Drain), [Effect::Drained]);
    assert_eq!(other.step(t0 + Duration::from_secs(4), deliver("a", 1))[0], Effect::Start(id("a")));
}

#[test]
fn a_full_node_makes_room_with_those_used_least_recently() {
    let (mut shard, t0) = shard();
    for (second, name) in [(0, "a"), (1, "b"), (2, "a")] {
        shard.step(t0 + Duration::from_secs(second), deliver(name, 1));
    }
    shard.set_pressure(Pressure { surplus: 1, is_full: false });
    let t3 = t0 + Duration::from_secs(3);
    let effects = shard.step(t3, deliver("c", 1));
    assert_eq!(effects, [Effect::Stop(id("b")), Effect::Start(id("c")), forward("c", 1)]);
    assert_eq!(shard.step(t3, deliver("a", 2)), [forward("a", 2)], "nothing new, nothing goes");
    assert_eq!(shard.step(t3, Input::Tick), [Effect::Stop(id("a"))]);
}

#[test]
fn without_room_an_entity_is_refused_and_those_at_work_go_on() {
    let (mut shard, t0) = shard();
    shard.step(t0, deliver("a", 1));
    shard.set_pressure(Pressure { surplus: 9, is_full: true });
    assert_eq!(shard.step(t0, deliver("a", 2)), [forward("a", 2)]);
    let effects = shard.step(t0, deliver("b", 3));
    assert_eq!(effects, [Effect::Stop(id("a")), Effect::RefuseFull(3)]);
    assert_eq!(shard.step(t0, Input::Stopped(id("a"))), []);
    assert_eq!(shard.entity_count(), 0);
}

#[test]
fn under_pressure_a_sixteenth_goes_at_once() {
    let (mut shard, t0) = shard();
    for second in 0..64 {
        shard.step(t0 + Duration::from_secs(second), deliver(&format!("{second:02}"), 1));
    }
    shard.set_pressure(Pressure { surplus: 1, is_full: false });
    let effects = shard.step(t0 + Duration::from_secs(64), deliver("x", 1));
    let gone: Vec<_> = ["00", "01", "02", "03"].map(|name| Effect::Stop(id(name))).into();
    assert_eq!(effects[..4], gone);
    assert_eq!(effects[4..], [Effect::Start(id("x")), forward("x", 1)]);
}

#[test]
#[should_panic(expected = "stopped after it had failed")]
fn an_entity_that_stops_after_it_has_failed_is_a_bug() {
    let (mut shard, t0) = shard();
    shard.step(t0, deliver("a", 1));
    shard.step(t0, Input::Failed(id("a"), "x".into()));
    shard.step(t0, Input::Stopped(id("a")));
}
