//! The change feed, read from the writers' lanes, and the listing of streams.

use std::sync::Arc;
use std::time::Duration;

use antiphon_base::Result;
use antiphon_persistence::event::SequenceNr;
use antiphon_persistence::identity::PersistenceId;
use antiphon_persistence::store::{ChangesPage, ChangesQuery, FeedPage, ReadJournal, Room};
use async_trait::async_trait;
use futures::future::try_join_all;

use super::position::Position;
use crate::log::copy_plan::BUCKETS;
use crate::log::entry::Entry;
use crate::log::view::LanePage;
use crate::log::walk::{LaneReader, Next, Read, Rounds};
use crate::stats::count;
use crate::stores::CassandraStores;
use crate::tables::{LaneId, LanePosition};

/// Rounds of one lane in one page.
const ROUNDS_MAX: usize = 1024;

/// The next rounds of a lane.
struct Found {
    rounds: Rounds,
    /// The position after all of them; later than the last round when its part is closed.
    end: LanePosition,
    /// True when more rounds may be there.
    more: bool,
}

#[async_trait]
impl ReadJournal for CassandraStores {
    async fn changes(&self, query: &ChangesQuery) -> Result<ChangesPage> {
        let known = Position::parse(&query.after)?;
        let mut position = known.clone();
        let shared = &self.inner.shared;
        let age = shared.settings.feed_poll_interval;
        shared.view.refresh(self.tables(), &shared.counters, age).await?;
        if position.scan.is_some() {
            return self.scan(query, position).await;
        }
        let (mut page, mut more) = (FeedPage::new(query), false);
        for lane in &shared.view.lanes() {
            let after = known.of(lane);
            let Some(found) = self.next_rounds(lane, after.0).await? else {
                return self.begin_scan(query).await;
            };
            more |= found.more;
            if take(query, &mut page, &mut position, lane, after, found) == Room::Full {
                break;
            }
        }
        let through = if position == known { query.after.clone() } else { position.offset()? };
        Ok(page.finish(through, more))
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

/// Takes the rounds of a lane into a page, and moves the position of the reader.
fn take(
    query: &ChangesQuery,
    page: &mut FeedPage<Arc<str>>,
    position: &mut Position,
    lane: &LaneId,
    (after, mut done): (LanePosition, usize),
    found: Found,
) -> Room {
    let mut read = after;
    for (at, entries) in &found.rounds {
        assert!(at.nr == read.nr + 1, "the feed passes a round: {at:?} follows {read:?}");
        for (index, entry) in entries.iter().enumerate().skip(done) {
            let Entry { stream, last, seen, .. } = entry;
            if !query.wants(&stream.id) {
                continue;
            }
            let (name, last) = (stream.name.clone(), SequenceNr::new(*last));
            if page.add(name, || stream.id.persistence_id(), last, seen) == Room::Full {
                // the position keeps the round before this one; the reader continues this round at
                // the entry that has no room
                position.set(lane, read, index);
                return Room::Full;
            }
        }
        (read, done) = (*at, 0);
    }
    if found.end > after {
        position.set(lane, found.end, 0);
    }
    Room::Taken
}

impl CassandraStores {
    /// The rounds of a lane after a position. `None` when they are gone.
    async fn next_rounds(&self, lane: &LaneId, after: LanePosition) -> Result<Option<Found>> {
        match self.inner.shared.view.page(lane, after, ROUNDS_MAX) {
            LanePage::Held(rounds) => Ok(Some(Found {
                end: rounds.last().map_or(after, |round| round.at),
                more: rounds.len() == ROUNDS_MAX,
                rounds: rounds.into_iter().map(|round| (round.at, round.entries)).collect(),
            })),
            LanePage::Behind => self.read_behind(lane, after).await,
            LanePage::Gone => Ok(None),
        }
    }

    /// Reads the next rounds of a lane from the database. `None` when they are gone.
    async fn read_behind(&self, lane: &LaneId, after: LanePosition) -> Result<Option<Found>> {
        count(&self.inner.shared.counters.feed_pages_read, 1);
        let mut reader = LaneReader::new(self.tables(), lane, after);
        loop {
            let Read::Rounds(rounds, next) = reader.page().await? else { return Ok(None) };
            if !rounds.is_empty() || next != Next::Page {
                return Ok(Some(Found { rounds, end: reader.at(), more: true }));
            }
        }
    }
}
