//! Decides when a failed operation may be tried again: later each time, up to a limit, and not at
//! the same moment on every node.

use std::fmt::Display;
use std::time::Duration;

use tokio::time::Instant;

/// The first wait; each one after it is twice as long.
const DELAY_MIN: Duration = Duration::from_millis(100);

/// Counts the failures in a row of one operation.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: u32,
    until: Option<Instant>,
}

impl Backoff {
    /// True when the operation may be tried now.
    pub fn is_due(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| now >= until)
    }

    /// Records a failure. The first wait is 100 ms, each later wait twice as long, up to
    /// `delay_max`. Up to half of the wait is added; the addition differs by `who`.
    pub fn failed(&mut self, now: Instant, delay_max: Duration, who: &impl Display) {
        let delay = DELAY_MIN.saturating_mul(1 << self.failures.min(16)).min(delay_max);
        self.failures = self.failures.saturating_add(1);
        self.until = Some(now + delay + delay.mul_f64(0.5 * spread(who, self.failures)));
    }

    /// Forgets the failures, after a success or when the operation is another one now.
    pub fn reset(&mut self) {
        *self = Self::default();
    }
}

/// A pseudo-random number from zero to one, computed from the arguments alone (FNV-1a).
fn spread(who: &impl Display, turn: u32) -> f64 {
    let hash = format!("{who} {turn}")
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    // the last bytes have to reach the upper bits too
    let mixed = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
    let mixed = (mixed ^ (mixed >> 13)).wrapping_mul(0xc2b2_ae35);
    f64::from(mixed ^ (mixed >> 16)) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use antiphon_base::time::{Clock, SystemClock};

    use super::*;

    #[test]
    fn waits_grow_to_the_limit_and_end_with_a_success() {
        let now = SystemClock.now();
        let max = Duration::from_secs(2);
        let mut backoff = Backoff::default();
        assert!(backoff.is_due(now));
        for expected in [100, 200, 400, 800, 1600, 2000, 2000, 2000] {
            backoff.failed(now, max, &"a");
            let wait = Duration::from_millis(expected);
            assert!(!backoff.is_due(now + wait - Duration::from_millis(1)), "{expected}");
            assert!(backoff.is_due(now + wait + wait / 2), "{expected}");
        }
        backoff.reset();
        assert!(backoff.is_due(now));
    }

    #[test]
    fn two_nodes_do_not_try_again_at_the_same_moment() {
        let all = [spread(&"a", 1), spread(&"b", 1), spread(&"a", 2)];
        assert!(all.iter().all(|spread| (0.0..=1.0).contains(spread)), "{all:?}");
        assert!((all[0] - all[1]).abs() > 0.01 && (all[0] - all[2]).abs() > 0.01, "{all:?}");
    }
}
