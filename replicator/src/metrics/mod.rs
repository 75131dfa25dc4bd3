//! The metrics of one replicator: Ditto's eight series with their names, labels and quantiles, and
//! the series that Ditto lacked.
//!
//! Each instance has a registry of its own, so that several can live in one process. Label values
//! are names of streams and groups of the configuration, never of events; so the configuration
//! bounds their number.

mod families;
mod summary;
#[cfg(test)]
pub(crate) mod tests;
mod timed;

use std::collections::BTreeMap;
use std::sync::Arc;

use antiphon_base::time::Clock;
pub use families::{FAMILIES, Family, Kind};
use parking_lot::Mutex;
pub use prometheus::{Histogram, IntCounter, IntGauge};
use prometheus::{
    HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder,
};
pub use summary::Summary;
use summary::SummaryVec;
pub use timed::TimedSink;

const APP: &str = "ditto";

/// Buckets of the time of a write in seconds.
const WRITE_BUCKETS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

enum Vector {
    Counter(IntCounterVec),
    Gauge(IntGaugeVec),
    Histogram(HistogramVec),
    Summary(SummaryVec),
}

/// The metrics of one replicator.
pub struct Metrics {
    registry: Registry,
    vectors: BTreeMap<&'static str, Vector>,
    clock: Arc<dyn Clock>,
    refresh: Mutex<Vec<Box<dyn Fn() + Send>>>,
}

impl Metrics {
    /// A registry with every family of [`FAMILIES`].
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let registry = Registry::new();
        let mut vectors = BTreeMap::new();
        for family in FAMILIES {
            let vector = make(family, &clock);
            let collector: Box<dyn prometheus::core::Collector> = match &vector {
                Vector::Counter(vector) => Box::new(vector.clone()),
                Vector::Gauge(vector) => Box::new(vector.clone()),
                Vector::Histogram(vector) => Box::new(vector.clone()),
                Vector::Summary(vector) => Box::new(vector.clone()),
            };
            registry.register(collector).expect("the names of the families differ");
            vectors.insert(family.name, vector);
        }
        let process = prometheus::process_collector::ProcessCollector::for_self();
        registry.register(Box::new(process)).expect("the process is registered once");
        let metrics = Self { registry, vectors, clock, refresh: Mutex::default() };
        metrics.gauge("ditto_build_info", &[env!("CARGO_PKG_VERSION")]).set(1);
        metrics
    }

    /// The series of one subscription.
    pub fn subscription(&self, stream: &str, group: &str) -> SubscriptionMetrics {
        let labels = [APP, stream, group];
        let counter = |name| self.counter(name, &labels);
        let gauge = |name| self.gauge(name, &labels);
        SubscriptionMetrics {
            received: counter("ditto_events_received_total"),
            unresolved: counter("ditto_events_unresolved_total"),
            skipped: counter("ditto_events_skipped_total"),
            processed: counter("ditto_events_processed_total"),
            failed: counter("ditto_events_failed_total"),
            duplicates: counter("ditto_events_duplicate_total"),
            retries: counter("ditto_retries_total"),
            parked: counter("ditto_parked_total"),
            conflicts: counter("ditto_conflicts_total"),
            current_event: gauge("ditto_current_event"),
            source_head: gauge("ditto_source_head"),
            gap_events: gauge("ditto_gap_events"),
            gap_bytes: gauge("ditto_gap_bytes"),
            checkpoint: gauge("ditto_checkpoint"),
            checkpoint_age: gauge("ditto_checkpoint_age_seconds"),
            progress_age: gauge("ditto_progress_age_seconds"),
            held: gauge("ditto_events_held"),
            up: gauge("ditto_subscription_up"),
            sink_up: gauge("ditto_sink_up"),
            caught_up: gauge("ditto_caught_up"),
            replication_delay: self.summary("ditto_replication_delay_seconds", &labels),
            write_duration: self.histogram("ditto_write_duration_seconds", &labels),
        }
    }

    /// The summary of one kind of call: (`eventstore`, `ditto-destination`, `append_to_stream`),
    /// say.
    pub fn io(&self, kind: &str, resource: &str, operation: &str) -> Summary {
        self.summary("ditto_io_duration_seconds", &[APP, kind, resource, operation])
    }

    /// Runs `refresh` before each rendering, for gauges whose value is an age.
    pub fn on_render(&self, refresh: impl Fn() + Send + 'static) {
        self.refresh.lock().push(Box::new(refresh));
    }

    /// The clock of the summaries' windows.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// All metrics in the text format of Prometheus.
    pub fn text(&self) -> String {
        for refresh in self.refresh.lock().iter() {
            refresh();
        }
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_else(|error| {
            tracing::error!(%error, "metrics could not be rendered");
            String::new()
        })
    }

    fn counter(&self, name: &str, labels: &[&str]) -> IntCounter {
        match self.vectors.get(name) {
            Some(Vector::Counter(vector)) => vector.with_label_values(labels),
            _ => panic!("`{name}` is no counter of the list"),
        }
    }

    fn gauge(&self, name: &str, labels: &[&str]) -> IntGauge {
        match self.vectors.get(name) {
            Some(Vector::Gauge(vector)) => vector.with_label_values(labels),
            _ => panic!("`{name}` is no gauge of the list"),
        }
    }

    fn histogram(&self, name: &str, labels: &[&str]) -> Histogram {
        match self.vectors.get(name) {
            Some(Vector::Histogram(vector)) => vector.with_label_values(labels),
            _ => panic!("`{name}` is no histogram of the list"),
        }
    }

    fn summary(&self, name: &str, labels: &[&str]) -> Summary {
        match self.vectors.get(name) {
            Some(Vector::Summary(vector)) => vector.with_label_values(labels),
            _ => panic!("`{name}` is no summary of the list"),
        }
    }
}

fn make(family: &Family, clock: &Arc<dyn Clock>) -> Vector {
    let options = Opts::new(family.name, family.help);
    let valid = "the names of the list are valid";
    match family.kind {
        Kind::Counter => Vector::Counter(IntCounterVec::new(options, family.labels).expect(valid)),
        Kind::Gauge => Vector::Gauge(IntGaugeVec::new(options, family.labels).expect(valid)),
        Kind::Histogram => {
            let options = HistogramOpts::from(options).buckets(WRITE_BUCKETS.to_vec());
            Vector::Histogram(HistogramVec::new(options, family.labels).expect(valid))
        }
        Kind::Summary => Vector::Summary(SummaryVec::new(family, clock.clone())),
    }
}

/// The series of one subscription.
#[derive(Clone)]
pub struct SubscriptionMetrics {
    /// Events that arrived.
    pub received: IntCounter,
    /// Links without a target.
    pub unresolved: IntCounter,
    /// Events that were skipped.
    pub skipped: IntCounter,
    /// Events that are at the destination.
    pub processed: IntCounter,
    /// Tries that failed.
    pub failed: IntCounter,
    /// Events that were at the destination already; they count as processed too.
    pub duplicates: IntCounter,
    /// Repeated tries.
    pub retries: IntCounter,
    /// Events that were put aside.
    pub parked: IntCounter,
    /// Events for which the destination has something else.
    pub conflicts: IntCounter,
    /// The number in the subscribed stream of the last event that arrived.
    pub current_event: IntGauge,
    /// The number (in `$all` the commit position) of the newest event at the source.
    pub source_head: IntGauge,
    /// Events between the last one that is done and the newest one.
    pub gap_events: IntGauge,
    /// Bytes of the log between the last event that is done and the newest one, for `$all`.
    pub gap_bytes: IntGauge,
    /// The saved position.
    pub checkpoint: IntGauge,
    /// Seconds since a position was saved; -1 when none was saved in this run.
    pub checkpoint_age: IntGauge,
    /// Seconds since an event got done.
    pub progress_age: IntGauge,
    /// Events that arrived and are not settled.
    pub held: IntGauge,
    /// 1 while the source is open, else 0.
    pub up: IntGauge,
    /// 1 while the sink takes events, else 0.
    pub sink_up: IntGauge,
    /// 1 while the subscription is live, else 0.
    pub caught_up: IntGauge,
    /// Time from the creation of an event to its arrival.
    pub replication_delay: Summary,
    /// Time from the arrival of an event until it is at the destination.
    pub write_duration: Histogram,
}
