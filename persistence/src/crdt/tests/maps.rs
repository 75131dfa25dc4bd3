//! A key is there if an update of it was seen by no remove of it, and its value is what those
//! updates make of a new value.

use proptest::prelude::*;

use super::*;

/// The map that has the updates that no remove of their key has seen, and no others.
fn without_removed<V: Law>(world: &World<OrMap<u8, V>>) -> OrMap<u8, V> {
    let history = world.history();
    let is_removed = |at: usize, number: usize, key: u8| {
        history.iter().any(|(_, _, other)| {
            let removes = |operation: &OrMapOp<u8, V::Operation>| {
                matches!(operation, OrMapOp::Removed { keys } if keys.contains_key(&key))
            };
            other.version[at] >= number && other.operations.iter().any(removes)
        })
    };
    let mut map = OrMap::default();
    for (at, number, event) in &history {
        let context = StandaloneContext::new(replica(*at), *number as u64);
        for operation in &event.operations {
            if let OrMapOp::Updated { key, .. } = operation
                && !is_removed(*at, *number, *key)
            {
                map.apply(operation, &context);
            }
        }
    }
    map
}

/// Compares what a reader sees of each key.
fn agrees<V: Law>(
    steps: &[Step],
    write: impl Fn(&OrMap<u8, V>, &ReplicaId, u8, u8) -> Vec<OrMapOp<u8, V::Operation>>,
    look: impl Fn(&V) -> String,
) -> Result<(), TestCaseError> {
    let world = World::walk(steps, write);
    let expected = without_removed(&world);
    let seen =
        |map: &OrMap<u8, V>| map.iter().map(|(key, value)| (*key, look(value))).collect::<Vec<_>>();
    prop_assert_eq!(seen(world.state(0)), seen(&expected));
    Ok(())
}

proptest! {
    #[test]
    fn a_counter_of_a_key_has_the_updates_that_no_remove_has_seen(steps in steps()) {
        let write = random::map(|state: &ResettableCounter, _: &ReplicaId, _, n| {
            vec![state.update(i64::from(n) + 1)]
        });
        agrees(&steps, write, |count| count.value().to_string())?;
    }

    #[test]
    fn a_set_of_a_key_has_the_adds_that_no_remove_has_seen(steps in steps()) {
        let write = random::map(random::set);
        agrees(&steps, write, |set| format!("{:?}", set.elements().collect::<Vec<_>>()))?;
    }

    #[test]
    fn a_register_of_a_key_has_the_writes_that_no_remove_has_seen(steps in steps()) {
        let write = random::map(|state: &MultiValueRegister<u8>, _: &ReplicaId, _, n| {
            vec![state.write(n)]
        });
        agrees(&steps, write, |register| format!("{:?}", register.values().collect::<Vec<_>>()))?;
    }

    #[test]
    fn a_map_of_a_key_has_the_updates_that_no_remove_has_seen(steps in steps()) {
        let write = random::map(random::map(random::enable_wins));
        agrees(&steps, write, |map| {
            let flags = map.iter().map(|(key, flag)| (*key, flag.is_enabled()));
            format!("{:?}", flags.collect::<Vec<_>>())
        })?;
    }

    #[test]
    fn a_list_of_a_key_has_the_inserts_that_no_remove_has_seen(steps in steps()) {
        let write = random::map(random::sequence);
        agrees(&steps, write, |list| {
            let mut values: Vec<_> = list.iter().collect();
            // the place beside a removed element is known to those alone who had the element
            values.sort();
            format!("{values:?}")
        })?;
    }
}

fn at(origin: usize, number: u64) -> StandaloneContext {
    StandaloneContext::new(replica(origin), number)
}

#[test]
fn a_key_that_is_removed_and_added_again_begins_anew() {
    let mut map = OrMap::<&str, OrSet<&str>>::default();
    map.apply(&map.update("k", |set| set.add("old", &replica(0))), &at(0, 1));
    map.apply(&map.remove(&"k"), &at(0, 2));
    assert_eq!((map.len(), map.get(&"k")), (0, None));
    map.apply(&map.update("k", |set| set.add("new", &replica(0))), &at(0, 3));
    assert_eq!(map.get(&"k").unwrap().elements().collect::<Vec<_>>(), [&"new"]);
}

#[test]
fn a_remove_that_had_seen_the_first_add_takes_no_later_add_of_the_same_element() {
    let mut map = OrMap::<&str, OrSet<&str>>::default();
    map.apply(&map.update("k", |set| set.add("x", &replica(0))), &at(0, 1));
    let late = map.remove(&"k");
    map.apply(&map.remove(&"k"), &at(1, 1));
    map.apply(&map.update("k", |set| set.add("x", &replica(0))), &at(0, 2));
    map.apply(&late, &at(2, 1));
    assert!(map.get(&"k").is_some_and(|set| set.contains(&"x")));
}

#[test]
fn a_value_without_a_reset_goes_on_behind_its_key() {
    let mut map = OrMap::<&str, Counter>::default();
    map.apply(&map.update("k", |count| count.update(5)), &at(0, 1));
    map.apply(&map.remove(&"k"), &at(0, 2));
    assert!(map.is_empty());
    map.apply(&map.update("k", |count| count.update(1)), &at(0, 3));
    assert_eq!(map.get(&"k").map(Counter::value), Some(6));
}

#[test]
fn a_removed_key_leaves_nothing_when_its_value_has_no_trace() {
    let mut map = OrMap::<&str, OrMap<&str, MultiValueRegister<u8>>>::default();
    map.apply(&map.update("k", |inner| inner.update("i", |r| r.write(7))), &at(0, 1));
    map.apply(&map.remove(&"k"), &at(0, 2));
    assert_eq!(map, OrMap::default());
}
