//! The change feed in memory: one entry an append, in the order in which the appends took effect.
//!
//! The text of an offset is the decimal ordinal of the last entry that it covers, from one. Entries
//! whose events are all deleted are dropped; ordinals are never given out again.

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

#[derive(Debug, Default)]
pub(super) struct FeedState {
    last: u64,
    entries: BTreeMap<u64, Entry>,
}

#[derive(Debug)]
struct Entry {
    persistence_id: PersistenceId,
    first: SequenceNr,
    last: SequenceNr,
}

impl FeedState {
    pub(super) fn push(
        &mut self,
        persistence_id: PersistenceId,
        first: SequenceNr,
        last: SequenceNr,
    ) {
        self.last += 1;
        self.entries.insert(self.last, Entry { persistence_id, first, last });
    }

    pub(super) fn delete_to(&mut self, persistence_id: &PersistenceId, last: SequenceNr) {
        self.entries
            .retain(|_, entry| entry.persistence_id != *persistence_id || entry.last > last);
    }

    /// The ordinal of an offset of this store.
    fn ordinal(&self, offset: &Offset) -> Result<u64> {
        if offset.is_start() {
            return Ok(0);
        }
        let ordinal = offset.as_str().parse::<u64>().ok();
        ordinal.filter(|ordinal| (1..=self.last).contains(ordinal)).ok_or_else(|| {
            Error::rejected(format!(
                "offset `{offset}`: expected a number up to {}, the last change of this store",
                self.last
            ))
        })
    }
}

/// Collects one page.
struct Page<'a> {
    query: &'a ChangesQuery,
    changes: BTreeMap<PersistenceId, Change>,
}

impl Page<'_> {
    /// Adds an entry; says no when the page is full.
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
        let through =
            if through == after { query.after.clone() } else { Offset::new(through.to_string()) };
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
