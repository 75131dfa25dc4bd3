//! The metrics of one replicator: Ditto's eight series with their names, labels and quantiles, and
//! the series that Ditto lacked.
//!
//! Each instance has a registry of its own, so that several can live in one process. Label values
//! are names of streams and groups of the configuration, never of events; so the configuration
//! bounds their number.

mod families;
mod family;
mod summary;
#[cfg(test)]
pub(crate) mod tests;
mod timed;

use std::sync::Arc;

use antiphon_base::time::Clock;
use families::SubscriptionVectors;
pub use families::{FAMILIES, SubscriptionMetrics};
pub use family::Family;
use parking_lot::Mutex;
pub use prometheus::{Histogram, IntCounter, IntGauge};
use prometheus::{IntCounterVec, IntGaugeVec, Registry, TextEncoder};
pub use summary::Summary;
use summary::SummaryVec;
pub use timed::TimedSink;

use crate::logging::Counts;

const APP: &str = "ditto";

/// The metrics of one replicator.
pub struct Metrics {
    registry: Registry,
    subscriptions: SubscriptionVectors,
    io: SummaryVec,
    logs_sent: IntCounterVec,
    logs_lost: IntCounterVec,
    logs_waiting: IntGaugeVec,
    clock: Arc<dyn Clock>,
    refresh: Mutex<Vec<Box<dyn Fn() + Send>>>,
}

impl Metrics {
    /// A registry with every family of [`FAMILIES`].
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let registry = Registry::new();
        let subscriptions = SubscriptionVectors::new(&registry, &clock);
        let io = families::IO.register::<Summary>(&registry, &clock);
        let build = families::BUILD.register::<IntGauge>(&registry, &clock);
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let process = prometheus::process_collector::ProcessCollector::for_self();
        registry.register(Box::new(process)).expect("the process is registered once");
        let logs_sent = families::LOGS_SENT.register::<IntCounter>(&registry, &clock);
        let logs_lost = families::LOGS_LOST.register::<IntCounter>(&registry, &clock);
        let logs_waiting = families::LOGS_WAITING.register::<IntGauge>(&registry, &clock);
        let refresh = Mutex::default();
        Self { registry, subscriptions, io, logs_sent, logs_lost, logs_waiting, clock, refresh }
    }

    /// The series of one subscription.
    pub fn subscription(&self, stream: &str, group: &str) -> SubscriptionMetrics {
        self.subscriptions.series(&[APP, stream, group])
    }

    /// The summary of one kind of call: (`eventstore`, `ditto-destination`, `append_to_stream`),
    /// say.
    pub fn io(&self, kind: &str, resource: &str, operation: &str) -> Summary {
        self.io.with_label_values(&[APP, kind, resource, operation])
    }

    /// Shows the counts of a sink of logs.
    pub fn logs(&self, sink: &str, counts: Arc<Counts>) {
        let sent = self.logs_sent.with_label_values(&[APP, sink]);
        let lost = self.logs_lost.with_label_values(&[APP, sink]);
        let waiting = self.logs_waiting.with_label_values(&[APP, sink]);
        self.on_render(move || {
            sent.inc_by(counts.sent().saturating_sub(sent.get()));
            lost.inc_by(counts.lost().saturating_sub(lost.get()));
            waiting.set(i64::try_from(counts.waiting()).unwrap_or(i64::MAX));
        });
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
}
