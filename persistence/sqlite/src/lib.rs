//! Antiphon's embedded default: every store of a place in one SQLite file, shared by the node processes of one machine.
//!
//! - One thread writes. Whatever is pending when it is free becomes one transaction with one durable sync (*group commit*).
//! - Reads run beside it on a few connections of their own (WAL mode).
//! - A sealed writer's appends fail inside the transaction that would store them, and so does an append that does not follow
//!   the stream's highest number, whichever process it comes from.
//! - A path that keeps nothing is refused, and so is another program's file, without a byte of it changed. A file that is moved, deleted or
//!   replaced while it is open ends the store: nothing is acknowledged any more.
//! - The row number of a batch is the order of commits, and with it the change feed.
//!
//! See `README.md` of this crate for the schema and why it is as it is.

mod coordination;
mod error;
mod feed;
mod file;
mod journal;
mod offsets;
mod reader;
mod record_error;
mod schema;
mod settings;
mod snapshots;
mod stats;
mod stores;
mod sums;
mod verify;
mod writer;

pub use file::check_name;
pub use schema::check_file;
pub use settings::{Durability, Role, SqliteSettings};
pub use stats::SqliteStats;
pub use stores::SqliteStores;
