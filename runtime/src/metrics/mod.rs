//! The metrics of one node: a thin layer over the `prometheus` crate.
//!
//! Each node has a registry of its own, so that many nodes can live in one process. A family is
//! registered at the first call that asks for it, and several parts of the code can ask for the
//! same family; names start with `antiphon_`. Asking for a family costs a lock and a map lookup:
//! keep the handle.

use std::collections::BTreeMap;
use std::fmt;

use parking_lot::Mutex;

pub use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};
use prometheus::{HistogramOpts, Opts, Registry, TextEncoder};

/// Buckets for durations in seconds, from 100 microseconds to 10 seconds.
pub const SECONDS_BUCKETS: [f64; 16] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0,
];

#[derive(Clone)]
enum Family {
    Counter(IntCounterVec),
    Gauge(IntGaugeVec),
    Histogram(HistogramVec),
}

/// The metrics of one node.
#[derive(Default)]
pub struct Metrics {
    registry: Registry,
    families: Mutex<BTreeMap<String, Family>>,
}

impl Metrics {
    /// An empty registry.
    pub fn new() -> Self {
        Self::default()
    }

    /// A family of counters with these label names.
    ///
    /// # Panics
    /// Panics when the name does not start with `antiphon_`, is no metric name, or is used by
    /// another kind of metric: names are constants of the code.
    pub fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        let family = self.family(name, || {
            let vec = IntCounterVec::new(Opts::new(name, help), labels);
            Family::Counter(vec.expect("a metric name is a constant and valid"))
        });
        let Family::Counter(vec) = family else { panic!("metric `{name}` is no counter") };
        vec
    }

    /// A family of gauges with these label names.
    ///
    /// # Panics
    /// As [`Self::counters`].
    pub fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        let family = self.family(name, || {
            let vec = IntGaugeVec::new(Opts::new(name, help), labels);
            Family::Gauge(vec.expect("a metric name is a constant and valid"))
        });
        let Family::Gauge(vec) = family else { panic!("metric `{name}` is no gauge") };
        vec
    }

    /// A family of histograms with these label names; `buckets` are upper bounds, inclusive,
    /// ascending.
    ///
    /// # Panics
    /// As [`Self::counters`].
    pub fn histograms(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        buckets: &[f64],
    ) -> HistogramVec {
        let family = self.family(name, || {
            let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
            let vec = HistogramVec::new(options, labels);
            Family::Histogram(vec.expect("a metric name is a constant and valid"))
        });
        let Family::Histogram(vec) = family else { panic!("metric `{name}` is no histogram") };
        vec
    }

    /// A counter without labels.
    ///
    /// # Panics
    /// As [`Self::counters`].
    pub fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.counters(name, help, &[]).with_label_values::<&str>(&[])
    }

    /// A gauge without labels.
    ///
    /// # Panics
    /// As [`Self::counters`].
    pub fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.gauges(name, help, &[]).with_label_values::<&str>(&[])
    }

    /// A histogram without labels.
    ///
    /// # Panics
    /// As [`Self::counters`].
    pub fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Histogram {
        self.histograms(name, help, &[], buckets).with_label_values::<&str>(&[])
    }

    /// All metrics in the text format of Prometheus.
    pub fn text(&self) -> String {
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_else(|error| {
            tracing::error!(%error, "metrics could not be rendered");
            String::new()
        })
    }

    fn family(&self, name: &str, make: impl FnOnce() -> Family) -> Family {
        assert!(name.starts_with("antiphon_"), "metric `{name}`: expected the prefix `antiphon_`");
        let mut families = self.families.lock();
        if let Some(family) = families.get(name) {
            return family.clone();
        }
        let family = make();
        let collector: Box<dyn prometheus::core::Collector> = match &family {
            Family::Counter(vec) => Box::new(vec.clone()),
            Family::Gauge(vec) => Box::new(vec.clone()),
            Family::Histogram(vec) => Box::new(vec.clone()),
        };
        self.registry.register(collector).expect("each family is registered once, by this map");
        families.insert(name.to_owned(), family.clone());
        family
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_family_can_be_asked_for_twice_and_shows_in_the_text() {
        let metrics = Metrics::new();

        metrics
            .counters("antiphon_drops_total", "drops", &["reason"])
            .with_label_values(&["full"])
            .inc();
        metrics
            .counters("antiphon_drops_total", "drops", &["reason"])
            .with_label_values(&["full"])
            .inc();
        metrics.gauge("antiphon_members", "members").set(3);

        let text = metrics.text();
        assert!(text.contains("antiphon_drops_total{reason=\"full\"} 2"), "{text}");
        assert!(text.contains("antiphon_members 3"), "{text}");
    }

    #[test]
    #[should_panic(expected = "no counter")]
    fn a_name_has_one_kind() {
        let metrics = Metrics::new();
        metrics.gauge("antiphon_members", "members");
        metrics.counter("antiphon_members", "members");
    }
}
