//! The end of a writer: seals its lanes one by one, then copies the rest of its log after the
//! watermark.
//!
//! The walk along a lane goes from the part of its watermark to the open part. A part is sealed
//! only if it is not closed, and closed only if it is not sealed. Both are conditional writes, so
//! the walk and the lane cannot pass each other.

use std::sync::Arc;

use antiphon_base::Result;
use antiphon_base::time::{Clock, SystemClock};

use super::copy;
use super::round::Entry;
use super::view::look::{self, hole};
use crate::settings::CassandraSettings;
use crate::stats::Counters;
use crate::tables::{LaneId, LanePosition, Tables, WriterRow};

/// Context of a seal.
pub(crate) struct Sealing<'a> {
    pub(crate) tables: &'a Arc<dyn Tables>,
    pub(crate) settings: &'a CassandraSettings,
    pub(crate) counters: &'a Counters,
    pub(crate) partition_events_max: u64,
}

impl Sealing<'_> {
    /// Ends a writer. After the return, no append of the writer takes effect, and all its events
    /// are in the streams' own partitions.
    pub(crate) async fn seal(&self, writer: &str) -> Result<()> {
        let unopened =
            WriterRow { writer: writer.into(), lanes: 0, sealed: true, copied: true, ended_at: 0 };
        let Some(row) = self.tables.insert_writer(&unopened).await? else { return Ok(()) };
        if row.copied {
            return Ok(());
        }
        let lanes: Vec<LaneId> =
            (0..row.lanes).map(|lane| LaneId { writer: row.writer.clone(), lane }).collect();
        if !row.sealed {
            for lane in &lanes {
                self.seal_lane(lane).await?;
            }
            self.tables.end_writer(writer, None).await?;
        }
        for lane in &lanes {
            self.copy_rest(lane).await?;
        }
        self.tables.end_writer(writer, Some(SystemClock.wall().as_micros())).await?;
        Ok(())
    }

    async fn seal_lane(&self, lane: &LaneId) -> Result<()> {
        let mut part = self.tables.lane_state(lane).await?.copied.part;
        while self.tables.seal_part(lane, part).await?.closed {
            part += 1;
        }
        Ok(())
    }

    /// Copies page by page, so that a long rest needs no more memory than a short one.
    async fn copy_rest(&self, lane: &LaneId) -> Result<()> {
        let LanePosition { mut part, mut nr } = self.tables.lane_state(lane).await?.copied;
        loop {
            let page = self.tables.rounds(lane, part, nr).await?;
            let mut entries: Vec<Entry> = Vec::new();
            for (at, record) in &page.rounds {
                if *at != nr + 1 {
                    return Err(hole(lane, nr, *at));
                }
                nr = *at;
                let at = LanePosition { part, nr };
                let decoded: Arc<[Entry]> = look::decode_stored(lane, at, record)?;
                entries.extend(decoded.iter().cloned());
            }
            if !entries.is_empty() {
                let Self { tables, settings, counters, partition_events_max } = self;
                let entries = entries.into_iter();
                copy::copy(tables, settings, counters, *partition_events_max, entries).await?;
                let copied = LanePosition { part, nr };
                copy::mark_copied(tables, settings, counters, lane, copied).await;
            }
            match page.state.head {
                Some(head) if head > nr && page.rounds.is_empty() => {
                    return Err(hole(lane, nr, head));
                }
                Some(head) if head > nr => {}
                _ if page.state.closed => part += 1,
                _ => return Ok(()),
            }
        }
    }
}
