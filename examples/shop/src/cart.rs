//! A cart: items that a customer has chosen. Items that are added at two places at once are both
//! there.

use std::collections::BTreeMap;

use antiphon::app::{Ask, Body, HttpEntity};
use antiphon::prelude::*;
use serde::{Deserialize, Serialize};

/// The items of a cart, with their numbers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Contents {
    /// The number of each item.
    pub items: BTreeMap<String, u32>,
    /// True after the checkout.
    pub is_closed: bool,
}

impl Contents {
    fn count(&self) -> u32 {
        self.items.values().fold(0, |sum, count| sum.saturating_add(*count))
    }
}

/// The commands of a cart.
#[derive(Debug, Serialize, Deserialize)]
pub enum CartCommand {
    /// Adds items. The answer is the contents, or the reason why the cart does not take them.
    Add {
        /// The kind of item.
        item: String,
        /// Their number.
        count: u32,
        /// The receiver of the answer.
        reply_to: ReplyTo<std::result::Result<Contents, String>>,
    },
    /// Answers with the contents.
    Get {
        /// The receiver of the answer.
        reply_to: ReplyTo<Contents>,
    },
    /// Closes the cart: it takes nothing more. The answer is the contents.
    Close {
        /// The receiver of the answer.
        reply_to: ReplyTo<Contents>,
    },
}

/// The events of a cart.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub enum CartEvent {
    /// Items were added.
    Added {
        /// The kind of item.
        item: String,
        /// Their number.
        count: u32,
    },
    /// The cart was closed.
    Closed,
}

/// The behaviour of a cart.
pub struct Cart {
    items_max: u32,
}

impl Cart {
    /// The carts, each with at most that many items: a replica at each place.
    pub fn provider(items_max: u32) -> ReplicatedEntityProvider<Self> {
        let cart = move |_: &ReplicationId| Self { items_max };
        ReplicatedEntityProvider::at_each_place("cart", cart)
    }
}

impl EventSourced for Cart {
    type Command = CartCommand;
    type Event = CartEvent;
    type State = Contents;

    fn on_command(
        &self,
        _: &CommandContext,
        cart: &Contents,
        command: CartCommand,
    ) -> Effect<Self> {
        match command {
            CartCommand::Add { item, count, reply_to } => {
                let room = self.items_max.saturating_sub(cart.count());
                if cart.is_closed {
                    return Effect::reply(reply_to, Err("the cart is closed".to_owned()));
                }
                if count > room {
                    let why = format!("a cart has room for {} items", self.items_max);
                    return Effect::reply(reply_to, Err(why));
                }
                Effect::persist(CartEvent::Added { item, count })
                    .then_reply(reply_to, |cart| Ok(Contents::clone(cart)))
            }
            CartCommand::Get { reply_to } => Effect::reply(reply_to, cart.clone()),
            CartCommand::Close { reply_to } if cart.is_closed => {
                Effect::reply(reply_to, cart.clone())
            }
            CartCommand::Close { reply_to } => {
                Effect::persist(CartEvent::Closed).then_reply(reply_to, Contents::clone)
            }
        }
    }

    fn on_event(&self, _: &EventContext, cart: &mut Contents, event: &CartEvent) {
        match event {
            CartEvent::Added { item, count } => {
                let number = cart.items.entry(item.clone()).or_default();
                *number = number.saturating_add(*count);
            }
            CartEvent::Closed => cart.is_closed = true,
        }
    }
}

/// The body of a `POST`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum Posted {
    Add { item: String, count: u32 },
}

impl HttpEntity for Cart {
    fn on_get() -> Option<Ask<CartCommand>> {
        Some(Ask::new(|reply_to| CartCommand::Get { reply_to }))
    }

    fn on_post(body: Body) -> Result<Ask<CartCommand>> {
        let Posted::Add { item, count } = body.read()?;
        Ok(Ask::fallible(move |reply_to| CartCommand::Add { item, count, reply_to }))
    }

    fn takes_commands() -> bool {
        true
    }

    fn expected() -> &'static str {
        r#"{"add": {"item": "pen", "count": 2}}"#
    }
}
