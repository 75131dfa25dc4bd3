//! Requests that are repeated at two replicas in any order, with restarts, snapshots and deliveries
//! in between.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::log::Command;
use super::once::once;
use super::world::World;
use crate::entity::EntitySettings;
use crate::entity::request_note::RequestNote;
use crate::event::EventMeta;

const REPLICAS: [&str; 2] = ["A", "B"];
const IDS: [&str; 3] = ["x", "y", "z"];

/// A step of a run.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// A client sends a request to a replica.
    Ask(usize, usize),
    /// Another command comes to a replica.
    Other(usize),
    /// A replica reads the other one's journal.
    Deliver(usize),
    /// A replica is passivated, or dies, and starts again.
    Restart(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..2_usize, 0..3_usize).prop_map(|(at, id)| Step::Ask(at, id)),
        1 => (0..2_usize).prop_map(Step::Other),
        2 => (0..2_usize).prop_map(Step::Deliver),
        1 => (0..2_usize).prop_map(Step::Restart),
    ]
}

/// The events of a stream that begin the handling of a request, with their ids.
fn begun(world: &World, name: &str) -> Vec<(String, EventMeta)> {
    let journal = world.replicas[name].journal.iter();
    let note = |meta: &EventMeta| RequestNote::read(meta.labels.metadata()).unwrap();
    journal
        .filter_map(|event| Some((note(&event.meta)?, event.meta.clone())))
        .filter(|(note, _)| note.back == 0)
        .map(|(note, meta)| (note.id.to_string(), meta))
        .collect()
}

fn run(snapshot_every: u64, steps: &[Step]) {
    let settings = EntitySettings { snapshot_every, pull_at_start: false, ..Default::default() };
    let mut world = World::with(&REPLICAS, settings);
    world.direct = false;
    // by replica, the requests that it knows, with the answer there
    let mut known: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
    for step in steps {
        match *step {
            Step::Ask(at, id) => {
                let (name, id) = (REPLICAS[at], IDS[id]);
                let before = world.replicas[name].journal.len();
                let add = |reply_to| Command::Add(vec!["one", "two"], reply_to);
                let answer = once(&mut world, name, id, add).now().unwrap();
                let is_new = known.entry(name).or_default().insert(id, answer);
                let stored = world.replicas[name].journal.len() - before;
                assert_eq!(stored, if is_new.is_some() { 0 } else { 2 }, "{id} at {name}");
                if let Some(first) = is_new {
                    assert_eq!(answer, first, "{id} at {name}");
                }
            }
            Step::Other(at) => drop(world.add(REPLICAS[at], "other")),
            Step::Deliver(at) => {
                let (name, other) = (REPLICAS[at], REPLICAS[1 - at]);
                world.news(name, other);
                let requests = world.replicas[name].engine.requests().unwrap();
                for request in requests {
                    let id = IDS.into_iter().find(|id| *id == request.id.as_str()).unwrap();
                    let of_other = known.get(other).and_then(|known| known.get(id)).copied();
                    let here = known.entry(name).or_default();
                    // an earlier handling at the other replica takes the place of the own one
                    if request.origin.as_str() == other {
                        here.insert(id, of_other.expect("it was asked there"));
                    } else {
                        here.entry(id).or_insert_with(|| of_other.expect("it came from there"));
                    }
                }
            }
            Step::Restart(at) => world.restart(REPLICAS[at]),
        }
    }
    for (name, other) in [("A", "B"), ("B", "A"), ("A", "B")] {
        world.news(name, other);
    }
    world.assert_converged();
    check(&world);
}

/// Checks that each request was begun once at each replica, and twice only by handlings that did
/// not know of each other; and that both replicas remember the same handling.
fn check(world: &World) {
    let begun = begun(world, "A");
    let places: BTreeSet<_> = begun.iter().map(|(id, meta)| (id, &meta.origin)).collect();
    assert_eq!(places.len(), begun.len(), "once at each replica");
    for (id, one) in &begun {
        for (_, other) in begun.iter().filter(|(other, meta)| other == id && meta != one) {
            let knows = |a: &EventMeta, b: &EventMeta| a.version.get(&b.origin) >= b.origin_nr();
            assert!(!knows(one, other) && !knows(other, one), "`{id}` was known");
        }
    }
    let remembered = |name: &str| {
        let mut requests = world.replicas[name].engine.requests().unwrap();
        requests.sort_by(|a, b| a.id.cmp(&b.id));
        requests
    };
    assert_eq!(remembered("A"), remembered("B"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_request_is_done_once_at_a_replica_and_twice_only_where_nobody_could_know(
        snapshot_every in 0..4_u64,
        steps in prop::collection::vec(step(), 0..40),
    ) {
        run(snapshot_every, &steps);
    }
}
