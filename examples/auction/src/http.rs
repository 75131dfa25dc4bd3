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
    /// The end, in microseconds after the Unix epoch.
    Open(u64),
}

impl HttpEntity for AuctionHouse {
    fn on_get() -> Option<Ask<Command>> {
        Some(Ask::new(|reply_to| Command::Get { reply_to }))
    }

    fn on_post(body: Body) -> Result<Ask<Command>> {
        Ok(match body.read()? {
            Posted::Place(bid) => Ask::new(|reply_to| Command::Place { bid, reply_to }),
            Posted::Finish => Ask::new(|reply_to| Command::Finish { reply_to }),
            Posted::Open(micros) => Ask::new(move |reply_to| {
                let ends_at = Timestamp::from_micros(micros);
                Command::Open { ends_at, reply_to }
            }),
        })
    }

    fn expected() -> &'static str {
        r#"{"place": {"number": 1, "bidder": "b", "amount": 5}} or "finish" or {"open": 1798761600000000}"#
    }
}
