//! The stock of one kind of item: what came in, less what the orders took. An order takes its
//! pieces once, however often it is repeated and at whichever places. Two places that sell the last
//! piece to two orders at once bring the number below zero, and the shop orders more.

use std::collections::BTreeSet;

use antiphon::app::{Ask, Body, HttpEntity};
use antiphon::prelude::*;
use serde::{Deserialize, Serialize};

/// The commands of a stock.
#[derive(Debug, Serialize, Deserialize)]
pub enum StockCommand {
    /// Adds pieces. The answer is their number.
    Put {
        /// The pieces that came in.
        count: u32,
        /// The receiver of the answer.
        reply_to: ReplyTo<i64>,
    },
    /// Takes pieces for an order, if there are enough here and the order has not taken its pieces
    /// yet.
    Take {
        /// The name of the order.
        order: String,
        /// The pieces to take.
        count: u32,
        /// The receiver of the answer.
        reply_to: ReplyTo<Taken>,
    },
    /// Answers with the number of pieces.
    Get {
        /// The receiver of the answer.
        reply_to: ReplyTo<i64>,
    },
}

/// The answer to a request for pieces.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Taken {
    /// The order has its pieces.
    All,
    /// There are only so many.
    Only(i64),
}

/// The events of a stock.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub enum StockEvent {
    /// Pieces came in.
    Put(u32),
    /// An order took pieces.
    Taken {
        /// The name of the order.
        order: String,
        /// The pieces that it took.
        count: u32,
    },
}

/// The state of a stock.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Pieces {
    /// Their number.
    pub number: i64,
    /// The orders that have their pieces. A shop with many orders would forget the old ones.
    pub orders: BTreeSet<String>,
}

/// The behaviour of a stock.
pub struct Stock;

impl Stock {
    /// The stock of each kind of item: a replica at each place.
    pub fn provider() -> ReplicatedEntityProvider<Self> {
        ReplicatedEntityProvider::at_each_place("stock", |_: &ReplicationId| Self)
    }
}

impl EventSourced for Stock {
    type Command = StockCommand;
    type Event = StockEvent;
    type State = Pieces;

    fn on_command(
        &self,
        _: &CommandContext,
        pieces: &Pieces,
        command: StockCommand,
    ) -> Effect<Self> {
        match command {
            StockCommand::Put { count, reply_to } => Effect::persist(StockEvent::Put(count))
                .then_reply(reply_to, |pieces: &Pieces| pieces.number),
            StockCommand::Take { order, reply_to, .. } if pieces.orders.contains(&order) => {
                Effect::reply(reply_to, Taken::All)
            }
            StockCommand::Take { order, count, reply_to } if pieces.number >= i64::from(count) => {
                Effect::persist(StockEvent::Taken { order, count })
                    .then_reply(reply_to, |_| Taken::All)
            }
            StockCommand::Take { reply_to, .. } => {
                Effect::reply(reply_to, Taken::Only(pieces.number))
            }
            StockCommand::Get { reply_to } => Effect::reply(reply_to, pieces.number),
        }
    }

    fn on_event(&self, _: &EventContext, pieces: &mut Pieces, event: &StockEvent) {
        match event {
            StockEvent::Put(count) => {
                pieces.number = pieces.number.saturating_add(i64::from(*count));
            }
            StockEvent::Taken { order, count } => {
                // two places may have served the order at once
                if pieces.orders.insert(order.clone()) {
                    pieces.number = pieces.number.saturating_sub(i64::from(*count));
                }
            }
        }
    }
}

/// The body of a `POST`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum Posted {
    Put(u32),
}

impl HttpEntity for Stock {
    fn on_get() -> Option<Ask<StockCommand>> {
        Some(Ask::new(|reply_to| StockCommand::Get { reply_to }))
    }

    fn on_post(body: Body) -> Result<Ask<StockCommand>> {
        let Posted::Put(count) = body.read()?;
        Ok(Ask::new(move |reply_to| StockCommand::Put { count, reply_to }))
    }

    fn takes_commands() -> bool {
        true
    }

    fn expected() -> &'static str {
        r#"{"put": 10}"#
    }
}
