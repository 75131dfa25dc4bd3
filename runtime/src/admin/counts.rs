//! The refusals of the HTTP interface, by their reason.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::metrics::Metrics;

/// Held while a counter is raised: two readers of the metrics at once must not add the same twice.
static RAISING: Mutex<()> = Mutex::new(());

/// A number that only grows.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The connections and requests that were refused, and the files that could not be read again.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Connections beyond `connections_max`.
    pub(super) full: Count,
    /// Connections with plain HTTP to the port of HTTPS.
    pub(super) plain: Count,
    /// Connections whose TLS failed.
    pub(super) tls: Count,
    /// Requests to a name of another host.
    pub(super) host: Count,
    /// Requests without a token or certificate.
    pub(super) no_proof: Count,
    /// Requests with a token that nobody has.
    pub(super) wrong_token: Count,
    /// Requests of a known client that lacks the right.
    pub(super) no_right: Count,
    /// Requests to the entity interface while it is off.
    pub(super) entities_off: Count,
    /// Requests to the application beyond `application_requests_max`.
    pub(super) application_full: Count,
    /// Requests to the application whose bodies found no room (`application_bodies_bytes_max`).
    pub(super) application_bodies: Count,
    /// Requests for another protocol on the connection.
    pub(super) upgrade: Count,
    /// Requests that the application has not answered within `application_timeout`.
    pub(super) application_late: Count,
    /// Requests that had to wait for an audit log.
    pub(super) audit: Count,
    /// Reads of changed certificates that failed.
    pub(super) tls_reload: Count,
    /// Reads of a changed tokens file that failed.
    pub(super) tokens_reload: Count,
}

impl Counts {
    /// Sets the metrics to these counts.
    pub(super) fn measure(&self, metrics: &Metrics) {
        let refused = metrics.counters_of("antiphon_http_refused_total");
        for (reason, count) in [
            ("full", &self.full),
            ("plain", &self.plain),
            ("tls", &self.tls),
            ("host", &self.host),
            ("no_proof", &self.no_proof),
            ("wrong_token", &self.wrong_token),
            ("no_right", &self.no_right),
            ("entities_off", &self.entities_off),
            ("audit", &self.audit),
            ("application_full", &self.application_full),
            ("application_bodies", &self.application_bodies),
            ("upgrade", &self.upgrade),
        ] {
            raise(&refused.with_label_values(&[reason]), count.get());
        }
        let late = metrics.counter_of("antiphon_http_application_timeouts_total");
        raise(&late, self.application_late.get());
        let reloads = metrics.counters_of("antiphon_http_reload_failures_total");
        for (file, count) in [("tls", &self.tls_reload), ("tokens", &self.tokens_reload)] {
            raise(&reloads.with_label_values(&[file]), count.get());
        }
    }
}

/// Raises a counter to a count that only grows.
pub(super) fn raise(counter: &crate::metrics::IntCounter, count: u64) {
    let _raising = RAISING.lock();
    counter.inc_by(count.saturating_sub(counter.get()));
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn readers_at_once_raise_a_counter_no_further_than_its_count() {
        let metrics = Metrics::new();
        let counter = metrics.counters_of("antiphon_http_refused_total");
        let counter = counter.with_label_values(&["full"]);
        let (together, excess) = (Barrier::new(2), AtomicU64::new(0));
        let reads = || {
            for count in 1..=20_000 {
                together.wait();
                raise(&counter, count);
                together.wait();
                excess.fetch_max(counter.get() - count, Ordering::Relaxed);
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(reads);
            reads();
        });
        assert_eq!(excess.into_inner(), 0);
    }
}
