//! Operations from elsewhere may say anything: nothing panics, and the value can still be used.

use proptest::prelude::*;

use super::*;

/// Applies the operations of a walk with changed bytes.
fn survives<V>(
    steps: &[Step],
    changes: &[(usize, u8)],
    write: impl Fn(&V, &ReplicaId, u8, u8) -> Vec<V::Operation>,
) where
    V: Law,
    V::Operation: Serialize + DeserializeOwned,
{
    let world = World::walk(steps, &write);
    let mut state = world.state(0).clone();
    for (number, (at, _, event)) in world.history().into_iter().enumerate() {
        for operation in &event.operations {
            let mut bytes = CodecId::Bincode.encode(operation).unwrap();
            for (place, byte) in changes {
                let place = place % bytes.len();
                bytes[place] = *byte;
            }
            if let Ok(operation) = CodecId::Bincode.decode::<V::Operation>(&bytes) {
                apply(&mut state, at, number, &[operation]);
            }
        }
        for action in 0..6 {
            let operations = write(&state, &replica(at), action, 7);
            apply(&mut state, at, usize::MAX, &operations);
        }
    }
    let bytes = CodecId::Bincode.encode(&state).unwrap();
    assert_eq!(CodecId::Bincode.decode::<V>(&bytes).unwrap(), state);
}

fn changes() -> impl Strategy<Value = Vec<(usize, u8)>> {
    let byte = prop_oneof![0..8_u8, 0xf8..=0xff_u8, any::<u8>()];
    prop::collection::vec((0..100_usize, byte), 1..6)
}

macro_rules! survive {
    ($($name:ident: $write:expr;)*) => {
        proptest! {
            #![proptest_config(ProptestConfig::with_cases(96))]
            $(#[test] fn $name(steps in steps(), changes in changes()) {
                survives(&steps, &changes, $write);
            })*
        }
    };
}

survive! {
    a_resettable_counter_takes_any_operation: random::resettable;
    a_bounded_counter_takes_any_operation: random::bounded;
    a_register_takes_any_operation: random::lww;
    a_multi_value_register_takes_any_operation: random::multi_value;
    a_flag_takes_any_operation: random::disable_wins;
    a_set_takes_any_operation: random::set;
    a_sequence_takes_any_operation: random::sequence;
    a_map_takes_any_operation: random::map(random::map(random::sequence));
}

#[test]
fn a_set_goes_on_behind_the_last_number_of_an_add() {
    let mut set = OrSet::default();
    let dot = Dot { origin: replica(0), counter: u64::MAX };
    let operation = OrSetOp::Added { element: 1, dot, replaced: Default::default() };
    apply(&mut set, 1, 1, &[operation]);
    change(&mut set, 0, 1, |state| state.add(2, &replica(0)));
    assert_eq!(set.len(), 2);
}

#[test]
fn a_span_that_claims_billions_of_elements_costs_nothing() {
    let mut list = Sequence::default();
    change(&mut list, 0, 1, |state| state.push("abc".chars()));
    let SequenceOp::Removed { spans } = list.remove(1..2) else { unreachable!() };
    let first = spans[0].first.clone();
    let spans = vec![Span { first, count: u32::MAX }; 1000];
    apply(&mut list, 1, 1, &[SequenceOp::Removed { spans }]);
    assert_eq!(list.text(), "a");
}
