//! Events that are rejected while their group is lost: an event is parked only by the group that
//! takes the verdict.

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
