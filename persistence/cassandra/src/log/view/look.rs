//! Looks at the lanes of other writers: asks another node of the place first, else reads the store.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use antiphon_base::time::{Clock, SystemClock};
use antiphon_base::{Error, Result};
use antiphon_persistence::store::FeedRelay;
use futures::future::try_join_all;

use super::state::{Added, LaneView};
use super::{Refreshed, View};
use crate::log::entry::Entry;
use crate::log::walk::{LaneReader, Next, Read};
use crate::stats::{Counters, count};
use crate::tables::{LaneId, LanePosition, LaneState, Tables, WriterRow};

impl View {
    /// Looks at the registry and at the lanes of other writers, unless a look began after this
    /// call, or within the last `age_max`. Asks another node first when a relay is set.
    pub(crate) async fn refresh(
        &self,
        tables: &dyn Tables,
        counters: &Counters,
        age_max: Duration,
    ) -> Result<()> {
        self.look(tables, counters, age_max, self.relay.get().map(|relay| &**relay)).await
    }

    pub(super) async fn look(
        &self,
        tables: &dyn Tables,
        counters: &Counters,
        age_max: Duration,
        relay: Option<&dyn FeedRelay>,
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

    async fn follow(&self, tables: &dyn Tables, lane: LaneId, row: &WriterRow) -> Result<()> {
        let known = {
            let state = self.state();
            state
                .lanes
                .get(&lane)
                .map(|view| (view.own, view.finished, view.through.nr > view.copied))
        };
        let (own, finished, uncopied) = known.unwrap_or_default();
        if own {
            return Ok(());
        }
        if known.is_none() || (uncopied && !row.copied) {
            let LaneState { copied, first_part } = tables.lane_state(&lane).await?;
            let mut state = self.state();
            // this process may have opened the writer meanwhile; its lanes stay as they are
            state.add_lane(&lane, || LaneView::after(copied, copied.nr, first_part));
            state.copied(&lane, copied.nr);
        }
        if !finished {
            self.read_on(tables, &lane).await?;
        }
        if row.copied {
            self.copied(&lane, u64::MAX);
        }
        Ok(())
    }

    /// Reads the rounds of a lane that are not known. A cancelled call leaves the rounds that it
    /// has read.
    async fn read_on(&self, tables: &dyn Tables, lane: &LaneId) -> Result<()> {
        let through = self.state().lanes.get(lane).map(|view| view.through);
        let mut reader = LaneReader::new(tables, lane, through.unwrap_or_default());
        loop {
            let (rounds, next) = match reader.page().await? {
                Read::Rounds(rounds, next) => (rounds, next),
                Read::Gone(state) => {
                    self.state().jump(lane, state);
                    reader.jump(state.copied);
                    continue;
                }
            };
            for (at, entries) in rounds {
                self.read(lane, at, entries)?;
            }
            match next {
                Next::Page => {}
                Next::Open => return Ok(()),
                Next::Sealed => {
                    self.state().finish(lane);
                    return Ok(());
                }
            }
        }
    }

    /// Adds a round that was read.
    fn read(&self, lane: &LaneId, at: LanePosition, entries: Arc<[Entry]>) -> Result<()> {
        match self.state().add(lane, at, entries, false) {
            Added::New | Added::Known => Ok(()),
            Added::NotNext => Err(Error::bug(format!(
                "lane {} of writer `{}`: round {} was read, and is not the next one of the view",
                lane.lane, lane.writer, at.nr
            ))),
        }
    }
}
