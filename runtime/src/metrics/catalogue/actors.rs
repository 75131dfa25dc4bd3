//! The metrics of the sessions of plain actors.

use super::entry::{Entry, NOTHING, counter, gauge};

/// The metrics of the sessions of plain actors.
pub(super) const ENTRIES: &[Entry] = &[
    counter(
        "antiphon_actors_bytes_received_total",
        "bytes",
        &[],
        ["bytes that sessions of plain actors have received", "1", NOTHING],
    ),
    counter(
        "antiphon_actors_bytes_sent_total",
        "bytes",
        &[],
        ["bytes that sessions of plain actors have sent", "1", NOTHING],
    ),
    counter(
        "antiphon_actors_calls_failed_total",
        "calls",
        &["reason"],
        [
            "calls of plain actors without an answer, by reason",
            "3: one for each reason",
            "`timeout`: the actor is slow, dropped the call, does not know the message (an older release), or the message or its answer was dropped. `ended`: the actor, or the session with its node, ended during the call. `not_sent`: it had ended before.",
        ],
    ),
    counter(
        "antiphon_actors_dropped_total",
        "messages or sessions",
        &["reason"],
        [
            "messages of plain actors that did not leave, by reason",
            "3: one for each reason",
            "`too_large`: send less at once, or raise `actors.frame_bytes_max` on all nodes. `full`: the member is too slow for the load. `overflow` ends a session: raise `actors.queue_bytes_max`, or have fewer actors that others see.",
        ],
    ),
    gauge(
        "antiphon_actors_queued_bytes",
        "bytes",
        &[],
        [
            "bytes of plain actors that wait for other members",
            "1",
            "For long near `actors.queue_bytes_max`: a member, or the network, is too slow.",
        ],
    ),
    gauge(
        "antiphon_actors_sessions",
        "sessions",
        &[],
        [
            "sessions of plain actors that are in step",
            "1",
            "Compare it with the number of other members that have plain actors; the log says why one is missing.",
        ],
    ),
    counter(
        "antiphon_actors_sessions_ended_total",
        "sessions",
        &["reason"],
        [
            "sessions of plain actors that ended, by reason",
            "6: one for each reason",
            "`frozen`: a member did not answer probes. `closed`: the connection broke, or code called `stop` on a remote actor. `stalled`: it was not ready within `actors.ready_timeout`. `no_member`, `replaced` and `goodbye` belong to nodes that come and go.",
        ],
    ),
    counter(
        "antiphon_actors_sessions_total",
        "sessions",
        &[],
        [
            "sessions of plain actors that have begun",
            "1",
            "If it grows while no node starts or ends, look at the network.",
        ],
    ),
];
