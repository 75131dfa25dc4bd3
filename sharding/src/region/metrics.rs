//! The metrics of a region.

use std::sync::Arc;

use antiphon_runtime::Metrics;
use antiphon_runtime::metrics::{Histogram, IntCounter, IntCounterVec, IntGauge};

/// Upper bounds in seconds. Finer than the usual buckets below 10 milliseconds.
const LATENCY_BUCKETS: [f64; 24] = [
    0.000_25, 0.000_5, 0.000_75, 0.001, 0.001_25, 0.001_5, 0.002, 0.002_5, 0.003, 0.004, 0.005,
    0.006, 0.008, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1.0, 3.0, 10.0,
];

/// The metrics of the region of one entity type.
pub(crate) struct RegionMetrics {
    entity_type: Arc<str>,
    commands: IntCounterVec,
    /// The outcome `received` of `commands`, which is counted for each command.
    pub(super) received: IntCounter,
    direct: IntCounterVec,
    pub(super) loop_reads: IntCounterVec,
    pub(super) latency: Histogram,
    entities: IntCounterVec,
    pub(super) held: IntGauge,
    pub(super) homeless: IntGauge,
}

impl RegionMetrics {
    pub(super) fn new(metrics: &Metrics, entity_type: &Arc<str>) -> Self {
        let commands = metrics.counters(
            "antiphon_region_commands_total",
            "Commands that a region passed on or refused",
            &["type", "outcome"],
        );
        let gauge = |name, help| metrics.gauges(name, help, &["type"]);
        let held = gauge(
            "antiphon_entities_held",
            "Entities of this node that hold back events of another replica, because one cannot be applied here",
        );
        let homeless = gauge(
            "antiphon_shards_homeless",
            "Shards of the own place that no living member hosts, as this node knows",
        );
        let latency = metrics.histograms(
            "antiphon_replication_seconds",
            "From the time of an event at its origin until it is durable here",
            &["type"],
            &LATENCY_BUCKETS,
        );
        Self {
            entity_type: entity_type.clone(),
            received: commands.with_label_values(&[entity_type, "received"]),
            commands,
            direct: metrics.counters(
                "antiphon_direct_replication_total",
                "Messages of direct replication: sent, taken, or dropped and why",
                &["type", "outcome"],
            ),
            loop_reads: metrics.counters(
                "antiphon_journal_loop_reads_total",
                "Reads of other replicas' change feeds",
                &["type", "peer", "outcome"],
            ),
            latency: latency.with_label_values(&[entity_type]),
            entities: metrics.counters(
                "antiphon_entities_total",
                "What entities have done",
                &["type", "what"],
            ),
            held: held.with_label_values(&[entity_type]),
            homeless: homeless.with_label_values(&[entity_type]),
        }
    }

    /// Counts a command, or another message, that was passed on or refused.
    pub(super) fn count(&self, outcome: &str) {
        self.commands.with_label_values(&[&self.entity_type, outcome]).inc();
    }

    /// Counts a message of direct replication.
    pub(super) fn count_direct(&self, outcome: &str) {
        self.direct.with_label_values(&[&self.entity_type, outcome]).inc();
    }

    /// Adds to one of the counters of what entities have done.
    pub(super) fn add_entities(&self, what: &str, count: u64) {
        self.entities.with_label_values(&[&self.entity_type, what]).inc_by(count);
    }
}
