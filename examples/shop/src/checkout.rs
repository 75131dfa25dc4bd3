//! The checkout: closes a cart and takes its items from the stock. A checkout that is repeated
//! takes nothing twice, so a client repeats it after any error.

use antiphon::app::{Host, status};
use antiphon::prelude::*;
use antiphon::runtime::metrics::prometheus::{IntCounterVec, Opts};
use serde_json::{Value, json};

use crate::{Cart, CartCommand, ShopSettings, Stock, StockCommand, Taken};

/// The parts of the checkout.
#[derive(Clone)]
pub struct Checkout {
    host: Host,
    /// The checkouts, by their outcome.
    checkouts: IntCounterVec,
}

impl Checkout {
    /// The checkout of a node, with its metric.
    ///
    /// # Errors
    /// `Rejected` when the name of the metric is taken.
    pub fn new(host: &Host) -> Result<Self> {
        let opts = Opts::new("shop_checkouts_total", "Checkouts by their outcome.");
        let checkouts = IntCounterVec::new(opts, &["outcome"]);
        let checkouts = checkouts.map_err(|error| Error::bug(error.to_string()))?;
        host.metrics().register(checkouts.clone())?;
        Ok(Self { host: host.clone(), checkouts })
    }
}

/// Checks a cart out. Returns the status of the answer and its body.
pub async fn check_out(shop: &Checkout, cart: &str) -> (u16, Value) {
    let (outcome, status, body) = match try_check_out(&shop.host, cart).await {
        Ok((body, true)) => ("sold", 200, body),
        Ok((body, false)) => ("missing", 409, body),
        Err(Failure { status, without_effect, error }) => {
            ("failed", status, json!({ "error": error, "without_effect": without_effect }))
        }
    };
    shop.checkouts.with_label_values(&[outcome]).inc();
    (status, body)
}

/// A checkout that has no outcome.
#[derive(Debug)]
struct Failure {
    status: u16,
    without_effect: bool,
    error: String,
}

impl Failure {
    /// The failure of an ask; `is_begun` says that the checkout has had an effect before.
    fn of(error: &AskError, is_begun: bool) -> Self {
        let without_effect = error.is_without_effect() && !is_begun;
        Self { status: status(error).as_u16(), without_effect, error: error.to_string() }
    }

    /// The cart is closed, and an item has no total.
    fn too_much(item: &str) -> Self {
        let error = format!("the price of `{item}` in this number is beyond all money");
        Self { status: 500, without_effect: false, error }
    }
}

impl From<Error> for Failure {
    /// The failure of a name, before anything was asked.
    fn from(error: Error) -> Self {
        Self { status: 400, without_effect: true, error: error.to_string() }
    }
}

/// Returns the bill, and whether the stock had all items.
async fn try_check_out(host: &Host, order: &str) -> std::result::Result<(Value, bool), Failure> {
    let (carts, stock) = (host.entities::<Cart>()?, host.entities::<Stock>()?);
    let settings = host.section::<ShopSettings>()?;
    let cart = carts.route(order, &RoutingPolicy::FailOver)?;
    let closed = cart.ask(|reply_to| CartCommand::Close { reply_to }).await;
    let contents = closed.map_err(|error| Failure::of(&error, false))?;
    let (mut missing, mut cents) = (Vec::new(), 0_u64);
    for (item, count) in contents.items {
        let price = settings.prices.get(&item).copied().unwrap_or(0);
        let sum = price.checked_mul(count.into()).and_then(|price| cents.checked_add(price));
        let sum = sum.ok_or_else(|| Failure::too_much(&item))?;
        let of_item = stock.route(&item, &RoutingPolicy::FailOver);
        let of_item = of_item.map_err(|error| Failure { without_effect: false, ..error.into() })?;
        let order = order.to_owned();
        let taken = of_item.ask(|reply_to| StockCommand::Take { order, count, reply_to }).await;
        match taken.map_err(|error| Failure::of(&error, true))? {
            Taken::All => cents = sum,
            Taken::Only(left) => missing.push(json!({ "item": item, "left": left })),
        }
    }
    let is_sold = missing.is_empty();
    Ok((json!({ "cents": cents, "missing": missing }), is_sold))
}
