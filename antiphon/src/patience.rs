//! The patience of a start: repeats what a slow or unreachable store refuses, until
//! `start_timeout`.

use std::time::Duration;

use antiphon_base::time::{Clock, SystemClock};
use antiphon_runtime::{Error, ErrorKind, Result};
use tokio::time::Instant;

/// Time between two attempts to reach a store.
pub(crate) const RETRY_INTERVAL: Duration = Duration::from_millis(500);

/// The time that a start waits for the stores and the members of the place.
pub(crate) struct Patience<F> {
    until: Instant,
    limit: Duration,
    waits: F,
}

impl<F: Fn(&str)> Patience<F> {
    /// Waits from `now` on, at most `start_timeout`, and calls `waits` with each new reason.
    pub(crate) fn new(now: Instant, start_timeout: Duration, waits: F) -> Self {
        Self { until: now + start_timeout, limit: start_timeout, waits }
    }

    /// Repeats an attempt that failed because a store or a member of the place is slow or cannot be
    /// reached.
    pub(crate) async fn until_reached<T, G>(&self, mut attempt: impl FnMut() -> G) -> Result<T>
    where
        G: Future<Output = Result<T>>,
    {
        let mut last = String::new();
        loop {
            let error = match attempt().await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let passing = matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout);
            if !passing {
                return Err(error);
            }
            if SystemClock.now() >= self.until {
                let (kind, limit) = (error.kind(), self.limit);
                let message =
                    format!("the node could not start within {limit:?} (`start_timeout`): {error}");
                return Err(Error::new(kind, message).with_source(error));
            }
            let reason = error.to_string();
            if reason != last {
                let limit = self.limit;
                tracing::warn!(
                    reason,
                    ?limit,
                    "the start waits, and is tried again until `start_timeout` is over"
                );
                (self.waits)(&reason);
                last = reason;
            }
            tokio::time::sleep(RETRY_INTERVAL).await;
        }
    }
}
