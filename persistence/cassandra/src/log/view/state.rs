//! The memory of a view: the known rounds of each lane, and an index of the events that are not
//! copied, by stream.
//!
//! ```text
//! lane:  ..., base | base + 1, ..., through | (not known yet)
//!                  `---- in memory ----'
//! ```
//!
//! The rounds in memory are dense: each lane has exactly the rounds between `base` and `through`.
//! The streams' own partitions have all events up to `copied`; a copied round may leave the memory,
//! any other round stays.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use antiphon_base::{Error, Result};

use crate::log::entry::Entry;
use crate::log::walk::{Source, source};
use crate::tables::{LaneId, LanePosition, LaneState};

/// A round in memory.
#[derive(Debug, Clone)]
pub(crate) struct HeldRound {
    pub(crate) at: LanePosition,
    pub(crate) entries: Arc<[Entry]>,
    bytes: usize,
}

/// Known state of one lane.
#[derive(Debug, Default)]
pub(super) struct LaneView {
    /// Rounds after this one, up to `through`, are in memory.
    pub(super) base: LanePosition,
    pub(super) through: LanePosition,
    pub(super) copied: u64,
    /// Rounds up to this one were added to `streams`, unless they were copied before.
    indexed: u64,
    pub(super) first_part: u64,
    pub(super) rounds: VecDeque<HeldRound>,
    /// True when the own writer adds the rounds of this lane; the lane is not read.
    pub(super) own: bool,
    /// True when the lane is sealed and read to its end.
    pub(super) finished: bool,
}

/// Rounds of one lane for a reader of the change feed.
pub(crate) enum LanePage {
    /// Rounds from memory; later rounds may be missing yet.
    Held(Vec<HeldRound>),
    /// The reader is behind the rounds in memory, and reads the database itself.
    Behind,
    /// The part that the reader needs is gone.
    Gone,
}

/// Result of the addition of a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Added {
    /// The round is in memory now.
    New,
    /// The round was known, or belongs to a lane that only the own writer adds to.
    Known,
    /// Rounds before this one are not known, or the lane is not.
    NotNext,
}

impl LaneView {
    /// A lane of which no round is known yet, and no round up to `at` is needed.
    pub(super) fn after(at: LanePosition, copied: u64, first_part: u64) -> Self {
        Self { base: at, through: at, copied, first_part, ..Self::default() }
    }

    /// True when the lane will never change again.
    pub(super) fn is_settled(&self) -> bool {
        self.finished && self.copied == u64::MAX
    }

    /// The index of the first round after `nr`.
    pub(super) fn index_after(&self, nr: u64) -> usize {
        self.rounds.partition_point(|round| round.at.nr <= nr)
    }

    /// Asserts that the rounds in memory are the rounds between `base` and `through`. A reader of
    /// the feed would otherwise pass a round that it never saw.
    fn check(&self) {
        let Self { base, through, rounds, .. } = self;
        let held = rounds.len() as u64;
        assert_eq!(base.nr + held, through.nr, "the rounds in memory are not dense");
        assert!(base.part <= through.part, "{through:?} is in an older part than {base:?}");
        let first = rounds.front().map_or(base.nr, |round| round.at.nr - 1);
        assert_eq!(first, base.nr, "the first round in memory does not follow {base:?}");
        let last = rounds.back().map_or(*through, |round| round.at);
        assert_eq!(last, *through, "the last round in memory is not the last known one");
        assert!(self.indexed <= through.nr, "a round is in the index before it is known");
    }
}

/// The known rounds of all lanes.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) lanes: BTreeMap<LaneId, LaneView>,
    /// Events that are not copied yet. Rounds are added only when a caller needs them: most are
    /// copied before.
    streams: HashMap<Arc<str>, Vec<(LaneId, u64, Entry)>>,
    cached_bytes: usize,
    cache_bytes_max: usize,
}

impl State {
    pub(super) fn new(cache_bytes_max: usize) -> Self {
        Self { cache_bytes_max, ..Self::default() }
    }

    /// Adds a lane of the own writer, which is new, so that no round of it exists.
    ///
    /// # Errors
    /// `Corrupt` when a look has found rounds of it.
    pub(super) fn own(&mut self, lane: LaneId) -> Result<()> {
        if self.lanes.get(&lane).is_some_and(|view| view.through.nr > 0) {
            return Err(Error::corrupt(format!(
                "lane {} of the new writer `{}` has rounds: the store has lost data",
                lane.lane, lane.writer
            )));
        }
        self.lanes.insert(lane, LaneView { own: true, ..LaneView::default() });
        Ok(())
    }

    /// Adds a lane that is not known, and leaves a known lane as it is.
    pub(super) fn add_lane(&mut self, lane: &LaneId, view: impl FnOnce() -> LaneView) {
        self.lanes.entry(lane.clone()).or_insert_with(view);
    }

    /// Adds a round of the own writer (`own`), or one that was read or told.
    pub(super) fn add(
        &mut self,
        lane: &LaneId,
        at: LanePosition,
        entries: Arc<[Entry]>,
        own: bool,
    ) -> Added {
        let Some(view) = self.lanes.get_mut(lane) else { return Added::NotNext };
        if !own && (view.own || at.nr <= view.through.nr) {
            return Added::Known;
        }
        if view.own != own || at.nr - 1 != view.through.nr || at.part < view.through.part {
            return Added::NotNext;
        }
        view.through = at;
        let bytes = entries.iter().map(|entry| entry.events.len() + 128).sum();
        view.rounds.push_back(HeldRound { at, entries, bytes });
        view.check();
        self.cached_bytes += bytes;
        self.trim();
        Added::New
    }

    /// Drops copied rounds beyond the limit of the cache.
    fn trim(&mut self) {
        while self.cached_bytes > self.cache_bytes_max {
            // the lane with the most rounds, among lanes whose first round may go
            let longest = self
                .lanes
                .values_mut()
                .filter(|lane| lane.rounds.front().is_some_and(|round| round.at.nr <= lane.copied))
                .max_by_key(|lane| lane.rounds.len());
            let Some(lane) = longest else { return };
            if let Some(round) = lane.rounds.pop_front() {
                assert!(self.cached_bytes >= round.bytes, "a round leaves the memory twice");
                self.cached_bytes -= round.bytes;
                lane.base = round.at;
                lane.check();
            }
        }
    }

    /// Records that everything of the lane up to `nr` is in the streams' own partitions.
    pub(super) fn copied(&mut self, lane: &LaneId, nr: u64) {
        let Self { lanes, streams, .. } = self;
        let Some(view) = lanes.get_mut(lane) else { return };
        if nr <= view.copied {
            return;
        }
        let before = std::mem::replace(&mut view.copied, nr);
        let indexed = view.indexed.min(nr);
        let first = view.index_after(before);
        for round in view.rounds.range(first..).take_while(|round| round.at.nr <= indexed) {
            for entry in &*round.entries {
                let name = &entry.stream.name;
                if let Some(held) = streams.get_mut(name) {
                    held.retain(|(of, at, _)| of != lane || *at > nr);
                    if held.is_empty() {
                        streams.remove(name);
                    }
                }
            }
        }
        self.trim();
    }

    /// Records that the parts of a lane below `first_part` are gone.
    pub(super) fn dropped(&mut self, lane: &LaneId, first_part: u64) {
        if let Some(view) = self.lanes.get_mut(lane) {
            view.first_part = view.first_part.max(first_part);
        }
    }

    /// Goes on after `copied`, because the next round was removed after it was copied. The known
    /// rounds are older, and leave the memory.
    pub(super) fn jump(&mut self, lane: &LaneId, LaneState { copied, first_part }: LaneState) {
        self.copied(lane, copied.nr);
        self.dropped(lane, first_part);
        let Some(view) = self.lanes.get_mut(lane) else { return };
        if view.own || view.through.nr >= copied.nr {
            return;
        }
        let bytes: usize = view.rounds.drain(..).map(|round| round.bytes).sum();
        assert!(self.cached_bytes >= bytes, "rounds leave the memory twice");
        self.cached_bytes -= bytes;
        (view.base, view.through) = (copied, copied);
        view.check();
    }

    /// Records that a lane is sealed and read to its end.
    pub(super) fn finish(&mut self, lane: &LaneId) {
        if let Some(view) = self.lanes.get_mut(lane) {
            view.finished = true;
        }
    }

    /// Adds the rounds that came since the last call and are not copied to the index.
    fn index(&mut self) {
        for (lane, view) in &mut self.lanes {
            let after = view.indexed.max(view.copied);
            if after >= view.through.nr {
                continue;
            }
            for round in view.rounds.range(view.index_after(after)..) {
                for entry in &*round.entries {
                    let held = self.streams.entry(entry.stream.name.clone()).or_default();
                    held.push((lane.clone(), round.at.nr, entry.clone()));
                }
            }
            view.indexed = view.through.nr;
            view.check();
        }
    }

    /// The entries of a stream that may not be copied yet, in order.
    pub(super) fn tail(&mut self, stream: &str) -> Vec<Entry> {
        self.index();
        let held = self.streams.get(stream).map(Vec::as_slice).unwrap_or_default();
        let mut entries: Vec<Entry> = held.iter().map(|(_, _, entry)| entry.clone()).collect();
        entries.sort_by_key(|entry| entry.first);
        entries
    }

    /// The streams of a type with events that may not be copied yet, in any order.
    pub(super) fn tail_streams(&mut self, entity_type: &str) -> Vec<Arc<str>> {
        self.index();
        let of_type = |name: &&Arc<str>| {
            name.strip_prefix(entity_type).is_some_and(|rest| rest.starts_with('|'))
        };
        self.streams.keys().filter(of_type).cloned().collect()
    }

    /// The rounds of a lane after a position.
    pub(super) fn page(
        &self,
        lane: &LaneId,
        after: LanePosition,
        round_count_max: usize,
    ) -> LanePage {
        let Some(view) = self.lanes.get(lane) else { return LanePage::Held(Vec::new()) };
        match source(after, view.base, view.first_part) {
            Source::Memory => {
                let rounds = view.rounds.range(view.index_after(after.nr)..);
                LanePage::Held(rounds.take(round_count_max).cloned().collect())
            }
            Source::Database => LanePage::Behind,
            Source::Streams => LanePage::Gone,
        }
    }
}

#[cfg(test)]
mod tests {
    use antiphon_persistence::version::VersionVector;
    use bytes::Bytes;

    use super::*;
    use crate::log::entry::Stream;

    fn lane() -> LaneId {
        LaneId { writer: "w".into(), lane: 0 }
    }

    fn at(part: u64, nr: u64) -> LanePosition {
        LanePosition { part, nr }
    }

    fn entries(nr: u64) -> Arc<[Entry]> {
        let stream = Stream::parse("c|1|A").unwrap();
        let events = Bytes::from_static(b"events");
        [Entry { stream, first: nr, last: nr, seen: VersionVector::new(), events }].into()
    }

    fn with_rounds(cache_bytes_max: usize, own: bool, last: u64) -> State {
        let mut state = State::new(cache_bytes_max);
        if own {
            state.own(lane()).unwrap();
        } else {
            state.add_lane(&lane(), LaneView::default);
        }
        for nr in 1..=last {
            assert_eq!(state.add(&lane(), at(0, nr), entries(nr), own), Added::New);
        }
        state
    }

    #[test]
    fn only_the_next_round_of_a_lane_is_added() {
        let mut state = with_rounds(1 << 20, false, 3);
        assert_eq!(state.add(&lane(), at(0, 3), entries(3), false), Added::Known);
        assert_eq!(state.add(&lane(), at(0, 5), entries(5), false), Added::NotNext);
        let other = LaneId { lane: 1, ..lane() };
        assert_eq!(state.add(&other, at(0, 1), entries(1), false), Added::NotNext, "no such lane");
        assert_eq!(state.add(&lane(), at(1, 4), entries(4), false), Added::New);
        assert_eq!(state.add(&lane(), at(0, 5), entries(5), false), Added::NotNext, "a part back");
    }

    #[test]
    fn rounds_of_an_own_lane_come_only_from_its_writer() {
        let mut state = with_rounds(1 << 20, true, 2);
        assert_eq!(state.add(&lane(), at(0, 3), entries(3), false), Added::Known);
        assert_eq!(state.add(&lane(), at(0, 2), entries(2), true), Added::NotNext);
        assert_eq!(state.add(&lane(), at(0, 3), entries(3), true), Added::New);
        state.add_lane(&lane(), LaneView::default);
        assert!(state.lanes[&lane()].own, "a look that began before the writer was opened");
    }

    #[test]
    fn copied_rounds_leave_a_full_memory_and_others_stay() {
        let mut state = with_rounds(0, false, 4);
        assert_eq!(state.tail("c|1|A").len(), 4);
        state.copied(&lane(), 3);
        assert_eq!(state.tail("c|1|A").len(), 1);
        assert_eq!(state.lanes[&lane()].base, at(0, 3));
        assert!(matches!(state.page(&lane(), at(0, 2), 9), LanePage::Behind));
        let LanePage::Held(rounds) = state.page(&lane(), at(0, 3), 9) else { panic!("in memory") };
        assert_eq!(rounds.len(), 1);
    }

    #[test]
    fn a_view_whose_next_rounds_were_removed_goes_on_after_the_copied_ones() {
        let mut state = with_rounds(1 << 20, false, 4);
        state.jump(&lane(), LaneState { copied: at(3, 9), first_part: 3 });
        assert_eq!(state.tail("c|1|A").len(), 0);
        assert_eq!(state.cached_bytes, 0);
        assert!(matches!(state.page(&lane(), at(0, 4), 9), LanePage::Gone));
        assert_eq!(state.add(&lane(), at(3, 10), entries(10), false), Added::New);
        assert_eq!(state.tail("c|1|A").len(), 1);
    }
}
