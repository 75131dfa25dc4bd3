//! Delivery in every order gives the same causal result.

use std::sync::Arc;

use antiphon_base::time::Timestamp;
use bytes::Bytes;
use proptest::prelude::*;

use super::{CausalDelivery, Offered};
use crate::event::{EventMeta, Labels, Payload, SequenceNr, StoredEvent};
use crate::identity::ReplicaId;
use crate::version::VersionVector;

fn replica(name: &str) -> ReplicaId {
    ReplicaId::new(name).unwrap()
}

fn event(origin: &str, version: &[(&str, u64)]) -> StoredEvent {
    StoredEvent {
        sequence_nr: SequenceNr::new(1),
        meta: EventMeta {
            origin: replica(origin),
            version: version.iter().map(|(name, counter)| (replica(name), *counter)).collect(),
            source_seq: SequenceNr::new(1),
            concurrent: false,
            timestamp: Timestamp::from_micros(0),
            labels: Labels::none(),
        },
        payload: Payload { codec: 1, manifest: Arc::from(""), version: 1, bytes: Bytes::new() },
    }
}

fn drain(delivery: &mut CausalDelivery) -> Vec<String> {
    std::iter::from_fn(|| delivery.take_ready())
        .map(|event| format!("{}{}", event.meta.origin, event.meta.origin_nr()))
        .collect()
}

#[test]
fn an_event_waits_for_its_causes_and_then_comes_once() {
    let mut delivery = CausalDelivery::new(VersionVector::new(), 10);
    let (a1, b1) = (event("A", &[("A", 1)]), event("B", &[("A", 1), ("B", 1)]));

    assert_eq!(delivery.offer(b1.clone()), Offered::Waiting);
    assert_eq!(delivery.take_ready(), None);
    assert_eq!(delivery.offer(b1.clone()), Offered::Duplicate);
    assert_eq!(delivery.waiting_origins(), [replica("B")]);

    assert_eq!(delivery.offer(a1.clone()), Offered::Ready);
    assert_eq!(drain(&mut delivery), ["A1", "B1"]);
    assert_eq!(delivery.offer(a1), Offered::Duplicate);
    assert_eq!(delivery.offer(b1), Offered::Duplicate);
    assert_eq!(delivery.seen().to_string(), "{A:1, B:1}");
}

#[test]
fn interleaved_writers_leave_no_gap() {
    // with the journal's number as version, A's second event would look like a gap
    let mut delivery = CausalDelivery::new(VersionVector::new(), 10);
    for round in 1..=100 {
        assert_eq!(delivery.record_own(&replica("B")).get(&replica("B")), round);
        assert_eq!(delivery.offer(event("A", &[("A", round), ("B", round - 1)])), Offered::Ready);
        assert_eq!(drain(&mut delivery), [format!("A{round}")]);
    }
}

#[test]
fn a_full_buffer_drops_what_would_wait_and_takes_what_is_ready() {
    let mut delivery = CausalDelivery::new(VersionVector::new(), 1);

    assert_eq!(delivery.offer(event("A", &[("A", 2)])), Offered::Waiting);
    assert_eq!(delivery.offer(event("A", &[("A", 3)])), Offered::Full);
    assert_eq!(delivery.offer(event("A", &[("A", 1)])), Offered::Ready);
    assert_eq!(drain(&mut delivery), ["A1", "A2"]);
}

/// The history of three replicas that write and read each other at random: every event with its
/// version.
fn history(choices: &[(u8, u8)]) -> Vec<StoredEvent> {
    let names = ["A", "B", "C"];
    let mut events: Vec<StoredEvent> = Vec::new();
    let mut replicas: Vec<CausalDelivery> =
        vec![CausalDelivery::new(VersionVector::new(), 1000); 3];
    for (who, reads) in choices {
        let who = usize::from(*who) % 3;
        for event in events.iter().take(usize::from(*reads)) {
            if event.meta.origin != replica(names[who]) {
                replicas[who].offer(event.clone());
                while replicas[who].take_ready().is_some() {}
            }
        }
        let version = replicas[who].record_own(&replica(names[who]));
        let mut written = event(names[who], &[]);
        written.meta.version = version;
        events.push(written);
    }
    events
}

proptest! {
    #[test]
    fn any_arrival_order_delivers_every_event_once_and_causes_first(
        choices in prop::collection::vec((0u8..3, 0u8..30), 1..30),
        order in prop::collection::vec(any::<prop::sample::Index>(), 90),
    ) {
        let events = history(&choices);
        let mut delivery = CausalDelivery::new(VersionVector::new(), 1000);
        let mut delivered: Vec<StoredEvent> = Vec::new();
        // the same, with the short way for events that can be applied at once
        let (mut short, mut passed) = (delivery.clone(), Vec::new());
        let arrivals = order.iter().map(|index| index.get(&events)).chain(&events);
        for arrival in arrivals {
            delivery.offer(arrival.clone());
            while let Some(ready) = delivery.take_ready() {
                for (origin, counter) in ready.meta.version.iter() {
                    let had = delivered.iter().filter(|e| e.meta.origin == *origin).count() as u64;
                    let needed = if *origin == ready.meta.origin { counter - 1 } else { counter };
                    prop_assert!(had >= needed, "{origin}:{counter} is missing");
                }
                delivered.push(ready);
            }
            let mut arrival = arrival.clone();
            if short.passes(&mut arrival) {
                passed.push(arrival);
            } else {
                short.offer(arrival);
            }
            passed.extend(std::iter::from_fn(|| short.take_ready()));
            prop_assert_eq!(&passed, &delivered);
            prop_assert_eq!(short.seen(), delivery.seen());
        }
        prop_assert_eq!(delivered.len(), events.len());
        prop_assert_eq!(delivery.waiting_count(), 0);
    }
}

#[test]
fn what_is_held_takes_no_room_and_holds_up_only_what_depends_on_it() {
    let mut delivery = CausalDelivery::new(VersionVector::new(), 10);
    let (a1, a2) = (event("A", &[("A", 1)]), event("A", &[("A", 2)]));
    assert_eq!(delivery.offer(a2.clone()), Offered::Waiting);
    assert_eq!(delivery.offer(a1.clone()), Offered::Ready);
    let taken = delivery.take_ready().unwrap();
    delivery.put_back(&taken);
    delivery.hold(&taken.meta.origin, 1);
    assert_eq!((delivery.take_ready(), delivery.waiting_count()), (None, 0));
    assert_eq!(delivery.offer(a1.clone()), Offered::Held);
    assert_eq!(delivery.offer(a2.clone()), Offered::Held);

    assert_eq!(delivery.offer(event("C", &[("C", 1)])), Offered::Ready);
    assert!(delivery.take_ready().is_some());
    assert_eq!(delivery.offer(event("B", &[("A", 1), ("B", 1)])), Offered::Waiting);
    assert_eq!(delivery.take_ready(), None);

    delivery.free(&taken.meta.origin);
    assert_eq!(delivery.offer(a1), Offered::Ready);
    assert_eq!(delivery.take_ready().unwrap().meta.origin.as_str(), "A");
    assert_eq!(delivery.take_ready().unwrap().meta.origin.as_str(), "B");
    assert_eq!(delivery.offer(a2), Offered::Ready);
}

/// B's journal went back while `b1`, which has seen `a1`, waited here; B wrote its number anew.
#[test]
fn a_newer_event_of_a_waiting_number_is_taken_at_once_when_it_is_ready() {
    let mut delivery = CausalDelivery::new(VersionVector::new(), 10);
    assert_eq!(delivery.offer(event("B", &[("A", 1), ("B", 1)])), Offered::Waiting);
    let mut anew = event("B", &[("B", 1)]);
    anew.meta.timestamp = Timestamp::from_micros(1);
    assert_eq!(delivery.offer(anew.clone()), Offered::Ready);
    assert_eq!(delivery.take_ready(), Some(anew.clone()));
    assert_eq!(delivery.offer(anew), Offered::Duplicate);
}

#[test]
fn an_event_that_waits_through_two_turns_has_to_be_read_again() {
    let mut delivery = CausalDelivery::new(VersionVector::new(), 10);
    let (own, c1) = (replica("C"), event("C", &[("A", 1), ("C", 1)]));
    let b1 = event("B", &[("A", 1), ("B", 1)]);
    assert_eq!(delivery.offer(b1.clone()), Offered::Waiting);
    assert_eq!(delivery.offer(c1), Offered::Waiting);
    assert!(delivery.turn(&own).is_empty());
    // its journal still has the event
    assert_eq!(delivery.offer(b1.clone()), Offered::Duplicate);
    assert!(delivery.turn(&own).is_empty());
    assert_eq!(delivery.turn(&own), [replica("B")]);
    assert_eq!(delivery.offer(event("A", &[("A", 1)])), Offered::Ready);
    assert_eq!(drain(&mut delivery), ["A1", "C1"]);
    assert_eq!(delivery.offer(b1), Offered::Ready);
}

#[test]
#[should_panic(expected = "event 1 would be numbered twice")]
fn no_own_event_is_numbered_while_one_waits() {
    let mut delivery = CausalDelivery::new(VersionVector::new(), 10);
    assert_eq!(delivery.offer(event("A", &[("A", 1), ("B", 1)])), Offered::Waiting);
    delivery.record_own(&replica("A"));
}
