//! A clock that never goes back, even when the time of day goes back or an entity moves.
//!
//! A hybrid logical clock (Kulkarni et al., "Logical Physical Clocks", 2014) in one number: the
//! microseconds of the time of day, pushed one past the last time that was given out or observed.
//! An entity seeds it from the events it replays, so time does not go back across a restart or a
//! fail-over either.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Microseconds since the Unix epoch.
///
/// ```
/// use antiphon_base::time::Timestamp;
///
/// let (first, second) = (Timestamp::from_micros(7), Timestamp::from_micros(8));
/// assert!(first < second);
/// assert_eq!(second.as_micros(), 8);
/// assert_eq!(second.to_string(), "8us");
/// ```
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Timestamp(u64);

impl Timestamp {
    /// `micros` after the Unix epoch.
    pub fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since the Unix epoch.
    pub fn as_micros(self) -> u64 {
        self.0
    }

    /// Returns whether this time is more than `most` after `other`.
    pub fn is_ahead_of(self, other: Self, most: Duration) -> bool {
        u128::from(self.0.saturating_sub(other.0)) > most.as_micros()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}us", self.0)
    }
}

/// The last time of one entity.
///
/// ```
/// use antiphon_base::time::{HybridClock, Timestamp};
///
/// let mut clock = HybridClock::default();
/// clock.observe(Timestamp::from_micros(100));
/// let late = Timestamp::from_micros(40);
/// assert_eq!(clock.tick(late), Timestamp::from_micros(101), "time does not go back");
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HybridClock(Timestamp);

impl HybridClock {
    /// The current time: the time of day, or one microsecond past the last time if that is later.
    pub fn tick(&mut self, wall: Timestamp) -> Timestamp {
        self.0 = Timestamp(wall.0.max(self.0.0.saturating_add(1)));
        self.0
    }

    /// Takes note of the time of an event, so that later times follow it.
    pub fn observe(&mut self, seen: Timestamp) {
        self.0 = self.0.max(seen);
    }

    /// Takes note of the time of an event that another clock has made, unless it is more than
    /// `most` ahead of the time of day: one wrong clock would set all others wrong for ever.
    /// Returns whether the time was noted.
    pub fn observe_other(&mut self, seen: Timestamp, wall: Timestamp, most: Duration) -> bool {
        let is_noted = !seen.is_ahead_of(wall, most);
        if is_noted {
            self.observe(seen);
        }
        is_noted
    }

    /// The last time given out or observed.
    pub fn last(&self) -> Timestamp {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_never_goes_back_when_the_time_of_day_does() {
        let mut clock = HybridClock::default();
        assert_eq!(clock.tick(Timestamp(100)), Timestamp(100));
        assert_eq!(clock.tick(Timestamp(90)), Timestamp(101));

        clock.observe(Timestamp(500));
        assert_eq!(clock.tick(Timestamp(110)), Timestamp(501));
        assert_eq!(clock.tick(Timestamp(600)), Timestamp(600));
    }

    #[test]
    fn a_clock_that_is_far_ahead_sets_no_other_wrong() {
        let (wall, most) = (Timestamp(1_000_000), Duration::from_micros(500));
        let mut clock = HybridClock::default();
        assert!(clock.observe_other(Timestamp(1_000_500), wall, most), "the most that is allowed");
        assert_eq!(clock.tick(wall), Timestamp(1_000_501));
        for ahead in [Timestamp(1_000_501), Timestamp(u64::MAX)] {
            assert!(!clock.observe_other(ahead, wall, most));
            assert_eq!(clock.last(), Timestamp(1_000_501));
        }
        assert!(
            clock.observe_other(Timestamp(3), wall, Duration::ZERO),
            "a late time is no danger"
        );
        assert!(clock.observe_other(Timestamp(u64::MAX), wall, Duration::MAX));
    }
}
