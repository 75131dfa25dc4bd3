//! Replay: joins a stream's own partitions with its events that are not copied yet, and requests
//! the next page before its reader comes.

pub(crate) mod ahead;
mod page;
mod reading;
mod stream;
