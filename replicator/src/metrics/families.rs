//! The list of metrics. Tests compare the dashboard and the operator's page with it.

/// The kind of measurement of a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A number that only grows.
    Counter,
    /// A number that goes up and down.
    Gauge,
    /// Counts by bucket.
    Histogram,
    /// Quantiles over the last ten minutes.
    Summary,
}

/// A family of series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Family {
    /// The name.
    pub name: &'static str,
    /// The kind of measurement.
    pub kind: Kind,
    /// The names of the labels.
    pub labels: &'static [&'static str],
    /// The meaning, in a few words.
    pub help: &'static str,
}

const SUBSCRIPTION: &[&str] = &["app", "stream", "group"];
const IO: &[&str] = &["app", "type", "resource", "operation"];

const fn family(name: &'static str, kind: Kind, help: &'static str) -> Family {
    Family { name, kind, labels: SUBSCRIPTION, help }
}

/// Every family. The first eight are Ditto's.
#[rustfmt::skip] // one line a family
pub const FAMILIES: &[Family] = &[
    family("ditto_events_received_total", Kind::Counter, "events that arrived"),
    family("ditto_events_unresolved_total", Kind::Counter, "links whose target is gone, passed over"),
    family("ditto_events_skipped_total", Kind::Counter, "events passed over by a filter, a transform or the conflict policy"),
    family("ditto_events_processed_total", Kind::Counter, "events that are at the destination"),
    family("ditto_events_failed_total", Kind::Counter, "tries that failed"),
    family("ditto_current_event", Kind::Gauge, "number in the subscribed stream of the last event that arrived"),
    family("ditto_replication_delay_seconds", Kind::Summary, "from the creation of an event to its arrival"),
    Family { name: "ditto_io_duration_seconds", kind: Kind::Summary, labels: IO, help: "time of calls to stores" },
    family("ditto_source_head", Kind::Gauge, "number, or commit position in $all, of the newest event at the source"),
    family("ditto_gap_events", Kind::Gauge, "events between the last one done and the newest"),
    family("ditto_gap_bytes", Kind::Gauge, "bytes of the log between the last event done and the newest, for $all"),
    family("ditto_checkpoint", Kind::Gauge, "the saved position"),
    family("ditto_checkpoint_age_seconds", Kind::Gauge, "time since a position was saved; -1 when none was in this run"),
    family("ditto_progress_age_seconds", Kind::Gauge, "time since an event got done"),
    family("ditto_events_held", Kind::Gauge, "events that arrived and are not settled"),
    family("ditto_events_duplicate_total", Kind::Counter, "events that were at the destination already"),
    family("ditto_retries_total", Kind::Counter, "repeated tries"),
    family("ditto_parked_total", Kind::Counter, "events that were put aside"),
    family("ditto_conflicts_total", Kind::Counter, "events for which the destination has something else"),
    family("ditto_subscription_up", Kind::Gauge, "1 while the source is open"),
    family("ditto_sink_up", Kind::Gauge, "1 while the destination takes events"),
    family("ditto_caught_up", Kind::Gauge, "1 while a catch-up is live"),
    family("ditto_write_duration_seconds", Kind::Histogram, "from the arrival of an event to its being at the destination"),
    Family { name: "ditto_build_info", kind: Kind::Gauge, labels: &["version"], help: "the version that runs" },
];
