//! An auction that takes bids in several places at once and ends with one winner everywhere.
//!
//! The best bid is the highest bid; of equal bids the earliest; then the bid with the smaller
//! bidder and number. This order does not depend on which bid a replica saw first. Each replica
//! ends the auction for itself ([`Event::Finished`]): by a command, or by a reminder at the time of
//! [`Command::Open`]. The auction is closed when all replicas have ended it; then no bid can be in
//! flight any more, because events arrive in causal order.
//!
//! One replica, the designated one, then names the winner by one event, [`Event::Won`]. It looks
//! every second, by a reminder that fires at this replica only and lasts until the winner is named.
//! A reaction (`on_replicated`) would be quicker, but a replica that reacts writes one row more for
//! each append of bids of others.

mod bids;
mod http;

use std::collections::BTreeSet;
use std::time::Duration;

use antiphon::prelude::*;
pub use bids::{Bids, RecordedBid, recorded};
use serde::{Deserialize, Serialize};

/// The reminder that ends an auction, at each replica.
const END: &str = "end";
/// The reminder that names the winner, at the designated replica.
const NAME: &str = "name";
/// Time between two looks whether all replicas have ended the auction.
const LOOK: Duration = Duration::from_secs(1);

/// A bid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bid {
    /// Chosen by the bidder's client, so that a repeated bid can be recognised.
    pub number: u64,
    /// The bidder.
    pub bidder: String,
    /// The offered price, above zero.
    pub amount: u64,
}

/// The commands of an auction.
#[derive(Debug, Serialize, Deserialize)]
pub enum Command {
    /// Places a bid; answers whether the bid was accepted.
    Place {
        /// The bid.
        bid: Bid,
        /// The receiver of the answer.
        reply_to: ReplyTo<Placed>,
    },
    /// Ends the auction at this replica.
    Finish {
        /// The receiver of the answer.
        reply_to: ReplyTo<Auction>,
    },
    /// Answers with the state of the auction at this replica.
    Get {
        /// The receiver of the answer.
        reply_to: ReplyTo<Auction>,
    },
    /// Sets the time at which the auction ends at every replica. Of several times the last one
    /// counts.
    Open {
        /// The end, by the wall clocks of the nodes.
        ends_at: Timestamp,
        /// The receiver of the answer.
        reply_to: ReplyTo<()>,
    },
}

/// The answer to a bid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Placed {
    /// The bid counts.
    Accepted,
    /// The bid does not count, with the reason.
    Refused(String),
}

/// The events of an auction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// A bid was placed.
    Placed(Bid),
    /// A replica takes no more bids.
    Finished,
    /// The time of the end was set.
    Opened(Timestamp),
    /// The designated replica has named the winner; `None`: there was no bid.
    Won(Option<Bid>),
}

/// The state of an auction at a replica.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Auction {
    /// The best bid, with its time.
    pub best: Option<(Bid, Timestamp)>,
    /// Number of bids placed.
    pub bid_count: u64,
    /// The replicas that take no more bids.
    pub finished: BTreeSet<ReplicaId>,
    /// True when all replicas take no more bids: then the best bid is the winner.
    pub is_closed: bool,
    /// The time at which the auction ends, if one was set.
    pub ends_at: Option<Timestamp>,
    /// True when the winner was named.
    pub is_decided: bool,
    /// The winner that was named.
    pub winner: Option<Bid>,
}

/// The behaviour of an auction.
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
                self.reply(reply_to, Placed::Refused(why))
            }
            Command::Place { reply_to, .. } if has_finished => {
                self.reply(reply_to, Placed::Refused("the auction has ended here".into()))
            }
            Command::Place { bid, reply_to } => {
                self.persist(Event::Placed(bid)).then_reply(reply_to, |_| Placed::Accepted)
            }
            Command::Finish { reply_to } if has_finished => self.reply(reply_to, auction.clone()),
            Command::Finish { reply_to } => {
                self.finish(context).then_reply(reply_to, Auction::clone)
            }
            Command::Get { reply_to } => self.reply(reply_to, auction.clone()),
            Command::Open { reply_to, .. } if has_finished => self.reply(reply_to, ()),
            Command::Open { ends_at, reply_to } => self
                .persist(Event::Opened(ends_at))
                .remind(END, Reminder::at(ends_at))
                .then_reply(reply_to, |_| ()),
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
            Event::Opened(ends_at) => auction.ends_at = Some(*ends_at),
            Event::Won(bid) => {
                auction.is_decided = true;
                auction.winner.clone_from(bid);
            }
        }
    }

    fn on_reminder(
        &self,
        context: &CommandContext,
        auction: &Auction,
        reminder: &DueReminder,
    ) -> Effect<Self> {
        match &*reminder.name {
            END if !auction.finished.contains(context.replica_id()) => self.finish(context),
            NAME if auction.is_closed && !auction.is_decided => {
                let winner = auction.best.as_ref().map(|(bid, _)| bid.clone());
                self.persist(Event::Won(winner)).cancel_reminder(NAME)
            }
            // already ended, or not ended everywhere yet
            _ => self.none(),
        }
    }

    fn snapshot_version(&self) -> u16 {
        2
    }
}

fn beats(new: &(Bid, Timestamp), best: &(Bid, Timestamp)) -> bool {
    let rank = |(bid, time): &(Bid, Timestamp)| {
        (std::cmp::Reverse(bid.amount), *time, bid.bidder.clone(), bid.number)
    };
    rank(new) < rank(best)
}

impl AuctionHouse {
    fn finish(&self, context: &CommandContext) -> Effect<Self> {
        let replica = context.designated().clone();
        let name = Reminder::after(Duration::ZERO).every(LOOK).at_replica(replica);
        self.persist(Event::Finished).remind(NAME, name)
    }

    /// The auctions: a replica at each place.
    pub fn provider() -> ReplicatedEntityProvider<Self> {
        ReplicatedEntityProvider::at_each_place("auction", |_: &ReplicationId| Self)
    }
}

/// The provider for these places.
pub fn provider(replicas: Vec<ReplicaId>) -> ReplicatedEntityProvider<AuctionHouse> {
    AuctionHouse::provider().with_replicas(replicas)
}
