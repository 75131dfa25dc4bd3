//! The change feed in memory: one entry for each append, in the order in which the appends took
//! effect.
//!
//! The text of an offset is the decimal ordinal of the last entry that it covers, from one, and the
//! mark of that entry, `17@2f`. Entries whose events are all deleted are dropped. An ordinal is
//! never given out again, unless the stores go back to an earlier copy: then the new entry has
//! another mark, and a reader with the old mark begins anew.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as MapEntry;
use std::ops::Bound;

use async_trait::async_trait;

use super::{MemoryStores, State};
use crate::event::SequenceNr;
use crate::identity::PersistenceId;
use crate::store::{Change, ChangesPage, ChangesQuery, Offset, ReadJournal};
use crate::version::VersionVector;
use crate::{Error, Result};

#[derive(Debug, Clone, Default)]
pub(super) struct FeedState {
    last: u64,
    last_mark: u64,
    entries: BTreeMap<u64, Entry>,
}

#[derive(Debug, Clone)]
struct Entry {
    persistence_id: PersistenceId,
    first: SequenceNr,
    last: SequenceNr,
    /// Very likely different from the mark of any other append: a hash of its ids, times and
    /// payloads.
    mark: u64,
}

impl FeedState {
    pub(super) fn push(
        &mut self,
        persistence_id: PersistenceId,
        first: SequenceNr,
        last: SequenceNr,
        mark: u64,
    ) {
        self.last += 1;
        self.last_mark = mark;
        self.entries.insert(self.last, Entry { persistence_id, first, last, mark });
    }

    pub(super) fn delete_to(&mut self, persistence_id: &PersistenceId, last: SequenceNr) {
        self.entries
            .retain(|_, entry| entry.persistence_id != *persistence_id || entry.last > last);
    }

    /// The ordinal of an offset of this store; zero when the store went back since, and the offset
    /// belongs to the lost part.
    fn ordinal(&self, offset: &Offset) -> Result<u64> {
        if offset.is_start() {
            return Ok(0);
        }
        let parts = offset.as_str().split_once('@');
        let parsed = parts.and_then(|(ordinal, mark)| {
            Some((ordinal.parse::<u64>().ok()?, u64::from_str_radix(mark, 16).ok()?))
        });
        let Some((ordinal, mark)) = parsed.filter(|(ordinal, _)| *ordinal > 0) else {
            return Err(Error::rejected(format!(
                "offset `{offset}`: expected a number and a mark of this store"
            )));
        };
        let there = match self.entries.get(&ordinal) {
            Some(entry) => Some(entry.mark),
            None if ordinal == self.last => Some(self.last_mark),
            None => None,
        };
        // a deleted entry cannot be compared
        let is_known = there.map_or(ordinal < self.last, |there| there == mark);
        if !is_known {
            tracing::warn!(%offset, "a position in the change feed is of another history: the store went back, and the feed is read from its beginning");
        }
        Ok(if is_known { ordinal } else { 0 })
    }

    fn offset(&self, ordinal: u64) -> Offset {
        let mark = self.entries.get(&ordinal).map_or(self.last_mark, |entry| entry.mark);
        Offset::new(format!("{ordinal}@{mark:x}"))
    }
}

/// Collects one page.
struct Page<'a> {
    query: &'a ChangesQuery,
    changes: BTreeMap<PersistenceId, Change>,
}

impl Page<'_> {
    /// Adds an entry; returns false when the page is full.
    fn add(&mut self, state: &State, entry: &Entry) -> bool {
        let stream = &state.journal.streams[entry.persistence_id.as_str()];
        let query = self.query;
        let asked = **stream.id.entity_type() == *query.entity_type
            && *stream.id.replica_id() == query.replica
            && query.slices.contains(stream.id.slice());
        if !asked {
            return true;
        }
        let full = self.changes.len() >= query.change_count_max;
        let change = match self.changes.entry(entry.persistence_id.clone()) {
            MapEntry::Occupied(change) => change.into_mut(),
            MapEntry::Vacant(_) if full => return false,
            MapEntry::Vacant(vacant) => vacant.insert(Change {
                persistence_id: entry.persistence_id.clone(),
                highest: entry.last,
                seen: VersionVector::new(),
            }),
        };
        change.highest = entry.last;
        for event in stream.range(entry.first, entry.last) {
            change.seen.merge(&event.meta.version);
        }
        true
    }
}

#[async_trait]
impl ReadJournal for MemoryStores {
    async fn changes(&self, query: &ChangesQuery) -> Result<ChangesPage> {
        let state = &*self.lock_to_read();
        let after = state.feed.ordinal(&query.after)?;
        let mut page = Page { query, changes: BTreeMap::new() };
        let mut through = state.feed.last;
        let mut more = false;
        for (ordinal, entry) in state.feed.entries.range(after + 1..) {
            if !page.add(state, entry) {
                through = ordinal - 1;
                more = true;
                break;
            }
        }
        let through = match through {
            0 => Offset::start(),
            _ if through == after => query.after.clone(),
            _ => state.feed.offset(through),
        };
        Ok(ChangesPage { changes: page.changes.into_values().collect(), through, more })
    }

    async fn persistence_ids(
        &self,
        entity_type: &str,
        after: Option<&PersistenceId>,
        count_max: usize,
    ) -> Result<Vec<PersistenceId>> {
        let state = self.lock_to_read();
        let prefix = format!("{entity_type}|");
        let after = after.map_or(&*prefix, |id| id.as_str()).max(&*prefix);
        let streams = &state.journal.streams;
        let range = streams.range::<str, _>((Bound::Excluded(after), Bound::Unbounded));
        Ok(range
            .take_while(|(text, _)| text.starts_with(&prefix))
            .map(|(_, stream)| stream.persistence_id.clone())
            .take(count_max)
            .collect())
    }
}
