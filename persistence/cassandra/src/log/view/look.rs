//! Looks at the lanes of other writers: asks another node of the place first, else reads the store.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use antiphon_base::time::{Clock, SystemClock};
use antiphon_base::{Error, Result};
use antiphon_persistence::store::FeedRelay;
use bytes::Bytes;
use futures::future::try_join_all;

use super::{LaneView, Refreshed, View};
use crate::damaged::damaged;
use crate::log::round::{self, Entry};
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
                let entries = decode_stored(lane, LanePosition { part, nr }, &record)?;
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

/// Decodes a round that was read from the database.
pub(crate) fn decode_stored(
    lane: &LaneId,
    at: LanePosition,
    record: &Bytes,
) -> Result<Arc<[Entry]>> {
    let LanePosition { part, nr } = at;
    let entries = round::decode_stored(lane, at, record).map_err(|why| {
        damaged(
            "log",
            &format!("writer `{}`, lane {}, part {part}, round {nr}", lane.writer, lane.lane),
            &why,
        )
    })?;
    Ok(entries.into())
}

/// Decodes a round from the answer of another node.
pub(super) fn decode_told(lane: &LaneId, nr: u64, record: &Bytes) -> Result<Arc<[Entry]>> {
    let entries = round::decode(record).map_err(|why| {
        Error::corrupt(format!(
            "round {nr} of lane {} of writer `{}`, as another node told it, is unreadable: {why}",
            lane.lane, lane.writer
        ))
    })?;
    Ok(entries.into())
}

/// The error of a missing round before a later one.
pub(crate) fn hole(lane: &LaneId, after: u64, found: u64) -> Error {
    Error::corrupt(format!(
        "lane {} of writer `{}`: expected round {}, actual {found}: the store has lost data",
        lane.lane,
        lane.writer,
        after + 1
    ))
}
