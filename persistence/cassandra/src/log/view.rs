//! What a process knows of all lanes of its place: the events that are not yet copied, by stream, and the newest rounds, for the change feed.
//!
//! The lanes of the own writer are told by it; the others are read, all at once, when somebody asks. A call that asks for a fresh view shares
//! a look with all that asked before it began.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use antiphon_persistence::time::{Clock, SystemClock};
use antiphon_persistence::{Error, Result};
use bytes::Bytes;
use futures::future::try_join_all;

use tokio::time::Instant;

use super::round::{self, Entry};
use crate::stats::{Counters, count};
use crate::tables::{LaneId, LanePosition, LaneState, Tables, WriterRow};

/// A round in memory.
#[derive(Debug, Clone)]
pub(crate) struct HeldRound {
    pub(crate) at: LanePosition,
    pub(crate) entries: Arc<[Entry]>,
    bytes: usize,
}

/// What is known of one lane.
#[derive(Debug, Default)]
struct LaneView {
    /// Rounds after this one, up to `through`, are in memory.
    base: LanePosition,
    through: LanePosition,
    copied: u64,
    first_part: u64,
    rounds: VecDeque<HeldRound>,
    /// The own writer tells this lane; it is not read.
    own: bool,
    /// It is sealed, and read to its end.
    finished: bool,
}

#[derive(Debug, Default)]
struct State {
    lanes: BTreeMap<LaneId, LaneView>,
    /// Events that are not yet copied, in the order of the lanes.
    streams: HashMap<Arc<str>, Vec<(LaneId, u64, Entry)>>,
    cached_bytes: usize,
}

/// All lanes of a place, as one process sees them.
pub(crate) struct View {
    state: Mutex<State>,
    refreshing: tokio::sync::Mutex<Refreshed>,
    asked: AtomicU64,
    cache_bytes_max: usize,
}

#[derive(Default)]
struct Refreshed {
    /// Whoever asked before this count is served by the last look.
    began_at: u64,
    at: Option<Instant>,
}

/// Rounds of one lane for a reader of the change feed.
pub(crate) enum LanePage {
    /// These, from memory; more may not be there yet.
    Held(Vec<HeldRound>),
    /// The reader is behind what is in memory: it reads for itself.
    Behind,
    /// The part that it needs is gone.
    Gone,
}

impl View {
    pub(crate) fn new(cache_bytes_max: usize) -> Self {
        Self {
            state: Mutex::default(),
            refreshing: tokio::sync::Mutex::default(),
            asked: AtomicU64::new(1),
            cache_bytes_max,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of the lanes of the own writer, which is new.
    pub(crate) fn own(&self, lanes: impl Iterator<Item = LaneId>) {
        let mut state = self.state();
        for lane in lanes {
            state.lanes.insert(lane, LaneView { own: true, ..LaneView::default() });
        }
    }

    /// Adds a round.
    pub(crate) fn push(&self, lane: &LaneId, at: LanePosition, entries: Arc<[Entry]>) {
        let mut state = self.state();
        let State { lanes, streams, cached_bytes } = &mut *state;
        let Some(view) = lanes.get_mut(lane) else { return };
        if at.nr != view.through.nr + 1 {
            return;
        }
        view.through = at;
        let bytes = entries.iter().map(|entry| entry.events.len() + 128).sum();
        *cached_bytes += bytes;
        if at.nr > view.copied {
            for entry in &*entries {
                let name = entry.stream.name.clone();
                streams.entry(name).or_default().push((lane.clone(), at.nr, entry.clone()));
            }
        }
        view.rounds.push_back(HeldRound { at, entries, bytes });
        self.trim(&mut state);
    }

    /// Drops what is copied, beyond what the cache may hold.
    fn trim(&self, state: &mut State) {
        let State { lanes, cached_bytes, .. } = state;
        while *cached_bytes > self.cache_bytes_max {
            // the lane with the most rounds that may go
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

    /// Everything of the lane up to `nr` is in the streams' own partitions.
    pub(crate) fn copied(&self, lane: &LaneId, nr: u64) {
        let mut state = self.state();
        let State { lanes, streams, .. } = &mut *state;
        let Some(view) = lanes.get_mut(lane) else { return };
        if nr <= view.copied {
            return;
        }
        let before = std::mem::replace(&mut view.copied, nr);
        for round in view.rounds.iter().filter(|round| round.at.nr > before && round.at.nr <= nr) {
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

    /// The parts of a lane below `first_part` are gone.
    pub(crate) fn dropped(&self, lane: &LaneId, first_part: u64) {
        if let Some(view) = self.state().lanes.get_mut(lane) {
            view.first_part = view.first_part.max(first_part);
        }
    }

    /// The events of a stream that may not be copied yet, by their numbers.
    pub(crate) fn tail(&self, stream: &str) -> Vec<Entry> {
        let state = self.state();
        let held = state.streams.get(stream).map(Vec::as_slice).unwrap_or_default();
        let mut entries: Vec<Entry> = held.iter().map(|(_, _, entry)| entry.clone()).collect();
        entries.sort_by_key(|entry| entry.first);
        entries
    }

    /// The streams of a type with events that may not be copied yet.
    pub(crate) fn tail_streams(&self, entity_type: &str) -> Vec<Arc<str>> {
        let state = self.state();
        let of_type = |name: &&Arc<str>| {
            name.strip_prefix(entity_type).is_some_and(|rest| rest.starts_with('|'))
        };
        state.streams.keys().filter(of_type).cloned().collect()
    }

    /// All lanes, by name.
    pub(crate) fn lanes(&self) -> Vec<LaneId> {
        self.state().lanes.keys().cloned().collect()
    }

    /// How far each lane is known.
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

    /// Looks at the registry and at the lanes of others, unless that was done since the call, or within `age_max`.
    pub(crate) async fn refresh(
        &self,
        tables: &dyn Tables,
        counters: &Counters,
        age_max: Duration,
    ) -> Result<()> {
        let asked = self.asked.fetch_add(1, Ordering::AcqRel);
        let mut last = self.refreshing.lock().await;
        let young = last
            .at
            .is_some_and(|at| !age_max.is_zero() && SystemClock.now().duration_since(at) < age_max);
        if last.began_at > asked || young {
            return Ok(());
        }
        let (began_at, at) = (self.asked.load(Ordering::Acquire), SystemClock.now());
        count(&counters.refreshes, 1);
        let writers = tables.writers().await?;
        let lanes = writers.iter().flat_map(|row| {
            (0..row.lanes).map(move |lane| (LaneId { writer: row.writer.clone(), lane }, row))
        });
        try_join_all(lanes.map(|(lane, row)| self.follow(tables, lane, row))).await?;
        *last = Refreshed { began_at, at: Some(at) };
        Ok(())
    }

    async fn follow(&self, tables: &dyn Tables, lane: LaneId, row: &WriterRow) -> Result<()> {
        let known = {
            let state = self.state();
            state
                .lanes
                .get(&lane)
                .map(|view| (view.own, view.through, view.finished, view.through.nr > view.copied))
        };
        let (own, mut through, finished, uncopied) = known.unwrap_or_default();
        if own {
            return Ok(());
        }
        if known.is_none() || (uncopied && !row.copied) {
            let LaneState { copied, first_part } = tables.lane_state(&lane).await?;
            if known.is_none() {
                through = copied;
                let view = LaneView {
                    base: copied,
                    through: copied,
                    copied: copied.nr,
                    first_part,
                    ..LaneView::default()
                };
                self.state().lanes.insert(lane.clone(), view);
            } else {
                self.copied(&lane, copied.nr);
            }
        }
        if !finished {
            self.read_on(tables, &lane, through).await?;
        }
        if row.copied {
            self.copied(&lane, u64::MAX);
        }
        Ok(())
    }

    async fn read_on(&self, tables: &dyn Tables, lane: &LaneId, from: LanePosition) -> Result<()> {
        let LanePosition { mut part, mut nr } = from;
        loop {
            let page = tables.rounds(lane, part, nr).await?;
            let read = page.rounds.len();
            for (at, record) in page.rounds {
                if at != nr + 1 {
                    return Err(hole(lane, nr, at));
                }
                nr = at;
                let entries = decode(lane, at, &record)?;
                self.push(lane, LanePosition { part, nr }, entries);
            }
            if page.state.head.is_some_and(|head| head > nr) {
                if read == 0 {
                    return Err(hole(lane, nr, page.state.head.unwrap_or(0)));
                }
                continue;
            }
            if page.state.closed {
                part += 1;
                continue;
            }
            if page.state.sealed
                && let Some(view) = self.state().lanes.get_mut(lane)
            {
                view.finished = true;
            }
            return Ok(());
        }
    }
}

/// The entries of a round.
pub(crate) fn decode(lane: &LaneId, nr: u64, record: &Bytes) -> Result<Arc<[Entry]>> {
    let entries = round::decode(record).map_err(|why| {
        Error::corrupt(format!(
            "round {nr} of lane {} of writer `{}` is unreadable: {why}",
            lane.lane, lane.writer
        ))
    })?;
    Ok(entries.into())
}

/// A round that is missing, although a later one is there.
pub(crate) fn hole(lane: &LaneId, after: u64, found: u64) -> Error {
    Error::corrupt(format!(
        "lane {} of writer `{}`: expected round {}, actual {found}: the store has lost data",
        lane.lane,
        lane.writer,
        after + 1
    ))
}
