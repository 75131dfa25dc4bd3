//! An auction that takes bids in several places at once and ends with one winner everywhere.
//!
//! The best bid is the highest one, then the earliest, then the one of the smaller bidder and number: an order that does not depend on
//! which bid a replica saw first. Each replica ends the auction for itself ([`Event::Finished`]); it is closed when all have, and then no
//! bid can be under way any more, because events arrive causally.

mod bids;

use std::collections::BTreeSet;

use antiphon::prelude::*;
pub use bids::{Bids, RecordedBid, recorded};
use serde::{Deserialize, Serialize};

/// A bid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bid {
    /// Chosen by the bidder's client, so that a bid can be recognised.
    pub number: u64,
    /// Who.
    pub bidder: String,
    /// How much, above zero.
    pub amount: u64,
}

/// What an auction is asked.
#[derive(Debug, Serialize, Deserialize)]
pub enum Command {
    /// Places a bid; answers whether it was taken.
    Place {
        /// The bid.
        bid: Bid,
        /// Where the answer goes.
        reply_to: ReplyTo<Placed>,
    },
    /// Ends the auction at this replica.
    Finish {
        /// Where the answer goes.
        reply_to: ReplyTo<Auction>,
    },
    /// Answers with what is known here.
    Get {
        /// Where the answer goes.
        reply_to: ReplyTo<Auction>,
    },
}

/// The answer to a bid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Placed {
    /// It counts.
    Accepted,
    /// It does not; why.
    Refused(String),
}

/// What has happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// A bid was placed.
    Placed(Bid),
    /// A replica takes no more bids.
    Finished,
}

/// What is known of an auction at a replica.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Auction {
    /// The best bid, with its time.
    pub best: Option<(Bid, Timestamp)>,
    /// How many bids were placed.
    pub bid_count: u64,
    /// The replicas that take no more bids.
    pub finished: BTreeSet<ReplicaId>,
    /// Whether all of them have: then the best bid is the winner.
    pub is_closed: bool,
}

/// The behaviour.
pub struct AuctionHouse;

impl EventSourced for AuctionHouse {
    type Command = Command;
    type Event = Event;
    type State = Auction;

    fn on_command(
        &self,
        context: &CommandContext,
        auction: &Auction,
        command: Command,
    ) -> Effect<Self> {
        let has_finished = auction.finished.contains(context.replica_id());
        match command {
            Command::Place { bid, reply_to } if bid.amount == 0 => {
                let why = format!("`amount`: expected above 0, actual {}", bid.amount);
                Effect::reply(reply_to, Placed::Refused(why))
            }
            Command::Place { reply_to, .. } if has_finished => {
                Effect::reply(reply_to, Placed::Refused("the auction has ended here".into()))
            }
            Command::Place { bid, reply_to } => {
                Effect::persist(Event::Placed(bid)).then_reply(reply_to, |_| Placed::Accepted)
            }
            Command::Finish { reply_to } if has_finished => {
                Effect::reply(reply_to, auction.clone())
            }
            Command::Finish { reply_to } => {
                Effect::persist(Event::Finished).then_reply(reply_to, Auction::clone)
            }
            Command::Get { reply_to } => Effect::reply(reply_to, auction.clone()),
        }
    }

    fn on_event(&self, context: &EventContext, auction: &mut Auction, event: &Event) {
        match event {
            Event::Placed(bid) => {
                auction.bid_count += 1;
                let new = (bid.clone(), context.current_time());
                let is_better = auction.best.as_ref().is_none_or(|best| beats(&new, best));
                if is_better {
                    auction.best = Some(new);
                }
            }
            Event::Finished => {
                auction.finished.insert(context.origin().clone());
                auction.is_closed =
                    context.all_replicas().iter().all(|replica| auction.finished.contains(replica));
            }
        }
    }
}

fn beats(new: &(Bid, Timestamp), best: &(Bid, Timestamp)) -> bool {
    let rank = |(bid, time): &(Bid, Timestamp)| {
        (std::cmp::Reverse(bid.amount), *time, bid.bidder.clone(), bid.number)
    };
    rank(new) < rank(best)
}

/// The provider for nodes: one sharding for each place.
pub fn provider(replicas: Vec<ReplicaId>) -> ReplicatedEntityProvider<AuctionHouse> {
    ReplicatedEntityProvider::per_role("auction", replicas, |_: &ReplicationId| AuctionHouse)
}
