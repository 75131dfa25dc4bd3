//! The change feed in memory: one entry for each append, in the order in which the appends took
//! effect.
//!
//! The text of an offset is the decimal ordinal of the last entry that it covers, from one, and the
//! mark of that entry, `17@2f`. Entries whose events are all deleted are dropped. An ordinal is
//! never given out again, unless the stores go back to an earlier copy: then the new entry has
//! another mark, and a reader with the old mark begins anew.

use std::collections::BTreeMap;

use crate::event::SequenceNr;
use crate::identity::PersistenceId;
use crate::store::Offset;
use crate::{Error, Result};

#[derive(Debug, Clone, Default)]
pub(super) struct FeedState {
    pub(super) last: u64,
    last_mark: u64,
    entries: BTreeMap<u64, Entry>,
}

#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) persistence_id: PersistenceId,
    pub(super) first: SequenceNr,
    pub(super) last: SequenceNr,
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
        assert!(first <= last, "an entry of `{persistence_id}` without an event");
        self.last += 1;
        self.last_mark = mark;
        let there = self.entries.insert(self.last, Entry { persistence_id, first, last, mark });
        assert!(there.is_none(), "ordinal {} is given out again", self.last);
    }

    /// The entries after an ordinal, in the order of the feed.
    pub(super) fn after(&self, ordinal: u64) -> impl Iterator<Item = (u64, &Entry)> {
        assert!(ordinal <= self.last, "a reader is at {ordinal}, the feed at {}", self.last);
        self.entries.range(ordinal + 1..).map(|(ordinal, entry)| (*ordinal, entry))
    }

    pub(super) fn delete_to(&mut self, persistence_id: &PersistenceId, last: SequenceNr) {
        self.entries
            .retain(|_, entry| entry.persistence_id != *persistence_id || entry.last > last);
    }

    /// The ordinal of an offset of this store; zero when the store went back since, and the offset
    /// belongs to the lost part.
    pub(super) fn ordinal(&self, offset: &Offset) -> Result<u64> {
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

    /// The offset of an ordinal.
    pub(super) fn offset(&self, ordinal: u64) -> Offset {
        assert!(ordinal <= self.last, "ordinal {ordinal} was not given out yet");
        if ordinal == 0 {
            return Offset::start();
        }
        let mark = self.entries.get(&ordinal).map_or(self.last_mark, |entry| entry.mark);
        Offset::new(format!("{ordinal}@{mark:x}"))
    }
}
