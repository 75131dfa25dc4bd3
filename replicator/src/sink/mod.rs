//! Destinations of events.

mod event_store;
mod journal;
mod ndjson;
mod null;
mod outcome;
pub(crate) mod run;

use async_trait::async_trait;
pub use event_store::{EventStoreSink, EventStoreSinkSettings, Origin, Versions};
pub use journal::{JournalSink, JournalSinkSettings};
pub use ndjson::{LOOK_BACK_BYTES, NdjsonSink};
pub use null::NullSink;
pub use outcome::{Conflict, Outcome};

use crate::Result;
use crate::event::Envelope;

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
    /// Writes a batch. A cancelled call may have written some of it: the next try finds out.
    async fn write(&self, batch: &[Envelope]) -> Vec<Outcome>;

    /// Checks that the sink can be reached. Called at intervals while it is unreachable and no
    /// event is ready to be written. A cancelled call leaves nothing behind.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn probe(&self) -> Result<()> {
        Ok(())
    }

    /// Closes the sink. Called when no write is in progress and none will follow. Closing only
    /// helps others: a process may be killed, so the sink must be correct without it, and after a
    /// cancelled call too.
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
