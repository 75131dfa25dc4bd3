//! The counters of the sessions.

use antiphon_runtime::Metrics;
use antiphon_runtime::metrics::{IntCounter, IntCounterVec, IntGauge};

/// The counters of the sessions of a node.
#[derive(Debug, Clone)]
pub(crate) struct SessionMetrics {
    pub(crate) sessions: IntGauge,
    pub(crate) begun: IntCounter,
    pub(crate) ended: IntCounterVec,
    pub(crate) dropped: IntCounterVec,
    pub(crate) queued: IntGauge,
    pub(crate) bytes_sent: IntCounter,
    pub(crate) bytes_received: IntCounter,
    pub(crate) calls_failed: IntCounterVec,
}

impl SessionMetrics {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        Self {
            sessions: metrics.gauge_of("antiphon_actors_sessions"),
            begun: metrics.counter_of("antiphon_actors_sessions_total"),
            ended: metrics.counters_of("antiphon_actors_sessions_ended_total"),
            dropped: metrics.counters_of("antiphon_actors_dropped_total"),
            queued: metrics.gauge_of("antiphon_actors_queued_bytes"),
            bytes_sent: metrics.counter_of("antiphon_actors_bytes_sent_total"),
            bytes_received: metrics.counter_of("antiphon_actors_bytes_received_total"),
            calls_failed: metrics.counters_of("antiphon_actors_calls_failed_total"),
        }
    }
}
