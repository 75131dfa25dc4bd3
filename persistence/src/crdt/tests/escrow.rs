//! A bounded counter is never below its limit, whatever its replicas do, and nothing that was
//! decreased is lost.

use proptest::prelude::*;

use super::*;

fn is_sound(counter: &BoundedCounter) {
    let rights: u64 = (0..3).map(|index| counter.rights(&replica(index))).sum();
    let above = counter.value() - i128::from(counter.limit());
    assert!(above >= 0, "below the limit: {counter:?}");
    assert_eq!(i128::from(rights), above, "{counter:?}");
}

proptest! {
    #[test]
    fn a_bounded_counter_is_never_below_its_limit(steps in steps()) {
        World::watched(&steps, random::bounded, is_sound);
    }

    #[test]
    fn a_decrease_that_was_prepared_from_the_newest_state_has_its_effect(steps in steps()) {
        let world = World::<BoundedCounter>::watched(
            &steps,
            |state, here, action, n| match action {
                3 => state.decrement(u64::from(n % 16), here).into_iter().collect(),
                _ => random::bounded(state, here, action, n),
            },
            is_sound,
        );
        let operations = world.log.iter().flatten().flat_map(|event| &event.operations);
        let sum: i128 = operations
            .map(|operation| match operation {
                BoundedOp::Increased { amount } => i128::from(*amount),
                BoundedOp::Decreased { amount, .. } => -i128::from(*amount),
                BoundedOp::Transferred { .. } => 0,
            })
            .sum();
        prop_assert_eq!(world.state(0).value(), sum);
    }

    /// Rights that a hostile replica claims change nothing that others have.
    #[test]
    fn no_operation_whatever_it_claims_goes_below_the_limit(
        operations in prop::collection::vec(
            (0..3_usize, 0..3_u8, 0..9_u64, any::<u128>(), 0..3_usize), 0..60),
    ) {
        let mut counter = BoundedCounter::default();
        for (number, (at, kind, amount, received, to)) in operations.into_iter().enumerate() {
            let operation = match kind {
                0 => BoundedOp::Increased { amount },
                1 => BoundedOp::Decreased { amount, received },
                _ => BoundedOp::Transferred { to: replica(to), amount, received },
            };
            apply(&mut counter, at, number, &[operation]);
            is_sound(&counter);
        }
    }
}

#[test]
fn the_second_of_two_decreases_from_one_state_has_no_effect_without_rights_for_it() {
    let mut here = BoundedCounter::new(-10);
    change(&mut here, 0, 1, |state| state.increment(5));
    let [gift, pair] = [
        vec![here.transfer(1, &replica(0), replica(1)).unwrap()],
        vec![here.decrement(3, &replica(0)).unwrap(); 2],
    ];
    let mut there = here.clone();
    // the replica that decreases does not know of rights that another one has given it meanwhile
    let back = |state: &mut BoundedCounter| {
        change(state, 1, 1, |state| state.increment(4));
        change(state, 1, 2, |state| state.transfer(4, &replica(1), replica(0)).unwrap());
    };
    back(&mut there);
    apply(&mut there, 0, 2, &pair);
    apply(&mut here, 0, 2, &pair);
    back(&mut here);
    assert_eq!(here, there);
    assert_eq!(here.value(), -10 + 5 + 4 - 3);
    apply(&mut here, 0, 3, &gift);
    is_sound(&here);
}

#[test]
fn a_refusal_says_how_much_is_missing_and_who_has_it() {
    let mut counter = BoundedCounter::default();
    change(&mut counter, 1, 1, |state| state.increment(4));
    change(&mut counter, 0, 1, |state| state.increment(2));
    let missing = counter.decrement(5, &replica(0)).unwrap_err();
    assert_eq!(missing, MissingRights { missing: 3, elsewhere: [(replica(1), 4)].into() });
    assert_eq!(missing.to_string(), "3 rights are missing here; others have 4 at `B`");
    let nobody = BoundedCounter::default().transfer(1, &replica(0), replica(1)).unwrap_err();
    assert_eq!(nobody.to_string(), "1 rights are missing here; no other replica has any");
}
