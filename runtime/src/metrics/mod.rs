//! The metrics of one node: a thin layer over the `prometheus` crate.
//!
//! Each node has a registry of its own, so that many nodes can live in one process. A family is
//! registered at the first call that asks for it, and several parts of the code can ask for the
//! same family; names start with `antiphon_`. Asking for a family costs a lock and a map lookup:
//! keep the handle. The families of Antiphon itself are in the [`catalogue`].

pub mod catalogue;

use std::collections::BTreeMap;
use std::fmt;

use antiphon_base::{Error, Result};
use parking_lot::Mutex;

pub use prometheus;
use prometheus::core::Collector;
pub use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};
use prometheus::{HistogramOpts, Opts, Registry, TextEncoder};

use self::catalogue::{Entry, Kind};

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

    /// The family of counters with this name, as the [`catalogue`] has it.
    ///
    /// # Panics
    /// Panics when the catalogue has no such counter: names are constants of the code.
    pub fn counters_of(&self, name: &str) -> IntCounterVec {
        let entry = entry(name, Kind::Counter);
        self.counters(name, entry.help, entry.labels)
    }

    /// The family of gauges with this name, as the [`catalogue`] has it.
    ///
    /// # Panics
    /// As [`Self::counters_of`].
    pub fn gauges_of(&self, name: &str) -> IntGaugeVec {
        let entry = entry(name, Kind::Gauge);
        self.gauges(name, entry.help, entry.labels)
    }

    /// The family of histograms with this name, as the [`catalogue`] has it; `buckets` are upper
    /// bounds, inclusive, ascending.
    ///
    /// # Panics
    /// As [`Self::counters_of`].
    pub fn histograms_of(&self, name: &str, buckets: &[f64]) -> HistogramVec {
        let entry = entry(name, Kind::Histogram);
        self.histograms(name, entry.help, entry.labels, buckets)
    }

    /// The counter without labels with this name, as the [`catalogue`] has it.
    ///
    /// # Panics
    /// As [`Self::counters_of`], and when it has labels.
    pub fn counter_of(&self, name: &str) -> IntCounter {
        self.counters_of(name).with_label_values::<&str>(&[])
    }

    /// The gauge without labels with this name, as the [`catalogue`] has it.
    ///
    /// # Panics
    /// As [`Self::counter_of`].
    pub fn gauge_of(&self, name: &str) -> IntGauge {
        self.gauges_of(name).with_label_values::<&str>(&[])
    }

    /// Adds a metric of the application, made with the crate [`prometheus`]. `/metrics` has it
    /// beside those of the node.
    ///
    /// ```
    /// use antiphon_runtime::Metrics;
    /// use antiphon_runtime::metrics::prometheus::{IntCounter, Opts};
    ///
    /// let metrics = Metrics::new();
    /// let orders = IntCounter::with_opts(Opts::new("shop_orders_total", "Orders.")).unwrap();
    /// metrics.register(orders.clone())?;
    /// orders.inc();
    /// assert!(metrics.text().contains("shop_orders_total 1"));
    /// assert!(metrics.register(orders).is_err(), "its name is taken");
    /// # Ok::<(), antiphon_base::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Rejected` when its name begins with `antiphon_`, or is taken.
    pub fn register(&self, metric: impl Collector + 'static) -> Result<()> {
        let names = metric.desc().into_iter().map(|desc| desc.fq_name.clone());
        if let Some(name) = names.into_iter().find(|name| name.starts_with("antiphon_")) {
            return Err(Error::rejected(format!(
                "metric `{name}`: expected a name without the prefix `antiphon_`"
            )));
        }
        let registered = self.registry.register(Box::new(metric));
        registered.map_err(|error| Error::rejected(format!("a metric: {error}")))
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
        let collector: Box<dyn Collector> = match &family {
            Family::Counter(vec) => Box::new(vec.clone()),
            Family::Gauge(vec) => Box::new(vec.clone()),
            Family::Histogram(vec) => Box::new(vec.clone()),
        };
        self.registry.register(collector).expect("each family is registered once, by this map");
        families.insert(name.to_owned(), family.clone());
        family
    }
}

fn entry(name: &str, kind: Kind) -> &'static Entry {
    let entry = catalogue::find(name).filter(|entry| entry.kind == kind);
    entry.unwrap_or_else(|| panic!("metric `{name}`: expected a {kind:?} of the catalogue"))
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
    fn families_of_the_catalogue_have_its_text_and_labels() {
        let metrics = Metrics::new();
        metrics.counters_of("antiphon_gate_refused_total").with_label_values(&["full"]).inc();
        metrics.gauge_of("antiphon_node_live").set(1);
        let histograms = metrics.histograms_of("antiphon_replication_seconds", &[1.0]);
        histograms.with_label_values(&["cart"]).observe(0.5);

        let text = metrics.text();
        assert!(text.contains("antiphon_gate_refused_total{reason=\"full\"} 1"), "{text}");
        assert!(text.contains("# HELP antiphon_node_live Whether this node may answer"), "{text}");
        assert!(text.contains("antiphon_replication_seconds_count{type=\"cart\"} 1"), "{text}");
    }

    #[test]
    #[should_panic(expected = "expected a Gauge of the catalogue")]
    fn a_family_that_the_catalogue_has_not_is_a_bug() {
        Metrics::new().gauge_of("antiphon_gate_refused_total");
    }

    #[test]
    #[should_panic(expected = "no counter")]
    fn a_name_has_one_kind() {
        let metrics = Metrics::new();
        metrics.gauge("antiphon_members", "members");
        metrics.counter("antiphon_members", "members");
    }
}
