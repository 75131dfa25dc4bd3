//! Nodes that lie, and nodes that are no members: the memory that they take is bounded.

use proptest::prelude::*;

use super::*;

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
    let mut link = LinkCore::new(settings, Budget::new(0), 100);
    link.join(&budget);
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
fn who_acknowledges_frames_that_were_never_sent_gets_no_more_of_them() {
    let (now, _, mut link) = up(GateSettings { window_frames_max: 2, ..GateSettings::default() });
    let send = |link: &mut LinkCore| {
        while link.offer(tell(&[0; 60_000])).is_ok() {
            if link.step(now, Input::Flush).is_empty() {
                break;
            }
        }
        link.under_way.len()
    };
    let under_way = send(&mut link);
    assert_eq!(under_way, 2);
    let acknowledges = |link: &LinkCore, ack_next: u64| {
        let mut frame = Vec::new();
        let ack_stream = link.stream;
        FrameHeader { kind: FrameKind::Ack, stream: 7, number: 0, ack_stream, ack_next }
            .write(&mut frame);
        Input::Frame(frame.into())
    };
    for ack_next in [3, u64::MAX] {
        let lie = acknowledges(&link, ack_next);
        let dropped = Effect::Dropped { reason: "malformed_frame", count: 1 };
        assert_eq!(link.step(now, lie), [dropped]);
        assert_eq!(link.under_way.len(), under_way);
    }
    let honest = acknowledges(&link, 2);
    link.step(now, honest);
    assert!(link.under_way.is_empty());
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

/// A link to a node that is no member, and the budget of all such nodes.
fn stranger(bytes_max: usize) -> (Instant, Arc<Budget>, LinkCore) {
    let (now, strangers) = (SystemClock.now(), Budget::new(bytes_max));
    let settings = GateSettings { strangers_bytes_max: bytes_max, ..GateSettings::default() };
    let mut link = LinkCore::new(settings, strangers.clone(), 100);
    link.step(now, Input::Up);
    (now, strangers, link)
}

#[test]
fn a_stranger_has_its_own_budget_until_it_is_a_member() {
    let (now, strangers, mut link) = stranger(100_000);
    let part = vec![0; 60_000];
    link.step(now, Input::Frame(lie(TELL_PART, 0, 0, &part)));
    assert_eq!(strangers.used(), 60_000);
    let members = Budget::new(1_000_000);
    link.join(&members);
    assert_eq!((strangers.used(), members.used()), (0, 60_000));
    let effects = link.step(now, Input::Frame(lie(TELL_PART, 1, 0, &part)));
    assert_eq!((restarted(&effects), members.used()), (None, 120_000));
    link.step(now, Input::Down);
    assert_eq!(members.used(), 0);
}

#[test]
fn a_stranger_that_sends_more_begins_anew_and_keeps_nothing() {
    let (now, strangers, mut link) = stranger(100_000);
    let part = vec![0; 60_000];
    link.step(now, Input::Frame(lie(TELL_PART, 0, 0, &part)));
    let effects = link.step(now, Input::Frame(lie(TELL_PART, 1, 0, &part)));
    assert_eq!((restarted(&effects), strangers.used()), (Some("strangers_bytes_max"), 0));
}

/// A stranger asks without end, and reads no answer.
#[test]
fn messages_for_a_stranger_are_bounded_until_it_acknowledges_them() {
    let (now, strangers, mut link) = stranger(10_000);
    let answer = message(MessageKind::Answer, SERVICE, 1, &[0; 1000]);
    let sent = (0..).take_while(|_| link.offer(answer.clone()).is_ok()).count();
    assert_eq!(sent, 10_000 / (1000 + OVERHEAD_BYTES));
    let frame = frames(link.step(now, Input::Flush)).remove(0);
    assert_eq!(strangers.used(), frame.len(), "under way");
    let full = SendError::Full("`strangers_bytes_max` 10000".into());
    assert_eq!(link.offer(message(MessageKind::Tell, SERVICE, 0, &[0; 2000])), Err(full));

    let header =
        FrameHeader { kind: FrameKind::Ack, stream: 1, number: 0, ack_stream: 101, ack_next: 1 };
    let mut ack = Vec::new();
    header.write(&mut ack);
    link.step(now, Input::Frame(ack.into()));
    assert_eq!(strangers.used(), 0);
    link.offer(answer).unwrap();
    link.step(now, Input::Down);
    assert_eq!(strangers.used(), 0);
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
