//! The view of a process on all lanes of its place: the events that are not yet copied, by stream,
//! and the newest rounds, for the change feed.
//!
//! The own writer pushes the rounds of its lanes. The lanes of other writers are read, all at once,
//! when a caller needs them. A call for a fresh view shares a look with all calls that came before
//! that look began.

pub(crate) mod look;
mod news;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};

use antiphon_persistence::store::FeedRelay;
use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

use super::round::Entry;
use crate::tables::{LaneId, LanePosition};

/// A round in memory.
#[derive(Debug, Clone)]
pub(crate) struct HeldRound {
    pub(crate) at: LanePosition,
    pub(crate) entries: Arc<[Entry]>,
    bytes: usize,
}

/// Known state of one lane.
#[derive(Debug, Default)]
struct LaneView {
    /// Rounds after this one, up to `through`, are in memory.
    base: LanePosition,
    through: LanePosition,
    copied: u64,
    /// Rounds up to this one were added to `streams`, unless they were copied before.
    indexed: u64,
    first_part: u64,
    rounds: VecDeque<HeldRound>,
    /// True when the own writer pushes the rounds of this lane; the lane is not read.
    own: bool,
    /// True when the lane is sealed and read to its end.
    finished: bool,
}

impl LaneView {
    /// True when the lane will never change again.
    fn is_settled(&self) -> bool {
        self.finished && self.copied == u64::MAX
    }
}

#[derive(Debug, Default)]
struct State {
    lanes: BTreeMap<LaneId, LaneView>,
    /// Events that are not copied yet. Rounds are added only when a caller needs them: most are
    /// copied before.
    streams: HashMap<Arc<str>, Vec<(LaneId, u64, Entry)>>,
    cached_bytes: usize,
}

impl State {
    /// Adds the rounds that came since the last call and are not copied.
    fn index(&mut self) {
        for (lane, view) in &mut self.lanes {
            let after = view.indexed.max(view.copied);
            if after >= view.through.nr {
                continue;
            }
            let first = view.rounds.partition_point(|round| round.at.nr <= after);
            for round in view.rounds.range(first..) {
                for entry in &*round.entries {
                    let held = self.streams.entry(entry.stream.name.clone()).or_default();
                    held.push((lane.clone(), round.at.nr, entry.clone()));
                }
            }
            view.indexed = view.through.nr;
        }
    }
}

/// All lanes of a place, as one process knows them.
pub(crate) struct View {
    state: Mutex<State>,
    refreshing: tokio::sync::Mutex<Refreshed>,
    asked: AtomicU64,
    cache_bytes_max: usize,
    relay: OnceLock<Arc<dyn FeedRelay>>,
}

#[derive(Default)]
struct Refreshed {
    /// Calls whose count in `asked` is below this one are served by the last look.
    began_at: u64,
    at: Option<Instant>,
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

impl View {
    pub(crate) fn new(cache_bytes_max: usize) -> Self {
        Self {
            state: Mutex::default(),
            refreshing: tokio::sync::Mutex::default(),
            asked: AtomicU64::new(1),
            cache_bytes_max,
            relay: OnceLock::new(),
        }
    }

    /// Asks another node first from now on. Only the first call has an effect.
    pub(crate) fn relay_through(&self, relay: Arc<dyn FeedRelay>) {
        let _ = self.relay.set(relay);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Adds the lanes of the own writer, which is new.
    pub(crate) fn own(&self, lanes: impl Iterator<Item = LaneId>) {
        let mut state = self.state();
        for lane in lanes {
            state.lanes.insert(lane, LaneView { own: true, ..LaneView::default() });
        }
    }

    /// Adds a round.
    pub(crate) fn push(&self, lane: &LaneId, at: LanePosition, entries: Arc<[Entry]>) {
        let mut state = self.state();
        let State { lanes, cached_bytes, .. } = &mut *state;
        let Some(view) = lanes.get_mut(lane) else { return };
        if at.nr != view.through.nr + 1 {
            return;
        }
        view.through = at;
        let bytes = entries.iter().map(|entry| entry.events.len() + 128).sum();
        *cached_bytes += bytes;
        view.rounds.push_back(HeldRound { at, entries, bytes });
        self.trim(&mut state);
    }

    /// Drops copied rounds beyond the limit of the cache.
    fn trim(&self, state: &mut State) {
        let State { lanes, cached_bytes, .. } = state;
        while *cached_bytes > self.cache_bytes_max {
            // the lane with the most rounds, among lanes whose first round may go
            let longest = lanes
                .values_mut()
                .filter(|lane| lane.rounds.front().is_some_and(|round| round.at.nr <= lane.copied))
                .max_by_key(|lane| lane.rounds.len());
            let Some(lane) = longest else { return };
            if let Some(round) = lane.rounds.pop_front() {
                *cached_bytes -= round.bytes;
                lane.base = round.at;
            }
        }
    }

    /// Records that everything of the lane up to `nr` is in the streams' own partitions.
    pub(crate) fn copied(&self, lane: &LaneId, nr: u64) {
        let mut state = self.state();
        let State { lanes, streams, .. } = &mut *state;
        let Some(view) = lanes.get_mut(lane) else { return };
        if nr <= view.copied {
            return;
        }
        let before = std::mem::replace(&mut view.copied, nr);
        let indexed = view.indexed.min(nr);
        let first = view.rounds.partition_point(|round| round.at.nr <= before);
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
        self.trim(&mut state);
    }

    /// Records that the parts of a lane below `first_part` are gone.
    pub(crate) fn dropped(&self, lane: &LaneId, first_part: u64) {
        if let Some(view) = self.state().lanes.get_mut(lane) {
            view.first_part = view.first_part.max(first_part);
        }
    }

    /// The entries of a stream that may not be copied yet, in order.
    pub(crate) fn tail(&self, stream: &str) -> Vec<Entry> {
        let mut state = self.state();
        state.index();
        let held = state.streams.get(stream).map(Vec::as_slice).unwrap_or_default();
        let mut entries: Vec<Entry> = held.iter().map(|(_, _, entry)| entry.clone()).collect();
        entries.sort_by_key(|entry| entry.first);
        entries
    }

    /// The streams of a type with events that may not be copied yet.
    pub(crate) fn tail_streams(&self, entity_type: &str) -> Vec<Arc<str>> {
        let mut state = self.state();
        state.index();
        let of_type = |name: &&Arc<str>| {
            name.strip_prefix(entity_type).is_some_and(|rest| rest.starts_with('|'))
        };
        state.streams.keys().filter(of_type).cloned().collect()
    }

    /// All lanes, by name.
    pub(crate) fn lanes(&self) -> Vec<LaneId> {
        self.state().lanes.keys().cloned().collect()
    }

    /// The last known position of each lane.
    pub(crate) fn ends(&self) -> BTreeMap<LaneId, LanePosition> {
        self.state().lanes.iter().map(|(lane, view)| (lane.clone(), view.through)).collect()
    }

    /// The rounds of a lane after a position.
    pub(crate) fn page(
        &self,
        lane: &LaneId,
        after: LanePosition,
        round_count_max: usize,
    ) -> LanePage {
        let state = self.state();
        let Some(view) = state.lanes.get(lane) else { return LanePage::Held(Vec::new()) };
        if after.nr >= view.base.nr {
            let first = view.rounds.partition_point(|round| round.at.nr <= after.nr);
            return LanePage::Held(
                view.rounds.range(first..).take(round_count_max).cloned().collect(),
            );
        }
        if after.part < view.first_part { LanePage::Gone } else { LanePage::Behind }
    }
}
