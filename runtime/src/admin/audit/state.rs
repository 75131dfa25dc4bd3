//! The state that the requests and the writer of the audit log share.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::strangers::Strangers;

/// The state that requests and the writer share.
#[derive(Debug, Default)]
pub(super) struct State {
    /// The reason why lines cannot be written now.
    pub(super) trouble: Mutex<Option<String>>,
    pub(super) is_full: AtomicBool,
    pub(super) lost: AtomicU64,
    pub(super) left_out: AtomicU64,
    pub(super) strangers: Mutex<Strangers>,
}

impl State {
    /// Counts lines that will not be written.
    pub(super) fn lose(&self, lines: usize) {
        self.lost.fetch_add(u64::try_from(lines).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Notes whether the log can be written, and tells when that changes.
    pub(super) fn note(&self, error: Option<String>) {
        let before = std::mem::replace(&mut *self.trouble.lock(), error.clone());
        match (before, error) {
            (None, Some(error)) => tracing::error!(%error, "the audit log cannot be written"),
            (Some(_), None) => tracing::info!("the audit log is written again"),
            (None, None) | (Some(_), Some(_)) => {}
        }
    }
}
