//! Accounts in two releases of one entity type, which run side by side during an update:
//! `docs/guide/evolution.md` explains each step.
//!
//! | | release 1 | release 2 |
//! |---|---|---|
//! | opening | `Opened { owner }` | `Opened { holder }`: a field has another name |
//! | transfer | `Transferred { cents, fee }` | `Moved { cents }` and `Charged { cents }`: split |
//! | note | `Noted { text }` | removed: read as no event |
//! | snapshot | `owner`, balance, fees, count | `holder`, the same |

pub mod one;
pub mod recipes;
mod settings;
pub mod two;

use antiphon::app::{Ask, Body};
use antiphon::prelude::*;
use serde::{Deserialize, Serialize};

pub use settings::{AccountSettings, Codec};

/// The commands, the same in both releases: they go between nodes of different releases.
#[derive(Debug, Serialize, Deserialize)]
pub enum Command {
    /// Names the owner.
    Open {
        /// The name.
        owner: String,
        /// The receiver of the answer.
        reply_to: ReplyTo<Summary>,
    },
    /// Changes the balance by an amount that is not zero, for a fee.
    Transfer {
        /// The amount, in cents; below zero for a payment.
        cents: i64,
        /// The fee, in cents.
        fee: i64,
        /// The receiver of the answer.
        reply_to: ReplyTo<Summary>,
    },
    /// Adds a note, which release 2 has no more.
    Note {
        /// The note.
        text: String,
        /// The receiver of the answer.
        reply_to: ReplyTo<Summary>,
    },
    /// Reads the account.
    Get {
        /// The receiver of the answer.
        reply_to: ReplyTo<Summary>,
    },
}

/// An account, as both releases show it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// The name of the owner.
    pub owner: String,
    /// The sum of all transfers without their fees, in cents.
    pub balance: i64,
    /// The sum of all fees, in cents.
    pub fees: i64,
    /// The number of transfers.
    pub count: u64,
}

/// The body of a `POST`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum Posted {
    Open(String),
    Transfer(i64, i64),
    Note(String),
}

/// The ask of a `POST`.
fn posted(body: Body) -> Result<Ask<Command>> {
    Ok(match body.read()? {
        Posted::Open(owner) => Ask::new(|reply_to| Command::Open { owner, reply_to }),
        Posted::Transfer(0, _) => {
            return Err(Error::rejected("`transfer`: expected an amount, actual 0"));
        }
        Posted::Transfer(cents, fee) => {
            Ask::new(move |reply_to| Command::Transfer { cents, fee, reply_to })
        }
        Posted::Note(text) => Ask::new(|reply_to| Command::Note { text, reply_to }),
    })
}

/// The bodies of a `POST`.
const EXPECTED: &str = r#"{"open": "name"}, {"transfer": [cents, fee]} or {"note": "text"}"#;
