//! The only reader of the clocks of the machine.

use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use super::Timestamp;

/// The source of time. Cores get `now` passed in; shells ask a clock, which the simulation
/// replaces.
///
/// ```
/// use antiphon_base::time::{Clock, SystemClock};
///
/// let begin = SystemClock.now();
/// assert!(SystemClock.now() >= begin);
/// assert!(SystemClock.wall().as_micros() > 1_600_000_000_000_000, "after the year 2020");
/// ```
pub trait Clock: Send + Sync + 'static {
    /// The monotonic time. It advances also while the process is frozen.
    fn now(&self) -> Instant;

    /// The time of day, which may jump.
    fn wall(&self) -> Timestamp;
}

/// The clocks of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

#[expect(clippy::disallowed_methods, reason = "this is the place that reads the clocks")]
impl Clock for SystemClock {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn wall(&self) -> Timestamp {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_micros(u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX))
    }
}
