//! Counters of the store.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use antiphon_base::time::{Clock, SystemClock};
use parking_lot::Mutex;
use tokio::time::Instant;

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $name:ident,)*) => {
        /// Counts since the store was opened.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct SqliteStats {
            $($(#[doc = $doc])+ pub $name: u64,)*
        }

        impl SqliteStats {
            /// Each count with its name and description, for metrics.
            pub fn named(&self) -> Vec<(&'static str, &'static str, u64)> {
                vec![$((stringify!($name), concat!($($doc),+).trim_ascii(), self.$name),)*]
            }
        }

        /// The same counters while they grow.
        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $(pub(crate) $name: AtomicU64,)*
            /// Time and cause of the last failed transaction. `None` when an append succeeded
            /// since.
            trouble: Mutex<Option<(Instant, String)>>,
        }

        impl Counters {
            pub(crate) fn snapshot(&self) -> SqliteStats {
                SqliteStats { $($name: self.$name.load(Ordering::Relaxed),)* }
            }
        }
    };
}

counters! {
    /// Transactions, each with one sync.
    groups,
    /// Appends that were stored.
    appends,
    /// Events that were stored.
    events,
    /// Writes refused because the writer was sealed or the stream had another end.
    fenced,
    /// Transactions that failed as a whole: another process held the file too long, full disk, I/O
    /// error.
    groups_failed,
    /// Reads of any kind.
    reads,
    /// Reads of the change feed that were answered without touching the file's rows.
    feed_cache_hits,
    /// Writes that had to wait for room in the queue.
    queue_full,
    /// Reads and writes that met a damaged row and failed. Must be zero.
    rows_damaged,
    /// Damaged snapshots that were passed over for older ones. Must be zero.
    snapshots_damaged,
    /// Damaged rows of reminders that were passed over, at each read. Must be zero.
    reminders_damaged,
}

/// Time that a failure is reported without a new attempt. A caller that sends elsewhere because of
/// the failure would otherwise never find out that it is over.
const TROUBLE_SHOWN: Duration = Duration::from_secs(10);

impl Counters {
    /// Records the failure of a transaction.
    pub(crate) fn failed(&self, why: String) {
        let mut trouble = self.trouble.lock();
        *trouble = Some((SystemClock.now(), why));
    }

    /// Records that appends were stored. Other writes are not recorded: on a full disk the small
    /// ones still succeed for long.
    pub(crate) fn appended(&self) {
        *self.trouble.lock() = None;
    }

    /// The reason why nothing can be appended now, as far as known.
    pub(crate) fn trouble(&self) -> Option<String> {
        let trouble = self.trouble.lock();
        let (at, why) = trouble.as_ref()?;
        (SystemClock.now() - *at < TROUBLE_SHOWN).then(|| why.clone())
    }
}

/// Adds to a counter.
pub(crate) fn count(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}
