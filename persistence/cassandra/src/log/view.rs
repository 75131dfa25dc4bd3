//! What a process knows of all lanes of its place: the events that are not yet copied, by stream, and the newest rounds, for the change feed.
//!
//! The lanes of the own writer are told by it; the others are read, all at once, when somebody asks. A call that asks for a fresh view shares
//! a look with all that asked before it began.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use antiphon_persistence::time::{Clock, SystemClock};
use antiphon_persistence::{Error, Result};
use bytes::Bytes;
use futures::future::try_join_all;

use tokio::time::Instant;

use super::relay::{self, LaneNews, LaneRelay, NEWS_BYTES_MAX, News, Question, SETTLED};
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

impl LaneView {
    /// Nothing of it will ever change.
    fn is_settled(&self) -> bool {
        self.finished && self.copied == u64::MAX
    }
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
    relay: OnceLock<Arc<dyn LaneRelay>>,
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
            relay: OnceLock::new(),
        }
    }

    /// From now on another node is asked first. Only the first call counts.
    pub(crate) fn relay_through(&self, relay: Arc<dyn LaneRelay>) {
        let _ = self.relay.set(relay);
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

    /// Looks at the registry and at the lanes of others, unless that was done since the call, or within `age_max`. Another node is asked first,
    /// if there is one to ask.
    pub(crate) async fn refresh(
        &self,
        tables: &dyn Tables,
        counters: &Counters,
        age_max: Duration,
    ) -> Result<()> {
        self.look(tables, counters, age_max, self.relay.get().map(|relay| &**relay)).await
    }

    /// What a node that knows this much has to learn.
    pub(crate) async fn answer(
        &self,
        tables: &dyn Tables,
        counters: &Counters,
        age_max: Duration,
        question: &Question,
    ) -> Result<News> {
        let age_max = if question.fresh { Duration::ZERO } else { age_max };
        self.look(tables, counters, age_max, None).await?;
        Ok(news(&self.state(), question))
    }

    async fn look(
        &self,
        tables: &dyn Tables,
        counters: &Counters,
        age_max: Duration,
        relay: Option<&dyn LaneRelay>,
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
        if let Some(relay) = relay
            && self.ask(relay, age_max.is_zero()).await?
        {
            count(&counters.relayed, 1);
            *last = Refreshed { began_at, at: Some(at) };
            return Ok(());
        }
        count(&counters.refreshes, 1);
        let writers = tables.writers().await?;
        let lanes = writers.iter().flat_map(|row| {
            (0..row.lanes).map(move |lane| (LaneId { writer: row.writer.clone(), lane }, row))
        });
        try_join_all(lanes.map(|(lane, row)| self.follow(tables, lane, row))).await?;
        *last = Refreshed { began_at, at: Some(at) };
        Ok(())
    }

    /// Whether another node told all that it knows.
    async fn ask(&self, relay: &dyn LaneRelay, fresh: bool) -> Result<bool> {
        loop {
            let known = {
                let state = self.state();
                let known = state.lanes.iter().filter(|(_, view)| !view.own);
                let nr =
                    |view: &LaneView| if view.is_settled() { SETTLED } else { view.through.nr };
                known.map(|(id, view)| (id.writer.clone(), id.lane, nr(view))).collect()
            };
            let question = relay::encode(&Question { fresh, known })?;
            let Some(answer) = relay.ask(question).await else { return Ok(false) };
            let news = relay::decode_news(&answer)?;
            for of in &news.lanes {
                if !self.learn(of)? {
                    return Ok(false);
                }
            }
            if !news.more {
                return Ok(true);
            }
        }
    }

    /// Takes what another node told of a lane; whether it fits what is known.
    fn learn(&self, news: &LaneNews) -> Result<bool> {
        let (lane, (part, nr)) = (news.id(), news.after);
        let known = self.state().lanes.get(&lane).map(|view| (view.own, view.through.nr));
        match known {
            Some((true, _)) => return Ok(true),
            Some((false, through)) if through < nr => return Ok(false),
            Some(_) => {}
            None => {
                let start = LanePosition { part, nr };
                let view = LaneView {
                    base: start,
                    through: start,
                    copied: nr.min(news.copied),
                    ..LaneView::default()
                };
                self.state().lanes.insert(lane.clone(), view);
            }
        }
        for (part, nr, record) in &news.rounds {
            let entries = decode(&lane, *nr, &Bytes::copy_from_slice(record))?;
            self.push(&lane, LanePosition { part: *part, nr: *nr }, entries);
        }
        let end = news.rounds.last().map_or(0, |(_, nr, _)| *nr);
        if self.state().lanes.get(&lane).is_none_or(|view| view.through.nr < end) {
            // they do not follow each other: what was told is not the whole
            return Ok(false);
        }
        self.copied(&lane, news.copied);
        self.dropped(&lane, news.first_part);
        if let Some(view) = self.state().lanes.get_mut(&lane) {
            view.finished |= news.finished;
        }
        Ok(true)
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

/// What is new in memory for a node that knows this much.
fn news(state: &State, question: &Question) -> News {
    let known: HashMap<(&str, u16), u64> =
        question.known.iter().map(|(writer, lane, nr)| ((&**writer, *lane), *nr)).collect();
    let (mut news, mut bytes) = (News::default(), 0);
    for (id, view) in &state.lanes {
        let known = known.get(&(&*id.writer, id.lane)).copied();
        if known == Some(SETTLED) && view.is_settled() {
            continue;
        }
        // who knows nothing of the lane needs what is not copied
        let from = known.unwrap_or(view.copied).min(view.through.nr).max(view.base.nr);
        let first = view.rounds.partition_point(|round| round.at.nr <= from);
        let before = first.checked_sub(1).and_then(|index| view.rounds.get(index));
        let after = before.map_or(view.base, |round| round.at);
        let mut rounds = Vec::new();
        let mut whole = true;
        for round in view.rounds.range(first..) {
            if bytes >= NEWS_BYTES_MAX {
                (whole, news.more) = (false, true);
                break;
            }
            let record = round::encode_read(&round.entries);
            bytes += record.len();
            rounds.push((round.at.part, round.at.nr, record));
        }
        news.lanes.push(LaneNews {
            writer: id.writer.clone(),
            lane: id.lane,
            after: (after.part, after.nr),
            copied: view.copied,
            first_part: view.first_part,
            finished: view.finished && whole,
            rounds,
        });
    }
    news
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
