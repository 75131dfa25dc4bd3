//! The promises of tickets, as a sequential model: the events in the journal of a place are walked
//! one after the other, with an account for each place, and compared with the answers of buyers.

use std::collections::BTreeMap;

use antiphon::prelude::crdt::BoundedOp;
use antiphon_shop::{Tally, TicketsEvent};

/// A run: the outcomes that buyers were told of, and a journal at the end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Run {
    /// The tickets that came in.
    pub(crate) put: u64,
    /// By buyer, the tickets of a sale that was answered.
    pub(crate) sold: BTreeMap<String, u64>,
    /// By buyer, the tickets of a sale without an answer.
    pub(crate) unknown: BTreeMap<String, u64>,
    /// The events in the journal of a place: the place that wrote each, and the event.
    pub(crate) events: Vec<(String, TicketsEvent)>,
    /// The numbers that each place answers with.
    pub(crate) tallies: Vec<Tally>,
}

/// By place, the tickets that it can sell.
type Accounts = BTreeMap<String, u64>;

fn take(accounts: &mut Accounts, place: &str, count: u64) -> Result<(), String> {
    let has = accounts.entry(place.to_owned()).or_default();
    let left = has.checked_sub(count);
    *has = left.ok_or_else(|| format!("{place} takes {count} of {has}"))?;
    Ok(())
}

/// Applies the operation of an event; returns its number of tickets.
fn step(accounts: &mut Accounts, place: &str, event: &TicketsEvent) -> Result<u64, String> {
    match event {
        TicketsEvent::Put(BoundedOp::Increased { amount }) => {
            *accounts.entry(place.to_owned()).or_default() += amount;
            Ok(*amount)
        }
        TicketsEvent::Sold { tickets: BoundedOp::Decreased { amount, .. }, .. } => {
            take(accounts, place, *amount)?;
            Ok(*amount)
        }
        TicketsEvent::Given(BoundedOp::Transferred { to, amount, .. }) => {
            take(accounts, place, *amount)?;
            *accounts.entry(to.to_string()).or_default() += amount;
            Ok(*amount)
        }
        TicketsEvent::Put(other)
        | TicketsEvent::Sold { tickets: other, .. }
        | TicketsEvent::Given(other) => Err(format!("{event:?} with {other:?}")),
    }
}

/// Returns every broken promise of a run that has come to rest.
pub(crate) fn broken(run: &Run) -> Vec<String> {
    let mut found = Vec::new();
    let (mut accounts, mut came_in, mut sold) = (Accounts::new(), 0, BTreeMap::new());
    for (place, event) in &run.events {
        let count = match step(&mut accounts, place, event) {
            Ok(count) => count,
            Err(why) => {
                found.push(why);
                continue;
            }
        };
        match event {
            TicketsEvent::Put(_) => came_in += count,
            TicketsEvent::Sold { buyer, .. } => {
                if sold.insert(buyer.clone(), count).is_some() {
                    found.push(format!("{buyer} has bought twice"));
                }
            }
            TicketsEvent::Given(_) => {}
        }
    }
    for (buyer, count) in &run.sold {
        let has = sold.get(buyer);
        if has != Some(count) {
            found.push(format!("{buyer} was told of {count}, and has {has:?}"));
        }
    }
    for (buyer, count) in &sold {
        let told = run.sold.get(buyer).or_else(|| run.unknown.get(buyer));
        if told != Some(count) {
            found.push(format!("{buyer} has {count}, and was told of {told:?}"));
        }
    }
    let (sales, left) = (sold.values().sum::<u64>(), accounts.values().sum::<u64>());
    if came_in != run.put || sales + left != run.put {
        let put = run.put;
        found.push(format!("{put} were put: {came_in} came in, {sales} sold, {left} left"));
    }
    for tally in &run.tallies {
        if (tally.left, tally.sold) != (left, sales) {
            found.push(format!("{tally:?}, expected {left} left and {sales} sold"));
        }
    }
    found
}

/// Three of ten tickets are sold, by a place that was given two.
fn kept() -> Run {
    let place = |name| antiphon::prelude::ReplicaId::new(name).expect("a place");
    let given = |amount| BoundedOp::Transferred { to: place("B"), amount, received: 0 };
    let decreased = |amount, received| BoundedOp::Decreased { amount, received };
    let sale = |buyer: &str, tickets| TicketsEvent::Sold { buyer: buyer.to_owned(), tickets };
    let events = [
        ("A", TicketsEvent::Put(BoundedOp::Increased { amount: 10 })),
        ("A", TicketsEvent::Given(given(2))),
        ("B", sale("bob", decreased(2, 2))),
        ("A", sale("ada", decreased(1, 0))),
    ];
    Run {
        put: 10,
        sold: [("bob".to_owned(), 2)].into(),
        unknown: [("ada".to_owned(), 1)].into(),
        events: events.map(|(place, event)| (place.to_owned(), event)).into(),
        tallies: vec![Tally { left: 7, here: 7, sold: 3 }, Tally { left: 7, here: 0, sold: 3 }],
    }
}

#[test]
fn a_sale_of_tickets_that_keeps_its_promises_has_none_broken() {
    assert_eq!(broken(&kept()), Vec::<String>::new());
}

#[test]
fn each_broken_promise_of_tickets_is_found() {
    type Plant = fn(&mut Run);
    let planted: [(&str, Plant); 6] = [
        ("B takes 2 of 0", |run| run.events.swap(1, 2)),
        ("ada has bought twice", |run| run.events.push(run.events[3].clone())),
        ("bob was told of 2, and has None", |run| drop(run.events.remove(2))),
        ("ada has 1, and was told of None", |run| run.unknown.clear()),
        ("9 were put: 10 came in", |run| run.put = 9),
        ("expected 7 left and 3 sold", |run| run.tallies[1].left = 8),
    ];
    for (expected, plant) in planted {
        let mut run = kept();
        plant(&mut run);
        let found = broken(&run);
        assert!(found.iter().any(|found| found.contains(expected)), "{expected}: {found:?}");
    }
}
