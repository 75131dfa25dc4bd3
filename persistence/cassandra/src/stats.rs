//! Counters of the store.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $name:ident,)*) => {
        /// Counts since the store was opened.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct CassandraStats {
            $($(#[doc = $doc])+ pub $name: u64,)*
        }

        impl CassandraStats {
            /// Each count with its name and description, for metrics.
            pub fn named(&self) -> Vec<(&'static str, &'static str, u64)> {
                vec![$((stringify!($name), concat!($($doc),+).trim_ascii(), self.$name),)*]
            }
        }

        /// The same counters while they grow.
        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $(pub(crate) $name: AtomicU64,)*
        }

        impl Counters {
            pub(crate) fn snapshot(&self) -> CassandraStats {
                CassandraStats { $($name: self.$name.load(Ordering::Relaxed),)* }
            }
        }
    };
}

counters! {
    /// Conditional writes of rounds that were applied.
    rounds,
    /// Appends that were stored.
    appends,
    /// Events that were stored.
    events,
    /// Appends refused because the writer was sealed or the stream had another end.
    fenced,
    /// Rounds that were sent again because their outcome was unknown.
    rounds_unknown,
    /// Appends that failed because the server could not be reached for too long.
    given_up,
    /// Writers that found less in the store than was acknowledged. Must be zero.
    lost_data,
    /// Writers that stopped because of a fault in their own state. Must be zero.
    writers_broken,
    /// Rows that were written into the streams' own partitions.
    copied_rows,
    /// Events in those rows.
    copied_events,
    /// Statements of the copy and of seals that failed and were repeated.
    retries,
    /// Looks at the registry and at the lanes of other writers.
    refreshes,
    /// Looks at the lanes that another node of the place answered.
    relayed,
    /// Pages of the change feed that were read from the database because they are older than the
    /// rounds in memory.
    feed_pages_read,
    /// Pages of replays that were requested ahead of their reader.
    pages_ahead,
    /// Pages requested ahead that no reader took in time, or that did not fit the reader's request.
    pages_ahead_unused,
    /// Parts of the log that were removed.
    parts_dropped,
    /// Readers that needed parts that were gone, and read the streams instead.
    feed_restarts,
    /// Waits of appends because too many bytes were not yet copied.
    copy_waits,
    /// Statements that were sent to the database.
    statements,
    /// Waits of appends for room in the queue.
    queue_full,
    /// Damaged snapshots that were passed over for older ones. Must be zero.
    snapshots_damaged,
    /// Damaged rows of reminders that were passed over, at each read. Must be zero.
    reminders_damaged,
}

/// Adds to a counter.
pub(crate) fn count(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}
