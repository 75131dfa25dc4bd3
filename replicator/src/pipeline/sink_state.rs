//! The sink: reachable, or asked at growing intervals.

use std::time::Duration;

use tokio::time::Instant;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SinkState {
    Up,
    Down { since: Instant, until: Instant, attempts: u32 },
}

impl SinkState {
    pub(super) fn is_up(self) -> bool {
        self == Self::Up
    }

    /// Notes a failure. Returns the time of the next try.
    pub(super) fn failed(&mut self, now: Instant, delay: impl Fn(u32) -> Duration) -> Instant {
        let (since, attempts) = match *self {
            Self::Up => (now, 1),
            Self::Down { since, attempts, .. } => (since, attempts.saturating_add(1)),
        };
        let until = now + delay(attempts);
        *self = Self::Down { since, until, attempts };
        until
    }
}
