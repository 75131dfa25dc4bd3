//! Where events go.

mod event_store;
mod journal;
mod ndjson;
mod null;

use std::fmt;

use async_trait::async_trait;
pub use event_store::{EventStoreSink, EventStoreSinkSettings, Versions};
pub use journal::{JournalSink, JournalSinkSettings};
pub use ndjson::{LOOK_BACK_BYTES, NdjsonSink};
pub use null::NullSink;
use uuid::Uuid;

use crate::Result;
use crate::event::Envelope;

/// Why an event cannot be appended where it belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Conflict {
    /// The destination has not the events before it: `current` is its last number, none when it has no such stream.
    Missing {
        /// The last number at the destination.
        current: Option<u64>,
    },
    /// Another event stands at its number.
    Different {
        /// The id of that event; none when it cannot be read any more.
        found: Option<Uuid>,
    },
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { current: None } => f.write_str("the destination has no such stream"),
            Self::Missing { current: Some(current) } => {
                write!(f, "the destination ends at #{current}")
            }
            Self::Different { found: Some(found) } => {
                write!(f, "the destination has event {found} at this number")
            }
            Self::Different { found: None } => {
                f.write_str("the destination is past this number and the event there is gone")
            }
        }
    }
}

/// What became of one event of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is durable at the destination. The number that it has there, where the sink has numbers.
    Written(Option<u64>),
    /// It was there already.
    Duplicate,
    /// It is meant not to be there: a transform dropped it.
    Dropped,
    /// The destination's stream does not fit.
    Conflict(Conflict),
    /// The sink refused this event for now: try it again, a bounded number of times.
    Retryable(String),
    /// The sink as a whole is not reachable: it says nothing about the event, which waits as long as it takes.
    Unavailable(String),
    /// The sink will never take it: too large, say. It is put aside at once.
    Rejected(String),
    /// Not tried, because an earlier event of the same stream in the write failed.
    Untried,
}

/// A destination.
///
/// # Contract
/// - `write` must return one outcome an envelope, in their order.
/// - `write` must not write an event after an earlier event of the same stream in the call failed; that one is `Untried`.
/// - An event must be durable before `Written` is said, and `write` must never say so when it does not know: then it is `Unavailable` or
///   `Retryable`, and the sink finds out on the next try whether the event is there.
/// - `write` must end by itself: each call to a network in it has a timeout.
#[async_trait]
pub trait Sink: Send + Sync + 'static {
    /// Writes a batch.
    async fn write(&self, batch: &[Envelope]) -> Vec<Outcome>;

    /// Whether the sink can be reached; asked, with pauses, while it is away and nothing is at hand to be written.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn probe(&self) -> Result<()> {
        Ok(())
    }

    /// Ends it: called when nothing is under way any more, and nothing will be written. What it does is a favour to others, and the sink must be
    /// right without it, because a process may be killed.
    ///
    /// # Errors
    /// What was not done, for the log.
    async fn close(&self) -> Result<()> {
        Ok(())
    }

    /// Whether one call may carry events of several streams (at most one write of a stream is under way at any time).
    fn mixes_streams(&self) -> bool {
        false
    }
}
