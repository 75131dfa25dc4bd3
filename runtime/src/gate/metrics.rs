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
}

impl GateMetrics {
    pub(super) fn new(metrics: &Metrics) -> Self {
        Self {
            dropped: metrics.counters(
                "antiphon_gate_dropped_total",
                "messages, answers and frames that were dropped, by reason",
                &["reason"],
            ),
            refused: metrics.counters(
                "antiphon_gate_refused_total",
                "tells and asks that were refused to their sender, by reason",
                &["reason"],
            ),
            restarts: metrics.counters(
                "antiphon_gate_link_restarts_total",
                "links that began anew because something was lost, by reason",
                &["reason"],
            ),
            asks_failed: metrics.counters(
                "antiphon_gate_asks_failed_total",
                "asks without an answer, by reason",
                &["reason"],
            ),
            asks: metrics.counter("antiphon_gate_asks_total", "asks to other nodes"),
            tells: metrics.counter("antiphon_gate_tells_total", "tells to other nodes"),
            received: metrics
                .counter("antiphon_gate_received_total", "messages that were received"),
            frames_sent: metrics.counter("antiphon_gate_frames_sent_total", "frames sent"),
            frames_received: metrics
                .counter("antiphon_gate_frames_received_total", "frames received"),
            bytes_sent: metrics.counter("antiphon_gate_bytes_sent_total", "bytes of frames sent"),
            bytes_received: metrics
                .counter("antiphon_gate_bytes_received_total", "bytes of frames received"),
            panics: metrics.counter("antiphon_gate_service_panics_total", "services that panicked"),
            links_up: metrics.gauge("antiphon_gate_links_up", "links that are connected"),
        }
    }

    pub(super) fn drop_counted(&self, reason: &str, count: usize) {
        self.dropped.with_label_values(&[reason]).inc_by(count as u64);
    }
}
