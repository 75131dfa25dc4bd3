//! The only reader of the clocks of the machine.

use std::cell::Cell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

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

    /// Both times at once. A jump of the time of day may show a millisecond later than in
    /// [`Self::wall`].
    fn both(&self) -> (Instant, Timestamp) {
        (self.now(), self.wall())
    }
}

/// Longest time for which [`SystemClock::both`] follows the monotonic time in place of a look at
/// the time of day.
const BOTH_APART_MAX: Duration = Duration::from_millis(1);

thread_local! {
    /// The last look of the thread at both times.
    static LOOK: Cell<Option<(Instant, Timestamp)>> = const { Cell::new(None) };
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

    fn both(&self) -> (Instant, Timestamp) {
        let now = self.now();
        if let Some((at, wall)) = LOOK.get()
            && let Some(since) = now.checked_duration_since(at)
            && since < BOTH_APART_MAX
            // the monotonic time of a test may stand still
            && !since.is_zero()
        {
            let micros = wall.as_micros() + u64::from(since.subsec_micros());
            return (now, Timestamp::from_micros(micros));
        }
        let wall = self.wall();
        LOOK.set(Some((now, wall)));
        (now, wall)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_times_are_near_those_of_each_clock_and_never_go_back_within_a_look() {
        let begin = (SystemClock.now(), SystemClock.wall());
        let mut before = SystemClock.both();
        assert!(before.0 >= begin.0);
        while before.0 - begin.0 < 3 * BOTH_APART_MAX {
            let both = SystemClock.both();
            assert!(both.0 >= before.0);
            let apart = both.1.as_micros().abs_diff(SystemClock.wall().as_micros());
            // the thread may be stopped between the looks, and the time of day may be set
            assert!(apart < 10_000_000, "{apart} us apart");
            before = both;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_of_day_goes_on_while_the_monotonic_time_stands_still() {
        let (at, begin) = SystemClock.both();
        while SystemClock.both().1 == begin {
            assert_eq!(SystemClock.both().0, at);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_of_day_is_looked_at_again_when_the_monotonic_time_has_jumped() {
        let (_, before) = SystemClock.both();
        tokio::time::advance(Duration::from_secs(3600)).await;
        let (_, after) = SystemClock.both();
        let passed = after.as_micros().abs_diff(before.as_micros());
        assert!(passed < 600_000_000, "it does not follow the paused time: {passed} us");
    }
}
