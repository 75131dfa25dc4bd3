//! Medians over runs, and the clock of the benchmarks.

use std::time::{Duration, Instant};

/// The values of several runs of one measurement; never empty when asked for its median.
#[derive(Debug, Clone, Default)]
pub(crate) struct Runs(Vec<f64>);

impl Runs {
    /// Runs a measurement `count` times.
    pub(crate) fn of(count: usize, mut measure: impl FnMut() -> f64) -> Self {
        Self((0..count).map(|_| measure()).collect())
    }

    pub(crate) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted[sorted.len() / 2]
    }
}

/// Measures how long something takes; the only clock of this crate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    #[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn elapsed(self) -> Duration {
        self.0.elapsed()
    }

    /// `count` per second since the start.
    #[expect(clippy::cast_precision_loss, reason = "counts of a benchmark are small")]
    pub(crate) fn rate(self, count: usize) -> f64 {
        count as f64 / self.elapsed().as_secs_f64()
    }
}
