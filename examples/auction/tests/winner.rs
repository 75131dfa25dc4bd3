//! An auction that ends by itself at two places, with bids at both, and its one winner.

use std::collections::BTreeMap;
use std::time::Duration;

use antiphon::LocalPlace;
use antiphon::base::time::{Clock, SystemClock};
use antiphon::prelude::*;
use antiphon::testkit::EntityTest;
use antiphon_auction::{AuctionHouse, Bid, Command, Event, Placed, provider};

const PATIENCE: Duration = Duration::from_secs(60);
const AUCTIONS: usize = 6;

fn bid(number: u64, amount: u64) -> Bid {
    Bid { number, bidder: format!("bidder-{number}"), amount }
}

/// The time in this number of seconds.
fn in_secs(secs: u64) -> Timestamp {
    Timestamp::from_micros(SystemClock.wall().as_micros() + secs * 1_000_000)
}

#[test]
fn a_lone_replica_ends_in_time_and_names_the_winner() {
    let mut auction = EntityTest::new(AuctionHouse, "auction|a-1|DC-A");
    let ends_at = auction.ask(|reply_to| Command::Get { reply_to }).unwrap().ends_at;
    assert_eq!(ends_at, None);
    // the clock of the test begins at zero
    let minute = Timestamp::from_micros(60_000_000);
    auction.ask(|reply_to| Command::Open { ends_at: minute, reply_to }).unwrap();
    for (number, amount) in [(1, 5), (2, 9), (3, 7)] {
        let bid = bid(number, amount);
        auction.ask(|reply_to| Command::Place { bid, reply_to }).unwrap();
    }
    assert!(auction.fire_reminder("end"), "it was set");
    auction.pass(Duration::from_secs(2));
    assert_eq!(auction.state().winner, Some(bid(2, 9)));
    auction.pass(Duration::from_secs(3600));
    let won = auction.new_events().into_iter().filter(|event| matches!(event, Event::Won(_)));
    assert_eq!(won.count(), 1);
    assert!(auction.reminders().iter().all(|(name, _)| &**name != "name"), "nobody looks again");
}

#[tokio::test]
async fn the_designated_replica_names_the_winner_of_bids_at_both_places_once() {
    let [a, b] = LocalPlace::connected(["DC-A", "DC-B"]);
    let replicas = ["DC-A", "DC-B"].map(|name| ReplicaId::new(name).unwrap()).to_vec();
    let (one, two) = (a.start("one").await.unwrap(), b.start("two").await.unwrap());
    let at_a = ReplicatedSharding::init(&one, provider(replicas.clone())).await.unwrap();
    let at_b = ReplicatedSharding::init(&two, provider(replicas.clone())).await.unwrap();
    let mut listeners = [at_a.events().unwrap(), at_b.events().unwrap()];

    let names: Vec<String> = (0..AUCTIONS).map(|number| format!("a-{number}")).collect();
    let designated = |name: &str| {
        let id = ReplicationId::new("auction", name, ReplicaId::empty()).unwrap();
        id.designated(&replicas).unwrap()
    };
    let homes: Vec<_> = names.iter().map(|name| designated(name)).collect();
    assert!(replicas.iter().all(|replica| homes.contains(&replica)), "both name winners");
    // the last one ends later: when it is decided, the others have had their time to go wrong
    for (number, name) in names.iter().enumerate() {
        let ends_at = in_secs(if number + 1 == AUCTIONS { 7 } else { 3 });
        let auction = at_a.entity_ref_for(name, &replicas[0]).unwrap();
        auction.ask(|reply_to| Command::Open { ends_at, reply_to }).await.unwrap();
    }
    let mut best = BTreeMap::new();
    for number in 0..60_u64 {
        let turn = usize::try_from(number).unwrap();
        let name = &names[turn % AUCTIONS];
        // the highest bid of an auction is at one place for some, and at the other for others
        let bid = bid(number, 1 + (number * 37) % 61);
        let auction = at_a.entity_ref_for(name, &replicas[(turn / AUCTIONS) % 2]).unwrap();
        let asked = bid.clone();
        let placed = auction.ask(|reply_to| Command::Place { bid: asked, reply_to }).await;
        assert_eq!(placed, Ok(Placed::Accepted));
        let best = best.entry(name.clone()).or_insert_with(|| bid.clone());
        if bid.amount > best.amount {
            *best = bid;
        }
    }

    // what each node has made durable, until the last auction is decided at both
    for (listener, replica) in listeners.iter_mut().zip(&replicas) {
        let mut won: BTreeMap<String, Vec<(ReplicaId, Option<Bid>)>> = BTreeMap::new();
        let listened = async {
            while !(won.len() == AUCTIONS && won.contains_key(&names[AUCTIONS - 1])) {
                let durable = listener.next().await.unwrap();
                if let Event::Won(bid) = durable.event {
                    let by = durable.meta.origin.clone();
                    won.entry(durable.id.entity_id().to_string()).or_default().push((by, bid));
                }
            }
        };
        tokio::time::timeout(PATIENCE, listened).await.expect("every winner is named");
        for name in &names {
            let expected = (designated(name).clone(), Some(best[name].clone()));
            assert_eq!(won[name], [expected], "{name} at {replica}");
        }
    }
    for (place, replica) in [(&at_a, &replicas[0]), (&at_b, &replicas[1])] {
        let auction = place.entity_ref_for(&names[0], replica).unwrap();
        let state = auction.ask(|reply_to| Command::Get { reply_to }).await.unwrap();
        assert_eq!((state.is_closed, state.winner.as_ref()), (true, best.get(&names[0])));
        let bid = bid(99, 1000);
        let late = auction.ask(|reply_to| Command::Place { bid, reply_to }).await.unwrap();
        assert!(matches!(late, Placed::Refused(_)));
    }
}
