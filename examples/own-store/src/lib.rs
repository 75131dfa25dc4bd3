//! A store of one's own: all stores of a place in a log file, as an example for authors of stores.
//! `README.md` has the steps.

mod backend;
mod log;
mod operation;
pub mod places;
mod stores;

pub use backend::{LogJournal, LogKind};
pub use stores::LogStores;
