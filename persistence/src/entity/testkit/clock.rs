//! The clock of a test: it stands still until the test lets time pass.

use std::collections::BTreeSet;
use std::time::Duration;

use antiphon_base::time::{Clock, SystemClock, Timestamp};
use tokio::time::Instant;

use crate::entity::engine::Now;

/// The time of day at which a test begins, in microseconds.
const BEGIN: u64 = 1_000_000;

/// The time of one entity under test.
#[derive(Debug, Clone)]
pub(super) struct ManualClock {
    begin: Instant,
    /// The time that the test has let pass.
    elapsed: Duration,
    /// The inputs so far: each has a time of day of its own, a microsecond after the one before.
    inputs: u64,
    /// The times of the wakes that the entity waits for.
    wakes: BTreeSet<Duration>,
}

impl ManualClock {
    pub(super) fn new() -> Self {
        let begin = SystemClock.now();
        Self { begin, elapsed: Duration::ZERO, inputs: 0, wakes: BTreeSet::new() }
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// Returns whether there was no input.
    pub(super) fn is_new(&self) -> bool {
        self.inputs == 0
    }

    /// The time of the next input.
    pub(super) fn tick(&mut self) -> Now {
        self.inputs += 1;
        let passed = u64::try_from(self.elapsed.as_micros()).unwrap_or(u64::MAX);
        let wall = Timestamp::from_micros(passed.saturating_add(BEGIN + self.inputs));
        Now { instant: self.begin + self.elapsed, wall }
    }

    /// Goes on to this time, unless it has passed.
    pub(super) fn reach(&mut self, elapsed: Duration) {
        self.elapsed = self.elapsed.max(elapsed);
    }

    /// Goes on to the time of another clock, unless it has passed.
    pub(super) fn follow(&mut self, other: &Self) {
        self.reach(other.elapsed);
        self.inputs = self.inputs.max(other.inputs);
    }

    /// The time to pass until this time of day.
    pub(super) fn time_of(&self, due: Timestamp) -> Duration {
        Duration::from_micros(due.as_micros().saturating_sub(BEGIN + self.inputs))
    }

    pub(super) fn wake_after(&mut self, time: Duration) {
        self.wakes.insert(self.elapsed + time);
    }

    pub(super) fn next_wake(&self) -> Option<Duration> {
        self.wakes.first().copied()
    }

    pub(super) fn take_wake(&mut self) {
        self.wakes.pop_first();
    }

    pub(super) fn forget_wakes(&mut self) {
        self.wakes.clear();
    }
}
