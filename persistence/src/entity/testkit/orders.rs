//! The orders in which events can arrive: none before an event that its writer had seen.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::StoredEvent;
use crate::identity::ReplicaId;

/// Numbers that follow from a seed alone (SplitMix64).
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `end`, which is above zero.
    pub(super) fn below(&mut self, end: usize) -> usize {
        assert!(end > 0, "no number is below zero");
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let mixed = mixed ^ (mixed >> 31);
        usize::try_from(mixed % end as u64).unwrap_or(0)
    }
}

/// An event by its origin and its number there.
pub(super) type Name = (ReplicaId, u64);

pub(super) fn name(event: &StoredEvent) -> Name {
    (event.meta.origin.clone(), event.meta.origin_nr())
}

/// Events that one replica has not, in the causal orders in which they can arrive.
pub(super) struct Arrivals<'a>(&'a BTreeMap<Name, StoredEvent>);

impl<'a> Arrivals<'a> {
    pub(super) fn of(events: &'a BTreeMap<Name, StoredEvent>) -> Self {
        Self(events)
    }

    /// The events that can be next behind `before`.
    fn next(&self, before: &[&'a Name]) -> Vec<&'a Name> {
        let before: BTreeSet<&Name> = before.iter().copied().collect();
        // the first one of each origin: the others wait for it
        let mut first = BTreeMap::new();
        for (name, event) in self.0.iter().filter(|(name, _)| !before.contains(name)) {
            first.entry(&name.0).or_insert((name, event));
        }
        let waits = |name: &Name, event: &StoredEvent| {
            let mut others = first.values().filter(|(other, _)| *other != name);
            others.any(|(other, _)| event.meta.version.get(&other.0) >= other.1)
        };
        let is_next = |(name, event): &&(&'a Name, &StoredEvent)| !waits(name, event);
        first.values().filter(is_next).map(|(name, _)| *name).collect()
    }

    /// A causal order by chance.
    pub(super) fn shuffled(&self, random: &mut Random) -> Vec<&'a Name> {
        let mut order = Vec::with_capacity(self.0.len());
        while order.len() < self.0.len() {
            let next = self.next(&order);
            order.push(next[random.below(next.len())]);
        }
        order
    }

    /// All causal orders, or `max` of them by chance if there are more.
    pub(super) fn orders(&self, max: usize, random: &mut Random) -> Vec<Vec<&'a Name>> {
        let mut all = Vec::new();
        self.extend(&mut Vec::new(), max, &mut all);
        if all.len() > max {
            all = (0..max).map(|_| self.shuffled(random)).collect();
        }
        all
    }

    /// Adds the orders that begin with `before`, until there are more than `max`.
    fn extend(&self, before: &mut Vec<&'a Name>, max: usize, all: &mut Vec<Vec<&'a Name>>) {
        if all.len() > max {
            return;
        }
        if before.len() == self.0.len() {
            return all.push(before.clone());
        }
        for next in self.next(before) {
            before.push(next);
            self.extend(before, max, all);
            before.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use antiphon_base::time::Timestamp;

    use super::*;
    use crate::event::{EventMeta, Labels, Payload, SequenceNr};
    use crate::version::VersionVector;

    /// An event of `origin`, whose writer had seen this many events of each replica.
    fn event(origin: &str, seen: &[(&str, u64)]) -> (Name, StoredEvent) {
        let replica = |name: &str| ReplicaId::new(name).unwrap();
        let mut version = VersionVector::new();
        seen.iter().for_each(|(name, count)| version.set(&replica(name), *count));
        let meta = EventMeta {
            origin: replica(origin),
            version,
            source_seq: SequenceNr::new(1),
            concurrent: false,
            timestamp: Timestamp::default(),
            labels: Labels::default(),
        };
        let bytes = bytes::Bytes::new();
        let payload = Payload { codec: 1, manifest: "".into(), version: 1, bytes };
        let event = StoredEvent { sequence_nr: SequenceNr::new(1), meta, payload };
        (name(&event), event)
    }

    fn texts(orders: &[Vec<&Name>]) -> BTreeSet<String> {
        let text = |(origin, number): &&Name| format!("{origin}{number}");
        orders.iter().map(|order| order.iter().map(text).collect::<Vec<_>>().join(" ")).collect()
    }

    #[test]
    fn all_orders_of_few_events_are_found_and_each_is_causal() {
        let events = BTreeMap::from([
            event("A", &[("A", 1)]),
            event("A", &[("A", 2), ("B", 1)]),
            event("B", &[("B", 1)]),
            event("C", &[("C", 1)]),
        ]);
        let all = Arrivals::of(&events).orders(100, &mut Random::new(1));
        let texts = texts(&all);
        assert_eq!((all.len(), texts.len()), (8, 8), "{texts:?}");
        let is_causal = |order: &String| {
            let at = |name: &str| order.find(name).unwrap();
            at("A1") < at("A2") && at("B1") < at("A2")
        };
        assert!(texts.iter().all(is_causal), "{texts:?}");
    }

    #[test]
    fn orders_of_many_events_are_taken_by_chance_and_the_seed_decides() {
        let names = ["A", "B", "C", "D", "E", "F"];
        let events: BTreeMap<_, _> = names.iter().map(|name| event(name, &[(name, 1)])).collect();
        let arrivals = Arrivals::of(&events);
        let of_seed = |seed| texts(&arrivals.orders(20, &mut Random::new(seed)));
        assert!(of_seed(1).len() > 10, "{:?}", of_seed(1));
        assert_eq!(of_seed(1), of_seed(1));
        assert_ne!(of_seed(1), of_seed(2));
    }
}
