//! Every type, and some compositions, converge in every causal order, through snapshots, with
//! events of several operations.

use proptest::prelude::*;

use super::*;

macro_rules! converge {
    ($($name:ident: $write:expr;)*) => {
        proptest! {
            $(#[test] fn $name(steps in steps()) { World::walk(&steps, $write); })*
        }
    };
}

converge! {
    counters_converge_in_every_causal_order: random::counter;
    registers_converge_in_every_causal_order: random::lww;
    resettable_counters_converge_in_every_causal_order: random::resettable;
    bounded_counters_converge_in_every_causal_order: random::bounded;
    multi_value_registers_converge_in_every_causal_order: random::multi_value;
    enable_wins_flags_converge_in_every_causal_order: random::enable_wins;
    disable_wins_flags_converge_in_every_causal_order: random::disable_wins;
    or_sets_converge_in_every_causal_order: random::set;
    sequences_converge_in_every_causal_order: random::sequence;
    maps_of_counters_converge_in_every_causal_order: random::map(random::resettable);
    maps_of_counters_without_a_reset_converge: random::map(random::counter);
    maps_of_bounded_counters_converge: random::map(random::bounded);
    maps_of_registers_converge_in_every_causal_order: random::map(random::lww);
    maps_of_multi_value_registers_converge: random::map(random::multi_value);
    maps_of_flags_converge_in_every_causal_order: random::map(random::enable_wins);
    maps_of_sets_converge_in_every_causal_order: random::map(random::set);
    maps_of_sequences_converge_in_every_causal_order: random::map(random::sequence);
    maps_of_maps_converge_in_every_causal_order: random::map(random::map(random::set));
    maps_of_maps_of_maps_converge: random::map(random::map(random::map(random::disable_wins)));
}

proptest! {
    #[test]
    fn counters_add_up_in_every_order(deltas in prop::collection::vec(any::<i64>(), 0..20)) {
        let context = StandaloneContext::new(replica(0), 1);
        let (mut forward, mut backward) = (Counter::default(), Counter::default());
        deltas.iter().for_each(|delta| forward.apply(&CounterUpdated { delta: *delta }, &context));
        for delta in deltas.iter().rev() {
            backward.apply(&backward.update(*delta), &context);
        }
        let sum: i128 = deltas.iter().map(|delta| i128::from(*delta)).sum();
        prop_assert_eq!(forward.value(), sum);
        prop_assert_eq!(forward, backward);
    }

    #[test]
    fn a_reset_takes_away_each_update_that_it_has_seen_once(steps in steps()) {
        let world = World::<ResettableCounter>::walk(&steps, |state, _, action, n| {
            vec![if action < 4 { state.update(i64::from(n) - 100) } else { state.set_back() }]
        });
        let history = world.history();
        let left = history.iter().filter_map(|(at, number, event)| {
            let ResettableOp::Updated { delta } = event.operations[0] else { return None };
            let taken = history.iter().any(|(_, _, other)| {
                matches!(other.operations[0], ResettableOp::SetBack { .. })
                    && other.version[*at] >= *number
            });
            (!taken).then_some(i128::from(delta))
        });
        prop_assert_eq!(world.state(0).value(), left.sum::<i128>());
    }

    #[test]
    fn a_multi_value_register_has_the_writes_that_nobody_has_seen_and_replaced(steps in steps()) {
        let world = World::<MultiValueRegister<u8>>::walk(&steps, |state, _, action, n| {
            vec![if action < 5 { state.write(n) } else { state.clear() }]
        });
        let history = world.history();
        let mut left: Vec<_> = history.iter().filter_map(|(at, number, event)| {
            let MultiValueOp::Written { value, .. } = event.operations[0] else { return None };
            let replaced = history.iter().any(|(by, nr, other)| {
                (by, nr) != (at, number) && other.version[*at] >= *number
            });
            (!replaced).then_some((replica(*at), value))
        }).collect();
        left.sort();
        let values: Vec<_> =
            world.state(0).by_origin().map(|(origin, value)| (origin.clone(), *value)).collect();
        prop_assert_eq!(values, left);
    }

    #[test]
    fn an_element_is_in_a_set_if_an_add_of_it_was_seen_by_no_remove(steps in steps()) {
        let world = World::<OrSet<u8>>::walk(&steps, |state, here, action, n| {
            let n = n % 4;
            vec![match action {
                0 | 1 => state.add(n, here),
                2 => state.add_all([n, n ^ 1], here),
                3 => state.remove(&n),
                _ => state.remove_all(&[n, n ^ 1]),
            }]
        });
        let history = world.history();
        let has = |event: &Written<OrSetOp<u8>>, n: u8, removes: bool| match &event.operations[0] {
            OrSetOp::Added { element, .. } => !removes && *element == n,
            OrSetOp::AddedAll { elements, .. } => !removes && elements.contains_key(&n),
            OrSetOp::Removed { dots } => removes && dots.contains_key(&n),
        };
        for n in 0..4 {
            let added = history.iter().any(|(at, number, event)| {
                has(event, n, false)
                    && !history.iter().any(|(_, _, other)| {
                        has(other, n, true) && other.version[*at] >= *number
                    })
            });
            prop_assert_eq!(world.state(0).contains(&n), added, "{}", n);
        }
    }
}
