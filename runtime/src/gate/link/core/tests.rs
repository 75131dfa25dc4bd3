//! Exact effects of the rules of a link.

use std::time::Duration;

use antiphon_base::time::{Clock, SystemClock};

use super::*;
use crate::gate::ServiceId;
use crate::gate::link::MessageKind;

mod lies;

const SERVICE: ServiceId = ServiceId(20);
const URGENT: ServiceId = ServiceId(1);

fn message(kind: MessageKind, service: ServiceId, correlation: u64, payload: &[u8]) -> Message {
    Message { kind, service, correlation, payload: Bytes::copy_from_slice(payload) }
}

fn tell(payload: &[u8]) -> Message {
    message(MessageKind::Tell, SERVICE, 0, payload)
}

fn ask(correlation: u64) -> Message {
    message(MessageKind::Ask, SERVICE, correlation, b"?")
}

fn link(settings: GateSettings) -> LinkCore {
    let budget = Budget::new(settings.received_bytes_max);
    let mut link = LinkCore::new(settings, Budget::new(0), 100);
    link.join(&budget);
    link
}

/// Two links, each the peer of the other, both up.
fn pair() -> (Instant, LinkCore, LinkCore) {
    let now = SystemClock.now();
    let mut links = [(); 2].map(|()| link(GateSettings::default()));
    for link in &mut links {
        assert_eq!(link.step(now, Input::Up), []);
    }
    let [a, b] = links;
    (now, a, b)
}

fn frames(effects: Vec<Effect>) -> Vec<Bytes> {
    effects
        .into_iter()
        .filter_map(|effect| if let Effect::Send(frame) = effect { Some(frame) } else { None })
        .collect()
}

/// A frame for each message.
fn sent(now: Instant, link: &mut LinkCore, messages: &[Message]) -> Vec<Bytes> {
    let mut all = Vec::new();
    for message in messages {
        link.offer(message.clone()).unwrap();
        all.extend(frames(link.step(now, Input::Flush)));
    }
    all
}

#[test]
fn messages_that_wait_leave_in_one_frame_and_the_shell_is_woken_once() {
    let (now, mut a, mut b) = pair();

    assert_eq!(a.offer(tell(b"1")), Ok(true));
    assert_eq!(a.offer(ask(7)), Ok(false));
    let frames = frames(a.step(now, Input::Flush));
    assert_eq!(frames.len(), 1);
    assert_eq!(a.step(now, Input::Flush), []);

    let effects = b.step(now, Input::Frame(frames[0].clone()));
    assert_eq!(effects, [Effect::Deliver(tell(b"1")), Effect::Deliver(ask(7))]);
}

#[test]
fn urgent_messages_overtake_the_others() {
    let (now, mut a, mut b) = pair();
    let urgent = message(MessageKind::Ask, URGENT, 1, b"probe");
    a.offer(tell(b"1")).unwrap();
    a.offer(urgent.clone()).unwrap();

    let frames = frames(a.step(now, Input::Flush));
    let effects = b.step(now, Input::Frame(frames[0].clone()));
    assert_eq!(effects, [Effect::Deliver(urgent), Effect::Deliver(tell(b"1"))]);
}

#[test]
fn a_long_message_travels_in_parts_and_a_too_long_one_is_refused() {
    let (now, mut a, mut b) = pair();
    let long = tell(&(0..1_000_000u32).map(|n| n as u8).collect::<Vec<_>>());
    a.offer(long.clone()).unwrap();
    a.offer(tell(b"after")).unwrap();

    let frames = frames(a.step(now, Input::Flush));
    assert!(frames.len() >= 4 && frames.iter().all(|f| f.len() <= 64 * 1024), "{}", frames.len());
    let mut delivered = Vec::new();
    for frame in frames {
        for effect in b.step(now, Input::Frame(frame)) {
            if let Effect::DeliverLater(message) = effect {
                delivered.push(message);
            }
        }
    }
    assert_eq!(delivered, [long, tell(b"after")]);

    let limit = GateSettings::default().message_bytes_max;
    let refused = a.offer(tell(&vec![0; limit + 1]));
    let setting = "message_bytes_max".to_owned();
    assert_eq!(refused, Err(SendError::TooLarge { actual: limit + 1, limit, setting }));
}

#[test]
fn a_full_queue_refuses_and_a_link_that_is_down_is_unreachable() {
    let now = SystemClock.now();
    let settings = GateSettings { queue_messages_max: 2, ..GateSettings::default() };
    let mut link = link(settings);
    assert!(matches!(link.offer(tell(b"")), Err(SendError::Unreachable(_))));
    link.step(now, Input::Up);
    link.offer(tell(b"1")).unwrap();
    link.offer(ask(1)).unwrap();

    assert_eq!(link.offer(tell(b"3")), Err(SendError::Full("`queue_messages_max` 2".into())));
    assert_eq!(
        link.step(now, Input::Down),
        [
            Effect::AsksUnsent(vec![1]),
            Effect::Dropped { reason: "link_down", count: 2 },
            Effect::AsksLost { unsent: vec![] }
        ]
    );
}

#[test]
fn asks_that_still_wait_when_the_link_goes_down_fail_as_without_effect() {
    let (now, mut a, _) = pair();
    sent(now, &mut a, &[ask(1)]);
    a.offer(ask(2)).unwrap();
    let effects = a.step(now, Input::Down);
    assert_eq!(effects[0], Effect::AsksUnsent(vec![2]));
    assert_eq!(effects.last(), Some(&Effect::AsksLost { unsent: vec![] }));
}

#[test]
fn a_full_window_holds_messages_back_until_an_acknowledgement_comes() {
    let (now, mut a, mut b) = pair();
    let window = GateSettings::default().window_bytes_max;
    let half = vec![0; 60_000];
    for _ in 0..2 * window / half.len() {
        a.offer(tell(&half)).unwrap();
    }
    let first = frames(a.step(now, Input::Flush));
    let under_way: usize = first.iter().map(Bytes::len).sum();
    assert!(under_way >= window && under_way < window + 70_000, "{under_way}");
    assert_eq!(frames(a.step(now, Input::Flush)), Vec::<Bytes>::new());

    let mut woken = 0;
    for frame in first {
        for ack in frames(b.step(now, Input::Frame(frame))) {
            let effects = a.step(now, Input::Frame(ack));
            woken += effects.iter().filter(|effect| **effect == Effect::Wake).count();
        }
    }
    assert_eq!(woken, 1);
    assert!(!frames(a.step(now, Input::Flush)).is_empty());
}

#[test]
fn urgent_messages_leave_even_when_the_window_is_full() {
    let (now, mut a, mut b) = pair();
    for _ in 0..100 {
        a.offer(tell(&vec![0; 60_000])).unwrap();
    }
    let first = frames(a.step(now, Input::Flush)).len();
    assert!(first < 50);
    let probe = message(MessageKind::Tell, URGENT, 0, b"probe");
    a.offer(probe.clone()).unwrap();

    let frames = frames(a.step(now, Input::Flush));
    assert_eq!(frames.len(), 1);
    assert!(frames[0].len() < 100);
    // and it waits for its turn at the other side like every frame
    assert_eq!(b.step(now, Input::Frame(frames[0].clone())), []);
}

#[test]
fn frames_in_another_order_or_twice_are_delivered_in_order_and_once() {
    let (now, mut a, mut b) = pair();
    let frames = sent(now, &mut a, &[tell(b"0"), tell(b"1"), tell(b"2")]);

    assert_eq!(b.step(now, Input::Frame(frames[2].clone())), []);
    assert_eq!(b.step(now, Input::Frame(frames[0].clone())), [Effect::Deliver(tell(b"0"))]);
    let duplicate = Effect::Dropped { reason: "duplicate_frame", count: 1 };
    assert_eq!(b.step(now, Input::Frame(frames[0].clone())), std::slice::from_ref(&duplicate));
    assert_eq!(b.step(now, Input::Frame(frames[2].clone())), [duplicate]);
    assert_eq!(
        b.step(now, Input::Frame(frames[1].clone())),
        [Effect::Deliver(tell(b"1")), Effect::Deliver(tell(b"2"))]
    );
}

#[test]
fn a_gap_makes_both_sides_begin_anew_and_fails_what_was_under_way() {
    let (now, mut a, mut b) = pair();
    let lost = sent(now, &mut a, &[ask(1), tell(b"2")]);
    assert_eq!(b.step(now, Input::Frame(lost[1].clone())), []);
    a.offer(ask(3)).unwrap();

    let gap = now + GateSettings::default().gap_timeout;
    let effects = b.step(gap, Input::Tick);
    assert_eq!(
        effects[1..],
        [Effect::Restarted { reason: "gap" }, Effect::AsksLost { unsent: vec![] }]
    );
    let reset = frames(effects).remove(0);
    assert_eq!(
        a.step(gap, Input::Frame(reset.clone())),
        [
            Effect::Restarted { reason: "refused_by_peer" },
            Effect::AsksLost { unsent: vec![3] },
            Effect::Wake
        ]
    );
    assert_eq!(
        a.step(gap, Input::Frame(reset)),
        [Effect::Dropped { reason: "stale_frame", count: 1 }]
    );

    // late frames of the stream that was given up are refused again, with the answers that they
    // may have had, and the new one goes on
    let effects = b.step(gap, Input::Frame(lost[0].clone()));
    assert_eq!(effects[0], Effect::Dropped { reason: "refused_stream", count: 1 });
    assert_eq!(effects[2..], [Effect::AsksLost { unsent: vec![] }]);
    let frames = frames(a.step(gap, Input::Flush));
    let effects = b.step(gap, Input::Frame(frames[0].clone()));
    assert_eq!(effects, [Effect::AsksLost { unsent: vec![] }, Effect::Deliver(ask(3))]);
    assert_eq!(
        b.step(gap, Input::Frame(lost[0].clone())),
        [Effect::Dropped { reason: "stale_frame", count: 1 }]
    );
}

#[test]
fn a_window_that_stays_full_makes_the_link_begin_anew() {
    let (now, mut a, _) = pair();
    for _ in 0..100 {
        a.offer(tell(&vec![0; 60_000])).unwrap();
    }
    a.step(now, Input::Flush);
    let stall = GateSettings::default().stall_timeout;

    assert_eq!(a.step(now + stall - Duration::from_millis(1), Input::Tick), []);
    assert_eq!(
        a.step(now + stall, Input::Tick),
        [
            Effect::Restarted { reason: "stalled" },
            Effect::AsksLost { unsent: vec![] },
            Effect::Wake
        ]
    );
    assert!(!frames(a.step(now + stall, Input::Flush)).is_empty());
}

#[test]
fn a_peer_that_comes_back_is_no_loss() {
    let (now, mut a, mut b) = pair();
    let old = sent(now, &mut a, &[tell(b"old")]);
    b.step(now, Input::Frame(old[0].clone()));
    for link in [&mut a, &mut b] {
        assert_eq!(link.step(now, Input::Down), [Effect::AsksLost { unsent: vec![] }]);
        assert_eq!(link.step(now, Input::Up), []);
    }

    let new = sent(now, &mut a, &[tell(b"new")]);
    assert_eq!(b.step(now, Input::Frame(new[0].clone())), [Effect::Deliver(tell(b"new"))]);
    assert_eq!(
        b.step(now, Input::Frame(old[0].clone())),
        [Effect::Dropped { reason: "stale_frame", count: 1 }]
    );
}

#[test]
fn malformed_frames_are_dropped_or_end_the_stream() {
    let (now, mut a, mut b) = pair();
    assert_eq!(
        b.step(now, Input::Frame(Bytes::from_static(b"garbage"))),
        [Effect::Dropped { reason: "malformed_frame", count: 1 }]
    );

    let frame = sent(now, &mut a, &[tell(b"1")]).remove(0);
    let cut = frame.slice(..frame.len() - 1);
    let effects = b.step(now, Input::Frame(cut));
    assert!(effects.contains(&Effect::Restarted { reason: "malformed_frame" }), "{effects:?}");
}
