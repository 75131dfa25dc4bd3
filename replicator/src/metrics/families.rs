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

/// Declares the families of a subscription: for each the field, its kind, its name, and the text of
/// its meaning.
macro_rules! of_a_subscription {
    ($($field:ident: $kind:ty = $name:literal, $help:literal;)+) => {
        /// Every family.
        pub const FAMILIES: &[Family] = &[IO, BUILD, $(OfASubscription::$field),+];

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
    up: IntGauge = "ditto_subscription_up", "1 while the source is open";
    sink_up: IntGauge = "ditto_sink_up", "1 while the destination takes events";
    caught_up: IntGauge = "ditto_caught_up", "1 while a catch-up is live";
    write_duration: Histogram = "ditto_write_duration_seconds",
        "from the arrival of an event to its being at the destination";
}
