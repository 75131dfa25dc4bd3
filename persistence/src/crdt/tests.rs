//! The laws: replicas that applied the same operations, each in some causal order, are equal.

use antiphon_base::time::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::identity::ReplicaId;

/// Replicas that take operations from each other in any causal order.
struct World<S, O> {
    replicas: Vec<(S, Vec<usize>)>,
    /// Operations by origin, in the order of their origin.
    log: Vec<Vec<(O, Vec<usize>)>>,
}

impl<S: Clone + Default, O: Clone> World<S, O> {
    fn new(count: usize) -> Self {
        let replicas = (0..count).map(|_| (S::default(), vec![0; count])).collect();
        Self { replicas, log: vec![Vec::new(); count] }
    }

    fn write(&mut self, at: usize, prepare: impl FnOnce(&S) -> O, apply: impl Fn(&mut S, &O)) {
        let (state, seen) = &mut self.replicas[at];
        let operation = prepare(state);
        apply(state, &operation);
        seen[at] += 1;
        self.log[at].push((operation, seen.clone()));
    }

    /// Applies the next operation of `origin` at `to`, if it is causally ready there.
    fn deliver(&mut self, to: usize, origin: usize, apply: impl Fn(&mut S, &O)) -> bool {
        let (state, seen) = &mut self.replicas[to];
        let Some((operation, version)) = self.log[origin].get(seen[origin]) else { return false };
        let ready = (0..seen.len()).all(|r| r == origin || version[r] <= seen[r]);
        if ready {
            apply(state, operation);
            seen[origin] += 1;
        }
        ready
    }

    fn deliver_all(&mut self, apply: impl Fn(&mut S, &O) + Copy) {
        let count = self.replicas.len();
        while (0..count * count).any(|pair| self.deliver(pair / count, pair % count, apply)) {}
    }
}

fn replica(index: usize) -> ReplicaId {
    ReplicaId::new(["A", "B", "C"][index]).unwrap()
}

/// Steps: replica, action there, and element; or a delivery from that replica.
fn steps() -> impl Strategy<Value = Vec<(usize, u8, u8)>> {
    prop::collection::vec((0..3_usize, 0..6_u8, 0..4_u8), 0..60)
}

proptest! {
    #[test]
    fn or_sets_converge_in_every_causal_order(steps in steps()) {
        let apply = |set: &mut OrSet<u8>, operation: &OrSetOp<u8>| set.apply(operation);
        let mut world: World<OrSet<u8>, OrSetOp<u8>> = World::new(3);
        for (at, action, element) in steps {
            match action {
                0 | 1 => world.write(at, |set| set.add(element, replica(at)), apply),
                2 => world.write(at, |set| set.remove(&element), apply),
                3 => world.write(at, OrSet::clear, apply),
                _ => drop(world.deliver(at, usize::from(element) % 3, apply)),
            }
        }
        world.deliver_all(apply);
        prop_assert_eq!(&world.replicas[0], &world.replicas[1]);
        prop_assert_eq!(&world.replicas[1], &world.replicas[2]);
    }

    #[test]
    fn registers_converge_in_every_causal_order(steps in steps()) {
        type Register = LwwRegister<u8>;
        let apply = |register: &mut Register, operation: &LwwUpdated<u8>| register.apply(operation.clone());
        let mut world: World<Register, LwwUpdated<u8>> = World::new(3);
        for (at, action, element) in steps {
            let now = Timestamp::from_micros(u64::from(element));
            match action {
                0..3 => world.write(at, |register| register.set(action, now, replica(at)), apply),
                _ => drop(world.deliver(at, usize::from(element) % 3, apply)),
            }
        }
        world.deliver_all(apply);
        prop_assert_eq!(&world.replicas[0], &world.replicas[1]);
        prop_assert_eq!(&world.replicas[1], &world.replicas[2]);
    }

    #[test]
    fn counters_add_up_in_every_order(deltas in prop::collection::vec(any::<i64>(), 0..20)) {
        let mut forward = Counter::default();
        let mut backward = Counter::default();
        deltas.iter().for_each(|delta| forward.apply(&forward.clone().update(*delta)));
        deltas.iter().rev().for_each(|delta| backward.apply(&CounterUpdated { delta: *delta }));
        prop_assert_eq!(forward.value(), deltas.iter().map(|delta| i128::from(*delta)).sum::<i128>());
        prop_assert_eq!(forward, backward);
    }
}

#[test]
fn an_add_wins_over_a_concurrent_remove() {
    let mut left = OrSet::default();
    left.apply(&left.add("film", replica(0)));
    let mut right = left.clone();

    let removed = left.remove(&"film");
    let added = right.add("film", replica(1));
    for (set, first, second) in [(&mut left, &removed, &added), (&mut right, &added, &removed)] {
        set.apply(first);
        set.apply(second);
        assert!(set.contains(&"film"));
    }
    assert_eq!(left, right);
}

#[test]
fn a_later_write_wins_also_when_the_clock_is_behind() {
    let mut register = LwwRegister::new("first");
    register.apply(register.set("second", Timestamp::from_micros(100), replica(0)));
    register.apply(register.set("third", Timestamp::from_micros(5), replica(1)));
    assert_eq!(register.value(), &"third");
}

#[test]
fn at_equal_times_the_replica_that_comes_first_in_the_alphabet_wins() {
    let time = Timestamp::from_micros(7);
    let [mut left, mut right] = [LwwRegister::new(""), LwwRegister::new("")];
    let from_a = left.set("a", time, replica(0));
    let from_b = right.set("b", time, replica(1));
    left.apply(from_a.clone());
    left.apply(from_b.clone());
    right.apply(from_b);
    right.apply(from_a);
    assert_eq!((left.value(), right.value()), (&"a", &"a"));
}
