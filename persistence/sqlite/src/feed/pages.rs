//! The pages of the feed: from memory where they are there, else from the file.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use antiphon_base::Result;
use antiphon_persistence::store::{ChangesPage, ChangesQuery};
use rusqlite::Connection;

use super::cache::FeedCache;
use super::entry::Rows;
use super::page::page;
use super::rows::read_rows;
use crate::error::copy_of;
use crate::position::Position;
use crate::read::Readers;
use crate::stats::{Counters, count};

/// The change feed of a file.
pub(crate) struct Feed {
    readers: Arc<Readers>,
    cache: Arc<FeedCache>,
    counters: Arc<Counters>,
    path: PathBuf,
    /// The number of shared reads that have begun.
    begun: AtomicU64,
    /// Taken for a shared read. Holds the last one.
    shared: tokio::sync::Mutex<LastRead>,
}

/// The last shared read.
struct LastRead {
    /// Its number: it began after the call of each reader that saw a lower number of reads begun.
    number: u64,
    outcome: Result<SharedRead>,
}

/// A read of newer rows whose entries several readers use.
#[derive(Clone, Copy, Default)]
struct SharedRead {
    /// Replacements of the file before the read.
    replacements: u64,
    /// True when the file has more rows than were read.
    more: bool,
}

impl Feed {
    pub(crate) fn new(
        path: PathBuf,
        entry_count_max: usize,
        readers: Arc<Readers>,
        counters: Arc<Counters>,
    ) -> Self {
        let last = LastRead { number: 0, outcome: Ok(SharedRead::default()) };
        Self {
            readers,
            cache: Arc::new(FeedCache::new(entry_count_max)),
            counters,
            path,
            begun: AtomicU64::new(0),
            shared: tokio::sync::Mutex::new(last),
        }
    }

    /// The next page.
    pub(crate) async fn changes(&self, query: &ChangesQuery) -> Result<ChangesPage> {
        let of = self.cache.replacements();
        let asked = self.known(Position::parse(&query.after)?).await?;
        // a reader that is far behind reads for itself; the others share the newest entries
        if self.cache.bounds().is_some_and(|(start, _)| asked.ordinal < start) {
            return self.own_page(query, asked, of).await;
        }
        let read = self.read_newer(asked.ordinal).await?;
        if read.replacements != of {
            return self.own_page(query, asked, of).await;
        }
        // other readers may have moved the entries meanwhile
        match self.cache.page(query, asked, of, read.more) {
            Some(shared) => Ok(shared),
            None => self.own_page(query, asked, of).await,
        }
    }

    /// Adds the rows that are newer than the entries in memory. Calls that come during a read share
    /// the next one, also when it fails: each shard of a node asks at about the same time. The read
    /// has begun after the call, so it has every batch that was stored before the call. `after` is
    /// the place to begin at when no entries are in memory.
    async fn read_newer(&self, after: i64) -> Result<SharedRead> {
        let begun = self.begun.load(Ordering::Acquire);
        let mut last = self.shared.lock().await;
        if last.number > begun {
            count(&self.counters.feed_cache_hits, 1);
            return last.outcome.as_ref().copied().map_err(copy_of);
        }
        let number = self.begun.fetch_add(1, Ordering::AcqRel) + 1;
        let read = self.extend_newer(after).await;
        *last = LastRead { number, outcome: read.as_ref().copied().map_err(copy_of) };
        read
    }

    async fn extend_newer(&self, after: i64) -> Result<SharedRead> {
        let from = match self.cache.bounds() {
            Some((_, end)) => end,
            None => self.newest().await?.max(after),
        };
        let rows = self.rows(from).await?;
        self.cache.extend(from, &rows);
        Ok(SharedRead { replacements: rows.replacements, more: rows.more })
    }

    /// Reads a page from the file, without the shared entries. `of` is the number of replacements
    /// of the file when the position was found good.
    async fn own_page(
        &self,
        query: &ChangesQuery,
        mut after: Position,
        of: u64,
    ) -> Result<ChangesPage> {
        let mut rows = self.rows(after.ordinal).await?;
        if rows.replacements != of {
            after = self.known(after).await?;
            rows = self.rows(after.ordinal).await?;
        }
        Ok(page(query, after, rows.entries.iter(), rows.more))
    }

    /// Returns the position, or the start when the position belongs to a history that was lost
    /// because the file was replaced by an older copy.
    async fn known(&self, asked: Position) -> Result<Position> {
        let (is_known, of) = match self.cache.verdict(asked) {
            Some(is_known) => (is_known, None),
            None if asked.ordinal == 0 => (true, None),
            None => {
                let judge = move |t: &Connection, of| Ok((asked.is_of(t)?, Some(of)));
                self.readers.run("reading the feed", judge).await?
            }
        };
        if !is_known {
            let position = asked.offset();
            tracing::warn!(%position, path = %self.path.display(), "a position in the change feed is of another history: the journal went back, and the feed is read from its beginning");
            return Ok(Position::START);
        }
        if let Some(of) = of {
            self.cache.found_good(asked, of);
        }
        Ok(asked)
    }

    async fn newest(&self) -> Result<i64> {
        let sql = "SELECT coalesce(max(ordinal), 0) FROM batches";
        let newest = |t: &Connection, _| Ok(t.query_row(sql, [], |row| row.get(0))?);
        self.readers.run("reading the feed", newest).await
    }

    async fn rows(&self, after: i64) -> Result<Rows> {
        let cache = self.cache.clone();
        let rows = move |t: &Connection, replacements| {
            cache.fit(replacements);
            read_rows(t, &cache, after, replacements)
        };
        self.readers.run("reading the feed", rows).await
    }
}
