//! Tracks whether the database answers.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use antiphon_base::time::{Clock, SystemClock};
use parking_lot::Mutex;
use tokio::time::Instant;

/// Statements may fail for a moment, as when one node of several goes. Failures for this long
/// without any answer are trouble.
const PATIENCE: Duration = Duration::from_secs(1);

/// The time of the first failure since the last answer, and the text of the last failure.
#[derive(Default)]
pub(super) struct Answers {
    failing: AtomicBool,
    since: Mutex<Option<(Instant, String)>>,
}

impl Answers {
    /// Records that a statement was answered.
    pub(super) fn answered(&self) {
        if self.failing.swap(false, Ordering::AcqRel) {
            let before = self.since.lock().take();
            if before.is_some_and(|(since, _)| SystemClock.now().duration_since(since) >= PATIENCE)
            {
                tracing::info!("the database answers again");
            }
        }
    }

    /// Records that a statement failed.
    pub(super) fn failed(&self, error: String) {
        self.failing.store(true, Ordering::Release);
        let now = SystemClock.now();
        let mut since = self.since.lock();
        let first = since.take().map_or(now, |(first, _)| first);
        *since = Some((first, error));
    }

    /// True when a statement failed and none was answered since.
    pub(super) fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Acquire)
    }

    /// True when statements have failed for [`PATIENCE`] without an answer.
    pub(super) fn is_silent(&self) -> bool {
        let since = self.since.lock();
        let since = since.as_ref().map(|(since, _)| *since);
        since.is_some_and(|since| SystemClock.now().duration_since(since) >= PATIENCE)
    }

    /// Describes the database when it has not answered for [`PATIENCE`].
    pub(super) fn trouble(&self) -> Option<String> {
        let since = self.since.lock();
        let (first, error) = since.as_ref()?;
        let silent = SystemClock.now().duration_since(*first);
        (silent >= PATIENCE).then(|| {
            format!(
                "waits for the database, which has not answered for {}s: {error}",
                silent.as_secs()
            )
        })
    }
}
