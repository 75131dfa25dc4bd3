//! The list of metrics. Tests compare the dashboard and the operator's page with it.

use std::sync::Arc;

use antiphon_base::time::Clock;
use prometheus::{Histogram, IntCounter, IntGauge, Registry};

use super::family::{Family, Series};
use super::summary::Summary;

/// The series of calls to stores.
pub(super) const IO: Family = Family {
    name: "ditto_io_duration_seconds",
    labels: &["app", "type", "resource", "operation"],
    help: "time of calls to stores",
};

/// The series of the version.
pub(super) const BUILD: Family =
    Family { name: "ditto_build_info", labels: &["version"], help: "the version that runs" };

/// The series of log lines that a sink sent.
pub(super) const LOGS_SENT: Family = Family {
    name: "ditto_log_lines_sent_total",
    labels: &["app", "sink"],
    help: "log lines that a sink of logs took",
};

/// The series of log lines that a sink lost.
pub(super) const LOGS_LOST: Family = Family {
    name: "ditto_log_lines_lost_total",
    labels: &["app", "sink"],
    help: "log lines for a sink of logs that found no room, or were refused",
};

/// The series of log lines that wait for a sink.
pub(super) const LOGS_WAITING: Family = Family {
    name: "ditto_log_lines_waiting",
    labels: &["app", "sink"],
    help: "log lines that wait for a sink of logs",
};

/// Declares the families of a subscription: for each the field, its kind, its name, and the text of
/// its meaning.
macro_rules! of_a_subscription {
    ($($field:ident: $kind:ty = $name:literal, $help:literal;)+) => {
        /// Every family.
        pub const FAMILIES: &[Family] = &[IO, BUILD, LOGS_SENT, LOGS_LOST, LOGS_WAITING, $(OfASubscription::$field),+];

        struct OfASubscription;

        #[expect(non_upper_case_globals, reason = "each family has the name of its field")]
        impl OfASubscription {
            $(const $field: Family =
                Family { name: $name, labels: &["app", "stream", "group"], help: $help };)+
        }

        /// The series of one subscription.
        #[derive(Clone)]
        pub struct SubscriptionMetrics {
            $(#[doc = $help] pub $field: $kind,)+
        }

        /// The series of all subscriptions.
        pub(super) struct SubscriptionVectors {
            $($field: <$kind as Series>::Vector,)+
        }

        impl SubscriptionVectors {
            pub(super) fn new(registry: &Registry, clock: &Arc<dyn Clock>) -> Self {
                Self { $($field: OfASubscription::$field.register::<$kind>(registry, clock),)+ }
            }

            pub(super) fn series(&self, labels: &[&str]) -> SubscriptionMetrics {
                SubscriptionMetrics { $($field: self.$field.with_label_values(labels),)+ }
            }
        }
    };
}

// the first seven are Ditto's
of_a_subscription! {
    received: IntCounter = "ditto_events_received_total", "events that arrived";
    unresolved: IntCounter = "ditto_events_unresolved_total",
        "links whose target is gone, passed over";
    skipped: IntCounter = "ditto_events_skipped_total",
        "events passed over by a filter, a transform or the conflict policy";
    processed: IntCounter = "ditto_events_processed_total", "events that are at the destination";
    failed: IntCounter = "ditto_events_failed_total", "tries that failed";
    current_event: IntGauge = "ditto_current_event",
        "number in the subscribed stream of the last event that arrived";
    replication_delay: Summary = "ditto_replication_delay_seconds",
        "from the creation of an event to its arrival";
    source_head: IntGauge = "ditto_source_head",
        "number, or commit position in $all, of the newest event at the source";
    gap_events: IntGauge = "ditto_gap_events", "events between the last one done and the newest";
    gap_bytes: IntGauge = "ditto_gap_bytes",
        "bytes of the log between the last event done and the newest, for $all";
    checkpoint: IntGauge = "ditto_checkpoint", "the saved position";
    checkpoint_age: IntGauge = "ditto_checkpoint_age_seconds",
        "time since a position was saved; -1 when none was in this run";
    progress_age: IntGauge = "ditto_progress_age_seconds", "time since an event got done";
    held: IntGauge = "ditto_events_held", "events that arrived and are not settled";
    duplicates: IntCounter = "ditto_events_duplicate_total",
        "events that were at the destination already";
    retries: IntCounter = "ditto_retries_total", "repeated tries";
    parked: IntCounter = "ditto_parked_total", "events that were put aside";
    conflicts: IntCounter = "ditto_conflicts_total",
        "events for which the destination has something else";
    parked_events: IntGauge = "ditto_parked_events", "events that are parked now";
    parked_age: IntGauge = "ditto_parked_oldest_age_seconds",
        "time since the oldest parked event was parked; -1 when none is";
    waiting_events: IntGauge = "ditto_waiting_events",
        "events that failed and are tried again, before which their streams wait";
    waiting_age: IntGauge = "ditto_waiting_oldest_age_seconds",
        "time since the first failure of the oldest one; -1 when none waits";
    up: IntGauge = "ditto_subscription_up", "1 while the source is open";
    sink_up: IntGauge = "ditto_sink_up", "1 while the destination takes events";
    caught_up: IntGauge = "ditto_caught_up", "1 while a catch-up is live";
    write_duration: Histogram = "ditto_write_duration_seconds",
        "from the arrival of an event to its being at the destination";
}
