//! A replicated service of its own: carts, stock and tickets, with settings, a metric, a route and
//! a command. `shop demo` runs two places on this machine.

use std::process::ExitCode;

use antiphon::app::{Host, Tools, axum, clap, request_id};
use antiphon::prelude::*;
use antiphon_shop::checkout::{self, Checkout};
use antiphon_shop::{Cart, ShopSettings, Stock, Tickets};
use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;

fn main() -> ExitCode {
    antiphon::app::app("shop")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Carts, stock and tickets with a replica in each place.")
        .entity_with(Stock::TYPE, |setup| {
            Ok(Stock::provider(setup.section::<ShopSettings>()?.expires_after))
        })
        .entity_with(Cart::TYPE, |setup| Ok(Cart::provider(setup.section::<ShopSettings>()?)))
        .entity_with(Tickets::TYPE, |setup| {
            Ok(Tickets::provider(setup.section::<ShopSettings>()?.gifts_within))
        })
        .section::<ShopSettings>("shop")
        .routes(routes)
        .command("prices", prices)
        .run()
}

fn routes(host: &Host) -> Result<Router> {
    let shop = Checkout::new(host)?;
    Ok(Router::new().route("/checkout/{cart}", post(check_out)).with_state(shop))
}

async fn check_out(
    State(shop): State<Checkout>,
    Path(cart): Path<String>,
    headers: HeaderMap,
) -> (StatusCode, axum::Json<serde_json::Value>) {
    let (status, body) = match request_id(&headers) {
        Ok(request) => checkout::check_out(&shop, &cart, request.as_ref()).await,
        Err(error) => {
            let error = error.to_string();
            (400, serde_json::json!({ "error": error, "without_effect": true }))
        }
    };
    (StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), axum::Json(body))
}

/// Prints the prices of a configuration.
#[derive(Debug, clap::Args)]
struct PricesArguments {
    /// The configuration of a node.
    #[arg(long)]
    config: std::path::PathBuf,
}

async fn prices(arguments: PricesArguments, tools: Tools) -> Result<bool> {
    let settings = tools.config(arguments.config).load()?.section::<ShopSettings>()?;
    for (item, cents) in &settings.prices {
        antiphon::app::output::print(format_args!("{item} {cents}\n"))?;
    }
    Ok(true)
}
