//! A cart: items that a customer has chosen, whose pieces are reserved at the stocks. Decided at
//! the [home](crate::home()) of the cart.
//!
//! A cart that nobody has used for `expires_after` expires by a reminder, which fires at the home
//! only, and gives its pieces back. A checkout asks all stocks once more; the order is made by the
//! one event [`CartEvent::Sold`], after which the stocks turn their reservations into sales.

use std::collections::BTreeMap;
use std::sync::Arc;

use antiphon::app::{Ask, Body, HttpEntity};
use antiphon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::home::{at_home, pass_on};
use crate::{CartEvent, Contents, Hold, Reserved, ShopSettings, Stage, Stock, StockCommand};

/// The reminder that ends a cart.
const EXPIRE: &str = "expire";

/// The receiver of the contents of a cart, or of the reason why it does not take an item.
type AddReply = ReplyTo<std::result::Result<Contents, String>>;
/// The receiver of the price of an order, or of the reason why there is none.
type CheckOutReply = ReplyTo<std::result::Result<u64, NotSold>>;
/// The answers of stocks, by item, or the reason why there are none.
type Answers = std::result::Result<BTreeMap<String, Reserved>, String>;

/// The reason why a cart is no order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum NotSold {
    /// The cart cannot be checked out, with the reason.
    Refused(String),
    /// By item, the pieces that the cart could have.
    Missing(BTreeMap<String, u64>),
    /// A stock did not answer, with the reason; a later checkout may succeed.
    Unavailable(String),
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
        reply_to: AddReply,
    },
    /// Answers with the contents at this replica. Does not put the end of the cart off.
    Get {
        /// The receiver of the answer.
        reply_to: ReplyTo<Contents>,
    },
    /// Makes the cart an order. A cart that is one gives the same answer again.
    CheckOut {
        /// The receiver of the answer.
        reply_to: CheckOutReply,
    },
    /// Answers whether the cart needs a reservation.
    Holds {
        /// The kind of item.
        item: String,
        /// The number of the reservation.
        number: u64,
        /// The receiver of the answer.
        reply_to: ReplyTo<Hold>,
    },
    /// The answer of a stock to an `Add`; nobody can send it.
    #[serde(skip)]
    Reserved {
        /// The kind of item.
        item: String,
        /// The number of items that were added.
        count: u32,
        /// The answer.
        answers: Answers,
        /// The receiver of the answer.
        reply_to: AddReply,
    },
    /// The answers of the stocks to a checkout; nobody can send it.
    #[serde(skip)]
    Checked {
        /// The items for which they were asked.
        items: BTreeMap<String, u32>,
        /// The answers.
        answers: Answers,
        /// The receiver of the answer.
        reply_to: CheckOutReply,
    },
}

/// The behaviour of a cart.
pub struct Cart {
    settings: Arc<ShopSettings>,
}

impl Cart {
    /// The behaviour with these settings.
    pub fn new(settings: Arc<ShopSettings>) -> Self {
        Self { settings }
    }

    /// The carts with these settings: a replica at each place.
    pub fn provider(settings: Arc<ShopSettings>) -> ReplicatedEntityProvider<Self> {
        let cart = move |_: &ReplicationId| Self::new(settings.clone());
        ReplicatedEntityProvider::at_each_place(Self::TYPE, cart)
    }

    /// The name of the type.
    pub const TYPE: &str = "cart";

    /// The effect of a customer's command: puts the end of the cart off.
    fn used(&self, context: &CommandContext, event: CartEvent) -> Effect<Self> {
        let expire =
            Reminder::after(self.settings.expires_after).at_replica(context.designated().clone());
        self.persist(event).remind(EXPIRE, expire)
    }

    fn add(
        &self,
        context: &CommandContext,
        cart: &Contents,
        (item, count): (String, u32),
        reply_to: AddReply,
    ) -> Effect<Self> {
        let room = self.settings.items_max.saturating_sub(cart.count());
        let why = match cart.stage {
            Stage::Open if count == 0 => "`count`: expected above 0, actual 0".to_owned(),
            Stage::Open if count > room => {
                format!("a cart has room for {} items", self.settings.items_max)
            }
            Stage::Open => match at_home(context, Stock::TYPE, &item) {
                Ok(stock) => {
                    let id = context.entity_id().to_owned();
                    let (asked, added) = (item.clone(), item.clone());
                    return self
                        .used(context, CartEvent::Added { item: added, count })
                        .then_asynchronous(
                            move |cart| {
                                let all = cart.items.get(&asked).copied().unwrap_or(0);
                                reserve_all(id, vec![(asked, all, stock)])
                            },
                            move |answers| CartCommand::Reserved {
                                item,
                                count,
                                answers: answers.unwrap_or_else(|failure| Err(failure.to_string())),
                                reply_to,
                            },
                        );
                }
                Err(error) => error.to_string(),
            },
            Stage::Sold | Stage::Expired => is_over(cart.stage),
        };
        self.reply(reply_to, Err(why))
    }

    fn reserved(
        &self,
        cart: &Contents,
        (item, count): (String, u32),
        answers: Answers,
        reply_to: AddReply,
    ) -> Effect<Self> {
        let answer = answers.map(|mut answers| answers.remove(&item));
        let why = match (cart.stage, answer) {
            // a checkout meanwhile has reserved the item too
            (Stage::Sold, _) | (Stage::Open, Ok(Some(Reserved::All(_)))) => {
                return self.reply(reply_to, Ok(cart.clone()));
            }
            (Stage::Expired, _) => return self.reply(reply_to, Err(is_over(cart.stage))),
            (Stage::Open, Ok(Some(Reserved::Only(left)))) => {
                format!("the cart can have {left} of `{item}`")
            }
            (Stage::Open, Ok(Some(Reserved::Full) | None)) => {
                format!("too many carts have `{item}`: try again later")
            }
            (Stage::Open, Err(why)) => why,
        };
        self.persist(CartEvent::Removed { item, count }).then_reply(reply_to, |_| Err(why))
    }

    fn check_out(
        &self,
        context: &CommandContext,
        cart: &Contents,
        reply_to: CheckOutReply,
    ) -> Effect<Self> {
        if cart.stage == Stage::Sold {
            return self.reply(reply_to, Ok(cart.cents));
        }
        if cart.stage == Stage::Expired {
            return self.reply(reply_to, Err(NotSold::Refused(is_over(cart.stage))));
        }
        if cart.items.is_empty() {
            return self.reply(reply_to, Err(NotSold::Refused("the cart is empty".to_owned())));
        }
        if let Err(error) = cart.price(&self.settings.prices) {
            return self.reply(reply_to, Err(NotSold::Refused(error.to_string())));
        }
        let (id, items) = (context.entity_id().to_owned(), cart.items.clone());
        let stocks = stocks(context, cart).collect();
        // no event before the decision: a request whose events are stored is done, and a checkout
        // that fails is to be tried again with the same request id
        self.none().then_asynchronous(
            move |_| reserve_all(id, stocks),
            move |answers| CartCommand::Checked {
                items,
                answers: answers.unwrap_or_else(|failure| Err(failure.to_string())),
                reply_to,
            },
        )
    }

    /// The price of an order and its reservations, when the cart has all of its pieces.
    fn order(
        &self,
        cart: &Contents,
        items: &BTreeMap<String, u32>,
        answers: Answers,
    ) -> std::result::Result<(u64, BTreeMap<String, u64>), NotSold> {
        if cart.stage != Stage::Open {
            return Err(NotSold::Refused(is_over(cart.stage)));
        }
        if *items != cart.items {
            return Err(NotSold::Refused("the cart has changed: check out again".to_owned()));
        }
        let (mut missing, mut reservations) = (BTreeMap::new(), BTreeMap::new());
        for (item, answer) in answers.map_err(NotSold::Unavailable)? {
            match answer {
                Reserved::All(number) => drop(reservations.insert(item, number)),
                Reserved::Only(left) => drop(missing.insert(item, left)),
                Reserved::Full => drop(missing.insert(item, 0)),
            }
        }
        if !missing.is_empty() {
            return Err(NotSold::Missing(missing));
        }
        let cents = cart.price(&self.settings.prices);
        Ok((cents.map_err(|error| NotSold::Refused(error.to_string()))?, reservations))
    }

    fn checked(
        &self,
        context: &CommandContext,
        cart: &Contents,
        (items, answers): (BTreeMap<String, u32>, Answers),
        reply_to: CheckOutReply,
    ) -> Effect<Self> {
        if cart.stage == Stage::Sold {
            return self.reply(reply_to, Ok(cart.cents));
        }
        let (cents, reservations) = match self.order(cart, &items, answers) {
            Ok(order) => order,
            Err(why) => return self.reply(reply_to, Err(why)),
        };
        let id = context.entity_id();
        let sales: Vec<_> = stocks(context, cart)
            .filter_map(|(item, count, stock)| {
                let number = *reservations.get(&item)?;
                Some((stock, StockCommand::Sell { cart: id.to_owned(), number, count }))
            })
            .collect();
        self.persist(CartEvent::Sold { cents, reservations })
            .cancel_reminder(EXPIRE)
            .then_run(|_| (), move |()| tell_all(sales))
            .then_reply(reply_to, |cart| Ok(cart.cents))
    }
}

fn is_over(stage: Stage) -> String {
    match stage {
        Stage::Open => "the cart is open",
        Stage::Sold => "the cart is closed",
        Stage::Expired => "the cart has expired",
    }
    .to_owned()
}

/// The stocks of the items of a cart, with the number of items.
fn stocks<'a>(
    context: &'a CommandContext,
    cart: &'a Contents,
) -> impl Iterator<Item = (String, u32, EntityRef<StockCommand>)> + 'a {
    // an item whose stock cannot be named never came into the cart
    cart.items.iter().filter_map(|(item, count)| {
        Some((item.clone(), *count, at_home(context, Stock::TYPE, item).ok()?))
    })
}

/// Asks each stock for the pieces of a cart, one after the other.
async fn reserve_all(id: String, stocks: Vec<(String, u32, EntityRef<StockCommand>)>) -> Answers {
    let mut answers = BTreeMap::new();
    for (item, count, stock) in stocks {
        let cart = id.clone();
        let answer = stock.ask(|reply_to| StockCommand::Reserve { cart, count, reply_to }).await;
        let answer = answer.map_err(|error| format!("the stock of `{item}`: {error}"))?;
        answers.insert(item, answer);
    }
    Ok(answers)
}

fn tell_all(commands: Vec<(EntityRef<StockCommand>, StockCommand)>) {
    commands.into_iter().for_each(|(stock, command)| stock.tell(command));
}

impl EventSourced for Cart {
    type Command = CartCommand;
    type Event = CartEvent;
    type State = Contents;

    fn on_command(
        &self,
        context: &CommandContext,
        cart: &Contents,
        command: CartCommand,
    ) -> Effect<Self> {
        let is_home = context.is_designated();
        match command {
            CartCommand::Get { reply_to } => self.reply(reply_to, cart.clone()),
            command if !is_home => pass_on(context, command),
            CartCommand::Add { item, count, reply_to } => {
                self.add(context, cart, (item, count), reply_to)
            }
            CartCommand::CheckOut { reply_to } => self.check_out(context, cart, reply_to),
            CartCommand::Holds { item, number, reply_to } => {
                self.reply(reply_to, cart.hold(&item, number))
            }
            CartCommand::Reserved { item, count, answers, reply_to } => {
                self.reserved(cart, (item, count), answers, reply_to)
            }
            CartCommand::Checked { items, answers, reply_to } => {
                self.checked(context, cart, (items, answers), reply_to)
            }
        }
    }

    fn on_event(&self, _: &EventContext, cart: &mut Contents, event: &CartEvent) {
        cart.apply(event);
    }

    /// Ends the cart, and gives its pieces back.
    fn on_reminder(
        &self,
        context: &CommandContext,
        cart: &Contents,
        _: &DueReminder,
    ) -> Effect<Self> {
        if cart.stage != Stage::Open {
            return self.none();
        }
        let id = context.entity_id();
        let releases: Vec<_> = stocks(context, cart)
            .map(|(_, _, stock)| (stock, StockCommand::Release { cart: id.to_owned() }))
            .collect();
        self.persist(CartEvent::Expired).then_run(|_| (), move |()| tell_all(releases))
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
