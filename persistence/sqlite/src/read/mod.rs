//! Reads beside the writer: a limited number of connections, each used by one blocking task at a
//! time.
//!
//! - `readers`: a read, from the wait for a connection to the end of its transaction;
//! - `connections`: the connections that are idle, and the look whether the file is still the same;
//! - `seen`: the files that were read so far, and the count of their replacements.

mod connections;
mod readers;
mod seen;

pub(crate) use readers::Readers;
