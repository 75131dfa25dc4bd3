//! A clock whose time of day is wrong, and jumps.

use std::sync::atomic::{AtomicI64, Ordering};

use antiphon_base::time::{Clock, SystemClock, Timestamp};
use tokio::time::Instant;

/// Virtual time, with a time of day that is wrong by an offset.
pub struct SkewedClock {
    start: Instant,
    offset_micros: AtomicI64,
}

impl SkewedClock {
    pub fn new(start: Instant) -> Self {
        Self { start, offset_micros: AtomicI64::new(0) }
    }

    pub fn skew(&self, micros: i64) {
        self.offset_micros.store(micros, Ordering::Relaxed);
    }
}

impl Clock for SkewedClock {
    fn now(&self) -> Instant {
        SystemClock.now()
    }

    fn wall(&self) -> Timestamp {
        let since = i64::try_from((self.now() - self.start).as_micros()).unwrap_or(i64::MAX);
        let wall = 1_700_000_000_000_000 + since + self.offset_micros.load(Ordering::Relaxed);
        Timestamp::from_micros(u64::try_from(wall).unwrap_or(0))
    }
}
