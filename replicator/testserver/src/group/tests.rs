//! Tests of the rules of a group, as exact lists of effects.

use super::*;

fn group(max_retry_count: u32) -> (Group, Instant) {
    let rules = Rules {
        max_retry_count,
        message_timeout: Duration::from_secs(30),
        max_subscriber_count: 2,
        buffer_max: 10,
        strategy: Strategy::RoundRobin,
    };
    let now = antiphon_base::time::Clock::now(&antiphon_base::time::SystemClock);
    (Group::new(rules, 0), now)
}

fn message(at: u64, retry_count: u32) -> Message {
    let place = usize::try_from(at).unwrap();
    Message { id: id(at), place, at, pin: at, retry_count, replayed: false }
}

fn id(at: u64) -> Uuid {
    Uuid::from_u64_pair(0, at)
}

fn send(consumer: u64, at: u64, retry_count: u32) -> Effect {
    Effect::Send { consumer, message: message(at, retry_count) }
}

fn read(places: std::ops::Range<u64>) -> Input {
    Input::Read(places.map(|at| message(at, 0)).collect())
}

#[test]
fn a_retried_message_comes_after_those_that_are_out_and_before_new_ones() {
    let (mut group, now) = group(10);
    group.step(now, Input::Connect { consumer: 1, buffer: 3 });
    let sent = group.step(now, read(0..5));
    assert_eq!(sent, [send(1, 0, 0), send(1, 1, 0), send(1, 2, 0)]);

    assert_eq!(group.step(now, Input::Retry(vec![id(0)])), [send(1, 0, 1)]);
    assert_eq!(group.step(now, Input::Ack(vec![id(1)])), [send(1, 3, 0)]);
    assert_eq!(group.checkpoint(), 0);
    group.step(now, Input::Ack(vec![id(0)]));
    assert_eq!(group.checkpoint(), 2);
}

#[test]
fn a_message_that_was_retried_too_often_is_parked() {
    let (mut group, now) = group(1);
    group.step(now, Input::Connect { consumer: 1, buffer: 1 });
    group.step(now, read(0..1));
    assert_eq!(group.step(now, Input::Retry(vec![id(0)])), [send(1, 0, 1)]);

    let reason = "Reached retry count of 1".to_owned();
    let parked = Effect::Park { message: message(0, 1), reason };
    assert_eq!(group.step(now, Input::Retry(vec![id(0)])), [parked]);
    assert_eq!(group.checkpoint(), 1);
}

#[test]
fn a_message_without_an_answer_times_out_and_a_late_answer_still_counts() {
    let (mut group, now) = group(10);
    group.step(now, Input::Connect { consumer: 1, buffer: 1 });
    group.step(now, read(0..1));
    let late = now + Duration::from_secs(30);
    assert_eq!(group.deadline(), Some(late));
    assert_eq!(group.step(late, Input::Tick), [send(1, 0, 1)]);
    assert_eq!(group.step(late, Input::Ack(vec![id(0)])), []);
    let nothing = Counts { total: 2, ..Counts::default() };
    assert_eq!(group.counts(), nothing);
}

#[test]
fn the_messages_of_a_consumer_that_leaves_go_to_the_others() {
    let (mut group, now) = group(10);
    group.step(now, Input::Connect { consumer: 1, buffer: 2 });
    group.step(now, Input::Connect { consumer: 2, buffer: 2 });
    assert_eq!(group.step(now, read(0..2)), [send(1, 0, 0), send(2, 1, 0)]);
    assert_eq!(group.step(now, Input::Disconnect { consumer: 1 }), [send(2, 0, 1)]);
}

#[test]
fn a_group_takes_no_more_consumers_than_it_may_have() {
    let (mut group, now) = group(10);
    for consumer in 1..=2 {
        assert_eq!(group.step(now, Input::Connect { consumer, buffer: 1 }), []);
    }
    let third = group.step(now, Input::Connect { consumer: 3, buffer: 1 });
    assert_eq!(third, [Effect::Refuse { consumer: 3 }]);
}

#[test]
fn a_parked_message_comes_back_without_its_retries_and_does_not_hold_the_checkpoint() {
    let (mut group, now) = group(10);
    group.step(now, Input::Connect { consumer: 1, buffer: 1 });
    group.step(now, read(0..1));
    let parked = group.step(now, Input::Park { ids: vec![id(0)], reason: "bad".to_owned() });
    assert_eq!(parked, [Effect::Park { message: message(0, 0), reason: "bad".to_owned() }]);

    let replayed = Message { replayed: true, ..message(0, 0) };
    let sent = group.step(now, Input::Replay(vec![replayed.clone()]));
    assert_eq!(sent, [Effect::Send { consumer: 1, message: replayed }]);
    assert_eq!(group.checkpoint(), 1);
}

#[test]
fn a_strategy_decides_which_consumer_gets_a_message() {
    let spread = |strategy| {
        let (mut group, now) = group(10);
        group.rules.strategy = strategy;
        group.step(now, Input::Connect { consumer: 1, buffer: 2 });
        group.step(now, Input::Connect { consumer: 2, buffer: 2 });
        let pinned =
            [0, 0, 1, 0].iter().zip(0..).map(|(pin, at)| Message { pin: *pin, ..message(at, 0) });
        let sent = group.step(now, Input::Read(pinned.collect()));
        let consumer = |effect: &Effect| match effect {
            Effect::Send { consumer, .. } => *consumer,
            Effect::Park { .. } | Effect::Refuse { .. } => panic!("{effect:?}"),
        };
        sent.iter().map(consumer).collect::<Vec<_>>()
    };
    assert_eq!(spread(Strategy::DispatchToSingle), [1, 1, 2, 2]);
    assert_eq!(spread(Strategy::RoundRobin), [1, 2, 1, 2]);
    // the fourth message waits for its own consumer, although the other one has room
    assert_eq!(spread(Strategy::Pinned), [1, 1, 2]);
}

#[test]
fn an_answer_is_for_all_deliveries_of_an_id_that_are_out() {
    let (mut group, now) = group(10);
    group.step(now, Input::Connect { consumer: 1, buffer: 2 });
    group.step(now, Input::Connect { consumer: 2, buffer: 2 });
    let same = |at| Message { id: id(7), ..message(at, 0) };
    let messages = vec![same(0), same(1), same(2), message(3, 0), same(4)];
    let sent = group.step(now, Input::Read(messages));
    assert_eq!(sent.len(), 4, "the last one waits for room");
    assert_eq!((group.load(1).out, group.load(2).out), (2, 2));

    // both consumers have room again; what comes now has an answer of its own
    let sent = group.step(now, Input::Ack(vec![id(7)]));
    assert_eq!(sent, [Effect::Send { consumer: 1, message: same(4) }]);
    assert_eq!(group.load(2), Load { out: 1, room: 1, total: 2 });
    group.step(now, Input::Ack(vec![id(3)]));
    assert_eq!(group.checkpoint(), 4);
    group.step(now, Input::Ack(vec![id(7)]));
    assert_eq!((group.checkpoint(), group.counts().total), (5, 5));
}
