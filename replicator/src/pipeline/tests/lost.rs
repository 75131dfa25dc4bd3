//! Sources that are lost: an event is parked only by the group that takes the verdict, and a source
//! that went back is followed from another position.

use super::*;

#[test]
fn an_event_that_fails_for_good_after_its_group_was_lost_is_parked_when_it_comes_again() {
    let mut pipeline = Started::with(group());
    pipeline.deliver([delivery("a", 0, 0)]);
    pipeline.step(lost(1));

    // no source is open to park the event: it is neither reported as parked nor held
    let bad = || vec![Outcome::Rejected("bad".into())];
    let effects = pipeline.step(Input::Written(WriteId(0), bad()));
    assert_eq!(effects, [Effect::Release(1)]);
    assert_eq!(pipeline.core.held_count(), 0);

    pipeline.advance(Duration::from_millis(100));
    assert_eq!(pipeline.step(Input::Tick), [Effect::Open(Generation(2), None)]);
    pipeline.step(Input::Opened(Generation(2)));
    pipeline.generation = 2;
    let again = group_envelope("a", 0, 1);
    let write = Effect::Write { write: WriteId(1), lane: 0, batch: vec![again.clone()] };
    assert_eq!(pipeline.deliver([delivery("a", 0, 1)]), [write]);
    let effects = pipeline.step(Input::Written(WriteId(1), bad()));
    let reason = "bad".to_owned();
    assert_eq!(
        effects,
        [
            Effect::Note(Note::Parked { envelope: Box::new(again), reason: reason.clone() }),
            Effect::Settle(vec![(token("a", 0), Verdict::Park(reason))]),
            Effect::Release(1),
        ]
    );
}

#[test]
fn a_source_that_went_back_is_followed_and_the_checkpoint_goes_back_with_it() {
    let mut pipeline = Started::changed(|settings| settings.checkpoint_event_count = 1);
    pipeline.position = 40;
    pipeline.arrive([("a", 0), ("b", 0)]);
    let effects = pipeline.step(written(0, [Outcome::Written(None)]));
    assert!(effects.contains(&Effect::SaveCheckpoint(Position::Stream(40))), "{effects:?}");

    // the save is under way, and an event is written, while the source comes back with less
    pipeline.step(lost(1));
    pipeline.advance(Duration::from_millis(100));
    let from = Some(Position::Stream(41));
    assert_eq!(pipeline.step(Input::Tick), [Effect::Open(Generation(2), from)]);
    assert_eq!(pipeline.step(Input::WentBack(Generation(2), Some(Position::Stream(3)))), []);
    pipeline.step(Input::Opened(Generation(2)));
    pipeline.step(Input::CheckpointSaved(Ok(())));
    assert_eq!(pipeline.core.position(), Some(&Position::Stream(3)));

    pipeline.generation = 2;
    pipeline.position = 4;
    pipeline.arrive([("c", 0)]);
    let effects = pipeline.step(written(1, [Outcome::Written(None)]));
    assert!(effects.contains(&Effect::SaveCheckpoint(Position::Stream(3))), "{effects:?}");
    pipeline.step(Input::CheckpointSaved(Ok(())));
    let effects = pipeline.step(written(2, [Outcome::Written(None)]));
    assert!(effects.contains(&Effect::SaveCheckpoint(Position::Stream(4))), "{effects:?}");
}

#[test]
fn news_of_an_earlier_opening_that_went_back_change_nothing() {
    let mut pipeline = Started::changed(|_| {});
    pipeline.arrive([("a", 0)]);
    pipeline.step(written(0, [Outcome::Written(None)]));
    assert!(!pipeline.step(Input::WentBack(Generation(1), None)).contains(&Effect::Drained));
    assert_eq!(pipeline.core.position(), Some(&Position::Stream(0)));
}
