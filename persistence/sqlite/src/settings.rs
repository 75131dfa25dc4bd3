//! The settings of the embedded store.

use std::time::Duration;

use antiphon_base::{Result, bounds};
use antiphon_persistence::store::{Role, check_append_bytes_max, check_queue_bytes_max};
use serde::{Deserialize, Serialize};

/// Durability of an acknowledged append.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// The write-ahead log was synced to the disk: the append survives a power failure.
    #[default]
    Full,
    /// The append was handed to the operating system: it survives kill -9, and a power failure may
    /// lose the last moments.
    Relaxed,
}

/// Settings of an [`SqliteStores`](crate::SqliteStores).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SqliteSettings {
    /// Default: [`Role::Owner`].
    pub role: Role,
    /// Default: [`Durability::Full`].
    pub durability: Durability,
    /// Appends and other writes that may wait for the writer thread. A write beyond the limit waits
    /// for room. Default: 8192.
    pub queue_max: usize,
    /// Encoded bytes of the appends that may wait for the writer thread. An append beyond the limit
    /// waits for room. At least `append_bytes_max`. Default: 64 MiB.
    pub queue_bytes_max: usize,
    /// Writes in one transaction; further writes go into the next. Default: 2048.
    pub group_writes_max: usize,
    /// Encoded bytes in one transaction, which takes at least one write. Default: 4 MiB.
    pub group_bytes_max: usize,
    /// Encoded bytes of one append; a larger one is refused. At least the size of the largest
    /// event, some 4 MiB, and at most 100 MiB. Default: 16 MiB.
    pub append_bytes_max: usize,
    /// Time that a transaction waits for another process; then its writes fail with `Unavailable`.
    /// Default: 5 s.
    #[serde(with = "antiphon_base::time::text")]
    pub busy_timeout: Duration,
    /// Connections for reads; more reads wait. Default: 2.
    pub reader_count: usize,
    /// Streams whose ends are remembered. Beyond the limit, all ends are forgotten, and read again
    /// when needed. Default: 100,000.
    pub stream_cache_max: usize,
    /// Newest entries of the change feed that are kept in memory for all its readers. Older entries
    /// are read from the file. Default: 16,384.
    pub feed_cache_max: usize,
    /// Bytes in one answer to a replay, which has at least one batch. Default: 4 MiB.
    pub replay_bytes_max: usize,
    /// Time between two log lines about a failure of writes that lasts, such as a full disk.
    /// Default: 1 min.
    #[serde(with = "antiphon_base::time::text")]
    pub fault_log_interval: Duration,
    /// Pages that the write-ahead log may have before it is copied back into the file. Default:
    /// 4000 (16 MB).
    pub wal_pages_max: u32,
    /// Pages that the file may have; beyond the limit writes fail as on a full disk. `None`: no
    /// limit. Default: `None`.
    pub file_pages_max: Option<u32>,
}

impl Default for SqliteSettings {
    fn default() -> Self {
        Self {
            role: Role::Owner,
            durability: Durability::Full,
            queue_max: 8192,
            queue_bytes_max: 64 << 20,
            group_writes_max: 2048,
            group_bytes_max: 4 << 20,
            append_bytes_max: 16 << 20,
            busy_timeout: Duration::from_secs(5),
            reader_count: 2,
            stream_cache_max: 100_000,
            feed_cache_max: 16_384,
            replay_bytes_max: 4 << 20,
            fault_log_interval: Duration::from_secs(60),
            wal_pages_max: 4000,
            file_pages_max: None,
        }
    }
}

impl SqliteSettings {
    /// The default for reading another place's file.
    pub fn reader() -> Self {
        Self { role: Role::Reader, ..Self::default() }
    }

    /// Checks every limit.
    ///
    /// # Errors
    /// `Rejected`, naming the setting, its value and the expected range.
    pub fn validate(&self) -> Result<()> {
        bounds::count("queue_max", self.queue_max, 1..=1 << 20)?;
        bounds::count("group_writes_max", self.group_writes_max, 1..=1 << 20)?;
        bounds::count("group_bytes_max", self.group_bytes_max, 1..=1 << 30)?;
        bounds::duration("busy_timeout", self.busy_timeout, Duration::ZERO..=bounds::HOUR)?;
        bounds::duration(
            "fault_log_interval",
            self.fault_log_interval,
            Duration::ZERO..=bounds::HOUR,
        )?;
        bounds::count("reader_count", self.reader_count, 1..=1024)?;
        bounds::count("stream_cache_max", self.stream_cache_max, 1..=100_000_000)?;
        bounds::count("feed_cache_max", self.feed_cache_max, 1..=100_000_000)?;
        bounds::count("replay_bytes_max", self.replay_bytes_max, 1..=1 << 30)?;
        bounds::count("wal_pages_max", self.wal_pages_max as usize, 1..=1 << 24)?;
        if let Some(pages) = self.file_pages_max {
            // an empty journal has some pages already
            bounds::count("file_pages_max", pages as usize, 64..=u32::MAX as usize - 1)?;
        }
        check_append_bytes_max(self.append_bytes_max, APPEND_BYTES_LIMIT)?;
        check_queue_bytes_max(self.queue_bytes_max, self.append_bytes_max)
    }
}

/// A tenth of the largest SQLite row.
const APPEND_BYTES_LIMIT: usize = 100 << 20;
