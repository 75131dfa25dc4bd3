//! Decides when a periodic operation is due: at each turn, and between turns when it is wanted at
//! once.
//!
//! Only an operation done in its turn shows that time has passed. Operations between turns come as
//! often as others give a reason.

use std::time::Duration;

use tokio::time::Instant;

/// The turns of one operation.
#[derive(Debug)]
pub(super) struct Turns {
    interval: Duration,
    at: Instant,
    is_wanted: bool,
    counts: bool,
}

impl Turns {
    /// The first turn is at `now`.
    pub(super) fn new(now: Instant, interval: Duration) -> Self {
        Self { interval, at: now, is_wanted: false, counts: false }
    }

    /// Wants the operation at once, without waiting for its turn.
    pub(super) fn want(&mut self) {
        self.is_wanted = true;
    }

    /// True when the operation is due now.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.is_wanted || now >= self.at
    }

    /// Begins the operation. An operation between turns does not put the next turn off.
    pub(super) fn begin(&mut self, now: Instant) {
        self.counts = now >= self.at;
        self.is_wanted = false;
        if self.counts {
            self.at = now + self.interval;
        }
    }

    /// Ends the operation. Returns whether it was done in its turn.
    pub(super) fn end(&mut self) -> bool {
        std::mem::take(&mut self.counts)
    }
}

#[cfg(test)]
mod tests {
    use antiphon_base::time::{Clock, SystemClock};

    use super::*;

    #[test]
    fn what_is_done_in_between_does_not_count_and_puts_no_turn_off() {
        let (begin, second) = (SystemClock.now(), Duration::from_secs(1));
        let mut turns = Turns::new(begin, second);
        assert!(turns.is_due(begin));
        turns.begin(begin);
        assert!(turns.end());
        assert!(!turns.is_due(begin + second / 2));

        turns.want();
        assert!(turns.is_due(begin + second / 2));
        turns.begin(begin + second / 2);
        assert!(!turns.end());
        assert!(!turns.is_due(begin + second / 2));

        assert!(turns.is_due(begin + second));
        turns.begin(begin + second);
        assert!(turns.end());
        assert!(!turns.end(), "once");
    }
}
