//! The change feed, read from the writers' lanes, and the listing of streams.
//!
//! A position has an entry for each lane, as JSON: `{"lanes":{"node-1#5":[[0,17,0],[0,9,2]]}}`. An
//! entry is `[part, round, appends of the next round]`. A reader whose parts are gone reads the
//! streams themselves first (`"scan"`), then the lanes from their positions at the start of that
//! scan.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use antiphon_base::{Error, Result};
use antiphon_persistence::event::SequenceNr;
use antiphon_persistence::identity::{PersistenceId, ReplicationId};
use antiphon_persistence::store::{
    Change, ChangesPage, ChangesQuery, Journal, Offset, ReadJournal,
};
use antiphon_persistence::version::VersionVector;
use async_trait::async_trait;
use futures::future::try_join_all;
use serde::{Deserialize, Serialize};

use crate::log::copy::BUCKETS;
use crate::log::round::Entry;
use crate::log::view::LanePage;
use crate::log::view::look::{decode_stored, hole};
use crate::stats::count;
use crate::stores::CassandraStores;
use crate::tables::{LaneId, LanePosition};

/// Rounds of one lane in one page.
const ROUNDS_MAX: usize = 1024;
/// Streams in one page of a scan.
const SCAN_MAX: usize = 32;

/// The content of an offset.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Position {
    lanes: BTreeMap<Arc<str>, Vec<LaneOffset>>,
    /// The last stream that the scan read; empty at its start. `None` when no scan is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scan: Option<String>,
}

/// A part, the last round of it that was read, and the count of appends read from the next round.
type LaneOffset = (u64, u64, usize);

impl Position {
    fn parse(offset: &Offset) -> Result<Self> {
        if offset.is_start() {
            return Ok(Self::default());
        }
        serde_json::from_str(offset.as_str()).map_err(|error| {
            Error::rejected(format!(
                "offset `{offset}`: expected the position of a Cassandra journal: {error}"
            ))
        })
    }

    fn offset(&self) -> Result<Offset> {
        if *self == Self::default() {
            return Ok(Offset::start());
        }
        serde_json::to_string(self)
            .map(Offset::new)
            .map_err(|error| Error::bug(format!("a position cannot be encoded: {error}")))
    }

    fn of(&self, lane: &LaneId) -> (LanePosition, usize) {
        let lanes = self.lanes.get(&lane.writer);
        let (part, nr, done) =
            lanes.and_then(|lanes| lanes.get(usize::from(lane.lane))).copied().unwrap_or_default();
        (LanePosition { part, nr }, done)
    }

    fn set(&mut self, lane: &LaneId, at: LanePosition, done: usize) {
        let lanes = self.lanes.entry(lane.writer.clone()).or_default();
        let index = usize::from(lane.lane);
        if lanes.len() <= index {
            lanes.resize(index + 1, (0, 0, 0));
        }
        lanes[index] = (at.part, at.nr, done);
    }
}

/// The changes of a page while they are collected.
struct Page<'a> {
    query: &'a ChangesQuery,
    changes: Vec<Change>,
    index: BTreeMap<Arc<str>, usize>,
}

impl Page<'_> {
    /// Adds the entries of a round from `done` on. Returns the index of the first entry without
    /// room when the page is full.
    fn add(&mut self, entries: &[Entry], done: usize) -> Option<usize> {
        for (at, entry) in entries.iter().enumerate().skip(done) {
            if !self.wanted(&entry.stream.id) {
                continue;
            }
            let index = match self.index.get(&entry.stream.name) {
                Some(index) => *index,
                None if self.changes.len() >= self.query.change_count_max.max(1) => {
                    return Some(at);
                }
                None => {
                    self.changes.push(Change {
                        persistence_id: entry.stream.id.persistence_id(),
                        highest: SequenceNr::ZERO,
                        seen: VersionVector::new(),
                    });
                    self.index.insert(entry.stream.name.clone(), self.changes.len() - 1);
                    self.changes.len() - 1
                }
            };
            let change = &mut self.changes[index];
            change.highest = change.highest.max(SequenceNr::new(entry.last));
            change.seen.merge(&entry.seen);
        }
        None
    }

    fn wanted(&self, stream: &ReplicationId) -> bool {
        *stream.entity_type() == self.query.entity_type
            && *stream.replica_id() == self.query.replica
            && self.query.slices.contains(stream.slice())
    }
}

#[async_trait]
impl ReadJournal for CassandraStores {
    async fn changes(&self, query: &ChangesQuery) -> Result<ChangesPage> {
        let mut position = Position::parse(&query.after)?;
        let shared = &self.inner.shared;
        let age = shared.settings.feed_poll_interval;
        shared.view.refresh(self.tables(), &shared.counters, age).await?;
        if position.scan.is_some() {
            return self.scan(query, position).await;
        }
        let lanes = shared.view.lanes();
        let mut page = Page { query, changes: Vec::new(), index: BTreeMap::new() };
        let mut more = false;
        for lane in &lanes {
            let (after, mut done) = position.of(lane);
            let (rounds, end) = match shared.view.page(lane, after, ROUNDS_MAX) {
                LanePage::Held(rounds) => {
                    let end = rounds.last().map(|round| round.at);
                    more |= rounds.len() == ROUNDS_MAX;
                    (rounds.into_iter().map(|round| (round.at, round.entries)).collect(), end)
                }
                LanePage::Behind => {
                    let Some((rounds, end)) = self.read_behind(lane, after).await? else {
                        return self.begin_scan(query).await;
                    };
                    more = true;
                    (rounds, Some(end))
                }
                LanePage::Gone => return self.begin_scan(query).await,
            };
            let (mut read, mut full) = (after, false);
            for (at, entries) in &rounds {
                if let Some(stopped) = page.add(entries, done) {
                    // the position keeps the round before this one; the reader continues this round
                    // at `stopped`
                    position.set(lane, read, stopped);
                    full = true;
                    break;
                }
                (read, done) = (*at, 0);
            }
            if full {
                more = true;
                break;
            }
            if let Some(end) = end {
                position.set(lane, end, 0);
            }
        }
        let through = if page.changes.is_empty() && position == Position::parse(&query.after)? {
            query.after.clone()
        } else {
            position.offset()?
        };
        Ok(ChangesPage { changes: page.changes, through, more })
    }

    async fn persistence_ids(
        &self,
        entity_type: &str,
        after: Option<&PersistenceId>,
        count_max: usize,
    ) -> Result<Vec<PersistenceId>> {
        if count_max == 0 {
            return Ok(Vec::new());
        }
        let shared = &self.inner.shared;
        shared.view.refresh(self.tables(), &shared.counters, Duration::ZERO).await?;
        let after = after.map_or("", |id| id.as_str());
        let mut ids = shared.view.tail_streams(entity_type);
        ids.retain(|id| &**id > after);
        let buckets = (0..BUCKETS)
            .map(|bucket| self.tables().stream_ids(entity_type, bucket, after, count_max));
        ids.extend(try_join_all(buckets).await?.into_iter().flatten());
        ids.sort_unstable();
        ids.dedup();
        ids.truncate(count_max);
        ids.into_iter().map(PersistenceId::try_from).collect()
    }
}

type Rounds = Vec<(LanePosition, Arc<[Entry]>)>;

impl CassandraStores {
    /// Reads the next rounds of a lane from the database. `None` when they are gone.
    async fn read_behind(
        &self,
        lane: &LaneId,
        after: LanePosition,
    ) -> Result<Option<(Rounds, LanePosition)>> {
        count(&self.inner.shared.counters.feed_pages_read, 1);
        let LanePosition { mut part, mut nr } = after;
        loop {
            let page = self.tables().rounds(lane, part, nr).await?;
            let mut rounds = Vec::new();
            for (at, record) in &page.rounds {
                if *at != nr + 1 {
                    return self.gone_or_hole(lane, part, nr, *at).await;
                }
                nr = *at;
                let at = LanePosition { part, nr };
                rounds.push((at, decode_stored(lane, at, record)?));
            }
            let ended = page.state.head.is_none_or(|head| head <= nr);
            if !ended && rounds.is_empty() {
                return self.gone_or_hole(lane, part, nr, page.state.head.unwrap_or(0)).await;
            }
            part += u64::from(ended && page.state.closed);
            if !rounds.is_empty() || !page.state.closed {
                return Ok(Some((rounds, LanePosition { part, nr })));
            }
        }
    }

    async fn gone_or_hole(
        &self,
        lane: &LaneId,
        part: u64,
        nr: u64,
        found: u64,
    ) -> Result<Option<(Rounds, LanePosition)>> {
        let gone = part < self.tables().lane_state(lane).await?.first_part;
        if gone { Ok(None) } else { Err(hole(lane, nr, found)) }
    }

    /// Starts a scan of the streams themselves. The reader misses nothing, and receives again the
    /// changes that it knew already.
    async fn begin_scan(&self, query: &ChangesQuery) -> Result<ChangesPage> {
        let shared = &self.inner.shared;
        count(&shared.counters.feed_restarts, 1);
        tracing::warn!(
            entity_type = %query.entity_type,
            replica = %query.replica,
            "a reader of the change feed needs parts of the log that are gone: it reads the streams instead"
        );
        let mut position = Position { scan: Some(String::new()), ..Position::default() };
        for (lane, end) in shared.view.ends() {
            position.set(&lane, end, 0);
        }
        self.scan(query, position).await
    }

    async fn scan(&self, query: &ChangesQuery, mut position: Position) -> Result<ChangesPage> {
        let after = position.scan.clone().unwrap_or_default();
        let after = if after.is_empty() { None } else { Some(PersistenceId::parse(&after)?) };
        let limit = SCAN_MAX.min(query.change_count_max.max(1));
        let ids = self.persistence_ids(&query.entity_type, after.as_ref(), limit).await?;
        let page = Page { query, changes: Vec::new(), index: BTreeMap::new() };
        let mut changes = Vec::new();
        for id in &ids {
            if page.wanted(&ReplicationId::parse(id.as_str())?) {
                changes.extend(self.whole_stream(id).await?);
            }
        }
        position.scan = match ids.last() {
            Some(last) if ids.len() == limit => Some(last.as_str().to_owned()),
            Some(_) | None => None,
        };
        Ok(ChangesPage { changes, through: position.offset()?, more: true })
    }

    async fn whole_stream(&self, id: &PersistenceId) -> Result<Option<Change>> {
        let (mut highest, mut seen) = (SequenceNr::ZERO, VersionVector::new());
        loop {
            let events = self.replay(id, highest.next(), SequenceNr::MAX, 1000).await?;
            let Some(last) = events.last() else { break };
            // deleted events are skipped, so the first event may have a later sequence nr
            highest = last.sequence_nr;
            for event in &events {
                seen.merge(&event.meta.version);
            }
        }
        let change = Change { persistence_id: id.clone(), highest, seen };
        Ok((highest > SequenceNr::ZERO).then_some(change))
    }
}
