//! The laws: replicas that applied the same operations, each in some causal order, are equal.

mod codecs;
mod costs;
mod escrow;
mod hostile;
mod laws;
mod lists;
mod maps;
mod numbers;
mod single;

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::*;
use crate::codec::CodecId;
use crate::identity::ReplicaId;

/// The values of the laws.
trait Law:
    Replicated<Operation: Clone + Debug>
    + Clone
    + Default
    + Debug
    + PartialEq
    + Serialize
    + DeserializeOwned
{
}

impl<V> Law for V where
    V: Replicated<Operation: Clone + Debug>
        + Clone
        + Default
        + Debug
        + PartialEq
        + Serialize
        + DeserializeOwned
{
}

fn replica(index: usize) -> ReplicaId {
    ReplicaId::new(["A", "B", "C"][index]).unwrap()
}

/// The operations of one event, with what its replica had seen.
#[derive(Debug, Clone)]
struct Written<O> {
    operations: Vec<O>,
    /// By origin, the events up to this one.
    version: [usize; 3],
}

/// Three replicas that take events from each other in any causal order.
struct World<V: Replicated> {
    replicas: Vec<(V, [usize; 3])>,
    /// Events by origin, in the order of their origin.
    log: [Vec<Written<V::Operation>>; 3],
}

impl<V: Law> World<V> {
    fn new() -> Self {
        let replicas = (0..3).map(|_| (V::default(), [0; 3])).collect();
        Self { replicas, log: Default::default() }
    }

    fn state(&self, at: usize) -> &V {
        &self.replicas[at].0
    }

    /// Writes an event of these operations.
    fn write(&mut self, at: usize, prepare: impl FnOnce(&V) -> Vec<V::Operation>) {
        let (state, seen) = &mut self.replicas[at];
        let operations = prepare(state);
        seen[at] += 1;
        apply(state, at, seen[at], &operations);
        self.log[at].push(Written { operations, version: *seen });
    }

    /// Applies the next event of `origin` at `to`, if it is causally ready there.
    fn deliver(&mut self, to: usize, origin: usize) -> bool {
        let (state, seen) = &mut self.replicas[to];
        let Some(event) = self.log[origin].get(seen[origin]) else { return false };
        let ready = (0..3).all(|r| r == origin || event.version[r] <= seen[r]);
        if ready {
            seen[origin] += 1;
            apply(state, origin, seen[origin], &event.operations);
        }
        ready
    }

    fn deliver_all(&mut self) {
        while (0..9).any(|pair| self.deliver(pair / 3, pair % 3)) {}
    }

    /// Begins again from a snapshot.
    fn restart(&mut self, at: usize) {
        let bytes = CodecId::Bincode.encode(&self.replicas[at].0).unwrap();
        self.replicas[at].0 = CodecId::Bincode.decode(&bytes).unwrap();
    }

    /// A random walk; `write` makes the operations of an event.
    fn walk(steps: &[Step], write: impl Fn(&V, &ReplicaId, u8, u8) -> Vec<V::Operation>) -> Self {
        Self::watched(steps, write, |_| ())
    }

    /// A random walk that is looked at after each step.
    fn watched(
        steps: &[Step],
        write: impl Fn(&V, &ReplicaId, u8, u8) -> Vec<V::Operation>,
        look: impl Fn(&V),
    ) -> Self {
        let mut world = Self::new();
        for (at, action, argument) in steps.iter().copied() {
            match action {
                0..6 => world.write(at, |state| write(state, &replica(at), action, argument)),
                6 => world.restart(at),
                _ => drop(world.deliver(at, usize::from(argument) % 3)),
            }
            look(world.state(at));
        }
        while let Some(pair) = (0..9).find(|pair| world.deliver(pair / 3, pair % 3)) {
            look(world.state(pair / 3));
        }
        assert_eq!(world.state(0), world.state(1));
        assert_eq!(world.state(1), world.state(2));
        world
    }

    /// All events in an order that each replica could have had, with their origin and number.
    fn history(&self) -> Vec<(usize, usize, &Written<V::Operation>)> {
        let events = self.log.iter().enumerate();
        let mut events: Vec<_> = events
            .flat_map(|(at, log)| {
                log.iter().enumerate().map(move |(nr, event)| (at, nr + 1, event))
            })
            .collect();
        events.sort_by_key(|(at, _, event)| (event.version.iter().sum::<usize>(), *at));
        events
    }
}

fn apply<V: Replicated>(state: &mut V, origin: usize, number: usize, operations: &[V::Operation]) {
    let context = StandaloneContext::new(replica(origin), number as u64);
    operations.iter().for_each(|operation| state.apply(operation, &context));
}

/// Prepares an operation from the state, and applies it as event `number` of `origin`.
fn change<V: Replicated>(
    state: &mut V,
    origin: usize,
    number: usize,
    prepare: impl FnOnce(&V) -> V::Operation,
) {
    let operation = prepare(state);
    apply(state, origin, number, &[operation]);
}

/// A replica, an action there, and its argument.
type Step = (usize, u8, u8);

fn steps() -> impl proptest::strategy::Strategy<Value = Vec<Step>> {
    proptest::collection::vec((0..3_usize, 0..12_u8, 0..=255_u8), 0..70)
}

/// The operations of a random event of each type, for the laws and for the maps.
mod random {
    use antiphon_base::time::Timestamp;

    use super::*;

    pub(super) fn counter(state: &Counter, _: &ReplicaId, _: u8, n: u8) -> Vec<CounterUpdated> {
        vec![state.update(i64::from(n) - 100)]
    }

    pub(super) fn lww(
        state: &LwwRegister<u8>,
        here: &ReplicaId,
        _: u8,
        n: u8,
    ) -> Vec<LwwUpdated<u8>> {
        vec![state.set(n, Timestamp::from_micros(u64::from(n % 8)), here)]
    }

    pub(super) fn resettable(
        state: &ResettableCounter,
        _: &ReplicaId,
        action: u8,
        n: u8,
    ) -> Vec<ResettableOp> {
        match action {
            0..4 => vec![state.update(i64::from(n) - 100)],
            4 => vec![state.update(1), state.set_back(), state.update(2)],
            _ => vec![state.set_back()],
        }
    }

    pub(super) fn bounded(
        state: &BoundedCounter,
        here: &ReplicaId,
        action: u8,
        n: u8,
    ) -> Vec<BoundedOp> {
        let (amount, to) = (u64::from(n % 16), replica(usize::from(n) % 3));
        match action {
            0 | 1 => vec![state.increment(amount)],
            2 => state.transfer(amount, here, to).into_iter().collect(),
            // both from the same state: there may be rights for the first one alone
            3 => state.decrement(amount, here).into_iter().cycle().take(2).collect(),
            _ => state.decrement(amount, here).into_iter().collect(),
        }
    }

    pub(super) fn multi_value(
        state: &MultiValueRegister<u8>,
        _: &ReplicaId,
        action: u8,
        n: u8,
    ) -> Vec<MultiValueOp<u8>> {
        match action {
            0..4 => vec![state.write(n)],
            4 => vec![state.write(n), state.write(n ^ 1)],
            _ => vec![state.clear()],
        }
    }

    pub(super) fn enable_wins(
        state: &EnableWinsFlag,
        _: &ReplicaId,
        action: u8,
        _: u8,
    ) -> Vec<EnableWinsOp> {
        vec![if action.is_multiple_of(2) { state.enable() } else { state.disable() }]
    }

    pub(super) fn disable_wins(
        state: &DisableWinsFlag,
        _: &ReplicaId,
        action: u8,
        _: u8,
    ) -> Vec<DisableWinsOp> {
        vec![if action.is_multiple_of(2) { state.enable() } else { state.disable() }]
    }

    pub(super) fn set(state: &OrSet<u8>, here: &ReplicaId, action: u8, n: u8) -> Vec<OrSetOp<u8>> {
        let n = n % 8;
        match action {
            0 => vec![state.add(n, here)],
            1 => vec![state.add_all([n, n ^ 1], here)],
            2 => vec![state.add(n, here), state.add(n ^ 2, here), state.remove(&n)],
            3 => vec![state.remove(&n)],
            4 => vec![state.remove_all(&[n, n ^ 1])],
            _ => vec![state.clear()],
        }
    }

    pub(super) fn sequence(
        state: &Sequence<u8>,
        _: &ReplicaId,
        action: u8,
        n: u8,
    ) -> Vec<SequenceOp<u8>> {
        let at = usize::from(n) % (state.len() + 1);
        match action {
            0 => vec![state.insert(at, [n])],
            1 => vec![state.insert(at, [n, n, n])],
            2 => vec![state.insert(at, [n, n]), state.insert(at, [n])],
            3 => vec![state.remove(at..at + 2)],
            4 => vec![state.insert(0, [n])],
            _ => vec![state.push([n])],
        }
    }

    /// The operations on a map of these values.
    type MapOps<V> = Vec<OrMapOp<u8, OperationOf<V>>>;

    pub(super) fn map<V: Law>(
        of_value: impl Fn(&V, &ReplicaId, u8, u8) -> Vec<V::Operation>,
    ) -> impl Fn(&OrMap<u8, V>, &ReplicaId, u8, u8) -> MapOps<V> {
        move |state, here, action, n| {
            let (key, argument) = (n % 3, n / 3);
            let update = |action| {
                let mut made = Vec::new();
                let _ = state.try_update(key, |value| {
                    made = of_value(value, here, action, argument);
                    Err::<V::Operation, ()>(())
                });
                made.into_iter().map(|operation| OrMapOp::Updated { key, operation }).collect()
            };
            match action {
                0..4 => update(action.wrapping_add(n / 7) % 6),
                4 => vec![state.remove(&key)],
                _ if n % 5 == 0 => vec![state.clear()],
                _ => vec![state.remove_all(&[key, key ^ 1])],
            }
        }
    }
}
