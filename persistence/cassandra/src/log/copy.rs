//! The copy from the log into the entities' own partitions: sends the writes of the
//! [plan](super::copy_plan), and moves the watermark afterwards.

use std::sync::Arc;
use std::time::Duration;

use antiphon_base::Result;
use antiphon_base::backoff::{Backoff, Jitter};
use futures::stream::{self, StreamExt};

use super::copy_plan::{Write, plan};
use super::entry::{Entry, Stream};
use crate::settings::CassandraSettings;
use crate::stats::{Counters, count};
use crate::tables::{LaneId, LanePosition, LaneState, Outcome, StreamRow, Tables};

/// Context of a copy.
pub(crate) struct Copying<'a> {
    pub(crate) tables: &'a Arc<dyn Tables>,
    pub(crate) settings: &'a CassandraSettings,
    pub(crate) counters: &'a Counters,
    pub(crate) partition_events_max: u64,
}

impl Copying<'_> {
    /// Copies the events of `entries`, and returns when all are stored. Repeats failed statements
    /// for ever; drop the future to stop. A cancelled call leaves some of the rows; they are right,
    /// and the next copier writes them again.
    ///
    /// # Errors
    /// `Corrupt` when an append cannot be decoded, or when the appends of a stream are not in
    /// order.
    pub(crate) async fn copy(&self, entries: impl Iterator<Item = Entry>) -> Result<()> {
        let plan = plan(entries, self.partition_events_max)?;
        stream::iter(plan)
            .for_each_concurrent(self.settings.copies_in_flight_max, |(of, writes)| async move {
                for write in writes {
                    self.write(&of, write).await;
                }
            })
            .await;
        Ok(())
    }

    async fn write(&self, of: &Stream, write: Write) {
        let Self { tables, counters, .. } = self;
        match write {
            Write::List(bucket) => {
                let list = || tables.put_stream_id(of.id.entity_type(), bucket, &of.name);
                self.until_done(list).await;
            }
            Write::Announce(part) => {
                let known = StreamRow { part, deleted: 0 };
                self.until_done(|| tables.put_stream(&of.name, known)).await;
            }
            Write::Put(row) => {
                self.until_done(|| tables.put_events(&row)).await;
                count(&counters.copied_rows, 1);
                count(&counters.copied_events, row.last - row.first + 1);
            }
        }
    }

    /// Moves the watermark of a lane; all events up to `copied` were copied before. A cancelled
    /// call leaves the old or the new watermark, and both are right.
    pub(crate) async fn mark_copied(&self, lane: &LaneId, copied: LanePosition) {
        let state = LaneState { copied, first_part: 0 };
        self.until_done(|| self.tables.put_lane_state(lane, state)).await;
    }

    /// Repeats an idempotent statement until it succeeds.
    async fn until_done<'a, T, F>(&self, statement: impl Fn() -> F) -> T
    where
        F: Future<Output = Outcome<T>> + 'a,
    {
        let backoff = Backoff::new(self.settings.retry_min, self.settings.retry_max);
        let mut failures = 0_u32;
        loop {
            match statement().await {
                Ok(value) => return value,
                Err(failed) => {
                    count(&self.counters.retries, 1);
                    failures = failures.saturating_add(1);
                    let wait = backoff.delay(failures, Jitter::NONE).max(Duration::from_millis(1));
                    tracing::debug!(error = %failed, ?wait, "a statement is repeated");
                    tokio::time::sleep(wait).await;
                }
            }
        }
    }
}
