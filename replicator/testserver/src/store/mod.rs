//! The data of the server: one log, and streams as lists of indexes in it.
//!
//! Rules that tests depend on are those of EventStoreDB: expected revisions and idempotency
//! ([`check`]), numbers ([`append`]), deletion ([`delete`]), truncation ([`metadata`]), links of
//! categories ([`links`]), visibility to readers ([`read`]).

mod append;
mod check;
mod delete;
mod entry;
mod file;
mod filter;
mod group_record;
mod links;
mod log;
mod metadata;
mod parked;
mod read;
mod remembered;

pub(crate) use append::{Appended, Store};
pub(crate) use delete::Deletion;
pub(crate) use entry::{TOMBSTONE, now_ticks, place_after, place_at, position};
pub(crate) use filter::EventFilter;
pub(crate) use group_record::{GroupKey, GroupRecord};
pub(crate) use log::Log;
pub(crate) use read::{Found, StreamPage};
