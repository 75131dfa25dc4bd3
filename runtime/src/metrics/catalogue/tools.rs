//! The metrics of the tools of plain actors.

use super::entry::{Entry, NOTHING, counter, gauge};

/// The metrics of the tools of plain actors.
pub(super) const ENTRIES: &[Entry] = &[
    gauge(
        "antiphon_receptionist_keys",
        "keys",
        &[],
        ["keys with actors that this node knows", "1", NOTHING],
    ),
    counter(
        "antiphon_receptionist_left_out_total",
        "actors",
        &["setting"],
        [
            "actors of other nodes that are not found here because a setting is reached",
            "2: one for each setting",
            "Raise the setting, or look for a program that registers without end.",
        ],
    ),
    counter(
        "antiphon_receptionist_refused_total",
        "registrations",
        &["reason"],
        [
            "registrations that were refused, by reason",
            "4: one for each reason",
            "`other_type`: two programs use a key for different messages. The others are settings: raise them.",
        ],
    ),
    counter(
        "antiphon_receptionist_skipped_total",
        "changes",
        &[],
        ["changes that a slow subscriber did not see because a newer one had come", "1", NOTHING],
    ),
    counter(
        "antiphon_router_failed_total",
        "messages",
        &["reason"],
        [
            "messages and calls of routers without a receiver or an answer, by reason",
            "3: one for each reason",
            "`nobody`: no actor is registered under the key. `timeout`: look at the load of the actors.",
        ],
    ),
    gauge(
        "antiphon_singleton_actors",
        "actors",
        &[],
        ["singletons that run on this node", "1", NOTHING],
    ),
    counter(
        "antiphon_singleton_dropped_total",
        "messages",
        &["reason"],
        [
            "messages to singletons that were dropped or refused by their proxies, by reason",
            "3: one for each reason",
            "Above 0, no member takes the singleton for long: look at `antiphon_singleton_store_failures_total`, and whether a node starts it.",
        ],
    ),
    counter(
        "antiphon_singleton_ends_total",
        "ends",
        &["reason"],
        [
            "singletons that ended on this node, by reason",
            "4: one for each reason",
            "`failed`: the actor ends by itself, and is started again; the log has its text. `not_live`: the node was frozen or cut from its store. `moved` and `leaving` are normal.",
        ],
    ),
    counter(
        "antiphon_singleton_store_failures_total",
        "calls",
        &[],
        [
            "calls of the store of the singletons' leases that failed",
            "1",
            "Look at the store: while it fails, no singleton moves.",
        ],
    ),
    counter(
        "antiphon_singleton_taken_total",
        "leases",
        &[],
        ["leases of singletons that this node took", "1", NOTHING],
    ),
    counter(
        "antiphon_topic_dropped_total",
        "messages",
        &["reason"],
        [
            "messages of topics that were dropped for one subscriber or node, by reason",
            "2: one for each reason",
            "`topic_queue_max`: a subscriber is too slow; make it faster, or raise the setting. `unreachable`: a node ended.",
        ],
    ),
    counter(
        "antiphon_topic_published_total",
        "messages",
        &[],
        ["messages that were published on this node", "1", NOTHING],
    ),
];
