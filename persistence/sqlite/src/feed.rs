//! The change feed: batches in the order of their row numbers. That is the order of commits,
//! because the file has one writer at a time.
//!
//! Many readers follow the same feed, one for each shard. So the newest entries are kept in memory,
//! and readers near the end that ask at the same time share one read of newer rows.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use antiphon_base::Result;
use antiphon_persistence::event::SequenceNr;
use antiphon_persistence::identity::{PersistenceId, ReplicationId};
use antiphon_persistence::store::{Change, ChangesPage, ChangesQuery, ReadJournal};
use antiphon_persistence::version::VersionVector;
use async_trait::async_trait;
use parking_lot::{Mutex, MutexGuard};
use rusqlite::{Connection, OptionalExtension};

use crate::error::copy_of;
use crate::position::Position;
use crate::record_error::Unread;
use crate::stats::count;
use crate::stores::SqliteStores;
use crate::sums::{BATCH_COLUMNS, BatchHeader, name_hash};
use antiphon_persistence::record::checksum::DAMAGED;
use antiphon_persistence::record::version;

/// Rows that one read takes from the file.
const ROWS_MAX: i64 = 4096;

/// A batch in the feed.
#[derive(Clone)]
struct Entry {
    ordinal: i64,
    checksum: i64,
    stream: Arc<ReplicationId>,
    last: i64,
    seen: VersionVector,
}

/// The newest entries, and the names of the streams in them.
pub(crate) struct FeedCache {
    state: Mutex<State>,
    entry_count_max: usize,
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
    /// Whether the file has more rows than were read.
    more: bool,
}

#[derive(Default)]
struct State {
    /// Entries with ordinals above this one, up to `end`, are in memory. `None` before the first
    /// read.
    start: Option<i64>,
    end: i64,
    entries: VecDeque<Entry>,
    streams: HashMap<i64, Named>,
    /// The last position that was found good: an idle reader asks with it again and again.
    good: Option<Position>,
    /// Replacements of the file before these entries were read.
    replacements: u64,
}

impl FeedCache {
    pub(crate) fn new(entry_count_max: usize) -> Self {
        Self {
            state: Mutex::default(),
            entry_count_max,
            begun: AtomicU64::new(0),
            shared: tokio::sync::Mutex::new(LastRead {
                number: 0,
                outcome: Ok(SharedRead::default()),
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Forgets the entries when they belong to an earlier file.
    fn fit(&self, replacements: u64) {
        let mut state = self.state();
        if state.replacements < replacements {
            *state = State { replacements, ..State::default() };
        }
    }

    /// Records that a position is good in the file that had so many replacements before. A verdict
    /// about an earlier file says nothing about the present one.
    fn found_good(&self, position: Position, of: u64) {
        self.fit(of);
        let mut state = self.state();
        if state.replacements == of {
            state.good = Some(position);
        }
    }

    /// Adds rows that were read after `after`, unless another reader was faster or the file was
    /// replaced.
    fn extend(&self, after: i64, read: &Rows) {
        let mut state = self.state();
        if state.replacements != read.replacements {
            return;
        }
        if state.start.is_none() {
            state.start = Some(after);
            state.end = after;
        }
        if state.end != after {
            return;
        }
        state.entries.extend(read.entries.iter().cloned());
        state.end = read.through;
        while state.entries.len() > self.entry_count_max {
            let dropped = state.entries.pop_front();
            state.start = dropped.map(|entry| entry.ordinal);
        }
    }
}

/// A stream, with its replication id and its name.
type Named = (Arc<ReplicationId>, Arc<str>);

struct Rows {
    entries: Vec<Entry>,
    through: i64,
    more: bool,
    /// Replacements of the file before these rows were read.
    replacements: u64,
}

#[async_trait]
impl ReadJournal for SqliteStores {
    async fn changes(&self, query: &ChangesQuery) -> Result<ChangesPage> {
        let of = self.inner.feed.state().replacements;
        let asked = self.known(Position::parse(&query.after)?).await?;
        let after = asked.ordinal;
        let start = self.inner.feed.state().start;
        // a reader that is far behind reads for itself; the others share the newest entries
        if start.is_some_and(|start| after < start) {
            return self.own_page(query, asked, of).await;
        }
        let read = self.read_newer(after).await?;
        if read.replacements != of {
            return self.own_page(query, asked, of).await;
        }
        let shared = {
            let state = self.inner.feed.state();
            // other readers may have moved the entries meanwhile
            let covered = state.replacements == of
                && state.start.is_some_and(|start| start <= after && after <= state.end);
            covered.then(|| {
                let first = state.entries.partition_point(|entry| entry.ordinal <= after);
                page(query, asked, state.entries.range(first..), read.more)
            })
        };
        match shared {
            Some(shared) => Ok(shared),
            None => self.own_page(query, asked, of).await,
        }
    }

    async fn persistence_ids(
        &self,
        entity_type: &str,
        after: Option<&PersistenceId>,
        count_max: usize,
    ) -> Result<Vec<PersistenceId>> {
        let first = format!("{entity_type}|");
        let after = after.map_or(first.clone(), ToString::to_string);
        // the character after the separator ends the range of the type
        let end = format!("{entity_type}}}");
        let count_max = i64::try_from(count_max).unwrap_or(i64::MAX);
        self.read("listing streams", move |transaction| {
            let mut statement = transaction.prepare_cached(
                "SELECT persistence_id, hash FROM streams
                 WHERE persistence_id > ?1 AND persistence_id >= ?2 AND persistence_id < ?3
                 ORDER BY persistence_id LIMIT ?4",
            )?;
            let mut rows = statement.query((after, first, end, count_max))?;
            let mut ids = Vec::new();
            while let Some(row) = rows.next()? {
                let text = checked_name(row.get(0)?, row.get(1)?)?;
                ids.push(PersistenceId::parse(&text).map_err(Unread::Other)?);
            }
            if i64::try_from(ids.len()).is_ok_and(|count| count < count_max) {
                // the list ends here, and a stream with a damaged name would be missing in it
                check_names(transaction)?;
            }
            Ok(ids)
        })
        .await
    }
}

impl SqliteStores {
    /// Adds the rows that are newer than the entries in memory. Calls that come during a read share
    /// the next one, also when it fails: each shard of a node asks at about the same time. The read
    /// has begun after the call, so it has every batch that was stored before the call. `after` is
    /// the place to begin at when no entries are in memory.
    async fn read_newer(&self, after: i64) -> Result<SharedRead> {
        let feed = &self.inner.feed;
        let begun = feed.begun.load(Ordering::Acquire);
        let mut last = feed.shared.lock().await;
        if last.number > begun {
            count(&self.inner.counters.feed_cache_hits, 1);
            return last.outcome.as_ref().copied().map_err(copy_of);
        }
        let number = feed.begun.fetch_add(1, Ordering::AcqRel) + 1;
        let read = self.extend_newer(after).await;
        *last = LastRead { number, outcome: read.as_ref().copied().map_err(copy_of) };
        read
    }

    async fn extend_newer(&self, after: i64) -> Result<SharedRead> {
        let feed = &self.inner.feed;
        let (start, end) = {
            let state = feed.state();
            (state.start, state.end)
        };
        let from = if start.is_some() { end } else { self.newest().await?.max(after) };
        let rows = self.rows(from).await?;
        feed.extend(from, &rows);
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
        let held = {
            let state = self.inner.feed.state();
            let at = state.entries.partition_point(|entry| entry.ordinal < asked.ordinal);
            let entry = state.entries.get(at).filter(|entry| entry.ordinal == asked.ordinal);
            let is_good = || (state.good == Some(asked)).then_some(true);
            entry.map(|entry| asked.is(entry.checksum)).or_else(is_good)
        };
        let (is_known, of) = match held {
            Some(is_known) => (is_known, None),
            None if asked.ordinal == 0 => (true, None),
            None => {
                let judge = move |t: &Connection, of| Ok((asked.is_of(t)?, Some(of)));
                self.read_of("reading the feed", judge).await?
            }
        };
        if !is_known {
            let position = asked.offset();
            tracing::warn!(%position, path = %self.inner.path.display(), "a position in the change feed is of another history: the journal went back, and the feed is read from its beginning");
            return Ok(Position::START);
        }
        if let Some(of) = of {
            self.inner.feed.found_good(asked, of);
        }
        Ok(asked)
    }

    async fn newest(&self) -> Result<i64> {
        let sql = "SELECT coalesce(max(ordinal), 0) FROM batches";
        self.read("reading the feed", move |t| Ok(t.query_row(sql, [], |row| row.get(0))?)).await
    }

    async fn rows(&self, after: i64) -> Result<Rows> {
        let stores = self.clone();
        self.read_of("reading the feed", move |transaction, replacements| {
            stores.inner.feed.fit(replacements);
            read_rows(transaction, &stores.inner.feed, after, replacements)
        })
        .await
    }
}

fn read_rows(
    connection: &Connection,
    cache: &FeedCache,
    after: i64,
    replacements: u64,
) -> std::result::Result<Rows, Unread> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {BATCH_COLUMNS} FROM batches WHERE ordinal > ?1 ORDER BY ordinal LIMIT ?2"
    ))?;
    let mut rows = statement.query([after, ROWS_MAX])?;
    let mut read = Rows { entries: Vec::new(), through: after, more: false, replacements };
    while let Some(row) = rows.next()? {
        let header = BatchHeader::read(row)?;
        let BatchHeader { ordinal, last, .. } = header;
        let (stream, name) = stream_name(connection, cache, header.stream, replacements)?;
        header.check(&name).map_err(Unread::Row)?;
        let seen = version::decode(&header.seen).map_err(|why| {
            Unread::Row(format!("the version of batch {ordinal} is unreadable: {why}"))
        })?;
        read.entries.push(Entry { ordinal, checksum: header.checksum, stream, last, seen });
        read.through = ordinal;
    }
    read.more = i64::try_from(read.entries.len()).is_ok_and(|count| count == ROWS_MAX);
    Ok(read)
}

/// Returns the name of a stream, and remembers it, because it never changes.
fn stream_name(
    connection: &Connection,
    cache: &FeedCache,
    stream: i64,
    replacements: u64,
) -> std::result::Result<Named, Unread> {
    {
        let state = cache.state();
        let known = state.streams.get(&stream).filter(|_| state.replacements == replacements);
        if let Some(known) = known {
            return Ok(known.clone());
        }
    }
    let found: Option<(String, i64)> = connection
        .prepare_cached("SELECT persistence_id, hash FROM streams WHERE stream = ?1")?
        .query_row([stream], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((text, hash)) = found else {
        return Err(Unread::Row(format!("table `streams`, stream {stream}: its row is missing")));
    };
    let text: Arc<str> = checked_name(text, hash)?.into();
    let name = (Arc::new(ReplicationId::parse(&text).map_err(Unread::Other)?), text);
    let mut state = cache.state();
    if state.streams.len() >= cache.entry_count_max {
        state.streams.clear();
    }
    if state.replacements == replacements {
        state.streams.insert(stream, name.clone());
    }
    Ok(name)
}

/// Checks the name of every stream against its hash.
fn check_names(connection: &Connection) -> std::result::Result<(), Unread> {
    let sql = "SELECT CAST(persistence_id AS BLOB), hash FROM streams";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let name: Vec<u8> = row.get(0)?;
        checked_name(String::from_utf8_lossy(&name).into_owned(), row.get(1)?)?;
    }
    Ok(())
}

/// Returns the name of a stream if it fits its hash.
fn checked_name(name: String, hash: i64) -> std::result::Result<String, Unread> {
    if hash == name_hash(&name) {
        return Ok(name);
    }
    Err(Unread::Row(format!("table `streams`, `{}`: {DAMAGED}", name.escape_debug())))
}

fn page<'a>(
    query: &ChangesQuery,
    after: Position,
    entries: impl Iterator<Item = &'a Entry>,
    more: bool,
) -> ChangesPage {
    let mut positions: BTreeMap<&ReplicationId, usize> = BTreeMap::new();
    let mut changes: Vec<Change> = Vec::new();
    let mut covered = after;
    for entry in entries {
        let stream = entry.stream.as_ref();
        let wanted = *stream.entity_type() == query.entity_type
            && *stream.replica_id() == query.replica
            && query.slices.contains(stream.slice());
        if wanted {
            let highest = SequenceNr::new(entry.last.unsigned_abs());
            if let Some(index) = positions.get(stream) {
                let change = &mut changes[*index];
                change.highest = change.highest.max(highest);
                change.seen.merge(&entry.seen);
            } else if changes.len() >= query.change_count_max.max(1) {
                return ChangesPage { changes, through: covered.offset(), more: true };
            } else {
                positions.insert(stream, changes.len());
                let (persistence_id, seen) = (stream.persistence_id(), entry.seen.clone());
                changes.push(Change { persistence_id, highest, seen });
            }
        }
        covered = Position { ordinal: entry.ordinal, checksum: Some(entry.checksum) };
    }
    ChangesPage { changes, through: covered.offset(), more }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_that_was_good_in_the_old_file_is_not_taken_for_good_in_the_new() {
        let cache = FeedCache::new(1);
        let position = Position { ordinal: 7, checksum: Some(1) };
        cache.found_good(position, 0);
        assert_eq!(cache.state().good, Some(position));

        // another read found the new file while this one judged the position in the old file
        cache.fit(1);
        cache.found_good(position, 0);
        assert_eq!(cache.state().good, None);
        cache.found_good(position, 1);
        assert_eq!(cache.state().good, Some(position));
    }
}
