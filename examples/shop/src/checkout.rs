//! The checkout: closes a cart and takes its items from the stock.

use antiphon::app::Host;
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
        Err(error) => ("failed", 503, json!({ "error": error.to_string() })),
    };
    shop.checkouts.with_label_values(&[outcome]).inc();
    (status, body)
}

/// Returns the bill, and whether the stock had all items.
async fn try_check_out(host: &Host, cart: &str) -> Result<(Value, bool)> {
    let (carts, stock) = (host.entities::<Cart>()?, host.entities::<Stock>()?);
    let settings = host.section::<ShopSettings>()?;
    let cart = carts.route(cart, &RoutingPolicy::FailOver)?;
    let contents = cart.ask(|reply_to| CartCommand::Close { reply_to }).await?;
    let (mut missing, mut cents) = (Vec::new(), 0);
    for (item, count) in contents.items {
        let of_item = stock.route(&item, &RoutingPolicy::FailOver)?;
        match of_item.ask(|reply_to| StockCommand::Take { count, reply_to }).await? {
            Taken::All => {
                let price = settings.prices.get(&item).copied().unwrap_or(0);
                cents += price * u64::from(count);
            }
            Taken::Only(left) => missing.push(json!({ "item": item, "left": left })),
        }
    }
    let is_sold = missing.is_empty();
    Ok((json!({ "cents": cents, "missing": missing }), is_sold))
}
