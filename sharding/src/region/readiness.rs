//! Decides whether a region is ready: every shard of the own place has a home.
//!
//! A region is ready for the first time when all shards have a home. Later a shard is without a
//! home for a moment whenever it moves. A load balancer that heard of each move would send all
//! requests elsewhere and back. So a ready region stays ready until a shard has had no home for
//! `homeless_grace`.

use std::time::Duration;

use tokio::time::Instant;

/// State of a region's readiness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Readiness {
    homeless_grace: Duration,
    is_ready: bool,
    homeless_since: Option<Instant>,
}

impl Readiness {
    /// A region that was never ready.
    pub(super) fn new(homeless_grace: Duration) -> Self {
        Self { homeless_grace, is_ready: false, homeless_since: None }
    }

    /// Takes the number of shards that have no home now.
    pub(super) fn step(&mut self, now: Instant, homeless: usize) {
        if homeless == 0 {
            (self.is_ready, self.homeless_since) = (true, None);
        } else {
            let since = *self.homeless_since.get_or_insert(now);
            if now - since > self.homeless_grace {
                self.is_ready = false;
            }
        }
        self.check();
    }

    /// Returns whether the region is ready; if not, the time for which shards have been without a
    /// home.
    pub(super) fn judge(&self, now: Instant) -> Result<(), Duration> {
        if self.is_ready {
            return Ok(());
        }
        Err(self.homeless_since.map_or(Duration::ZERO, |since| now - since))
    }

    /// Panics when an invariant is broken.
    fn check(&self) {
        assert!(
            self.is_ready || self.homeless_since.is_some(),
            "a region is not ready, and no shard is without a home"
        );
    }
}

#[cfg(test)]
mod tests {
    use antiphon_base::time::{Clock, SystemClock};

    use super::*;

    const GRACE: Duration = Duration::from_secs(5);

    #[test]
    fn a_region_is_ready_only_when_every_shard_had_a_home_once() {
        let (mut readiness, t0) = (Readiness::new(GRACE), SystemClock.now());
        assert_eq!(readiness.judge(t0), Err(Duration::ZERO));
        readiness.step(t0, 3);
        assert_eq!(readiness.judge(t0), Err(Duration::ZERO));
        readiness.step(t0 + GRACE / 5, 0);
        assert_eq!(readiness.judge(t0 + GRACE / 5), Ok(()));
    }

    #[test]
    fn a_shard_that_moves_does_not_make_a_region_unready_and_one_that_stays_without_a_home_does() {
        let (mut readiness, t0) = (Readiness::new(GRACE), SystemClock.now());
        readiness.step(t0, 0);
        readiness.step(t0, 1);
        readiness.step(t0 + GRACE, 2);
        assert_eq!(readiness.judge(t0 + GRACE), Ok(()));

        let later = t0 + GRACE * 2;
        readiness.step(later, 1);
        assert_eq!(readiness.judge(later), Err(GRACE * 2));
        // a region whose shards all have homes again is ready at once, and has its grace anew
        readiness.step(later, 0);
        readiness.step(later + GRACE, 1);
        assert_eq!(readiness.judge(later + GRACE), Ok(()));
    }
}
