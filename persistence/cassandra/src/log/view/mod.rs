//! The view of a process on all lanes of its place: the events that are not yet copied, by stream,
//! and the newest rounds, for the change feed.
//!
//! The own writer adds the rounds of its lanes. The lanes of other writers are read, all at once,
//! when a caller needs them. A call for a fresh view shares a look with all calls that came before
//! that look began.

#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod look;
mod news;
mod state;

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};

use antiphon_base::{Error, Result};
use antiphon_persistence::store::FeedRelay;
use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

use self::state::{Added, State};
use super::entry::Entry;
use crate::tables::{LaneId, LanePosition};

pub(crate) use self::state::LanePage;

/// All lanes of a place, as one process knows them.
pub(crate) struct View {
    state: Mutex<State>,
    refreshing: tokio::sync::Mutex<Refreshed>,
    asked: AtomicU64,
    relay: OnceLock<Arc<dyn FeedRelay>>,
}

#[derive(Default)]
struct Refreshed {
    /// Calls whose count in `asked` is below this one are served by the last look.
    began_at: u64,
    at: Option<Instant>,
}

impl View {
    pub(crate) fn new(cache_bytes_max: usize) -> Self {
        Self {
            state: Mutex::new(State::new(cache_bytes_max)),
            refreshing: tokio::sync::Mutex::default(),
            asked: AtomicU64::new(1),
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
    ///
    /// # Errors
    /// `Corrupt` when a lane has rounds.
    pub(crate) fn own(&self, mut lanes: impl Iterator<Item = LaneId>) -> Result<()> {
        let mut state = self.state();
        lanes.try_for_each(|lane| state.own(lane))
    }

    /// Adds a round that the own writer has stored.
    ///
    /// # Errors
    /// `Bug` when it is not the next round of an own lane: readers of this process would miss
    /// rounds.
    pub(crate) fn stored(
        &self,
        lane: &LaneId,
        at: LanePosition,
        entries: Arc<[Entry]>,
    ) -> Result<()> {
        match self.state().add(lane, at, entries, true) {
            Added::New => Ok(()),
            Added::Known | Added::NotNext => Err(Error::bug(format!(
                "lane {} of writer `{}`: round {} was stored, and is not the next one of the view",
                lane.lane, lane.writer, at.nr
            ))),
        }
    }

    /// Records that everything of the lane up to `nr` is in the streams' own partitions.
    pub(crate) fn copied(&self, lane: &LaneId, nr: u64) {
        self.state().copied(lane, nr);
    }

    /// Records that the parts of a lane below `first_part` are gone.
    pub(crate) fn dropped(&self, lane: &LaneId, first_part: u64) {
        self.state().dropped(lane, first_part);
    }

    /// The entries of a stream that may not be copied yet, in order.
    pub(crate) fn tail(&self, stream: &str) -> Vec<Entry> {
        self.state().tail(stream)
    }

    /// The streams of a type with events that may not be copied yet, in any order.
    pub(crate) fn tail_streams(&self, entity_type: &str) -> Vec<Arc<str>> {
        self.state().tail_streams(entity_type)
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
        self.state().page(lane, after, round_count_max)
    }
}
