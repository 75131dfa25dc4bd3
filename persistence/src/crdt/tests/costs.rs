//! The costs that `docs/guide/choosing-replicated-types.md` lists: bytes of states and operations
//! in bincode, and the time of an apply, which is printed (`--nocapture`) and has a wide bound.

use std::time::Duration;

use antiphon_base::time::{Clock, SystemClock, Timestamp};

use super::*;

fn bytes(value: &impl Serialize) -> usize {
    CodecId::Bincode.encode(value).unwrap().len()
}

/// Makes and applies `count` operations at one place, each an event; returns the bytes of the state
/// and of the last operation, and the time of one apply.
fn grow<V: Law<Operation: Serialize>>(
    count: usize,
    make: impl Fn(&V, usize) -> V::Operation,
) -> (V, usize, Duration) {
    let (mut state, mut operation_bytes, mut time) = (V::default(), 0, Duration::ZERO);
    for number in 1..=count {
        let operation = make(&state, number);
        let operations = [operation];
        let begin = SystemClock.now();
        apply(&mut state, 0, number, &operations);
        time += SystemClock.now() - begin;
        operation_bytes = bytes(&operations[0]);
    }
    (state, operation_bytes, time / u32::try_from(count).unwrap())
}

/// Compares with the documented bytes of the state and of an operation.
fn costs<V: Law<Operation: Serialize>>(
    name: &str,
    count: usize,
    documented: (usize, usize),
    make: impl Fn(&V, usize) -> V::Operation,
) {
    let (state, operation, time) = grow(count, make);
    let measured = (bytes(&state), operation);
    println!("{name:40} state {:7} operation {operation:4} apply {time:?}", measured.0);
    assert_eq!(measured, documented, "{name}: bytes of the state and of an operation");
    assert!(time < Duration::from_millis(5), "{name}: {time:?}");
}

#[test]
fn the_costs_are_the_documented_ones() {
    let here = replica(0);
    let now = Timestamp::from_micros(1_800_000_000_000_000);
    let word = |number: usize| format!("w{number:07}");
    costs::<Counter>("Counter", 1000, (3, 1), |state, _| state.update(1));
    costs::<ResettableCounter>("ResettableCounter", 1000, (13, 2), |state, _| state.update(1));
    costs::<BoundedCounter>("BoundedCounter", 1000, (12, 3), |state, number| match number {
        1 => state.increment(1000),
        _ => state.decrement(1, &here).unwrap(),
    });
    costs::<LwwRegister<String>>("LwwRegister", 1000, (21, 20), |state, n| {
        state.set(word(n), now, &here)
    });
    costs::<MultiValueRegister<String>>("MultiValueRegister", 1000, (16, 17), |state, n| {
        state.write(word(n))
    });
    costs::<EnableWinsFlag>("EnableWinsFlag", 1000, (7, 1), |state, _| state.enable());
    costs::<DisableWinsFlag>("DisableWinsFlag", 1000, (7, 1), |state, _| state.disable());
    costs::<OrSet<String>>("OrSet, 1000 elements", 1000, (14509, 16), |state, n| {
        state.add(word(n), &here)
    });
    costs::<OrSet<String>>("OrSet, all removed", 2000, (7, 17), |state, n| match n % 2 {
        1 => state.add(word(n), &here),
        _ => state.remove(&word(n - 1)),
    });
    costs::<OrMap<String, ResettableCounter>>(
        "OrMap of counters, 1000 keys",
        1000,
        (26003, 12),
        |state, n| state.update(word(n), |count| count.update(1)),
    );
    costs::<OrMap<String, ResettableCounter>>(
        "OrMap of counters, removed",
        2000,
        (22503, 28),
        |state, n| match n % 2 {
            1 => state.update(word(n), |count| count.update(1)),
            _ => state.remove(&word(n - 1)),
        },
    );
    costs::<OrMap<String, MultiValueRegister<u8>>>(
        "OrMap of registers, removed",
        2000,
        (1, 27),
        |state, n| match n % 2 {
            1 => state.update(word(n), |register| register.write(1)),
            _ => state.remove(&word(n - 1)),
        },
    );
    costs::<Sequence<char>>("Sequence, 1000 single letters", 1000, (15997, 11), |state, _| {
        state.push(['a'])
    });
    costs::<Sequence<char>>(
        "Sequence, 10000 letters in 100 inserts",
        100,
        (21097, 108),
        |state, _| state.push(std::iter::repeat_n('a', 100)),
    );
    costs::<Sequence<char>>("Sequence, all removed", 2000, (15497, 9), |state, n| match n % 2 {
        1 => state.push(['a']),
        _ => state.remove(0..1),
    });
}
