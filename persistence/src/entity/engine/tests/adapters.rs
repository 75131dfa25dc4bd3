//! Adapters that read one stored event as none or several, and adapters that are wrong.

use std::time::Duration;

use super::log::{Command, Log};
use super::scan::scan;
use super::world::{Mode, World};
use crate::Error;
use crate::codec::CodecId;
use crate::entity::{EntityCounters, EntitySettings, Reminder};
use crate::event::{MANIFEST_BYTES_MAX, Payload};
use crate::reply::ReplyError;

const SECOND: Duration = Duration::from_secs(1);

/// A release that reads `x+y` as two events, and `gone` as none.
fn new() -> Log {
    Log { splits: true, ..Log::default() }
}

fn reacting() -> Log {
    Log { reacts: true, ..new() }
}

fn counter(world: &mut World, name: &str) -> u64 {
    let values = EntityCounters::values(&world.replica("A").counters);
    values.into_iter().find(|(known, _)| *known == name).expect("a counter").1
}

fn count(world: &World, text: &str) -> usize {
    world.texts("A").iter().filter(|known| *known == text).count()
}

#[test]
fn a_stored_event_counts_once_however_many_events_are_read_of_it() {
    let settings = EntitySettings { snapshot_every: 3, pull_at_start: false, ..Default::default() };
    let mut world = World::with(&["A", "B"], settings);
    world.restart_as("A", new());
    for text in ["a+b", "gone", "c", "gone"] {
        world.just("B", Command::Note(text));
    }
    assert_eq!(world.texts("A"), ["a", "b", "c"]);
    let numbers: Vec<u64> =
        world.replica("A").journal.iter().map(|event| event.sequence_nr.value()).collect();
    assert_eq!(numbers, [1, 2, 3, 4]);
    assert_eq!(world.replica("A").snapshot.as_ref().unwrap().version.event_count(), 3);
    // an own event comes behind all of them, and the other replica takes it
    assert_eq!(world.add("A", "own").now(), Ok(4));
    let own = world.replica("A").journal.last().unwrap().clone();
    assert_eq!((own.sequence_nr.value(), own.meta.version.event_count()), (5, 5));
    assert_eq!(world.texts("B"), ["a+b", "gone", "c", "gone", "own"]);
    let seen = |world: &World, name| world.replicas[name].engine.seen().cloned();
    assert_eq!(seen(&world, "A"), seen(&world, "B"));

    // with the snapshot and without it, in the old release and in the new one
    for _ in 0..2 {
        world.restart_as("A", new());
        assert_eq!(world.texts("A"), ["a", "b", "c", "own"]);
        world.restart_as("B", new());
        assert_eq!(seen(&world, "A"), seen(&world, "B"));
        world.replica("A").snapshot = None;
        world.replica("B").snapshot = None;
    }
    assert_eq!(world.texts("A"), world.texts("B"));
    world.restart("A");
    assert_eq!(world.texts("A"), ["a+b", "gone", "c", "gone", "own"], "taken back");
}

#[test]
fn an_event_that_is_read_as_none_keeps_its_reminders_and_its_turn() {
    let mut world = World::new(&["A"]);
    let set = |effect: crate::entity::Effect<Log>| {
        effect.remind("n", Reminder::after(Duration::from_secs(10)))
    };
    world.just("A", Command::With("gone", set));
    world.just("A", Command::With("x+y", set));
    world.restart_as("A", new());
    assert_eq!(world.texts("A"), ["x", "y"]);
    assert_eq!(world.replicas["A"].engine.reminders().unwrap().len(), 1, "once for both parts");
    scan(&mut world, 20 * SECOND);
    assert_eq!(world.texts("A"), ["x", "y", "n 0"]);
    scan(&mut world, 20 * SECOND);
    assert_eq!(count(&world, "n 0"), 1);
}

#[test]
fn each_part_of_an_event_has_its_reaction_and_a_death_between_them_stores_none_twice() {
    for text in ["x+y", "x+silent", "silent+y", "gone+x+silent+y", "gone"] {
        for steps in 0..16 {
            let mut world = World::new(&["A", "B"]);
            world.restart_as("A", reacting());
            world.mode = Mode::Hold;
            world.just("B", Command::Note(text));
            world.just("B", Command::Note("z"));
            world.io("B");
            for _ in 0..steps {
                world.io_once("A");
            }
            world.restart_as("A", reacting());
            world.mode = Mode::Flow;
            world.io("A");
            world.news("A", "B");
            for _ in 0..4 {
                scan(&mut world, 20 * SECOND);
            }
            let at = format!("{text} after {steps} steps: {:?}", world.texts("A"));
            for part in ["x", "y"] {
                let expected = usize::from(text.contains(part));
                assert_eq!(count(&world, &format!("re {part} of B")), expected, "{at}");
            }
            assert_eq!(count(&world, "re z of B"), 1, "{at}");
            assert!(world.replica("A").rows.is_empty(), "{at}");
        }
    }
}

#[test]
fn a_snapshot_between_two_parts_keeps_which_of_them_had_their_reaction() {
    let settings = EntitySettings { snapshot_every: 2, pull_at_start: false, ..Default::default() };
    for steps in 0..16 {
        let mut world = World::with(&["A", "B"], settings.clone());
        world.restart_as("A", reacting());
        world.mode = Mode::Hold;
        world.just("B", Command::Note("x+silent+y"));
        world.io("B");
        for _ in 0..steps {
            world.io_once("A");
        }
        world.restart_as("A", reacting());
        world.mode = Mode::Flow;
        world.io("A");
        world.news("A", "B");
        for _ in 0..4 {
            scan(&mut world, 20 * SECOND);
        }
        let once = ["re x of B", "re y of B"].map(|text| count(&world, text));
        assert_eq!(once, [1, 1], "after {steps} steps: {:?}", world.texts("A"));
    }
}

#[test]
fn parts_whose_reactions_wait_for_futures_have_them_one_after_the_other() {
    let mut world = World::new(&["A", "B"]);
    world.restart_as("A", reacting());
    world.just("B", Command::Note("later+x+later"));
    world.io("A");
    let texts = world.texts("A");
    assert_eq!(texts, ["later", "x", "later", "re later", "re x of B", "re later"]);
    assert!(world.replica("A").rows.is_empty());
    assert_eq!(counter(&mut world, "reactions"), 3);
}

#[test]
fn a_reaction_that_panics_for_one_part_leaves_the_others() {
    let mut world = World::new(&["A", "B"]);
    world.restart_as("A", reacting());
    world.just("B", Command::Note("panics+x"));
    assert_eq!(world.texts("A"), ["panics", "x", "re x of B"]);
    assert_eq!(counter(&mut world, "reactions_failed"), 1);
    assert!(world.replica("A").rows.is_empty());
}

/// The stored form of a text of the tests.
fn encode(manifest: &str, text: &str) -> crate::Result<Payload> {
    Payload::encode(CodecId::Json, manifest, 1, text)
}

#[test]
fn an_adapter_that_is_wrong_fails_its_command_and_nothing_is_stored() {
    type Store = fn(&str) -> crate::Result<Payload>;
    let wrong: [(Store, &str); 6] = [
        (|_| panic!("the test wants it"), "panicked"),
        (|_| Err(Error::rejected("no form for it")), "no form for it"),
        (|_| encode("", "another text"), "another value"),
        (|text| encode("", &format!("{text}+{text}")), "reads 2 events"),
        (|_| encode("", "gone"), "reads 0 events"),
        (|text| encode(&"m".repeat(MANIFEST_BYTES_MAX + 1), text), "manifest is too long"),
    ];
    for (stores, expected) in wrong {
        let mut world = World::new(&["A"]);
        world.restart_as("A", Log { stores: Some(stores), ..new() });
        let Err(ReplyError::Rejected(why)) = world.add("A", "x").now() else {
            panic!("{expected}: it is stored")
        };
        assert!(why.contains(expected), "{why}");
        assert!(why.contains("alloc::string::String"), "it names the type: {why}");
        assert!(world.replica("A").journal.is_empty());
        // the entity goes on, and the next release stores the event
        world.restart_as("A", new());
        assert_eq!(world.add("A", "x").now(), Ok(1));
    }
    let unknown: Store = |text| {
        let payload = encode("", text)?;
        Ok(Payload { codec: 99, ..payload })
    };
    let mut world = World::new(&["A"]);
    world.restart_as("A", Log { stores: Some(unknown), ..new() });
    let why = world.add("A", "x").now().unwrap_err().to_string();
    assert!(why.contains("codec 99"), "{why}");
}

#[test]
fn another_stored_form_is_read_as_the_same_event_at_both_replicas() {
    let mut world = World::new(&["A", "B"]);
    let json: fn(&str) -> crate::Result<Payload> = |text| encode("text", text);
    world.restart_as("A", Log { stores: Some(json), ..new() });
    assert_eq!(world.add("A", "x").now(), Ok(1));
    let payload = &world.replica("A").journal[0].payload;
    assert_eq!((&*payload.bytes, &*payload.manifest), (&b"\"x\""[..], "text"));
    assert_eq!(world.texts("B"), ["x"]);
    world.restart_as("A", new());
    assert_eq!(world.texts("A"), ["x"], "the release without the adapter reads the codec's name");
}
