//! The counters of a gate.

use prometheus::{IntCounter, IntCounterVec, IntGauge};

use crate::metrics::Metrics;

#[derive(Debug, Clone)]
pub(super) struct GateMetrics {
    pub(super) dropped: IntCounterVec,
    pub(super) refused: IntCounterVec,
    pub(super) restarts: IntCounterVec,
    pub(super) asks_failed: IntCounterVec,
    pub(super) asks: IntCounter,
    pub(super) tells: IntCounter,
    pub(super) received: IntCounter,
    pub(super) frames_sent: IntCounter,
    pub(super) frames_received: IntCounter,
    pub(super) bytes_sent: IntCounter,
    pub(super) bytes_received: IntCounter,
    pub(super) panics: IntCounter,
    pub(super) links_up: IntGauge,
    pub(super) connections_refused: IntCounterVec,
    pub(super) greeting: IntGauge,
    pub(super) strangers: IntGauge,
    pub(super) streams: IntGauge,
    pub(super) streams_begun: IntCounter,
}

impl GateMetrics {
    pub(super) fn new(metrics: &Metrics) -> Self {
        Self {
            dropped: metrics.counters_of("antiphon_gate_dropped_total"),
            refused: metrics.counters_of("antiphon_gate_refused_total"),
            restarts: metrics.counters_of("antiphon_gate_link_restarts_total"),
            asks_failed: metrics.counters_of("antiphon_gate_asks_failed_total"),
            asks: metrics.counter_of("antiphon_gate_asks_total"),
            tells: metrics.counter_of("antiphon_gate_tells_total"),
            received: metrics.counter_of("antiphon_gate_received_total"),
            frames_sent: metrics.counter_of("antiphon_gate_frames_sent_total"),
            frames_received: metrics.counter_of("antiphon_gate_frames_received_total"),
            bytes_sent: metrics.counter_of("antiphon_gate_bytes_sent_total"),
            bytes_received: metrics.counter_of("antiphon_gate_bytes_received_total"),
            panics: metrics.counter_of("antiphon_gate_service_panics_total"),
            links_up: metrics.gauge_of("antiphon_gate_links_up"),
            connections_refused: metrics.counters_of("antiphon_links_refused_total"),
            greeting: metrics.gauge_of("antiphon_links_greeting"),
            strangers: metrics.gauge_of("antiphon_links_strangers"),
            streams: metrics.gauge_of("antiphon_links_streams"),
            streams_begun: metrics.counter_of("antiphon_links_streams_total"),
        }
    }

    pub(super) fn drop_counted(&self, reason: &str, count: usize) {
        self.dropped.with_label_values(&[reason]).inc_by(count as u64);
    }
}
