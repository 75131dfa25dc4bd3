//! Antiphon's embedded default: all stores of a place in one SQLite file, shared by the node
//! processes of one machine.
//!
//! - A single thread writes. All writes that are pending when it is free become one transaction
//!   with one durable sync (*group commit*).
//! - Reads run beside it on a few connections of their own (WAL mode).
//! - The appends of a sealed writer fail inside the transaction that would store them. So does an
//!   append that does not follow the stream's highest sequence nr, from any process.
//! - A path that keeps nothing is refused, and another program's file is refused without a changed
//!   byte.
//! - The store ends, and acknowledges nothing any more, when its open file is moved, deleted or
//!   replaced.
//! - The row number of a batch is the order of commits, and with it the change feed.
//!
//! `README.md` of this crate explains the schema.

mod backend;
mod batch_row;
mod chain;
mod coordination;
mod delete;
mod error;
mod feed;
mod file;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing {
    //! The decoders of this crate, for the fuzzing in `fuzz`.

    pub use crate::chain::fuzzing::ROWS;
}
mod head;
mod journal;
mod offsets;
mod peek;
mod position;
mod read;
mod read_journal;
mod record_error;
mod reminders;
mod schema;
mod settings;
mod snapshots;
mod stats;
mod stores;
mod stream_names;
mod sums;
mod verify;
mod writer;
mod writer_row;

pub use antiphon_persistence::store::Role;
pub use backend::{SqliteJournal, SqliteKind};
pub use file::{check_name, real_path};
pub use peek::peek_row;
pub use schema::check_file;
pub use settings::{Durability, SqliteSettings};
pub use stats::SqliteStats;
pub use stores::SqliteStores;
