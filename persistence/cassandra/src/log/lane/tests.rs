//! Exact effects of a lane.

use super::*;

const T0: Duration = Duration::ZERO;

fn limits() -> LaneLimits {
    LaneLimits {
        round_bytes_max: 10,
        round_appends_max: 3,
        part_bytes_max: 1000,
        part_rounds_max: 3,
        retry: Backoff::new(Duration::from_millis(50), Duration::from_millis(150)),
        give_up_after: Duration::from_secs(5),
    }
}

fn lane() -> Lane {
    Lane::new(LaneId { writer: "w".into(), lane: 0 }, limits())
}

/// The write, which comes before all other effects.
fn write(effects: &[Effect]) -> RoundWrite {
    match effects {
        [Effect::Write(write), ..] => write.clone(),
        other => panic!("expected a write first, actual {other:?}"),
    }
}

fn refused(head: Option<u64>, sealed: bool) -> Input {
    Input::Answer(RoundAnswer::Refused(PartState { head, closed: false, sealed }))
}

#[test]
fn what_comes_while_a_round_is_in_flight_is_the_next_one() {
    let mut lane = lane();
    let effects = lane.step(T0, Input::Append(1, vec![b'a']));
    let first = write(&effects);
    assert_eq!((first.at, first.head), (LanePosition { part: 0, nr: 1 }, None));
    for token in 2..=5 {
        assert_eq!(lane.step(T0, Input::Append(token, vec![b'b'])), []);
    }
    let effects = lane.step(T0, Input::Answer(RoundAnswer::Applied));
    let stored = Effect::Stored { at: first.at, record: first.record, tokens: vec![1] };
    assert_eq!(effects[1], stored, "acknowledged after the next round was sent");
    let second = write(&effects);
    assert_eq!((second.at.nr, second.head), (2, Some(1)));
    let appends = second.record.slice(..second.record.len() - 8);
    assert_eq!(appends, Bytes::from_static(b"\x01\x03bbb"), "three appends at most");
}

#[test]
fn a_round_has_a_limit_of_bytes_but_takes_one_append() {
    let mut lane = lane();
    let effects = lane.step(T0, Input::Append(1, vec![0; 50]));
    assert_eq!(write(&effects).record.len(), 60);
    lane.step(T0, Input::Append(2, vec![0; 6]));
    lane.step(T0, Input::Append(3, vec![0; 6]));
    let effects = lane.step(T0, Input::Answer(RoundAnswer::Applied));
    assert_eq!(write(&effects).record.len(), 16);
}

#[test]
fn the_last_round_of_a_part_closes_it_and_the_next_opens_another() {
    let mut lane = lane();
    let mut seen = Vec::new();
    for token in 1..=4 {
        let effects = lane.step(T0, Input::Append(token, vec![0]));
        let round = write(&effects);
        seen.push((round.at.part, round.at.nr, round.head, round.closes));
        lane.step(T0, Input::Answer(RoundAnswer::Applied));
    }
    let expected =
        [(0, 1, None, false), (0, 2, Some(1), false), (0, 3, Some(2), true), (1, 4, None, false)];
    assert_eq!(seen, expected);
    assert!(lane.is_idle());
}

#[test]
fn an_unknown_outcome_is_sent_again_for_ever_and_ends_with_its_own_head() {
    let mut lane = lane();
    let effects = lane.step(T0, Input::Append(1, vec![0]));
    let round = write(&effects);
    for wait in [50, 100, 150, 150] {
        let effects = lane.step(Duration::from_secs(100), Input::Failed { unknown: wait == 50 });
        assert_eq!(effects, [Effect::Wait(Duration::from_millis(wait))]);
        let effects = lane.step(T0, Input::Retry);
        assert_eq!(effects, [Effect::Write(round.clone())]);
    }
    let effects = lane.step(T0, refused(Some(1), true));
    let stored = Effect::Stored { at: round.at, record: round.record, tokens: vec![1] };
    assert_eq!(effects, [stored], "applied before the seal");
}

#[test]
fn what_was_certainly_not_stored_is_given_up_in_time_with_all_that_waits() {
    let mut lane = lane();
    lane.step(T0, Input::Append(1, vec![0]));
    lane.step(T0, Input::Append(2, vec![0]));
    let effects = lane.step(Duration::from_secs(1), Input::Failed { unknown: false });
    assert!(matches!(effects[..], [Effect::Wait(_)]));
    assert!(matches!(lane.step(Duration::from_secs(2), Input::Retry)[..], [Effect::Write(_)]));
    let effects = lane.step(Duration::from_secs(6), Input::Failed { unknown: false });
    assert_eq!(effects, [Effect::GaveUp(vec![1, 2])]);
    let effects = lane.step(T0, Input::Append(3, vec![0]));
    assert_eq!(write(&effects).at.nr, 1, "the number is still free");
}

#[test]
fn a_seal_ends_the_lane_and_all_that_waits() {
    let mut lane = lane();
    lane.step(T0, Input::Append(1, vec![0]));
    lane.step(T0, Input::Append(2, vec![0]));
    let effects = lane.step(T0, refused(None, true));
    assert_eq!(effects, [Effect::Ended { why: Ended::Sealed, tokens: vec![1, 2] }]);
    let effects = lane.step(T0, Input::Append(3, vec![0]));
    assert_eq!(effects, [Effect::Ended { why: Ended::Sealed, tokens: vec![3] }]);
}

#[test]
fn a_head_below_an_acknowledged_one_is_lost_data_and_never_adopted() {
    let mut lane = lane();
    lane.step(T0, Input::Append(1, vec![0]));
    lane.step(T0, Input::Answer(RoundAnswer::Applied));
    lane.step(T0, Input::Append(2, vec![0]));
    let why = Ended::Lost { expected: Some(1), actual: None };
    let effects = lane.step(T0, refused(None, false));
    assert_eq!(effects, [Effect::Ended { why, tokens: vec![2] }]);
}

#[test]
fn a_head_that_this_lane_did_not_write_is_another_process() {
    let mut lane = lane();
    lane.step(T0, Input::Append(1, vec![0]));
    let effects = lane.step(T0, refused(Some(1), false));
    let why = Ended::Intruder(Some(1));
    assert_eq!(effects, [Effect::Ended { why, tokens: vec![1] }]);
}

#[test]
fn an_input_that_cannot_come_ends_the_lane() {
    let sent = || vec![Input::Append(1, vec![0])];
    let waits = || vec![Input::Append(1, vec![0]), Input::Failed { unknown: true }];
    let answer = || Input::Answer(RoundAnswer::Applied);
    let failed = || Input::Failed { unknown: false };
    let cases = [
        (Vec::new(), answer()),
        (Vec::new(), failed()),
        (Vec::new(), Input::Retry),
        (sent(), Input::Retry),
        (waits(), answer()),
        (waits(), failed()),
        (sent(), Input::Broken("the task is wrong")),
    ];
    for (before, input) in cases {
        let mut lane = lane();
        for input in before {
            lane.step(T0, input);
        }
        let what = format!("{input:?}");
        let effects = lane.step(T0, input);
        let [Effect::Ended { why: Ended::Broken(why), .. }] = effects[..] else {
            panic!("{what}: {effects:?}")
        };
        let error = Ended::Broken(why).error(&LaneId { writer: "w".into(), lane: 0 });
        assert_eq!(error.kind(), antiphon_base::ErrorKind::Bug, "{what}");
        assert_eq!(lane.step(T0, answer()), [], "{what}: what comes late is left alone");
        let effects = lane.step(T0, Input::Append(2, vec![0]));
        assert_eq!(effects, [Effect::Ended { why: Ended::Broken(why), tokens: vec![2] }], "{what}");
    }
}

#[test]
#[should_panic(expected = "append 1 comes after 2")]
fn appends_are_answered_in_the_order_in_which_they_came_or_not_at_all() {
    let mut lane = lane();
    lane.step(T0, Input::Append(2, vec![0]));
    lane.step(T0, Input::Append(1, vec![0]));
}
