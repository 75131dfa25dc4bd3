//! The change feed: batches in the order of their row numbers. That is the order of commits,
//! because the file has one writer at a time.
//!
//! Many readers follow the same feed, one for each shard. So the newest entries are kept in memory,
//! and readers near the end that ask at the same time share one read of newer rows.
//!
//! - `pages`: a page, from memory or from the file, and the shared read;
//! - `cache`: the entries in memory;
//! - `rows`: the rows of the file, checked;
//! - `page`: the page of some entries;
//! - `entry`: an entry.

mod cache;
mod entry;
mod page;
mod pages;
mod rows;

pub(crate) use pages::Feed;
