//! Auctions over HTTP.

use antiphon::app::{Ask, Body, HttpEntity};
use antiphon::prelude::*;
use serde::Deserialize;

use crate::{AuctionHouse, Bid, Command};

/// The body of a `POST`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum Posted {
    Place(Bid),
    Finish,
}

impl HttpEntity for AuctionHouse {
    fn on_get() -> Option<Ask<Command>> {
        Some(Ask::new(|reply_to| Command::Get { reply_to }))
    }

    fn on_post(body: Body) -> Result<Ask<Command>> {
        Ok(match body.read()? {
            Posted::Place(bid) => Ask::new(|reply_to| Command::Place { bid, reply_to }),
            Posted::Finish => Ask::new(|reply_to| Command::Finish { reply_to }),
        })
    }

    fn expected() -> &'static str {
        r#"{"place": {"number": 1, "bidder": "b", "amount": 5}} or "finish""#
    }
}
