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
            "15: one for each reason",
            "`served_asks_max` and `served_bytes_max`: another node asks faster than this one answers. `link_down` grows when links break. `malformed_frame` and `malformed_error` must stay 0: another program, or another version, speaks to the port.",
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
            "8: one for each reason",
            "`stalled` and `gap`: look at the network. `received_bytes_max` and `unfinished_timeout`: the receiver is too slow, or the limits of `[node.gate]` are too low. `strangers_bytes_max`: a node that is no member sends much.",
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
        "antiphon_links_greeting",
        "connections",
        &[],
        [
            "Accepted connections that have not greeted yet",
            "1",
            "For long near `links.greeting_max`: strangers connect to the link port. `antiphon_links_refused_total` says more; keep them out with a firewall.",
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
    counter(
        "antiphon_links_refused_total",
        "connections",
        &["reason"],
        [
            "Connections to the link port that were refused, or gave way to others, by reason",
            "21: one for each reason",
            "`address_full`, `greeting_full`, `timeout`, `closed`, `not_a_node`: strangers connect. `tls`, `certificate`, `cluster`, `cookie`, `version`: a node has other certificates or settings, or a stranger tries; the log names it. `connections_full`, `strangers_full`: raise the limit if the nodes are yours. `no_descriptor`: raise the limit of file descriptors. `replaced` and `no_member` belong to nodes that come back or were declared dead; `stalled` to a node that is no member and takes no frames. `stream`: a member has plain actors, and this node has none. `streams_full`: raise `links.streams_max`. `frame` and `fault` must stay 0.",
        ],
    ),
    gauge(
        "antiphon_links_strangers",
        "connections",
        &[],
        [
            "Accepted connections of nodes that have proved who they are and are no members, or not yet",
            "1",
            "Above 0 for longer than a node takes to join: a program that knows the cookie, or has a certificate, connects.",
        ],
    ),
    gauge(
        "antiphon_links_streams",
        "streams",
        &[],
        [
            "Streams to and from other members that are open, beside the links",
            "1",
            "With plain actors, compare it with the number of other members.",
        ],
    ),
    counter(
        "antiphon_links_streams_total",
        "streams",
        &[],
        [
            "Streams that have begun",
            "1",
            "If it grows while no node starts or ends, look at the network.",
        ],
    ),
];
