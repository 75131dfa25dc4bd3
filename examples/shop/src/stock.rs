//! The stock of one kind of item, which reserves pieces for carts and asks them when a reservation
//! runs out. Decided at the [home](crate::home()) of the item.
//!
//! A cart that expires gives its pieces back with [`StockCommand::Release`], and a cart that was
//! sold tells it with [`StockCommand::Sell`]. Both are tells, and can be lost with a node. So the
//! stock has a reminder while it has reservations, which asks the carts of the old ones
//! ([`CartCommand::Holds`]); only the answer of the cart ends a reservation.

use std::time::Duration;

use antiphon::app::{Ask, Body, HttpEntity};
use antiphon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::home::{at_home, pass_on};
use crate::pieces::{Levels, Pieces, Reserved, StockEvent};
use crate::{Cart, CartCommand, Hold};

/// The reminder that asks the carts.
const CHECK: &str = "check";
/// Most carts that one turn of the reminder asks; the others are asked at the next turn.
const ASKS_MAX: usize = 50;

/// The commands of a stock.
#[derive(Debug, Serialize, Deserialize)]
pub enum StockCommand {
    /// Adds pieces. The answer is the number of free ones.
    Put {
        /// The pieces that came in.
        count: u32,
        /// The receiver of the answer.
        reply_to: ReplyTo<u64>,
    },
    /// Sees to it that a cart has at least this number of pieces. Can be repeated.
    Reserve {
        /// The id of the cart.
        cart: String,
        /// All pieces of this kind in the cart.
        count: u32,
        /// The receiver of the answer.
        reply_to: ReplyTo<Reserved>,
    },
    /// Tells that a cart was sold with this reservation.
    Sell {
        /// The id of the cart.
        cart: String,
        /// The number of the reservation.
        number: u64,
        /// The pieces of the order.
        count: u32,
    },
    /// Tells that a cart has expired.
    Release {
        /// The id of the cart.
        cart: String,
    },
    /// Answers with the levels at this replica.
    Get {
        /// The receiver of the answer.
        reply_to: ReplyTo<Levels>,
    },
    /// The answer of a cart whose reservation had run out; nobody can send it.
    #[serde(skip)]
    Answered {
        /// The id of the cart.
        cart: String,
        /// The number of the reservation.
        number: u64,
        /// The answer of the cart; `None` when it did not answer.
        hold: Option<Hold>,
    },
}

/// The behaviour of a stock.
pub struct Stock {
    expires_after: Duration,
}

impl Stock {
    /// The stock of each kind of item: a replica at each place. A reservation runs out after this
    /// time.
    pub fn provider(expires_after: Duration) -> ReplicatedEntityProvider<Self> {
        let stock = move |_: &ReplicationId| Self { expires_after };
        ReplicatedEntityProvider::at_each_place(Self::TYPE, stock)
    }

    /// The name of the type.
    pub const TYPE: &str = "stock";

    fn reserve(
        &self,
        context: &CommandContext,
        pieces: &Pieces,
        cart: String,
        count: u32,
        reply_to: ReplyTo<Reserved>,
    ) -> Effect<Self> {
        let answer = pieces.reserve(&cart, count);
        let held = pieces.reservations.get(&cart).map_or(0, |held| held.count);
        match answer {
            Reserved::All(_) if count > held => {
                let effect = self.persist(StockEvent::Reserved { cart, count });
                let effect = effect.then_reply(reply_to, |_| answer);
                if !pieces.reservations.is_empty() {
                    return effect;
                }
                let check = Reminder::after(self.expires_after).every(self.expires_after);
                effect.remind(CHECK, check.at_replica(context.designated().clone()))
            }
            Reserved::All(_) | Reserved::Only(_) | Reserved::Full => self.reply(reply_to, answer),
        }
    }

    /// Ends the reservation of a cart, which is there.
    fn end(&self, pieces: &Pieces, event: StockEvent) -> Effect<Self> {
        let effect = self.persist(event);
        if pieces.reservations.len() == 1 { effect.cancel_reminder(CHECK) } else { effect }
    }
}

impl EventSourced for Stock {
    type Command = StockCommand;
    type Event = StockEvent;
    type State = Pieces;

    fn on_command(
        &self,
        context: &CommandContext,
        pieces: &Pieces,
        command: StockCommand,
    ) -> Effect<Self> {
        let is_home = context.is_designated();
        match command {
            StockCommand::Get { reply_to } => self.reply(reply_to, pieces.levels()),
            command if !is_home => pass_on(context, command),
            StockCommand::Put { count, reply_to } => {
                self.persist(StockEvent::Put(count)).then_reply(reply_to, |pieces| pieces.free)
            }
            StockCommand::Reserve { cart, count, reply_to } => {
                self.reserve(context, pieces, cart, count, reply_to)
            }
            StockCommand::Sell { cart, number, count } => match pieces.numbered(&cart, number) {
                Some(_) => self.end(pieces, StockEvent::Sold { cart, count }),
                None => self.none(),
            },
            StockCommand::Release { cart } if pieces.reservations.contains_key(&cart) => {
                self.end(pieces, StockEvent::Released { cart })
            }
            StockCommand::Release { .. } => self.none(),
            StockCommand::Answered { cart, number, .. }
                if pieces.numbered(&cart, number).is_none() =>
            {
                self.none()
            }
            StockCommand::Answered { cart, hold, .. } => match hold {
                Some(Hold::Sold(count)) => self.end(pieces, StockEvent::Sold { cart, count }),
                Some(Hold::Gone) => self.end(pieces, StockEvent::Released { cart }),
                Some(Hold::Waits) => self.persist(StockEvent::Kept { cart }),
                None => self.none(),
            },
        }
    }

    fn on_event(&self, context: &EventContext, pieces: &mut Pieces, event: &StockEvent) {
        pieces.apply(context.current_time(), event);
    }

    /// Asks the carts whose reservations have run out, beside the commands.
    fn on_reminder(
        &self,
        context: &CommandContext,
        pieces: &Pieces,
        _: &DueReminder,
    ) -> Effect<Self> {
        let now = context.current_time();
        let is_old = |since: Timestamp| now.is_ahead_of(since, self.expires_after);
        let old = pieces.reservations.iter().filter(|(_, held)| is_old(held.since));
        old.take(ASKS_MAX).fold(self.none(), |effect, (cart, held)| {
            let (cart, item, number) = (cart.clone(), context.entity_id().to_owned(), held.number);
            let of_cart = at_home::<CartCommand>(context, Cart::TYPE, &cart);
            let ask = async move |of_cart: Result<EntityRef<CartCommand>>| {
                let holds = |reply_to| CartCommand::Holds { item, number, reply_to };
                of_cart.ok()?.ask(holds).await.ok()
            };
            effect.then_asynchronous(
                move |_| ask(of_cart),
                move |hold| StockCommand::Answered { cart, number, hold: hold.ok().flatten() },
            )
        })
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

    /// Programs with the right `entities` may send every command, also those that carts send: that
    /// is right for the shop's own tools, and wrong for customers, who get `on_post` alone.
    fn takes_commands() -> bool {
        true
    }

    fn expected() -> &'static str {
        r#"{"put": 10}"#
    }
}
