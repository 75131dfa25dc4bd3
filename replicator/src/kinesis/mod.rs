//! The sink `kinesis`: events as JSON records of a Kinesis stream.
//!
//! - A record is Ditto's envelope, and always valid JSON ([`Record`]).
//! - The partition key is the stream, so that a stream stays in one shard. A request has many
//!   records and at most one of a key, because the service may store the records of one request in
//!   any order and refuse any of them ([`Plan`]).
//! - Delivery is at least once: a request whose answer was lost is sent again.
//!
//! The sink needs the cargo feature `kinesis`; the rules do not, and are tested without.

#[cfg(feature = "kinesis")]
mod connect;
#[cfg(test)]
#[cfg(feature = "kinesis")]
mod fake;
mod plan;
mod record;
#[cfg(feature = "kinesis")]
mod sink;
#[cfg(test)]
#[cfg(feature = "kinesis")]
mod tests;

#[cfg(feature = "kinesis")]
pub use connect::{check_profile, connect};
pub use plan::{Plan, Verdict};
pub use record::{PARTITION_KEY_CHARS_MAX, Record, partition_key};
#[cfg(feature = "kinesis")]
pub use sink::KinesisSink;
