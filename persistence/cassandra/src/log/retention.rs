//! The rule of retention: which parts of the log may be removed.
//!
//! - A part of an open writer goes when all its rounds have been copied for `log_retention`. The
//!   part of the watermark stays, because it may get more rounds.
//! - All parts of a writer that has ended go when the writer has been copied for `log_retention`.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::tables::{LanePosition, WriterRow};

/// Longest time between two looks.
const LOOK_INTERVAL_MAX: Duration = Duration::from_secs(600);

/// Time between two looks.
pub(super) fn look_interval(retention: Duration) -> Duration {
    (retention / 8).clamp(Duration::from_millis(1), LOOK_INTERVAL_MAX)
}

/// Returns whether all parts of a writer go, because it has ended long ago. `now` is the wall
/// clock in microseconds.
pub(super) fn of_ended(row: &WriterRow, now: u64, retention: Duration) -> bool {
    let age = Duration::from_micros(now.saturating_sub(row.ended_at));
    row.copied && row.ended_at > 0 && age >= retention
}

/// Parts of an own lane, with the time at which each was first seen as copied.
#[derive(Debug, Default)]
pub(super) struct OwnLane {
    /// The next part to enter the queue.
    next: u64,
    copied: VecDeque<(u64, Instant)>,
}

impl OwnLane {
    /// The part below which all parts have been copied for `retention`, if there are any.
    pub(super) fn old(
        &mut self,
        copied: LanePosition,
        now: Instant,
        retention: Duration,
    ) -> Option<u64> {
        while self.next < copied.part {
            self.copied.push_back((self.next, now));
            self.next += 1;
        }
        let mut before = None;
        while let Some((part, since)) = self.copied.front()
            && now.duration_since(*since) >= retention
            // after a restore the copy may be behind; the part waits until the copy is there again
            && *part < copied.part
        {
            before = Some(part + 1);
            self.copied.pop_front();
        }
        self.check();
        assert!(
            before.is_none_or(|before| before <= copied.part),
            "parts up to {before:?} would go, and the copy is in part {}",
            copied.part
        );
        before
    }

    /// Asserts the invariants: the parts that wait are consecutive and end at `next`.
    fn check(&self) {
        let first = self.copied.front().map_or(self.next, |(part, _)| *part);
        assert_eq!(first + self.copied.len() as u64, self.next, "a part is missing or twice");
    }
}

#[cfg(test)]
mod tests {
    use antiphon_base::time::{Clock, SystemClock};

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn a_part_goes_when_it_has_been_copied_for_long_enough_and_the_open_part_stays() {
        let (mut lane, start) = (OwnLane::default(), SystemClock.now());
        let copied = |part| LanePosition { part, nr: 100 };
        assert_eq!(lane.old(copied(0), start, HOUR), None);
        assert_eq!(lane.old(copied(2), start, HOUR), None, "parts 0 and 1 are copied now");
        assert_eq!(lane.old(copied(3), start + HOUR / 2, HOUR), None);
        assert_eq!(lane.old(copied(3), start + HOUR, HOUR), Some(2));
        assert_eq!(lane.old(copied(3), start + HOUR, HOUR), None, "they are gone");
        assert_eq!(lane.old(copied(3), start + HOUR * 9, HOUR), Some(3));
        assert_eq!(lane.old(copied(5), start + HOUR * 9, Duration::ZERO), Some(5));
    }

    #[test]
    fn a_part_stays_while_the_copy_is_behind_it_again() {
        let (mut lane, start) = (OwnLane::default(), SystemClock.now());
        let copied = |part| LanePosition { part, nr: 100 };
        assert_eq!(lane.old(copied(3), start, HOUR), None);
        assert_eq!(lane.old(copied(1), start + HOUR, HOUR), Some(1), "the copy went back to 1");
        assert_eq!(lane.old(copied(3), start + HOUR, HOUR), Some(3));
    }

    #[test]
    fn the_log_of_a_writer_goes_when_it_was_copied_and_not_when_it_was_only_sealed() {
        let row = |copied, ended_at| {
            let writer = "w".into();
            WriterRow { writer, lanes: 2, sealed: true, copied, ended_at }
        };
        let second = Duration::from_secs(1);
        assert!(of_ended(&row(true, 5_000_000), 6_000_000, second));
        assert!(!of_ended(&row(true, 5_000_000), 5_999_999, second));
        assert!(!of_ended(&row(true, 7_000_000), 6_000_000, second), "its clock is ahead");
        assert!(!of_ended(&row(true, 0), 6_000_000, second), "its time is not known");
        assert!(!of_ended(&row(false, 5_000_000), 6_000_000, second));
    }

    #[test]
    fn looks_come_at_an_eighth_of_the_retention_within_bounds() {
        assert_eq!(look_interval(Duration::ZERO), Duration::from_millis(1));
        assert_eq!(look_interval(Duration::from_secs(8)), Duration::from_secs(1));
        assert_eq!(look_interval(HOUR * 24 * 365), LOOK_INTERVAL_MAX);
    }
}
