//! The tickets of one event, divided among the places: each place sells its own allotment without
//! asking anybody, and gives a part of it away.
//!
//! A [`BoundedCounter`] counts the tickets that are left. Its rights are the allotments, so the
//! number is never below zero, whichever places sell at the same time.

use antiphon::prelude::crdt::{
    BoundedCounter, BoundedOp, MissingRights, OperationContext, StandaloneContext,
};
use antiphon::prelude::*;
use serde::{Deserialize, Serialize};

/// The events of the tickets of one event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TicketsEvent {
    /// Tickets came in at a place.
    Put(BoundedOp),
    /// A place sold tickets of its own.
    Sold {
        /// The name of the buyer.
        buyer: String,
        /// The tickets that are gone.
        tickets: BoundedOp,
    },
    /// A place gave tickets of its own to another one.
    Given(BoundedOp),
}

/// The tickets of one event, as one place sees them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allotment {
    /// The tickets that are left.
    left: BoundedCounter,
    /// The tickets that ever came in.
    came_in: u64,
}

/// The number of tickets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// The tickets that are left at all places, as seen here.
    pub left: u64,
    /// Those of this place, which it can sell without asking.
    pub here: u64,
    /// The tickets that were sold at all places, as seen here.
    pub sold: u64,
}

impl Allotment {
    /// The number of tickets, as the place `here` sees them.
    pub fn tally(&self, here: &ReplicaId) -> Tally {
        let left = self.left();
        Tally { left, here: self.left.rights(here), sold: self.came_in.saturating_sub(left) }
    }

    /// The tickets that are left at all places.
    pub fn left(&self) -> u64 {
        u64::try_from(self.left.value().max(0)).unwrap_or(u64::MAX)
    }

    /// The tickets that ever came in.
    pub fn came_in(&self) -> u64 {
        self.came_in
    }

    /// The events of `count` tickets that come in at the place `here`: all places get equal parts,
    /// and `here` gets the rest.
    pub fn put(&self, count: u32, here: &ReplicaId, places: &[ReplicaId]) -> Vec<TicketsEvent> {
        let part = u64::from(count) / u64::try_from(places.len()).unwrap_or(u64::MAX).max(1);
        let mut draft = self.left.clone();
        let context = StandaloneContext::new(here.clone(), 0);
        let came_in = draft.increment(u64::from(count));
        draft.apply(&came_in, &context);
        let mut events = vec![TicketsEvent::Put(came_in)];
        for place in places.iter().filter(|place| *place != here && part > 0) {
            // the place has all of them: it can give a part to each
            if let Ok(given) = draft.transfer(part, here, place.clone()) {
                draft.apply(&given, &context);
                events.push(TicketsEvent::Given(given));
            }
        }
        events
    }

    /// The event of a sale at the place `here`.
    ///
    /// # Errors
    /// The tickets that are missing here, and the places that have some.
    pub fn sell(
        &self,
        buyer: &str,
        count: u32,
        here: &ReplicaId,
    ) -> std::result::Result<TicketsEvent, MissingRights> {
        let tickets = self.left.decrement(u64::from(count), here)?;
        Ok(TicketsEvent::Sold { buyer: buyer.to_owned(), tickets })
    }

    /// The event by which the place `here` gives tickets to the place `to`, which needs `count`,
    /// and their number: `count` and half of the others, so that `to` need not ask for each sale,
    /// or all when there are fewer. `None` when there are none.
    pub fn give(&self, count: u64, here: &ReplicaId, to: ReplicaId) -> Option<(u64, TicketsEvent)> {
        let has = self.left.rights(here);
        let given = count.min(has) + has.saturating_sub(count) / 2;
        let event = (given > 0).then(|| self.left.transfer(given, here, to))?;
        Some((given, TicketsEvent::Given(event.ok()?)))
    }

    /// Applies an event.
    pub fn apply(&mut self, event: &TicketsEvent, context: &dyn OperationContext) {
        match event {
            TicketsEvent::Put(operation) => {
                let before = self.left();
                self.left.apply(operation, context);
                self.came_in = self.came_in.saturating_add(self.left().saturating_sub(before));
            }
            TicketsEvent::Sold { tickets: operation, .. } | TicketsEvent::Given(operation) => {
                self.left.apply(operation, context);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places() -> [ReplicaId; 3] {
        ["A", "B", "C"].map(|name| ReplicaId::new(name).unwrap())
    }

    fn after(origin: &ReplicaId, events: &[TicketsEvent], mut to: Allotment) -> Allotment {
        let context = StandaloneContext::new(origin.clone(), 1);
        events.iter().for_each(|event| to.apply(event, &context));
        to
    }

    #[test]
    fn tickets_that_come_in_are_divided_among_the_places() {
        let [a, b, c] = places();
        let events = Allotment::default().put(11, &a, &places());
        let all = after(&a, &events, Allotment::default());
        let here = [&a, &b, &c].map(|place| all.tally(place).here);
        assert_eq!((here, all.left(), all.came_in()), ([5, 3, 3], 11, 11));
        let few = Allotment::default().put(2, &b, &places());
        let few = after(&b, &few, Allotment::default());
        assert_eq!((few.tally(&b).here, few.tally(&a).here), (2, 0));
    }

    #[test]
    fn a_place_sells_and_gives_what_it_has_and_no_more() {
        let [a, b, _] = places();
        let all = after(&a, &Allotment::default().put(12, &a, &places()), Allotment::default());
        let missing = all.sell("ada", 5, &a).unwrap_err();
        assert_eq!((missing.missing, missing.elsewhere[&b]), (1, 4));
        // one that is needed, and half of the other three
        let (given, event) = all.give(1, &b, a.clone()).unwrap();
        let all = after(&b, &[event], all);
        assert_eq!((given, all.tally(&a).here, all.tally(&b).here), (2, 6, 2));
        let sold = all.sell("ada", 5, &a).unwrap();
        let all = after(&a, &[sold], all);
        assert_eq!(all.tally(&a), Tally { left: 7, here: 1, sold: 5 });
        let (given, event) = all.give(9, &b, a.clone()).unwrap();
        let all = after(&b, &[event], all);
        assert_eq!((given, all.give(1, &b, a)), (2, None));
    }
}
