//! The stock of one kind of item, as the sum of what came in and what was taken. Two places that
//! take the last piece at once sell it twice: the number is below zero then, and the shop orders
//! more.

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
    /// Takes pieces for an order, if there are enough here.
    Take {
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
    /// The pieces are reserved.
    All,
    /// There are only so many.
    Only(i64),
}

/// The events of a stock.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub enum StockEvent {
    /// The number has changed by this difference.
    Changed(i64),
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
    type State = i64;

    fn on_command(&self, _: &CommandContext, pieces: &i64, command: StockCommand) -> Effect<Self> {
        match command {
            StockCommand::Put { count, reply_to } => {
                Effect::persist(StockEvent::Changed(count.into()))
                    .then_reply(reply_to, |pieces| *pieces)
            }
            StockCommand::Take { count, reply_to } if *pieces >= i64::from(count) => {
                Effect::persist(StockEvent::Changed(-i64::from(count)))
                    .then_reply(reply_to, |_| Taken::All)
            }
            StockCommand::Take { reply_to, .. } => Effect::reply(reply_to, Taken::Only(*pieces)),
            StockCommand::Get { reply_to } => Effect::reply(reply_to, *pieces),
        }
    }

    fn on_event(&self, _: &EventContext, pieces: &mut i64, event: &StockEvent) {
        let StockEvent::Changed(difference) = event;
        *pieces = pieces.saturating_add(*difference);
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

    fn expected() -> &'static str {
        r#"{"put": 10}"#
    }
}
