//! Summaries, as Ditto's: quantiles over a sliding window. The `prometheus` crate can render
//! summaries, but not measure them.
//!
//! A window of ten minutes is five slices of two minutes; a value goes into the newest slice, and
//! rendering merges all. The quantiles have an error of at most one percent. Sum and count are
//! never reset.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use antiphon_base::time::Clock;
use hdrhistogram::Histogram;
use parking_lot::Mutex;
use prometheus::Opts;
use prometheus::core::{MetricVec, MetricVecBuilder};
use prometheus::proto::{LabelPair, Metric, Quantile};
use tokio::time::Instant;

const QUANTILES: [f64; 3] = [0.75, 0.95, 0.99];
const SLICES: usize = 5;
const SLICE_TIME: Duration = Duration::from_secs(120);
/// The longest time; longer ones count as this one, so that a slice stays small.
const CENTURY_MICROS: u64 = 100 * 366 * 86_400 * 1_000_000;

/// A summary. Cheap to clone.
#[derive(Clone)]
pub struct Summary {
    window: Arc<Mutex<Window>>,
    clock: Arc<dyn Clock>,
    labels: Arc<[LabelPair]>,
}

impl Summary {
    /// The current time of the summary's clock, to measure with.
    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Adds a time.
    pub fn observe(&self, time: Duration) {
        let now = self.clock.now();
        self.window.lock().observe(now, time);
    }
}

#[derive(Default)]
struct Window {
    /// The slices with their start times; the newest slice is the last.
    slices: VecDeque<(Instant, Histogram<u32>)>,
    sum: Duration,
    count: u64,
}

impl Window {
    fn observe(&mut self, now: Instant, time: Duration) {
        self.forget(now);
        let begin = self.slices.back().is_none_or(|(begun, _)| now >= *begun + SLICE_TIME);
        if begin {
            self.slices.push_back((now, slice()));
            if self.slices.len() > SLICES {
                self.slices.pop_front();
            }
        }
        if let Some((_, slice)) = self.slices.back_mut() {
            let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX).min(CENTURY_MICROS);
            if let Err(error) = slice.record(micros) {
                tracing::error!(%error, "a time does not fit a summary");
            }
        }
        self.sum = self.sum.saturating_add(time);
        self.count += 1;
    }

    fn forget(&mut self, now: Instant) {
        let window = SLICE_TIME * u32::try_from(SLICES).unwrap_or(u32::MAX);
        while self.slices.front().is_some_and(|(begun, _)| now >= *begun + window) {
            self.slices.pop_front();
        }
    }

    fn render(&mut self, now: Instant) -> prometheus::proto::Summary {
        self.forget(now);
        let mut all = slice();
        for (_, slice) in &self.slices {
            if let Err(error) = all.add(slice) {
                tracing::error!(%error, "a slice of a summary does not fit the others");
            }
        }
        let quantiles = QUANTILES.map(|quantile| {
            let mut rendered = Quantile::default();
            rendered.set_quantile(quantile);
            let micros = all.value_at_quantile(quantile);
            let seconds = Duration::from_micros(micros).as_secs_f64();
            rendered.set_value(if all.is_empty() { f64::NAN } else { seconds });
            rendered
        });
        let mut summary = prometheus::proto::Summary::default();
        summary.set_sample_count(self.count);
        summary.set_sample_sum(self.sum.as_secs_f64());
        summary.set_quantile(quantiles.to_vec());
        summary
    }
}

/// A histogram from a microsecond to a century, with two significant digits. Grows as it is used.
fn slice() -> Histogram<u32> {
    let mut histogram = Histogram::new(2).expect("two digits are allowed");
    histogram.auto(true);
    histogram
}

/// Makes the summaries of a family.
#[derive(Clone)]
pub(super) struct SummaryBuilder(pub(super) Arc<dyn Clock>);

/// The summaries of a family, by their label values.
pub(super) type SummaryVec = MetricVec<SummaryBuilder>;

impl MetricVecBuilder for SummaryBuilder {
    type M = Summary;
    type P = Opts;

    fn build<V: AsRef<str>>(&self, options: &Opts, values: &[V]) -> prometheus::Result<Summary> {
        let pairs = options.variable_labels.iter().zip(values).map(|(name, value)| {
            let mut pair = LabelPair::default();
            pair.set_name(name.clone());
            pair.set_value(value.as_ref().to_owned());
            pair
        });
        let labels = pairs.collect();
        Ok(Summary { window: Arc::default(), clock: self.0.clone(), labels })
    }
}

impl prometheus::core::Metric for Summary {
    fn metric(&self) -> Metric {
        let mut metric = Metric::from_label(self.labels.to_vec());
        metric.set_summary(self.window.lock().render(self.clock.now()));
        metric
    }
}
