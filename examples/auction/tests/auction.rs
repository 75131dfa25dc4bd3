//! S24: the auction against a sequential oracle, and the recorded stream.

use antiphon::testkit::EntityTest;
use antiphon_auction::{AuctionHouse, Bid, Bids, Command, Placed, recorded};

#[test]
fn the_recorded_stream_is_what_its_seed_makes() {
    let recorded = recorded();
    assert_eq!(recorded, Bids::RECORDED.generate());
    assert!(recorded.len() >= 10_000);
    let auctions: std::collections::BTreeSet<_> = recorded.iter().map(|bid| &bid.auction).collect();
    assert_eq!(auctions.len(), 200);
}

#[test]
fn the_highest_bid_wins_and_bids_after_the_end_are_refused() {
    let mut auction = EntityTest::new(AuctionHouse, "auction|a-1|DC-A");
    let mut oracle = 0;
    let bids = Bids { seed: 7, count: 500, auctions: 1 };
    for line in bids.generate() {
        oracle = oracle.max(line.bid.amount);
        let placed = auction.ask(|reply_to| Command::Place { bid: line.bid, reply_to });
        assert_eq!(placed, Ok(Placed::Accepted));
    }
    assert_eq!(auction.state().best.as_ref().unwrap().0.amount, oracle);

    let closed = auction.ask(|reply_to| Command::Finish { reply_to }).unwrap();
    assert!(closed.is_closed, "the only replica has finished");
    let late = Bid { number: 1, bidder: "b".into(), amount: 1_000_000 };
    let placed = auction.ask(|reply_to| Command::Place { bid: late, reply_to }).unwrap();
    assert!(matches!(placed, Placed::Refused(_)));
    assert_eq!(auction.new_events().len(), 501);
}

#[test]
fn the_replicas_agree_on_the_best_bid_and_close_when_all_have_ended() {
    let mut auction = EntityTest::replicas(AuctionHouse, "auction|a-1", ["DC-A", "DC-B"]);
    auction.concurrently(|auction| {
        // equal amounts: the earlier bid is better
        for (at, number, amount) in [("DC-A", 1, 5), ("DC-B", 2, 9), ("DC-A", 3, 9)] {
            let bid = Bid { number, bidder: format!("bidder-{number}"), amount };
            auction.at(at).ask(|reply_to| Command::Place { bid, reply_to }).unwrap();
        }
    });
    auction.concurrently(|auction| {
        for at in ["DC-A", "DC-B"] {
            let here = auction.at(at).ask(|reply_to| Command::Finish { reply_to }).unwrap();
            assert!(!here.is_closed, "the other one takes bids");
        }
    });
    let closed = auction.at("DC-B").state();
    assert_eq!(closed.best.as_ref().map(|(bid, _)| bid.number), Some(2));
    assert!(closed.is_closed);
    auction.pass(std::time::Duration::from_secs(2));
    auction.deliver_all();
    auction.assert_converged();
    let named = auction.at("DC-A").new_events().into_iter();
    assert_eq!(named.filter(|event| matches!(event, antiphon_auction::Event::Won(_))).count(), 1);
}
