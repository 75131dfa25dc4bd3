//! Destinations of events.

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

/// The reason for which an event cannot be appended at its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Conflict {
    /// The destination does not have the events before this one.
    Missing {
        /// The last number at the destination; none when it has no such stream.
        current: Option<u64>,
    },
    /// The destination has a different event at this number.
    Different {
        /// The id of that event; none when it can no longer be read.
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

/// The outcome of one event of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The event is durable at the destination, with this number if the sink has numbers.
    Written(Option<u64>),
    /// The event was there already.
    Duplicate,
    /// A transform dropped the event on purpose.
    Dropped,
    /// The event does not fit the destination's stream.
    Conflict(Conflict),
    /// The sink refused this event for now: retry a limited number of times.
    Retryable(String),
    /// The sink as a whole is unreachable. This says nothing about the event, which waits without a
    /// limit.
    Unavailable(String),
    /// The sink will never accept the event, for example because it is too large. It is parked at
    /// once.
    Rejected(String),
    /// The event was not tried, because an earlier event of the same stream failed in this write.
    Untried,
}

/// A destination.
///
/// # Contract
/// - `write` must return one outcome per envelope, in their order.
/// - `write` must not write an event after an earlier event of the same stream failed in the call;
///   the later event is `Untried`.
/// - An event must be durable before `write` returns `Written` for it. When `write` does not know,
///   it must return `Unavailable` or `Retryable`, and finds out on the next try if the event is
///   there.
/// - `write` must end by itself: each network call in it has a timeout.
#[async_trait]
pub trait Sink: Send + Sync + 'static {
    /// Writes a batch.
    async fn write(&self, batch: &[Envelope]) -> Vec<Outcome>;

    /// Checks that the sink can be reached. Called at intervals while it is unreachable and no
    /// event is ready to be written.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn probe(&self) -> Result<()> {
        Ok(())
    }

    /// Closes the sink. Called when no write is in progress and none will follow. Closing only
    /// helps others: a process may be killed, so the sink must be correct without it.
    ///
    /// # Errors
    /// Description of the step that failed, for the log.
    async fn close(&self) -> Result<()> {
        Ok(())
    }

    /// True when one call may contain events of several streams. At most one write of a stream is
    /// in progress at any time.
    fn mixes_streams(&self) -> bool {
        false
    }
}
