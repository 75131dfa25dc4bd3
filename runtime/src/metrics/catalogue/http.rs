//! The metrics of the HTTP interface.

use super::entry::{Entry, counter, gauge};

/// The metrics of the HTTP interface.
pub(super) const ENTRIES: &[Entry] = &[
    gauge(
        "antiphon_http_application_requests",
        "requests",
        &[],
        [
            "Requests to the routes of the application that are under way",
            "1",
            "Near `http.application_requests_max`, look for a route that waits, or raise the bound.",
        ],
    ),
    counter(
        "antiphon_http_application_timeouts_total",
        "requests",
        &[],
        [
            "Requests that a route of the application did not answer in time (504)",
            "1",
            "When it grows, look for the route in the log; see `http.application_timeout`.",
        ],
    ),
    gauge(
        "antiphon_http_audit_failing",
        "0 or 1",
        &[],
        [
            "Whether the audit log cannot be written now",
            "1, with an audit log",
            "At 1, look at the disk and at `/health/ready`, which has the reason: lines are lost, or requests refused (`http.audit.on_fault`).",
        ],
    ),
    counter(
        "antiphon_http_audit_missing_total",
        "lines",
        &["reason"],
        [
            "Lines that are not in the audit log",
            "2, with an audit log",
            "`lost`: the log could not be written, or its queue was full. `strangers`: refused requests without a proof beyond ten in a second; look for the sender in the log.",
        ],
    ),
    gauge(
        "antiphon_http_certificate_expires_seconds",
        "seconds since 1970",
        &[],
        [
            "End of the validity of this node's certificate for HTTP",
            "1, with `http.tls`",
            "Replace the certificate two weeks before; the file is read again.",
        ],
    ),
    gauge(
        "antiphon_http_insecure",
        "0 or 1",
        &[],
        [
            "Whether `http.insecure` lets strangers use the HTTP interface, or see tokens",
            "1",
            "At 1 outside of a test, give the node `http.tls` and `http.tokens_file`.",
        ],
    ),
    counter(
        "antiphon_http_refused_total",
        "connections and requests",
        &["reason"],
        [
            "Connections and requests over HTTP that were refused",
            "12: one for each reason",
            "`full`: too many connections. `plain`, `tls`: clients without TLS, with a wrong certificate, or that do not believe that of the node. `no_proof`, `wrong_token`, `no_right`: look for the sender in the audit log. `host`: see `http.hosts`. `audit`: the audit log cannot be written. `application_full`: `http.application_requests_max` is reached, or a caller has `http.application_caller_requests_max`. `application_bodies`: bodies that wait have `http.application_bodies_bytes_max`. `upgrade`: a client wants a WebSocket.",
        ],
    ),
    counter(
        "antiphon_http_reload_failures_total",
        "reads",
        &["file"],
        [
            "Reads of changed certificates or tokens that failed; the old ones stay in use",
            "2: `tls` and `tokens`",
            "When it grows, repair the file that the log names.",
        ],
    ),
];
