//! The checkout route: asks the cart, which asks the stocks. A client repeats it after any error,
//! with the same header `idempotency-key`: the checkout is done once, and each repetition gets the
//! answer of the first one.

use antiphon::app::{Host, status};
use antiphon::prelude::*;
use antiphon::runtime::metrics::prometheus::{IntCounterVec, Opts};
use serde_json::{Value, json};

use crate::{Cart, CartCommand, NotSold};

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

/// Checks a cart out, once for each request id. Returns the status of the answer and its body.
pub async fn check_out(shop: &Checkout, cart: &str, request: Option<&RequestId>) -> (u16, Value) {
    let cart = shop.host.entities::<Cart>().and_then(|carts| {
        // any replica will do: it passes the command on to the home of the cart
        carts.route(cart, &RoutingPolicy::FailOver)
    });
    let (outcome, status, body) = match cart {
        Ok(cart) => {
            let command = |reply_to| CartCommand::CheckOut { reply_to };
            outcome(match request {
                Some(id) => cart.try_ask_once(id, command).await,
                None => cart.try_ask(command).await,
            })
        }
        Err(error) => {
            ("failed", 400, json!({ "error": error.to_string(), "without_effect": true }))
        }
    };
    shop.checkouts.with_label_values(&[outcome]).inc();
    (status, body)
}

fn outcome(sold: std::result::Result<u64, AskFailure<NotSold>>) -> (&'static str, u16, Value) {
    match sold {
        Ok(cents) => ("sold", 200, json!({ "cents": cents, "missing": [] })),
        Err(AskFailure::Refused(NotSold::Missing(left))) => {
            let missing = left.iter().map(|(item, left)| json!({ "item": item, "left": left }));
            let missing = missing.collect::<Vec<_>>();
            ("missing", 409, json!({ "kind": "missing", "missing": missing }))
        }
        Err(AskFailure::Refused(NotSold::Refused(why))) => {
            ("refused", 409, json!({ "kind": "refused", "refused": why }))
        }
        Err(AskFailure::Refused(NotSold::Unavailable(why))) => {
            ("failed", 503, json!({ "error": why, "without_effect": false }))
        }
        Err(AskFailure::NoAnswer(error)) => {
            let without_effect = error.is_without_effect();
            let mut body = json!({ "error": error.to_string(), "without_effect": without_effect });
            if let AskError::Done(_) = &error {
                body["kind"] = json!("done");
            }
            ("failed", status(&error).as_u16(), body)
        }
    }
}
