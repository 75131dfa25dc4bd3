//! The metrics of the links between nodes.

use super::entry::{Entry, NOTHING, counter, gauge};

/// The metrics of the links between nodes.
pub(super) const ENTRIES: &[Entry] = &[
    counter(
        "antiphon_gate_asks_failed_total",
        "asks",
        &["reason"],
        [
            "asks without an answer, by reason",
            "10: one for each reason",
            "`timeout` and `unreachable`: look at the network and at the load of the other nodes. `overloaded`: the node sends more than the limits of `[node.gate]` allow.",
        ],
    ),
    counter("antiphon_gate_asks_total", "asks", &[], ["asks to other nodes", "1", NOTHING]),
    counter(
        "antiphon_gate_bytes_received_total",
        "bytes",
        &[],
        ["bytes of frames received", "1", NOTHING],
    ),
    counter("antiphon_gate_bytes_sent_total", "bytes", &[], ["bytes of frames sent", "1", NOTHING]),
    counter(
        "antiphon_gate_dropped_total",
        "messages or frames",
        &["reason"],
        [
            "messages, answers and frames that were dropped, by reason",
            "12: one for each reason",
            "`link_down` grows when links break. `malformed_frame` and `malformed_error` must stay 0: another program, or another version, speaks to the port.",
        ],
    ),
    counter(
        "antiphon_gate_frames_received_total",
        "frames",
        &[],
        ["frames received", "1", NOTHING],
    ),
    counter("antiphon_gate_frames_sent_total", "frames", &[], ["frames sent", "1", NOTHING]),
    counter(
        "antiphon_gate_link_restarts_total",
        "restarts",
        &["reason"],
        [
            "links that began anew because something was lost, by reason",
            "7: one for each reason",
            "`stalled` and `gap`: look at the network. `received_bytes_max` and `unfinished_timeout`: the receiver is too slow, or the limits of `[node.gate]` are too low.",
        ],
    ),
    gauge(
        "antiphon_gate_links_up",
        "links",
        &[],
        [
            "links that are connected",
            "1",
            "Compare it with the number of other members; below it for long, look at the network.",
        ],
    ),
    counter(
        "antiphon_gate_received_total",
        "messages",
        &[],
        ["messages that were received", "1", NOTHING],
    ),
    counter(
        "antiphon_gate_refused_total",
        "messages",
        &["reason"],
        [
            "tells and asks that were refused to their sender, by reason",
            "3: one for each reason",
            "`full`: the other node or the network is too slow for the load. `too_large`: raise `message_bytes_max`, or send less at once.",
        ],
    ),
    counter(
        "antiphon_gate_service_panics_total",
        "panics",
        &[],
        [
            "services that panicked",
            "1",
            "Must stay 0. Above, the log has the text: report it as a bug.",
        ],
    ),
    counter("antiphon_gate_tells_total", "tells", &[], ["tells to other nodes", "1", NOTHING]),
    gauge(
        "antiphon_link_certificate_expires_seconds",
        "seconds since 1970",
        &[],
        [
            "End of the validity of this node's certificate",
            "1, with `links.tls`",
            "Replace the certificate before: `antiphon cert`, or your authority. The node warns from 14 days before on.",
        ],
    ),
    gauge(
        "antiphon_links_insecure",
        "0 or 1",
        &[],
        [
            "Whether `links.insecure` lets strangers reach the node without certificates",
            "1",
            "At 1, give the node certificates (`links.tls`).",
        ],
    ),
];
