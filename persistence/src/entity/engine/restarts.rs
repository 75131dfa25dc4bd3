//! The waits before the restarts of an entity: each failure in a row doubles the wait.

use std::time::Duration;

use antiphon_base::backoff::{Backoff, Jitter};
use tokio::time::Instant;

use crate::entity::EntitySettings;

/// The restarts in a row of one entity.
#[derive(Debug, Default)]
pub(super) struct Restarts {
    attempts: u32,
    /// The time at which the last recovery ended.
    recovered_at: Option<Instant>,
}

impl Restarts {
    /// Notes that the entity has stored something: the next failure is a new one.
    pub(super) fn stored(&mut self) {
        self.attempts = 0;
    }

    /// Notes the end of a recovery.
    pub(super) fn recovered(&mut self, now: Instant) {
        self.recovered_at = Some(now);
    }

    /// Notes a failure. Returns the wait before the restart.
    pub(super) fn failed(&mut self, now: Instant, settings: &EntitySettings) -> Duration {
        let worked = self.recovered_at.take().map(|at| now.saturating_duration_since(at));
        if worked.is_some_and(|time| time >= settings.restart_max) {
            self.attempts = 0;
        }
        self.attempts = self.attempts.saturating_add(1);
        let backoff = Backoff::new(settings.restart_min, settings.restart_max);
        backoff.delay(self.attempts, Jitter::NONE)
    }

    /// The number of failures in a row.
    pub(super) fn count(&self) -> u32 {
        self.attempts
    }
}
