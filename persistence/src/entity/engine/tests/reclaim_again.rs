//! Own events that come, or wait, after a doubt: no handler stores an event under their numbers.

use super::log::{Command, Log};
use super::world::{Mode, World, replica_id, unavailable};
use crate::entity::EntityCounters;
use crate::entity::engine::Input;
use crate::event::StoredEvent;

fn reacting() -> Log {
    Log { reacts: true, ..Log::default() }
}

/// A, which reacts, B and C. A's journal is empty, and A was at B and C for its events, which were
/// not there. Returns A's events of before, `a1` and `a2`; `a1` has seen `c1`.
fn asked_in_vain() -> (World, StoredEvent, StoredEvent) {
    let mut world = World::new(&["A", "B", "C"]);
    world.add("C", "c1");
    world.add("A", "a1");
    world.add("A", "a2");
    let [a1, a2] = world.replica("A").published.clone().try_into().unwrap();
    world.direct = false;
    world.replicas.values_mut().for_each(|replica| replica.journal.clear());
    for name in ["B", "C"] {
        world.restart(name);
    }
    world.restart_as("A", reacting());
    world.feed("A", Input::Doubted(vec![replica_id("B"), replica_id("C")]));
    assert_eq!(world.replica("A").engine.doubts(), []);
    world.mode = Mode::Hold;
    (world, a1, a2)
}

/// The numbers of A's own events in its journal.
fn own_numbers(world: &mut World) -> Vec<u64> {
    let journal = &world.replica("A").journal;
    let own = journal.iter().filter(|event| event.meta.origin.as_str() == "A");
    own.map(|event| event.meta.origin_nr()).collect()
}

fn reactions(world: &mut World) -> u64 {
    let values = EntityCounters::values(&world.replica("A").counters);
    values.into_iter().find(|(name, _)| *name == "reactions").unwrap().1
}

/// The event `b1` of B, which sees nothing else.
fn of_b(world: &mut World) -> StoredEvent {
    world.just("B", Command::Note("b1"));
    world.io("B");
    world.replica("B").published.last().unwrap().clone()
}

/// Runs the I/O of A, except for reads of other journals.
fn io_without_reads(world: &mut World) {
    let mut reads = Vec::new();
    while let Some(action) = world.replica("A").held.front() {
        if format!("{action:?}").starts_with("Pull") {
            reads.extend(world.replica("A").held.pop_front());
        } else {
            world.io_once("A");
        }
    }
    world.replica("A").held.extend(reads);
}

#[test]
fn a_reaction_waits_while_an_own_event_that_came_later_waits_for_its_cause() {
    let (mut world, a1, a2) = asked_in_vain();
    let b1 = of_b(&mut world);
    world.feed("A", Input::Replicated(vec![a2.clone(), b1]));
    io_without_reads(&mut world);
    assert_eq!((world.texts("A"), reactions(&mut world)), (vec!["b1".to_owned()], 0));
    assert_eq!(world.replica("A").engine.doubts().len(), 2, "it asks once more");

    // C has all of them by now
    let c1 = world.replica("C").published[0].clone();
    world.feed("C", Input::Replicated(vec![c1, a1, a2]));
    world.io("C");
    world.io("A");
    let texts = world.texts("A");
    assert_eq!(texts, ["b1", "c1", "a1", "a2", "re b1 of B", "re c1 of C"]);
    assert_eq!(own_numbers(&mut world), [1, 2, 3, 4]);
    assert_eq!(world.replica("A").went_back, 1, "the host is told once");
}

/// The journal that had the event goes back while the event waits here.
#[test]
fn an_own_event_that_no_journal_has_any_more_is_forgotten_before_the_next_reaction() {
    let (mut world, _, a2) = asked_in_vain();
    let b1 = of_b(&mut world);
    world.feed("A", Input::Replicated(vec![a2, b1]));
    world.io("A");
    assert_eq!(world.replica("A").engine.doubts(), []);
    assert_eq!(world.texts("A"), ["b1", "re b1 of B"]);
    assert_eq!(own_numbers(&mut world), [1]);
    let reply = world.add("A", "new");
    world.io("A");
    assert_eq!((reply.now(), own_numbers(&mut world)), (Ok(3), vec![1, 2]));
}

/// The rows before the position had other events when they were read.
#[test]
fn own_events_in_rows_before_the_position_are_found_before_the_doubt_ends() {
    let (mut world, a1, a2) = asked_in_vain();
    let c1 = world.replica("C").published[0].clone();
    for text in ["b1", "b2", "b3"] {
        world.just("B", Command::Note(text));
        world.io("B");
    }
    world.news("A", "B");
    world.io("A");
    assert_eq!(own_numbers(&mut world), [1, 2, 3], "three reactions");
    // another history of all three: B has a1 and a2 in the rows that A has read
    world.replica("A").journal.truncate(3);
    world.replica("B").journal.clear();
    let b1 = world.replica("B").published[0].clone();
    world.restart("B");
    world.io("B");
    world.feed("B", Input::Replicated(vec![c1, a1, a2, b1]));
    world.io("B");
    assert!(world.replica("B").journal.len() > 3, "longer than the position");
    world.restart_as("A", reacting());
    world.io("A");
    world.news("A", "B");
    let reply = world.add("A", "new");
    world.io("A");
    assert!(reply.now().is_ok());
    let texts = world.texts("A");
    assert_eq!(texts, ["b1", "b2", "b3", "c1", "a1", "a2", "re c1 of C", "new"]);
    assert_eq!(own_numbers(&mut world), [1, 2, 3, 4]);
}

#[test]
fn the_word_of_a_host_that_knows_of_no_loss_ends_no_doubt() {
    let (mut world, _, a2) = asked_in_vain();
    let b1 = of_b(&mut world);
    world.feed("A", Input::Replicated(vec![a2, b1]));
    assert_eq!(world.replica("A").engine.compare_doubts(&[]), [], "the host has doubted none");
    for name in ["B", "C"] {
        world.feed("A", Input::Vouched(replica_id(name)));
    }
    io_without_reads(&mut world);
    assert_eq!(world.replica("A").engine.doubts().len(), 2, "B and C can be read");
    assert_eq!(reactions(&mut world), 0);

    // an operator accepts the loss of what B and C have, which cannot be read
    let both = [replica_id("B"), replica_id("C")];
    assert_eq!(world.replica("A").engine.compare_doubts(&both), []);
    assert_eq!(world.replica("A").engine.compare_doubts(&[]), both);
    for name in ["B", "C"] {
        world.fail_io("A", unavailable());
        world.feed("A", Input::Vouched(replica_id(name)));
    }
    world.io("A");
    assert_eq!(world.replica("A").engine.doubts(), []);
    assert_eq!(world.texts("A"), ["b1", "re b1 of B"]);
}
