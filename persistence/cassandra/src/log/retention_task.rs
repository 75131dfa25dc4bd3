//! The task that removes old parts of the log by the rule of [retention](super::retention): parts
//! of the own writer, and all parts of writers that have ended.
//!
//! First the lane's row gets the number of its first remaining part, then older parts are removed.
//! A reader that needs a removed part sees that it is gone, and reads the streams instead.

use std::sync::Arc;

use antiphon_base::time::{Clock, SystemClock};

use super::retention::{OwnLane, look_interval, of_ended};
use crate::shared::Shared;
use crate::stats::count;
use crate::tables::{LaneId, LanePosition, LaneState, Outcome};

/// The retention task of an open writer.
pub(super) struct RetentionTask {
    pub(super) lanes: Vec<LaneId>,
    pub(super) shared: Arc<Shared>,
}

impl RetentionTask {
    /// Runs until the writer is dropped. When it is stopped, the parts that it has not removed are
    /// removed by the next task.
    pub(super) async fn run(self) {
        let interval = look_interval(self.shared.settings.log_retention);
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
            if !of_ended(&row, now, retention) {
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
        let copied = state.copied.part;
        if before > copied + 1 {
            // the copy went back, as after a restore: nothing goes until it is there again
            tracing::warn!(lane = ?lane, before, copied, "old parts of the log stay: the copy went back");
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
