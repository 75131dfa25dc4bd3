//! Removes parts of the log that are copied and old enough: parts of the own writer, and all parts
//! of writers that have ended.
//!
//! First the lane's row gets the number of its first remaining part, then older parts are removed.
//! A reader that needs a removed part sees that it is gone, and reads the streams instead.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use antiphon_base::time::{Clock, SystemClock};
use tokio::time::Instant;

use super::writer::Shared;
use crate::stats::count;
use crate::tables::{LaneId, LanePosition, LaneState, Outcome};

/// Longest time between two looks.
const LOOK_INTERVAL_MAX: Duration = Duration::from_secs(600);

/// The retention task of an open writer.
pub(super) struct Retention {
    pub(super) lanes: Vec<LaneId>,
    pub(super) shared: Arc<Shared>,
}

impl Retention {
    /// Runs until the writer is dropped.
    pub(super) async fn run(self) {
        let retention = self.shared.settings.log_retention;
        let interval = (retention / 8).clamp(Duration::from_millis(1), LOOK_INTERVAL_MAX);
        let mut own: Vec<OwnLane> = self.lanes.iter().map(|_| OwnLane::default()).collect();
        loop {
            tokio::time::sleep(interval).await;
            let outcome = self.look(&mut own).await;
            if let Err(error) = outcome {
                tracing::warn!(%error, "old parts of the log could not be removed; they are tried again");
            }
        }
    }

    async fn look(&self, own: &mut [OwnLane]) -> Outcome<()> {
        let retention = self.shared.settings.log_retention;
        for (lane, known) in self.lanes.iter().zip(own) {
            let state = self.shared.tables.lane_state(lane).await?;
            if let Some(before) = known.old(state.copied, SystemClock.now(), retention) {
                self.remove(lane, state, before).await?;
            }
        }
        let now = SystemClock.wall().as_micros();
        for row in self.shared.tables.writers().await? {
            let age = Duration::from_micros(now.saturating_sub(row.ended_at));
            if !row.copied || row.ended_at == 0 || age < retention {
                continue;
            }
            for lane in (0..row.lanes).map(|lane| LaneId { writer: row.writer.clone(), lane }) {
                let state = self.shared.tables.lane_state(&lane).await?;
                self.remove(&lane, state, state.copied.part + 1).await?;
            }
        }
        Ok(())
    }

    /// Removes the parts below `before`.
    async fn remove(&self, lane: &LaneId, state: LaneState, before: u64) -> Outcome<()> {
        if before <= state.first_part {
            return Ok(());
        }
        let tables = &self.shared.tables;
        let copied = LanePosition::default();
        tables.put_lane_state(lane, LaneState { copied, first_part: before }).await?;
        for part in state.first_part..before {
            tables.drop_part(lane, part).await?;
            count(&self.shared.counters.parts_dropped, 1);
        }
        self.shared.view.dropped(lane, before);
        Ok(())
    }
}

/// Parts of an own lane, with the time at which each was first seen as copied.
#[derive(Default)]
struct OwnLane {
    /// The next part to enter the queue.
    next: u64,
    copied: VecDeque<(u64, Instant)>,
}

impl OwnLane {
    /// The part below which all parts have been copied for `retention`, if there are any.
    fn old(&mut self, copied: LanePosition, now: Instant, retention: Duration) -> Option<u64> {
        while self.next < copied.part {
            self.copied.push_back((self.next, now));
            self.next += 1;
        }
        let mut before = None;
        while let Some((part, since)) = self.copied.front()
            && now.duration_since(*since) >= retention
        {
            before = Some(part + 1);
            self.copied.pop_front();
        }
        before
    }
}
