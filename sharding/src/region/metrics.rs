//! The metrics of a region.

use std::sync::Arc;

use antiphon_runtime::Metrics;
use antiphon_runtime::metrics::{Histogram, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

/// Upper bounds in seconds. Finer than the usual buckets below 10 milliseconds.
const LATENCY_BUCKETS: [f64; 24] = [
    0.000_25, 0.000_5, 0.000_75, 0.001, 0.001_25, 0.001_5, 0.002, 0.002_5, 0.003, 0.004, 0.005,
    0.006, 0.008, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1.0, 3.0, 10.0,
];

/// Upper bounds in seconds of the lateness of reminders.
const LATE_BUCKETS: [f64; 10] = [0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 60.0, 600.0, 3600.0, 86_400.0];

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
    without_role: IntGaugeVec,
    reminders: IntCounterVec,
    /// From the time at which a reminder was due until it was handed to its entity first.
    pub(super) reminder_late: Histogram,
    pub(super) reminders_in_flight: IntGauge,
    pub(super) reminders_unowned: IntGauge,
}

impl RegionMetrics {
    pub(super) fn new(metrics: &Metrics, entity_type: &Arc<str>) -> Self {
        let commands = metrics.counters_of("antiphon_region_commands_total");
        let latency = metrics.histograms_of("antiphon_replication_seconds", &LATENCY_BUCKETS);
        let late = metrics.histograms_of("antiphon_reminder_late_seconds", &LATE_BUCKETS);
        let of_type = |gauges: IntGaugeVec| gauges.with_label_values(&[entity_type]);
        Self {
            entity_type: entity_type.clone(),
            received: commands.with_label_values(&[entity_type, "received"]),
            commands,
            direct: metrics.counters_of("antiphon_direct_replication_total"),
            loop_reads: metrics.counters_of("antiphon_journal_loop_reads_total"),
            latency: latency.with_label_values(&[entity_type]),
            entities: metrics.counters_of("antiphon_entities_total"),
            held: of_type(metrics.gauges_of("antiphon_entities_held")),
            homeless: of_type(metrics.gauges_of("antiphon_shards_homeless")),
            without_role: metrics.gauges_of("antiphon_shards_without_role"),
            reminders: metrics.counters_of("antiphon_reminders_total"),
            reminder_late: late.with_label_values(&[entity_type]),
            reminders_in_flight: of_type(metrics.gauges_of("antiphon_reminders_in_flight")),
            reminders_unowned: of_type(metrics.gauges_of("antiphon_reminders_unowned")),
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

    /// Counts reminders that were handed over, or not, and failed reads of the store.
    pub(super) fn count_reminders(&self, outcome: &str, count: u64) {
        self.reminders.with_label_values(&[&self.entity_type, outcome]).inc_by(count);
    }

    /// Sets the number of a replica's shards that have no home because no node has its role.
    pub(super) fn without_role(&self, replica: &str, count: usize) {
        let gauge = self.without_role.with_label_values(&[&*self.entity_type, replica]);
        gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Adds to one of the counters of what entities have done.
    pub(super) fn add_entities(&self, what: &str, count: u64) {
        self.entities.with_label_values(&[&self.entity_type, what]).inc_by(count);
    }
}
