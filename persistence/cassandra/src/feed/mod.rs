//! The change feed: the [lanes] of all writers, and a [scan] for readers whose parts of the log are
//! gone.

mod lanes;
mod page;
mod position;
mod scan;
