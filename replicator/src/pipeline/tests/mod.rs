//! Exact effects of single steps.

mod fixtures;
mod lost;

use std::time::Duration;

use fixtures::*;

use super::*;
use crate::sink::{Conflict, Outcome};
use crate::source::{Delivery, Position, Verdict};

#[test]
fn neighbours_of_one_stream_share_a_write_and_the_order_of_arrival_holds() {
    let mut pipeline = Started::changed(|_| {});

    let effects = pipeline.arrive([("a", 0), ("a", 1), ("b", 0), ("a", 2)]);
    assert_eq!(effects, [write(0, [("a", 0, 0), ("a", 1, 1)])]);

    let effects = pipeline.step(written(0, [Outcome::Written(Some(0)), Outcome::Written(Some(1))]));
    assert_eq!(
        effects,
        [
            completed(("a", 0, 0)),
            completed(("a", 1, 1)),
            write(1, [("b", 0, 2)]),
            Effect::Release(2)
        ]
    );
    let effects = pipeline.step(written(1, [Outcome::Duplicate]));
    assert_eq!(effects, [duplicate(("b", 0, 2)), write(2, [("a", 2, 3)]), Effect::Release(1)]);
}

#[test]
fn per_stream_order_writes_what_waits_of_a_stream_at_once_and_several_streams_beside_each_other() {
    let mut pipeline = Started::changed(|settings| settings.lane_order = LaneOrder::PerStream);

    let effects = pipeline.arrive([("a", 0), ("b", 0), ("a", 1)]);
    assert_eq!(effects, [write(0, [("a", 0, 0), ("a", 1, 2)]), write(1, [("b", 0, 1)])]);
}

#[test]
fn a_mixing_sink_gets_one_write_in_the_order_of_arrival() {
    let mut pipeline = Started::changed(|settings| settings.mixes_streams = true);

    let effects = pipeline.arrive([("a", 0), ("b", 0), ("a", 1), ("b", 1)]);
    assert_eq!(effects, [write(0, [("a", 0, 0), ("b", 0, 1), ("a", 1, 2), ("b", 1, 3)])]);
}

#[test]
fn a_failing_event_blocks_its_own_stream_only_and_is_tried_again_in_place() {
    let mut pipeline = Started::changed(|_| {});
    pipeline.arrive([("a", 0), ("a", 1), ("b", 0)]);

    let refused = [Outcome::Retryable("busy".into()), Outcome::Untried];
    let effects = pipeline.step(written(0, refused));
    assert_eq!(effects, [retrying(("a", 0, 0), 1, 50, "busy"), write(1, [("b", 0, 2)])]);
    let effects = pipeline.step(written(1, [Outcome::Written(None)]));
    assert_eq!(effects, [completed(("b", 0, 2)), Effect::Release(1)]);
    assert_eq!(pipeline.core.position(), None, "the watermark stays before the failing event");

    pipeline.advance(Duration::from_millis(50));
    let effects = pipeline.step(Input::Tick);
    assert_eq!(effects, [write(2, [("a", 0, 0), ("a", 1, 1)])]);
}

#[test]
fn neighbours_wait_for_a_blocked_stream_when_so_set() {
    let mut pipeline = Started::changed(|settings| settings.neighbours = Neighbours::Wait);
    pipeline.arrive([("a", 0), ("b", 0)]);

    let effects = pipeline.step(written(0, [Outcome::Retryable("busy".into())]));
    assert_eq!(effects, [retrying(("a", 0, 0), 1, 50, "busy")]);
    pipeline.advance(Duration::from_millis(50));
    assert_eq!(pipeline.step(Input::Tick), [write(1, [("a", 0, 0)])]);
}

#[test]
fn an_event_is_parked_after_its_tries_and_its_followers_behind_it() {
    let mut pipeline = Started::changed(|settings| settings.retry_count_max = 0);
    pipeline.arrive([("a", 0), ("a", 1), ("b", 0)]);

    let effects = pipeline.step(written(0, [Outcome::Retryable("bad".into()), Outcome::Untried]));
    assert_eq!(
        effects,
        [
            park(("a", 0, 0), "bad; tried 1 times"),
            park(("a", 1, 1), "event #0 of the stream is parked"),
            write(1, [("b", 0, 2)]),
        ]
    );
    let effects = pipeline.step(Input::Parked(Seq(0), Ok(())));
    assert_eq!(effects, [parked(("a", 0, 0), "bad; tried 1 times"), Effect::Release(1)]);
}

#[test]
fn an_event_that_cannot_be_parked_is_not_given_up() {
    let mut pipeline = Started::changed(|_| {});
    pipeline.arrive([("a", 0)]);
    pipeline.step(written(0, [Outcome::Rejected("too large".into())]));

    let effects = pipeline.step(Input::Parked(Seq(0), Err("disk full".into())));
    assert_eq!(effects, [Effect::Note(Note::ParkingFailed("disk full".into()))]);
    assert_eq!(pipeline.core.position(), None);
    pipeline.advance(Duration::from_millis(50));
    assert_eq!(pipeline.step(Input::Tick), [park(("a", 0, 0), "too large")]);
}

#[test]
fn a_missing_predecessor_is_waited_for_and_then_named() {
    let mut pipeline = Started::changed(|_| {});
    pipeline.arrive([("a", 7)]);

    let missing = Outcome::Conflict(Conflict::Missing { current: Some(4) });
    let effects = pipeline.step(written(0, [missing.clone()]));
    let reason = "the events before it are missing: the destination ends at #4";
    assert_eq!(effects, [retrying(("a", 7, 0), 1, 50, reason)]);

    pipeline.advance(Duration::from_secs(30));
    pipeline.step(Input::Tick);
    let effects = pipeline.step(written(1, [missing]));
    assert_eq!(effects, [park(("a", 7, 0), &format!("{reason} after 30 s"))]);
}

#[test]
fn a_different_event_at_the_number_follows_the_policy() {
    let differs = Outcome::Conflict(Conflict::Different { found: None });
    let reason =
        "conflict at #0 of `a`: the destination is past this number and the event there is gone";
    for (policy, last) in [
        (ConflictPolicy::Park, park(("a", 0, 0), reason)),
        (
            ConflictPolicy::Skip,
            Effect::Note(Note::Skipped {
                envelope: Box::new(envelope(("a", 0, 0))),
                reason: reason.into(),
            }),
        ),
        (ConflictPolicy::Stop, Effect::Fail(reason.into())),
    ] {
        let mut pipeline = Started::changed(|settings| settings.conflict_policy = policy);
        pipeline.arrive([("a", 0)]);
        let mut effects = pipeline.step(written(0, [differs.clone()]));
        effects.retain(|effect| !matches!(effect, Effect::Release(_)));
        let note = Effect::Note(Note::Conflict {
            envelope: Box::new(envelope(("a", 0, 0))),
            reason: reason.into(),
        });
        assert_eq!(effects, [note, last]);
    }
}

#[test]
fn while_the_sink_is_away_one_write_at_a_time_asks_and_nothing_is_parked() {
    let mut pipeline = Started::changed(|settings| {
        settings.lane_order = LaneOrder::PerStream;
        settings.retry_count_max = 0;
    });
    pipeline.arrive([("a", 0), ("b", 0)]);

    let away = || [Outcome::Unavailable("refused".into())];
    assert_eq!(pipeline.step(written(0, away())), [Effect::Note(Note::SinkDown("refused".into()))]);
    assert_eq!(pipeline.step(written(1, away())), []);
    pipeline.advance(Duration::from_secs(3600));
    assert_eq!(pipeline.step(Input::Tick), [write(2, [("a", 0, 0)])]);
    assert_eq!(
        pipeline.step(written(2, [Outcome::Written(None)])),
        [
            Effect::Note(Note::SinkUp),
            Effect::Note(Note::Completed {
                envelope: Box::new(envelope(("a", 0, 0))),
                elapsed: Duration::from_secs(3600),
                duplicate: false
            }),
            write(3, [("b", 0, 1)]),
            Effect::Release(1),
        ]
    );
}

#[test]
fn an_event_of_a_stream_that_only_the_destination_has_ended_is_parked_at_once() {
    let mut pipeline = Started::changed(|_| {});
    pipeline.arrive([("a", 0)]);

    let ended = Outcome::Conflict(Conflict::Ended);
    let effects = pipeline.step(written(0, [ended.clone()]));
    let Outcome::Conflict(conflict) = ended else { panic!("{ended:?}") };
    assert_eq!(effects, [park(("a", 0, 0), &conflict.to_string())]);
    assert_eq!(pipeline.core.position(), None, "nothing is parked yet");
}

#[test]
fn the_checkpoint_is_saved_at_its_interval_and_at_the_end() {
    let mut pipeline = Started::changed(|_| {});
    pipeline.arrive([("a", 0)]);
    pipeline.step(written(0, [Outcome::Written(None)]));
    pipeline.advance(Duration::from_secs(5));
    assert_eq!(pipeline.step(Input::Tick), [Effect::SaveCheckpoint(Position::Stream(0))]);
    assert_eq!(
        pipeline.step(Input::CheckpointSaved(Ok(()))),
        [Effect::Note(Note::Checkpoint(Position::Stream(0)))]
    );

    pipeline.arrive([("a", 1)]);
    assert_eq!(pipeline.step(Input::Drain), []);
    let effects = pipeline.step(written(1, [Outcome::Written(None)]));
    assert_eq!(
        effects,
        [completed(("a", 1, 1)), Effect::SaveCheckpoint(Position::Stream(1)), Effect::Release(1)]
    );
    let effects = pipeline.step(Input::CheckpointSaved(Ok(())));
    assert_eq!(effects, [Effect::Note(Note::Checkpoint(Position::Stream(1))), Effect::Drained]);
}

#[test]
fn the_throttle_lets_events_go_one_by_one() {
    let mut pipeline = Started::changed(|settings| settings.throttle = Duration::from_millis(10));
    assert_eq!(pipeline.arrive([("a", 0), ("a", 1)]), [write(0, [("a", 0, 0)])]);
    let effects = pipeline.step(written(0, [Outcome::Written(None)]));
    assert_eq!(effects, [completed(("a", 0, 0)), Effect::Release(1)]);
    pipeline.advance(Duration::from_millis(10));
    assert_eq!(pipeline.step(Input::Tick), [write(1, [("a", 1, 1)])]);
}

#[test]
fn an_event_that_waits_too_long_is_handed_back_and_holds_its_stream_until_it_comes_again() {
    let mut pipeline = Started::with(group());
    pipeline.deliver([delivery("a", 0, 0), delivery("a", 1, 0)]);
    pipeline.step(written(0, [Outcome::Retryable("busy".into()), Outcome::Untried]));
    pipeline.advance(Duration::from_secs(20));

    let effects = pipeline.step(Input::Tick);
    let handed_back = "it waits for an earlier event".to_owned();
    assert_eq!(
        effects,
        [
            Effect::Note(Note::Renewed("a".into(), 0)),
            Effect::Note(Note::Renewed("a".into(), 1)),
            Effect::Settle(vec![
                (token("a", 0), Verdict::Retry(handed_back.clone())),
                (token("a", 1), Verdict::Retry(handed_back)),
            ]),
        ]
    );
    // the later event comes first and waits for the earlier one
    assert_eq!(pipeline.deliver([delivery("a", 1, 1)]), [Effect::Release(1)]);
    let effects = pipeline.deliver([delivery("a", 0, 1)]);
    assert_eq!(
        effects,
        [
            Effect::Write {
                write: WriteId(1),
                lane: 0,
                batch: vec![group_envelope("a", 0, 1), group_envelope("a", 1, 1)]
            },
            Effect::Release(1),
        ]
    );
}

#[test]
fn a_lost_group_is_opened_again_and_what_only_waited_is_forgotten() {
    let mut pipeline = Started::with(group());
    pipeline.deliver([delivery("a", 0, 0), delivery("b", 0, 0)]);

    let effects = pipeline.step(lost(1));
    assert_eq!(
        effects,
        [
            Effect::Close,
            Effect::Note(Note::SourceDown {
                reason: "reset".into(),
                delay: Duration::from_millis(100)
            }),
            Effect::Release(1),
        ]
    );
    let effects = pipeline.step(written(0, [Outcome::Written(None)]));
    assert!(
        !effects.iter().any(|effect| matches!(effect, Effect::Settle(_))),
        "there is nobody to tell: {effects:?}"
    );
    pipeline.advance(Duration::from_millis(100));
    assert_eq!(pipeline.step(Input::Tick), [Effect::Open(Generation(2), None)]);
}

#[test]
fn a_group_is_closed_while_the_sink_is_away_for_long_and_opened_when_it_is_back() {
    let mut pipeline = Started::with(group());
    pipeline.deliver([delivery("a", 0, 0)]);
    pipeline.step(written(0, [Outcome::Unavailable("refused".into())]));
    pipeline.advance(Duration::from_secs(1));
    pipeline.step(Input::Tick);
    pipeline.advance(Duration::from_secs(5));
    pipeline.step(written(1, [Outcome::Unavailable("refused".into())]));
    pipeline.advance(Duration::from_secs(2));

    let effects = pipeline.step(Input::Tick);
    assert_eq!(effects, [Effect::Close, Effect::Probe, Effect::Release(1)]);
    let effects = pipeline.step(Input::Probed(Ok(())));
    assert_eq!(effects, [Effect::Note(Note::SinkUp), Effect::Open(Generation(2), None)]);
}

#[test]
fn a_bad_stream_cannot_fill_the_buffer() {
    let mut pipeline = Started::changed(|settings| settings.blocked_count_max = 2);
    pipeline.arrive([("a", 0)]);
    pipeline.step(written(0, [Outcome::Retryable("busy".into())]));
    pipeline.arrive([("a", 1)]);

    assert_eq!(pipeline.arrive([("a", 2)]), []);
    pipeline.advance(Duration::from_secs(5));
    let effects = pipeline.arrive([]);
    assert_eq!(effects, [write(1, [("a", 0, 0), ("a", 1, 1), ("a", 2, 2)])]);
    let busy = Outcome::Retryable("busy".into());
    let effects = pipeline.step(written(1, [busy, Outcome::Untried, Outcome::Untried]));
    let reason = "it fails for 5 s, and 3 events wait behind failing ones (at most 2 may)";
    let follower = "event #0 of the stream is parked";
    assert_eq!(
        effects,
        [
            retrying(("a", 0, 0), 2, 100, "busy"),
            park(("a", 0, 0), reason),
            park(("a", 1, 1), follower),
            park(("a", 2, 2), follower)
        ]
    );
}

#[test]
fn a_source_that_refuses_at_the_start_fails_and_later_is_opened_again() {
    let failed = |generation| Input::OpenFailed {
        generation: Generation(generation),
        reason: "no such group".into(),
        is_final: true,
    };
    let mut pipeline = Started::new(PipelineSettings::default());
    pipeline.step(Input::Start);
    assert_eq!(pipeline.step(failed(1)), [Effect::Fail("no such group".into())]);

    let mut pipeline = Started::changed(|_| {});
    pipeline.advance(Duration::from_secs(5));
    pipeline.step(lost(1));
    pipeline.advance(Duration::from_millis(100));
    pipeline.step(Input::Tick);
    assert_eq!(
        pipeline.step(failed(2)),
        [Effect::Note(Note::SourceDown {
            reason: "no such group".into(),
            delay: Duration::from_millis(200)
        })]
    );
}

#[test]
fn marks_and_excluded_events_move_the_watermark() {
    let mut pipeline = Started::changed(|_| {});
    let excluded = Delivery::Excluded(Box::new(envelope(("a", 0, 0))));
    pipeline.deliver([excluded]);
    assert_eq!(pipeline.core.position(), Some(&Position::Stream(0)));
    pipeline.deliver([Delivery::Mark(Position::Stream(90))]);
    assert_eq!(pipeline.core.position(), Some(&Position::Stream(90)));
}
