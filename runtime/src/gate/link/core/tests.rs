//! Exact effects of the rules of a link.

use std::time::Duration;

use antiphon_base::time::{Clock, SystemClock};
use proptest::prelude::*;

use super::*;
use crate::gate::ServiceId;
use crate::gate::link::MessageKind;

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
    LinkCore::new(settings, budget, 100)
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

/// A frame with one record, as a peer that lies would write it.
fn lie(kind: u8, number: u64, correlation: u64, payload: &[u8]) -> Bytes {
    let mut frame = Vec::new();
    let header =
        FrameHeader { kind: FrameKind::Data, stream: 7, number, ack_stream: 0, ack_next: 0 };
    header.write(&mut frame);
    frame.push(kind);
    frame.extend_from_slice(&20u16.to_le_bytes());
    frame.extend_from_slice(&correlation.to_le_bytes());
    frame.extend_from_slice(&u32::try_from(payload.len()).unwrap().to_le_bytes());
    frame.extend_from_slice(payload);
    frame.into()
}

const TELL: u8 = 1;
const TELL_PART: u8 = 0x41;
const TELL_LAST: u8 = 0x81;

fn restarted(effects: &[Effect]) -> Option<&'static str> {
    effects.iter().find_map(|effect| {
        if let Effect::Restarted { reason } = effect { Some(*reason) } else { None }
    })
}

fn up(settings: GateSettings) -> (Instant, Arc<Budget>, LinkCore) {
    let now = SystemClock.now();
    let budget = Budget::new(settings.received_bytes_max);
    let mut link = LinkCore::new(settings, budget.clone(), 100);
    link.step(now, Input::Up);
    (now, budget, link)
}

#[test]
fn what_has_not_arrived_whole_is_bounded_and_given_back_when_the_link_goes_down() {
    let (now, budget, mut link) = up(GateSettings::default());
    let part = vec![0; 60_000];
    for number in 0..10 {
        let effects = link.step(now, Input::Frame(lie(TELL_PART, number, 0, &part)));
        assert_eq!(restarted(&effects), None);
    }
    assert_eq!(budget.used(), 600_000);
    link.step(now, Input::Frame(lie(TELL, 20, 0, &part)));
    assert!(budget.used() > 660_000, "an early frame");
    link.step(now, Input::Down);
    assert_eq!(budget.used(), 0);
}

#[test]
fn over_the_budget_of_all_peers_the_link_begins_anew_and_keeps_nothing() {
    let (now, budget, mut link) = up(GateSettings {
        received_bytes_max: 100_000,
        received_peer_bytes_max: 100_000,
        ..GateSettings::default()
    });
    let part = vec![0; 60_000];
    assert_eq!(link.step(now, Input::Frame(lie(TELL_PART, 0, 0, &part))), []);
    let effects = link.step(now, Input::Frame(lie(TELL_PART, 1, 0, &part)));
    assert_eq!(restarted(&effects), Some("received_bytes_max"));
    assert_eq!(budget.used(), 0);
}

#[test]
fn a_message_whose_rest_does_not_come_in_time_makes_the_link_begin_anew() {
    let settings = GateSettings::default();
    let limit = settings.unfinished_timeout;
    let (now, budget, mut link) = up(settings);
    link.step(now, Input::Frame(lie(TELL_PART, 0, 0, b"x")));
    let late = now + limit;
    // more parts do not help: a peer that sends a byte now and then is as bad as a silent one
    link.step(late - Duration::from_millis(1), Input::Frame(lie(TELL_PART, 1, 0, b"x")));
    assert_eq!(restarted(&link.step(late - Duration::from_millis(1), Input::Tick)), None);
    assert_eq!(restarted(&link.step(late, Input::Tick)), Some("unfinished_timeout"));
    assert_eq!(budget.used(), 0);
}

#[test]
fn parts_of_another_message_in_between_are_malformed() {
    let (now, _, mut link) = up(GateSettings::default());
    link.step(now, Input::Frame(lie(TELL_PART, 0, 1, b"x")));
    let effects = link.step(now, Input::Frame(lie(TELL_LAST, 1, 2, b"y")));
    assert_eq!(restarted(&effects), Some("malformed_frame"));
}

#[test]
fn a_long_message_and_those_behind_it_are_handed_over_later_and_acknowledged_then() {
    let (now, budget, mut link) = up(GateSettings::default());
    let long = vec![0; 100_000];
    let effects = link.step(now, Input::Frame(lie(TELL, 0, 0, &long)));
    assert_eq!(effects, [Effect::DeliverLater(tell(&long))]);
    let effects = link.step(now, Input::Frame(lie(TELL, 1, 0, b"behind")));
    assert_eq!(effects, [Effect::DeliverLater(tell(b"behind"))]);
    let answer = link.step(now, Input::Frame(lie(3, 2, 9, b"!")));
    let expected = message(MessageKind::Answer, SERVICE, 9, b"!");
    assert_eq!(answer, [Effect::Deliver(expected)], "an answer does not wait");
    assert_eq!(budget.used(), 100_000 + 6 + 2 * OVERHEAD_BYTES);

    let acknowledged = |effects: Vec<Effect>| {
        let mut frame = frames(effects).remove(0);
        FrameHeader::read(&mut frame).unwrap().ack_next
    };
    assert_eq!(acknowledged(link.step(now, Input::Delivered)), 1);
    assert_eq!(acknowledged(link.step(now, Input::Delivered)), 3);
    assert_eq!(budget.used(), 0);
    let direct = link.step(now, Input::Frame(lie(TELL, 3, 0, b"now")));
    assert_eq!(direct, [Effect::Deliver(tell(b"now"))]);
}

#[test]
fn a_peer_that_ignores_the_window_is_cut_off_before_its_messages_fill_the_memory() {
    let (now, budget, mut link) = up(GateSettings::default());
    let long = vec![0; 200_000];
    let limit = GateSettings::default().received_peer_bytes_max;
    let refused = (0..).find(|number| {
        let effects = link.step(now, Input::Frame(lie(TELL, *number, 0, &long)));
        restarted(&effects) == Some("received_bytes_max")
    });
    let count = usize::try_from(refused.unwrap()).unwrap();
    assert!(count <= limit / long.len(), "{count}");
    assert!(budget.used() <= limit);
    for _ in 0..count {
        link.step(now, Input::Delivered);
    }
    assert_eq!(budget.used(), 0);
}

proptest! {
    #[test]
    fn any_frames_are_taken_or_refused_within_the_budget(
        noise in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 0..20),
        lies in prop::collection::vec(
            (any::<u8>(), 0..6u64, 0..3u64, 0..70_000usize, any::<(u16, u8)>(), 0..40usize), 0..20),
    ) {
        let settings = GateSettings {
            received_bytes_max: 200_000,
            received_peer_bytes_max: 200_000,
            reorder_frames_max: 3,
            ..GateSettings::default()
        };
        let (mut now, budget, mut link) = up(settings);
        for bytes in noise {
            link.step(now, Input::Frame(bytes.into()));
        }
        for (kind, number, correlation, size, (at, byte), cut) in lies {
            let mut frame = lie(kind, number, correlation, &vec![0; size]).to_vec();
            let at = usize::from(at) % 60 % frame.len();
            frame[at] ^= byte & 1;
            frame.truncate(frame.len() - cut);
            link.step(now, Input::Frame(frame.into()));
            now += Duration::from_millis(40);
            link.step(now, Input::Tick);
            prop_assert!(budget.used() <= 200_000);
            if byte & 2 > 0 {
                link.step(now, Input::Delivered);
            }
        }
        link.step(now, Input::Down);
        while !link.deferred.is_empty() {
            link.step(now, Input::Delivered);
        }
        prop_assert_eq!(budget.used(), 0);
    }
}
