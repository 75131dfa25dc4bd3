//! The settings of the store.

use std::time::Duration;

use antiphon_base::bounds::{self, HOUR, YEAR};
use antiphon_base::{Error, Result};
use antiphon_persistence::store::{Role, check_append_bytes_max, check_queue_bytes_max};
use serde::{Deserialize, Serialize};

use crate::cql::ServerSettings;

/// Settings of a [`CassandraStores`](crate::CassandraStores).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CassandraSettings {
    /// Address of the server, and settings of its connections.
    #[serde(skip)]
    pub server: ServerSettings,
    /// Default: [`Role::Owner`].
    #[serde(skip)]
    pub role: Role,
    /// Lanes of a writer's log; each has one conditional write in flight. Default: 2.
    pub lanes: u16,
    /// Appends that are under way or wait. An append beyond the limit waits for room. Default:
    /// 8192.
    pub queue_max: usize,
    /// Encoded bytes of the appends that are under way or wait. An append beyond the limit waits
    /// for room. At least `append_bytes_max`. Default: 64 MiB.
    pub queue_bytes_max: usize,
    /// Encoded bytes of one append, and of one snapshot's state; larger ones are refused. At least
    /// the size of the largest event, some 4 MiB; at most 8 MiB, half of the server's limit for
    /// one request. Default: 5 MiB.
    pub append_bytes_max: usize,
    /// Bytes in one conditional write, which takes at least one append. Default: 256 KiB.
    pub round_bytes_max: usize,
    /// Appends in one conditional write. Default: 4096.
    pub round_appends_max: usize,
    /// Bytes in one part of a lane; the next round opens a new part. Default: 16 MiB.
    pub part_bytes_max: usize,
    /// Conditional writes in one part of a lane. Default: 10,000.
    pub part_rounds_max: u64,
    /// Time that events stay in the log before they are copied, so that many events of one entity
    /// become one row. Default: 1 s.
    #[serde(with = "antiphon_base::time::text")]
    pub copy_delay: Duration,
    /// Bytes of events that are stored and not yet copied. An append beyond the limit waits for the
    /// copy. Default: 64 MiB.
    pub uncopied_bytes_max: usize,
    /// Rows that are copied at the same time. Default: 64.
    pub copies_in_flight_max: usize,
    /// Time that parts of the log are kept for readers after they are copied. A reader that comes
    /// later reads the streams instead. Default: 7 days.
    #[serde(with = "antiphon_base::time::text")]
    pub log_retention: Duration,
    /// Streams whose ends are remembered. Beyond the limit, the ends of streams without an append
    /// under way are forgotten, and read again when needed. Default: 100,000.
    pub stream_cache_max: usize,
    /// Bytes of the newest rounds that are kept in memory for the readers of the change feed,
    /// beyond the rounds that are not copied. Default: 16 MiB.
    pub feed_cache_bytes_max: usize,
    /// Greatest age of an answer of the change feed. All readers in a process share one look at the
    /// lanes. Default: 1 s.
    #[serde(with = "antiphon_base::time::text")]
    pub feed_poll_interval: Duration,
    /// Bytes in one answer to a replay, which has at least one row. Default: 4 MiB.
    pub replay_bytes_max: usize,
    /// Pages of replays that are requested ahead of their reader, each of up to 64 rows of up to
    /// 64 KiB. Readers beyond the limit wait for their pages. 0 turns reading ahead off; at most
    /// 128. Default: 32.
    pub read_ahead_pages_max: usize,
    /// Greatest age of such a page when its reader comes; an older page is read again.
    /// Default: 1 s.
    #[serde(with = "antiphon_base::time::text")]
    pub read_ahead_age_max: Duration,
    /// First wait before a statement is repeated; it doubles each time. Default: 50 ms.
    #[serde(with = "antiphon_base::time::text")]
    pub retry_min: Duration,
    /// Longest wait before a statement is repeated. Default: 2 s.
    #[serde(with = "antiphon_base::time::text")]
    pub retry_max: Duration,
    /// Time after which an append fails of which certainly nothing was stored. An append whose
    /// outcome is unknown is repeated for ever. Default: 10 s.
    #[serde(with = "antiphon_base::time::text")]
    pub give_up_after: Duration,
}

impl Default for CassandraSettings {
    fn default() -> Self {
        Self {
            server: ServerSettings::default(),
            role: Role::Owner,
            lanes: 2,
            queue_max: 8192,
            queue_bytes_max: 64 << 20,
            append_bytes_max: 5 << 20,
            round_bytes_max: 256 << 10,
            round_appends_max: 4096,
            part_bytes_max: 16 << 20,
            part_rounds_max: 10_000,
            copy_delay: Duration::from_secs(1),
            uncopied_bytes_max: 64 << 20,
            copies_in_flight_max: 64,
            log_retention: Duration::from_secs(7 * 24 * 3600),
            stream_cache_max: 100_000,
            feed_cache_bytes_max: 16 << 20,
            feed_poll_interval: Duration::from_secs(1),
            replay_bytes_max: 4 << 20,
            read_ahead_pages_max: 32,
            read_ahead_age_max: Duration::from_secs(1),
            retry_min: Duration::from_millis(50),
            retry_max: Duration::from_secs(2),
            give_up_after: Duration::from_secs(10),
        }
    }
}

impl CassandraSettings {
    /// Checks every limit.
    ///
    /// # Errors
    /// `Rejected`, naming the setting, its value and the expected range.
    pub fn validate(&self) -> Result<()> {
        const BYTES: usize = 1 << 32;
        bounds::count("lanes", self.lanes.into(), 1..=64)?;
        bounds::count("queue_max", self.queue_max, 1..=1 << 20)?;
        bounds::count("round_bytes_max", self.round_bytes_max, 1..=APPEND_BYTES_LIMIT)?;
        bounds::count("round_appends_max", self.round_appends_max, 1..=1 << 20)?;
        bounds::count("part_bytes_max", self.part_bytes_max, 1..=BYTES)?;
        bounds::number("part_rounds_max", self.part_rounds_max, 1..=1 << 24)?;
        bounds::count("uncopied_bytes_max", self.uncopied_bytes_max, 1..=BYTES)?;
        bounds::count("copies_in_flight_max", self.copies_in_flight_max, 1..=1 << 16)?;
        bounds::count("stream_cache_max", self.stream_cache_max, 1..=100_000_000)?;
        bounds::count("feed_cache_bytes_max", self.feed_cache_bytes_max, 0..=BYTES)?;
        bounds::count("replay_bytes_max", self.replay_bytes_max, 1..=BYTES)?;
        for (name, actual) in [
            ("copy_delay", self.copy_delay),
            ("feed_poll_interval", self.feed_poll_interval),
            ("read_ahead_age_max", self.read_ahead_age_max),
            ("retry_min", self.retry_min),
            ("retry_max", self.retry_max),
            ("give_up_after", self.give_up_after),
        ] {
            bounds::duration(name, actual, Duration::ZERO..=HOUR)?;
        }
        bounds::duration("log_retention", self.log_retention, Duration::ZERO..=YEAR)?;
        bounds::at_least(("retry_max", self.retry_max), (self.retry_min, "`retry_min`"))?;
        if self.read_ahead_pages_max > READ_AHEAD_PAGES_LIMIT {
            return Err(Error::rejected(format!(
                "`read_ahead_pages_max`: expected at most {READ_AHEAD_PAGES_LIMIT}, because each may hold some megabytes, actual {}",
                self.read_ahead_pages_max
            )));
        }
        check_append_bytes_max(self.append_bytes_max, APPEND_BYTES_LIMIT)?;
        check_queue_bytes_max(self.queue_bytes_max, self.append_bytes_max)?;
        self.server.validate()
    }
}

/// Replays that are remembered, with or without a next page.
pub(crate) const READ_AHEAD_PAGES_LIMIT: usize = 128;

/// Half of the server's limit for one request.
const APPEND_BYTES_LIMIT: usize = 8 << 20;
