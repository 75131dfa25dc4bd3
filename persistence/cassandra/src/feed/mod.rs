//! The change feed: the [lanes] of all writers, and a [scan] for readers whose parts of the log are
//! gone. The rule of a page is [`FeedPage`](antiphon_persistence::store::FeedPage).

#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod lanes;
mod position;
mod scan;
