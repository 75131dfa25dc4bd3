//! Tests of the journal loop: inputs, and the expected effects.

use std::time::Duration;

use antiphon_base::time::{Clock, SystemClock};
use antiphon_persistence::event::SequenceNr;
use antiphon_persistence::identity::PersistenceId;
use antiphon_persistence::store::{Change, ChangesPage, Offset};
use antiphon_persistence::version::VersionVector;
use tokio::time::Instant;

use super::{Effect, Input, JournalLoop, LoopSettings};

fn id(name: &str) -> PersistenceId {
    PersistenceId::parse(format!("t|{name}|B")).unwrap()
}

fn change(name: &str, highest: u64) -> Change {
    let highest = SequenceNr::new(highest);
    Change { persistence_id: id(name), highest, seen: VersionVector::new() }
}

/// The effect for an entity that has everything before the page.
fn tell(name: &str, highest: u64) -> Effect {
    Effect::Tell(change(name, highest), SequenceNr::ZERO)
}

/// The effect for an entity that holds back.
fn tell_to_read(name: &str, highest: u64, read_to: u64) -> Effect {
    Effect::Tell(change(name, highest), SequenceNr::new(read_to))
}

fn page(changes: &[(&str, u64)], through: &str, more: bool) -> Input {
    let changes = changes.iter().map(|(name, highest)| change(name, *highest)).collect();
    Input::Page(Some(ChangesPage { changes, through: Offset::new(through), more }))
}

fn started() -> (JournalLoop, Instant) {
    let settings = LoopSettings {
        loop_interval: Duration::from_secs(3),
        loop_interval_max: Duration::from_secs(12),
        loop_retell: Duration::from_secs(10),
        loop_wake_interval: Duration::from_millis(100),
        first_wait: Duration::ZERO,
        loop_tells_max: 2,
        held_retell: Duration::from_secs(60),
        held_entities_max: 2,
        loop_changes_max: 1,
    };
    let t0 = SystemClock.now();
    let mut journal_loop = JournalLoop::new(t0, settings);
    assert_eq!(journal_loop.step(t0, Input::Start), [Effect::Load]);
    assert_eq!(journal_loop.step(t0, loaded(&[])), []);
    assert_eq!(journal_loop.step(t0, Input::Tick), [Effect::Read(Offset::new("5"))]);
    (journal_loop, t0)
}

fn loaded(held: &[(&str, u64)]) -> Input {
    let held = held.iter().map(|(name, highest)| (id(name), SequenceNr::new(*highest)));
    Input::Loaded(Some((Offset::new("5"), held.collect())))
}

fn held(name: &str, highest: u64) -> Input {
    Input::Held(id(name), SequenceNr::new(highest))
}

fn recorded(name: &str, highest: u64) -> Input {
    Input::Recorded(id(name), SequenceNr::new(highest))
}

fn caught_up(name: &str, highest: u64) -> Input {
    Input::CaughtUp(id(name), SequenceNr::new(highest))
}

#[test]
fn the_position_moves_when_every_entity_has_answered() {
    let (mut journal_loop, t0) = started();
    let effects = journal_loop.step(t0, page(&[("a", 3), ("b", 1)], "9", false));
    assert_eq!(effects, [tell("a", 3), tell("b", 1)]);
    assert_eq!(journal_loop.step(t0, caught_up("b", 1)), []);
    assert_eq!(journal_loop.step(t0, caught_up("a", 2)), [], "not far enough");
    assert_eq!(journal_loop.behind().unwrap().0, 1);
    assert_eq!(journal_loop.step(t0, caught_up("a", 4)), [Effect::Save(Offset::new("9"))]);
    assert_eq!(journal_loop.position(), &Offset::new("9"));
}

#[test]
fn an_entity_that_does_not_answer_is_told_again() {
    let (mut journal_loop, t0) = started();
    journal_loop.step(t0, page(&[("a", 3)], "9", false));
    assert_eq!(journal_loop.step(t0 + Duration::from_secs(9), Input::Tick), []);
    let told = journal_loop.step(t0 + Duration::from_secs(10), Input::Tick);
    assert_eq!(told, [tell("a", 3)]);
    assert_eq!(journal_loop.position(), &Offset::new("5"));
}

#[test]
fn more_is_read_at_once_and_idle_reads_get_rarer() {
    let (mut journal_loop, t0) = started();
    journal_loop.step(t0, page(&[("a", 3)], "9", true));
    let effects = journal_loop.step(t0, caught_up("a", 3));
    assert_eq!(effects, [Effect::Save(Offset::new("9")), Effect::Read(Offset::new("9"))]);

    let mut now = t0;
    for wait in [3, 6, 12, 12] {
        assert_eq!(journal_loop.step(now, page(&[], "9", false)), []);
        let early = now + Duration::from_secs(wait) - Duration::from_millis(1);
        assert_eq!(journal_loop.step(early, Input::Tick), []);
        now += Duration::from_secs(wait);
        assert_eq!(journal_loop.due(), Some(now));
        assert_eq!(journal_loop.step(now, Input::Tick), [Effect::Read(Offset::new("9"))]);
    }
    journal_loop.step(now, page(&[("a", 4)], "10", false));
    journal_loop.step(now, caught_up("a", 4));
    assert_eq!(journal_loop.due(), Some(now + Duration::from_secs(3)), "busy again");
}

#[test]
fn failed_reads_are_repeated() {
    let (mut journal_loop, t0) = started();
    assert_eq!(journal_loop.step(t0, Input::Page(None)), []);
    let t1 = t0 + Duration::from_secs(3);
    assert_eq!(journal_loop.step(t1, Input::Tick), [Effect::Read(Offset::new("5"))]);

    let (mut journal_loop, t0) = started();
    journal_loop.step(t0, Input::Start);
    assert_eq!(journal_loop.step(t0, Input::Loaded(None)), []);
    assert_eq!(journal_loop.step(t0 + Duration::from_secs(3), Input::Tick), [Effect::Load]);
}

#[test]
fn an_entity_that_holds_back_is_recorded_and_then_nobody_waits_for_it() {
    let (mut journal_loop, t0) = started();
    journal_loop.step(t0, page(&[("a", 3), ("b", 1)], "9", false));
    journal_loop.step(t0, caught_up("b", 1));
    let record = Effect::Record(id("a"), SequenceNr::new(3));
    assert_eq!(journal_loop.step(t0, held("a", 3)), [record]);
    assert_eq!(journal_loop.position(), &Offset::new("5"), "not before it is recorded");
    let moved = [Effect::Save(Offset::new("9"))];
    assert_eq!(journal_loop.step(t0, recorded("a", 3)), moved);

    let forget = Effect::Forget(id("a"), SequenceNr::new(3));
    assert_eq!(journal_loop.step(t0, caught_up("a", 3)), [forget]);
    assert_eq!(journal_loop.held().count(), 0);
}

#[test]
fn more_from_a_peer_that_is_held_back_is_recorded_too_and_forgotten_only_as_a_whole() {
    let (mut journal_loop, t0) = started();
    journal_loop.step(t0, page(&[("a", 3)], "9", false));
    journal_loop.step(t0, held("a", 3));
    journal_loop.step(t0, recorded("a", 3));
    journal_loop.step(t0 + Duration::from_secs(3), Input::Tick);
    journal_loop.step(t0 + Duration::from_secs(3), page(&[("a", 5)], "11", false));
    let record = Effect::Record(id("a"), SequenceNr::new(5));
    assert_eq!(journal_loop.step(t0, held("a", 5)), [record]);
    journal_loop.step(t0, recorded("a", 5));
    assert_eq!(journal_loop.position(), &Offset::new("11"));
    assert_eq!(journal_loop.step(t0, caught_up("a", 3)), [], "there is more");
    let forget = Effect::Forget(id("a"), SequenceNr::new(5));
    assert_eq!(journal_loop.step(t0, caught_up("a", 5)), [forget]);
}

#[test]
fn those_that_hold_back_are_told_at_the_start_and_from_time_to_time_a_few_at_once() {
    let (mut journal_loop, t0) = started();
    journal_loop.step(t0, Input::Start);
    let told = journal_loop.step(t0, loaded(&[("a", 3), ("b", 4)]));
    assert_eq!(told, [tell_to_read("a", 3, 3)]);
    let t1 = t0 + Duration::from_secs(3);
    let told = journal_loop.step(t1, Input::Tick);
    assert_eq!(told, [tell_to_read("b", 4, 4), Effect::Read(Offset::new("5"))]);
    assert_eq!(journal_loop.step(t1, held("b", 4)), [], "recorded already");

    let t2 = t1 + Duration::from_secs(60);
    assert_eq!(journal_loop.due(), Some(t2));
    assert_eq!(journal_loop.step(t2, Input::Tick), [tell_to_read("a", 3, 3)]);
}

#[test]
fn an_entity_that_holds_back_is_told_of_a_new_page_that_it_lacks_what_came_before() {
    let (mut journal_loop, t0) = started();
    journal_loop.step(t0, page(&[("a", 3)], "9", true));
    journal_loop.step(t0, held("a", 3));
    journal_loop.step(t0, recorded("a", 3));
    let told = journal_loop.step(t0, page(&[("a", 5)], "10", true));
    assert_eq!(told, [tell_to_read("a", 5, 3)]);
    journal_loop.step(t0, caught_up("a", 5));
    let told = journal_loop.step(t0, page(&[("a", 7)], "11", false));
    assert_eq!(told, [tell("a", 7)]);
}

#[test]
fn beyond_the_limit_of_those_that_hold_back_the_position_stands_still() {
    let (mut journal_loop, t0) = started();
    journal_loop.step(t0, page(&[("a", 1), ("b", 1), ("c", 1)], "9", false));
    for name in ["a", "b"] {
        journal_loop.step(t0, held(name, 1));
        journal_loop.step(t0, recorded(name, 1));
    }
    assert_eq!(journal_loop.step(t0, held("c", 1)), []);
    assert_eq!(journal_loop.position(), &Offset::new("5"));
    journal_loop.step(t0, caught_up("a", 1));
    assert_eq!(journal_loop.step(t0, held("c", 1)).len(), 1);
    assert_eq!(journal_loop.step(t0, recorded("c", 1)), [Effect::Save(Offset::new("9"))]);
}

#[test]
fn a_way_that_opens_makes_the_next_read_due_now() {
    let (mut journal_loop, t0) = started();
    journal_loop.step(t0, page(&[], "9", false));
    let t1 = t0 + Duration::from_secs(1);
    let read = [Effect::Read(Offset::new("9"))];
    assert_eq!(journal_loop.step(t1, Input::WayOpened), read);
    assert_eq!(journal_loop.step(t1, page(&[], "9", false)), []);
    assert_eq!(
        journal_loop.due(),
        Some(t1 + Duration::from_secs(3)),
        "the loop is not slower for it"
    );
}

#[test]
fn a_way_that_flaps_causes_one_read_in_each_interval() {
    let (mut journal_loop, t0) = started();
    journal_loop.step(t0, page(&[], "9", false));
    let mut reads = 0;
    for step in 0..1000 {
        let now = t0 + Duration::from_millis(step);
        for input in [Input::WayOpened, Input::Tick] {
            for effect in journal_loop.step(now, input) {
                assert_eq!(effect, Effect::Read(Offset::new("9")));
                reads += 1;
                journal_loop.step(now, page(&[], "9", false));
            }
        }
    }
    assert_eq!(reads, 9, "the first of ten was before the first signal");
}

#[test]
fn a_way_that_opens_while_the_loop_is_busy_is_read_for_afterwards() {
    let (mut journal_loop, t0) = started();
    let t1 = t0 + Duration::from_secs(1);
    assert_eq!(journal_loop.step(t1, Input::WayOpened), [], "a read is under way");
    assert_eq!(journal_loop.step(t1, page(&[], "9", false)), [Effect::Read(Offset::new("9"))]);
    assert_eq!(journal_loop.step(t1, page(&[("a", 3)], "10", false)), [tell("a", 3)]);

    assert_eq!(journal_loop.step(t1, Input::WayOpened), [], "an entity is told");
    assert_eq!(journal_loop.step(t1, caught_up("a", 3)), [Effect::Save(Offset::new("10"))]);
    let due = t1 + Duration::from_millis(100);
    assert_eq!(journal_loop.due(), Some(due), "as soon as the interval lets it");
    assert_eq!(journal_loop.step(due, Input::Tick), [Effect::Read(Offset::new("10"))]);
}

#[test]
fn a_way_that_opens_before_the_position_is_known_is_read_for_at_once() {
    let (mut journal_loop, t0) = started();
    journal_loop.step(t0, Input::Start);
    assert_eq!(journal_loop.step(t0, Input::WayOpened), []);
    let t1 = t0 + Duration::from_secs(1);
    let effects = journal_loop.step(t1, loaded(&[]));
    assert_eq!(effects, [Effect::Read(Offset::new("5"))]);
}

#[test]
fn the_end_of_the_feed_is_said_when_everything_in_it_is_here() {
    let (mut journal_loop, t0) = started();
    assert!(!journal_loop.is_at_end(), "nothing was read");
    journal_loop.step(t0, page(&[("a", 3)], "9", false));
    assert!(!journal_loop.is_at_end(), "the entity has not answered");
    journal_loop.step(t0, caught_up("a", 3));
    assert!(journal_loop.is_at_end());

    let t1 = t0 + Duration::from_secs(3);
    journal_loop.step(t1, Input::Tick);
    journal_loop.step(t1, Input::Page(None));
    assert!(!journal_loop.is_at_end(), "the read failed");
    let t2 = t1 + Duration::from_secs(3);
    journal_loop.step(t2, Input::Tick);
    journal_loop.step(t2, page(&[], "10", true));
    assert!(!journal_loop.is_at_end(), "more is there");
    journal_loop.step(t2, page(&[], "11", false));
    assert!(journal_loop.is_at_end());
}

#[test]
fn an_entity_that_cannot_start_does_not_keep_the_loop_from_the_others() {
    let (mut journal_loop, t0) = started();
    journal_loop.step(t0, page(&[("a", 3), ("b", 4)], "9", false));
    journal_loop.step(t0, caught_up("b", 4));
    let effects = journal_loop.step(t0, Input::Cannot(id("a")));
    assert_eq!(effects, [Effect::Record(id("a"), SequenceNr::new(3))]);
    let effects = journal_loop.step(t0, Input::Recorded(id("a"), SequenceNr::new(3)));
    assert_eq!(effects, [Effect::Save(Offset::new("9"))]);
    assert_eq!(journal_loop.held().collect::<Vec<_>>(), [&id("a")], "it is told again later");
    assert_eq!(journal_loop.step(t0, Input::Cannot(id("a"))), [], "that is known");
}

#[test]
fn an_entity_that_does_not_answer_is_told_again_and_then_passed_over() {
    let (mut journal_loop, t0) = started();
    journal_loop.step(t0, page(&[("a", 3)], "9", false));
    let tells = |effects: &[Effect]| {
        effects.iter().filter(|effect| matches!(effect, Effect::Tell(..))).count()
    };
    let t1 = t0 + Duration::from_secs(10);
    let effects = journal_loop.step(t1, Input::Tick);
    assert_eq!((tells(&effects), effects.len()), (1, 1), "the second time");
    let t2 = t1 + Duration::from_secs(10);
    let effects = journal_loop.step(t2, Input::Tick);
    assert!(effects.contains(&Effect::Record(id("a"), SequenceNr::new(3))), "{effects:?}");
    let effects = journal_loop.step(t2, Input::Recorded(id("a"), SequenceNr::new(3)));
    assert_eq!(effects, [Effect::Save(Offset::new("9"))]);
}

/// The position would move over changes that nobody was told of.
#[test]
#[should_panic(expected = "a page that was not read for")]
fn a_page_that_the_loop_has_not_asked_for_is_a_bug() {
    let (mut journal_loop, t0) = started();
    journal_loop.step(t0, page(&[], "9", false));
    journal_loop.step(t0, page(&[], "12", false));
}
