//! What the store counts.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use antiphon_persistence::time::{Clock, SystemClock};
use tokio::time::Instant;

/// Counts since the store was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SqliteStats {
    /// Transactions, each with one sync.
    pub groups: u64,
    /// Appends that were stored.
    pub appends: u64,
    /// Events that were stored.
    pub events: u64,
    /// Writes refused because the writer was sealed or the stream had another end.
    pub fenced: u64,
    /// Transactions that failed as a whole: another process held the file too long, full disk, I/O error.
    pub groups_failed: u64,
    /// Reads of any kind.
    pub reads: u64,
    /// Reads of the change feed that were answered without touching the file's rows.
    pub feed_cache_hits: u64,
    /// Writes that had to wait for room in the queue.
    pub queue_full: u64,
}

/// The same, while they grow.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) groups: AtomicU64,
    pub(crate) appends: AtomicU64,
    pub(crate) events: AtomicU64,
    pub(crate) fenced: AtomicU64,
    pub(crate) groups_failed: AtomicU64,
    pub(crate) reads: AtomicU64,
    pub(crate) feed_cache_hits: AtomicU64,
    pub(crate) queue_full: AtomicU64,
    /// When and why a transaction failed; none when appends succeeded since.
    trouble: Mutex<Option<(Instant, String)>>,
}

/// How long a failure is said when nobody tries again: whoever sends elsewhere because of it would never find out that it is over.
const TROUBLE_SHOWN: Duration = Duration::from_secs(10);

impl Counters {
    /// Takes note of why a transaction failed.
    pub(crate) fn failed(&self, why: String) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        *trouble = Some((SystemClock.now(), why));
    }

    /// Takes note of appends that were stored. Other writes say nothing: on a full disk the small ones succeed for long.
    pub(crate) fn appended(&self) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Why nothing can be appended now, as far as is known.
    pub(crate) fn trouble(&self) -> Option<String> {
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, why) = trouble.as_ref()?;
        (SystemClock.now() - *at < TROUBLE_SHOWN).then(|| why.clone())
    }
}

/// Adds to a counter.
pub(crate) fn count(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}

impl Counters {
    pub(crate) fn snapshot(&self) -> SqliteStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        SqliteStats {
            groups: read(&self.groups),
            appends: read(&self.appends),
            events: read(&self.events),
            fenced: read(&self.fenced),
            groups_failed: read(&self.groups_failed),
            reads: read(&self.reads),
            feed_cache_hits: read(&self.feed_cache_hits),
            queue_full: read(&self.queue_full),
        }
    }
}
