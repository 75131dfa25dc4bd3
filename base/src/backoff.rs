//! The wait before a failed operation is tried again: twice as long after each failure in a row,
//! up to a limit, and shortened by chance, so that nodes that fail together do not try again
//! together.
//!
//! - [`Backoff`] computes the wait after a number of failures.
//! - [`Jitter`] is the share of the wait that is taken off. The caller brings it: a core has no
//!   randomness of its own.
//! - [`Retry`] counts the failures of one operation in a core, and knows when the next try is due.
//!
//! A loop that waits needs the number of failures only:
//!
//! ```
//! use std::time::Duration;
//!
//! use antiphon_base::backoff::{Backoff, Jitter};
//!
//! let backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
//! let waits: Vec<_> = (1..=5).map(|failures| backoff.delay(failures, Jitter::NONE)).collect();
//! assert_eq!(waits, [100, 200, 400, 800, 1000].map(Duration::from_millis));
//! ```

use std::fmt::Display;
use std::time::Duration;

use tokio::time::Instant;

/// The number of doublings at which the wait stops to grow, whatever its limit is.
const DOUBLINGS_MAX: u32 = 20;

/// The length of the waits of one kind of operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    max: Duration,
}

impl Backoff {
    /// Waits from `first` to `max`. The limit holds for the first wait too.
    pub const fn new(first: Duration, max: Duration) -> Self {
        Self { first, max }
    }

    /// Waits from 100 ms, the usual first wait, to `max`.
    pub const fn up_to(max: Duration) -> Self {
        Self::new(Duration::from_millis(100), max)
    }

    /// The wait after that number of failures in a row: `first` after one, twice as long after each
    /// further one, at most `max`, and shortened by `jitter`. Zero failures count as one.
    #[must_use]
    pub fn delay(&self, failures: u32, jitter: Jitter) -> Duration {
        let doublings = failures.saturating_sub(1).min(DOUBLINGS_MAX);
        let full = self.first.saturating_mul(1 << doublings).min(self.max);
        full.saturating_sub(full.saturating_mul(u32::from(jitter.0)) / (2 * u32::from(Jitter::MAX)))
    }
}

/// The share of a wait that is taken off: nothing, up to half of the wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Jitter(u16);

impl Jitter {
    /// Takes nothing off.
    pub const NONE: Self = Self(0);
    /// The largest number of thousandths.
    const MAX: u16 = 1000;

    /// Takes off that many thousandths of half the wait; more than 1000 count as 1000. The number
    /// should be random, from 0 to 1000.
    #[must_use]
    pub fn thousandths(random: u16) -> Self {
        Self(random.min(Self::MAX))
    }

    /// A share that is computed from the arguments alone, so that a core needs no randomness: other
    /// names, and other turns, have other shares.
    #[must_use]
    pub fn of(name: &impl Display, turn: u32) -> Self {
        // FNV-1a
        let hash = format!("{name} {turn}")
            .bytes()
            .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        // the last bytes have to reach the upper bits too
        let mixed = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
        let mixed = (mixed ^ (mixed >> 13)).wrapping_mul(0xc2b2_ae35);
        let share = (mixed ^ (mixed >> 16)) % (u32::from(Self::MAX) + 1);
        Self(u16::try_from(share).expect("it is at most 1000"))
    }
}

/// The failures in a row of one operation, and the time of its next try.
///
/// ```
/// use std::time::Duration;
///
/// use antiphon_base::backoff::{Backoff, Retry};
/// use antiphon_base::time::{Clock, SystemClock};
///
/// let backoff = Backoff::up_to(Duration::from_secs(1));
/// let (mut retry, now) = (Retry::default(), SystemClock.now());
/// retry.failed(now, backoff, &"node-1");
/// assert!(!retry.is_due(now));
/// assert!(retry.is_due(now + Duration::from_millis(100)));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Retry {
    failures: u32,
    until: Option<Instant>,
}

impl Retry {
    /// True when the operation may be tried now.
    #[must_use]
    pub fn is_due(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| now >= until)
    }

    /// Records a failure. The jitter of the wait is computed from `name` and from the number of
    /// failures ([`Jitter::of`]).
    pub fn failed(&mut self, now: Instant, backoff: Backoff, name: &impl Display) {
        self.failures = self.failures.saturating_add(1);
        self.until = Some(now + backoff.delay(self.failures, Jitter::of(name, self.failures)));
    }

    /// Forgets the failures, after a success or when the operation is another one now.
    pub fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::time::{Clock, SystemClock};

    const BACKOFF: Backoff = Backoff::up_to(Duration::from_secs(2));

    #[test]
    fn waits_double_up_to_the_limit() {
        for (failures, expected) in
            [(0, 100), (1, 100), (2, 200), (5, 1600), (6, 2000), (u32::MAX, 2000)]
        {
            let wait = BACKOFF.delay(failures, Jitter::NONE);
            assert_eq!(wait, Duration::from_millis(expected), "{failures}");
        }
    }

    #[test]
    fn limit_below_the_first_wait_holds_too() {
        let backoff = Backoff::new(Duration::from_secs(1), Duration::from_millis(10));
        assert_eq!(backoff.delay(1, Jitter::NONE), Duration::from_millis(10));
    }

    #[test]
    fn jitter_takes_off_at_most_half() {
        for (random, expected) in [(0, 2000), (500, 1500), (1000, 1000), (u16::MAX, 1000)] {
            let wait = BACKOFF.delay(9, Jitter::thousandths(random));
            assert_eq!(wait, Duration::from_millis(expected), "{random}");
        }
    }

    #[test]
    fn next_try_is_due_after_the_wait_and_at_once_after_a_success() {
        let now = SystemClock.now();
        let mut retry = Retry::default();
        assert!(retry.is_due(now));
        for expected in [100, 200, 400, 800, 1600, 2000, 2000, 2000] {
            retry.failed(now, BACKOFF, &"a");
            let wait = Duration::from_millis(expected);
            assert!(!retry.is_due(now + wait / 2 - Duration::from_millis(1)), "{expected}");
            assert!(retry.is_due(now + wait), "{expected}");
        }
        retry.reset();
        assert!(retry.is_due(now));
    }

    #[test]
    fn two_nodes_do_not_try_again_at_the_same_moment() {
        let waits = [Jitter::of(&"a", 1), Jitter::of(&"b", 1), Jitter::of(&"a", 2)];
        let waits = waits.map(|jitter| BACKOFF.delay(9, jitter));
        let apart = |a: usize, b: usize| waits[a].abs_diff(waits[b]) > Duration::from_millis(10);
        assert!(apart(0, 1) && apart(0, 2) && apart(1, 2), "{waits:?}");
    }

    proptest! {
        #[test]
        fn no_wait_is_over_its_limit_nor_below_half_of_what_it_would_be(
            first in 0_u64..=u64::MAX,
            max in 0_u64..=u64::MAX,
            failures: u32,
            random: u16,
        ) {
            let backoff = Backoff::new(Duration::from_nanos(first), Duration::from_secs(max));
            let full = backoff.delay(failures, Jitter::NONE);
            let wait = backoff.delay(failures, Jitter::thousandths(random));
            prop_assert!(wait <= full && full <= Duration::from_secs(max));
            prop_assert!(wait >= full / 2);
        }
    }
}
