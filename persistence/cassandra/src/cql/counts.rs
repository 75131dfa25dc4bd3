//! Counts of each statement.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use antiphon_persistence::store::StatementCounts;

/// The counts of one statement while they grow.
#[derive(Default)]
pub(super) struct Counts {
    sent: AtomicU64,
    failed: AtomicU64,
    micros: AtomicU64,
}

impl Counts {
    /// Counts a statement that was answered, or failed, after `took`.
    pub(super) fn add(&self, took: Duration, failed: bool) {
        self.sent.fetch_add(1, Ordering::Relaxed);
        self.failed.fetch_add(u64::from(failed), Ordering::Relaxed);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }

    pub(super) fn snapshot(&self, name: &'static str) -> StatementCounts {
        let micros = self.micros.load(Ordering::Relaxed);
        StatementCounts {
            name,
            sent: self.sent.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            took: Duration::from_micros(micros),
        }
    }
}
