//! The newest entries of the feed and the names of the streams in them, in memory for all readers.

use std::collections::{HashMap, VecDeque};

use antiphon_persistence::store::{ChangesPage, ChangesQuery};
use parking_lot::{Mutex, MutexGuard};

use super::entry::{Entry, Named, Rows};
use super::page::page;
use crate::position::Position;

/// The newest entries, and the names of the streams in them.
pub(super) struct FeedCache {
    state: Mutex<State>,
    entry_count_max: usize,
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
    pub(super) fn new(entry_count_max: usize) -> Self {
        Self { state: Mutex::default(), entry_count_max }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Forgets the entries when they belong to an earlier file.
    pub(super) fn fit(&self, replacements: u64) {
        let mut state = self.state();
        if state.replacements < replacements {
            *state = State { replacements, ..State::default() };
        }
    }

    /// Records that a position is good in the file that had so many replacements before. A verdict
    /// about an earlier file says nothing about the present one.
    pub(super) fn found_good(&self, position: Position, of: u64) {
        self.fit(of);
        let mut state = self.state();
        if state.replacements == of {
            state.good = Some(position);
        }
    }

    /// Adds rows that were read after `after`, unless another reader was faster or the file was
    /// replaced.
    pub(super) fn extend(&self, after: i64, read: &Rows) {
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
        assert!(read.through >= after, "rows up to {} after {after}", read.through);
        state.end = read.through;
        while state.entries.len() > self.entry_count_max {
            let dropped = state.entries.pop_front();
            state.start = dropped.map(|entry| entry.ordinal);
        }
        state.check(self.entry_count_max);
    }

    /// Replacements of the file before the entries were read.
    pub(super) fn replacements(&self) -> u64 {
        self.state().replacements
    }

    /// The bounds of the entries: those with ordinals above the first number, up to the second.
    /// `None` before the first read.
    pub(super) fn bounds(&self) -> Option<(i64, i64)> {
        let state = self.state();
        state.start.map(|start| (start, state.end))
    }

    /// A page from the entries after a position of the file that had so many replacements before.
    /// `None` when they are not in memory any more.
    pub(super) fn page(
        &self,
        query: &ChangesQuery,
        after: Position,
        of: u64,
        more: bool,
    ) -> Option<ChangesPage> {
        let state = self.state();
        let covered = state.replacements == of
            && state
                .start
                .is_some_and(|start| start <= after.ordinal && after.ordinal <= state.end);
        covered.then(|| {
            let first = state.entries.partition_point(|entry| entry.ordinal <= after.ordinal);
            page(query, after, state.entries.range(first..), more)
        })
    }

    /// Returns whether the position names the row that has its ordinal, as far as it is known
    /// without a read.
    pub(super) fn verdict(&self, asked: Position) -> Option<bool> {
        let state = self.state();
        let at = state.entries.partition_point(|entry| entry.ordinal < asked.ordinal);
        let entry = state.entries.get(at).filter(|entry| entry.ordinal == asked.ordinal);
        let is_good = || (state.good == Some(asked)).then_some(true);
        entry.map(|entry| asked.is(entry.checksum)).or_else(is_good)
    }

    /// The name of a stream, if it is known in the file that had so many replacements before.
    pub(super) fn name(&self, stream: i64, of: u64) -> Option<Named> {
        let state = self.state();
        state.streams.get(&stream).filter(|_| state.replacements == of).cloned()
    }

    /// Remembers the name of a stream of the file that had so many replacements before.
    pub(super) fn remember(&self, stream: i64, name: Named, of: u64) {
        let mut state = self.state();
        if state.streams.len() >= self.entry_count_max {
            state.streams.clear();
        }
        if state.replacements == of {
            state.streams.insert(stream, name);
        }
    }
}

impl State {
    /// Asserts the invariants, from the ends of the entries alone.
    fn check(&self, entry_count_max: usize) {
        assert!(self.entries.len() <= entry_count_max, "{} entries", self.entries.len());
        assert!(self.start.is_none_or(|start| start <= self.end), "entries end before they start");
        let first = self.entries.front().map(|entry| entry.ordinal);
        assert!(first.is_none_or(|first| Some(first) > self.start), "{first:?} is not covered");
        let last = self.entries.back().map(|entry| entry.ordinal);
        assert!(last.is_none_or(|last| last <= self.end), "{last:?} is after {}", self.end);
    }
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
