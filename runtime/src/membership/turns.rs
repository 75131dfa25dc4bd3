//! When something is done that has its turns: at each turn, and in between when it is wanted at
//! once.
//!
//! Only what was done in its turn tells that time has passed. What is done in between comes as
//! often as others give a reason.

use std::time::Duration;

use tokio::time::Instant;

/// The turns of one thing.
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

    /// Wants it at once, without waiting for its turn.
    pub(super) fn want(&mut self) {
        self.is_wanted = true;
    }

    /// Whether it has to be done now.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.is_wanted || now >= self.at
    }

    /// It begins. What is done in between does not put the next turn off.
    pub(super) fn begin(&mut self, now: Instant) {
        self.counts = now >= self.at;
        self.is_wanted = false;
        if self.counts {
            self.at = now + self.interval;
        }
    }

    /// It has ended; whether it was done in its turn.
    pub(super) fn end(&mut self) -> bool {
        std::mem::take(&mut self.counts)
    }
}

#[cfg(test)]
mod tests {
    use antiphon_persistence::time::{Clock, SystemClock};

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
