//! A family of series, and its registration.

use std::sync::Arc;

use antiphon_base::time::Clock;
use prometheus::core::Collector;
use prometheus::proto::MetricType;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry,
};

use super::summary::{Summary, SummaryBuilder, SummaryVec};

/// Buckets of the time of a write in seconds.
const WRITE_BUCKETS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// A family of series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Family {
    /// The name.
    pub name: &'static str,
    /// The names of the labels.
    pub labels: &'static [&'static str],
    /// The meaning, in a few words.
    pub help: &'static str,
}

impl Family {
    fn options(&self) -> Opts {
        Opts::new(self.name, self.help)
    }

    /// The series of the family, by their label values, known to `registry`.
    pub(super) fn register<S: Series>(
        &self,
        registry: &Registry,
        clock: &Arc<dyn Clock>,
    ) -> S::Vector {
        let vector = S::vector(self, clock).expect("the names of the list are valid");
        registry.register(Box::new(vector.clone())).expect("the names of the families differ");
        vector
    }
}

type Made<V> = prometheus::Result<V>;

/// A kind of measurement.
pub(super) trait Series {
    /// The series of a family, by their label values.
    type Vector: Collector + Clone + 'static;

    fn vector(family: &Family, clock: &Arc<dyn Clock>) -> Made<Self::Vector>;
}

impl Series for IntCounter {
    type Vector = IntCounterVec;

    fn vector(family: &Family, _clock: &Arc<dyn Clock>) -> Made<IntCounterVec> {
        IntCounterVec::new(family.options(), family.labels)
    }
}

impl Series for IntGauge {
    type Vector = IntGaugeVec;

    fn vector(family: &Family, _clock: &Arc<dyn Clock>) -> Made<IntGaugeVec> {
        IntGaugeVec::new(family.options(), family.labels)
    }
}

impl Series for Histogram {
    type Vector = HistogramVec;

    fn vector(family: &Family, _clock: &Arc<dyn Clock>) -> Made<HistogramVec> {
        let options = HistogramOpts::from(family.options()).buckets(WRITE_BUCKETS.to_vec());
        HistogramVec::new(options, family.labels)
    }
}

impl Series for Summary {
    type Vector = SummaryVec;

    fn vector(family: &Family, clock: &Arc<dyn Clock>) -> Made<SummaryVec> {
        let labels = family.labels.iter().map(|label| (*label).to_owned()).collect();
        let options = family.options().variable_labels(labels);
        SummaryVec::create(MetricType::SUMMARY, SummaryBuilder(clock.clone()), options)
    }
}
