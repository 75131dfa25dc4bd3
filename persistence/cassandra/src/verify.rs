//! Checks every row of the place, while nodes may write. Changes nothing.

use antiphon_base::time::{Clock, SystemClock};
use antiphon_base::{Error, ErrorKind, Result};
use antiphon_persistence::event::SequenceNr;
use antiphon_persistence::identity::PersistenceId;
use antiphon_persistence::record::{cell, snapshot};
use antiphon_persistence::store::{Journal, OffsetKey, ReadJournal};
use antiphon_persistence::verify::{ReminderCheck, Report, StreamCheck};

use crate::log::copy_plan::part_of;
use crate::log::entry::decode_events;
use crate::log::event_row::events_of;
use crate::log::round::decode_stored;
use crate::log::walk::{Next, Walk};
use crate::stores::CassandraStores;
use crate::tables::{LaneId, LanePosition};

/// Streams, rows and events that one read takes.
const STREAMS_MAX: usize = 256;
const ROWS_MAX: usize = 64;
const EVENTS_MAX: usize = 1000;

impl CassandraStores {
    /// Checks every row of the place for damage. Changes nothing, also when the call is cancelled.
    ///
    /// # Errors
    /// `Unavailable` or `Timeout` when the server does not answer; damaged rows are in the report.
    pub async fn verify(&self) -> Result<Report> {
        let (mut report, mut reminders) = (Report::default(), ReminderCheck::default());
        for row in self.tables().writers().await? {
            report.other_rows += 1;
            for lane in (0..row.lanes).map(|lane| LaneId { writer: row.writer.clone(), lane }) {
                self.verify_lane(&lane, &mut report).await?;
            }
        }
        for entity_type in self.tables().entity_types().await? {
            let mut after = None;
            loop {
                let page = self.persistence_ids(&entity_type, after.as_ref(), STREAMS_MAX).await?;
                let Some(last) = page.last() else { break };
                after = Some(last.clone());
                for id in &page {
                    report.streams += 1;
                    self.verify_rows(id, &mut report).await?;
                    let highest = self.verify_events(id, &mut report, &mut reminders).await?;
                    self.verify_snapshots(id, highest, &mut report).await?;
                }
            }
        }
        self.verify_cells(&mut report).await?;
        self.verify_reminders(&mut report, &mut reminders).await?;
        self.verify_lacking(&reminders, &mut report).await?;
        for (reader, part, record) in self.tables().offsets().await? {
            report.other_rows += 1;
            let key = OffsetKey { reader: reader.into(), part: part.into() };
            if let Err(why) = cell::decode_position(&key, &record) {
                let key = format!("reader `{}`, part `{}`", key.reader, key.part);
                report.damaged("offsets", key, why);
            }
        }
        Ok(report)
    }

    /// Reports the reminders without rows. Nodes may have written since the streams were read, so
    /// those that seem to lack one are read again.
    async fn verify_lacking(&self, first: &ReminderCheck, report: &mut Report) -> Result<()> {
        let lacking = first.lacking(SystemClock.wall());
        if lacking.is_empty() {
            return Ok(());
        }
        // damage is reported already
        let (mut other, mut reminders) = (Report::default(), ReminderCheck::default());
        for id in &lacking {
            self.verify_events(id, &mut other, &mut reminders).await?;
        }
        self.verify_reminders(&mut other, &mut reminders).await?;
        reminders.report(SystemClock.wall(), report);
        Ok(())
    }

    async fn verify_lane(&self, lane: &LaneId, report: &mut Report) -> Result<()> {
        let tables = self.tables();
        let mut walk = Walk::from_part(tables.lane_state(lane).await?.first_part);
        loop {
            let part = walk.at().part;
            let page = tables.rounds(lane, part, walk.at().nr).await?;
            let of = |nr: u64| {
                format!("writer `{}`, lane {}, part {part}, round {nr}", lane.writer, lane.lane)
            };
            for (nr, record) in &page.rounds {
                report.event_rows += 1;
                if let Err(gap) = walk.round(*nr) {
                    report.damaged(
                        "log",
                        of(*nr),
                        format!("expected round {}", gap.after.saturating_add(1)),
                    );
                }
                if let Err(why) = decode_stored(lane, LanePosition { part, nr: *nr }, record) {
                    report.damaged("log", of(*nr), why);
                }
            }
            match walk.page(page.state, page.rounds.len()) {
                Ok(Next::Page) => {}
                Ok(Next::Open | Next::Sealed) => return Ok(()),
                Err(gap) => {
                    // old parts may have been removed meanwhile
                    let first = tables.lane_state(lane).await?.first_part;
                    if part >= first {
                        report.damaged("log", of(gap.after + 1), "its row is missing");
                        return Ok(());
                    }
                    walk = Walk::from_part(first);
                }
            }
        }
    }

    /// Checks each row of a stream's own partitions by itself.
    async fn verify_rows(&self, id: &PersistenceId, report: &mut Report) -> Result<()> {
        let (tables, stream) = (self.tables(), id.as_str());
        let row = tables.stream(stream).await?;
        let max = self.inner.shared.partition_events_max;
        for part in part_of(row.deleted.max(1), max)..=row.part {
            let mut from = 0;
            loop {
                let rows = tables.events(stream, part, from, u64::MAX >> 1, ROWS_MAX).await?;
                for row in &rows {
                    report.event_rows += 1;
                    let events = events_of(row)
                        .and_then(|events| decode_events(stream, row.first, row.last, &events));
                    if let Err(error) = events {
                        let key = format!("stream `{id}`, events {} to {}", row.first, row.last);
                        report.damaged("events", key, error.to_string());
                    }
                }
                match rows.last() {
                    Some(last) if rows.len() == ROWS_MAX => from = last.first + 1,
                    Some(_) | None => break,
                }
            }
        }
        Ok(())
    }

    /// Checks the events of a stream as an entity reads them. Returns the highest sequence nr.
    async fn verify_events(
        &self,
        id: &PersistenceId,
        report: &mut Report,
        reminders: &mut ReminderCheck,
    ) -> Result<u64> {
        let deleted = self.tables().stream(id.as_str()).await?.deleted;
        if deleted > 0 {
            let newest = self.tables().snapshot(id.as_str(), u64::MAX >> 1).await?;
            let read = |(number, record)| {
                snapshot::decode(id.as_str(), SequenceNr::new(number), &record).ok()
            };
            // a damaged one is reported with the other snapshots
            if let Some(snapshot) = newest.and_then(read) {
                reminders.snapshot(id, &snapshot);
            }
        }
        let mut check = StreamCheck::after(deleted);
        let key = format!("stream `{id}`");
        loop {
            let next = SequenceNr::new(check.next());
            let events = match self.replay(id, next, SequenceNr::MAX, EVENTS_MAX).await {
                Ok(events) => events,
                Err(error) if error.kind() == ErrorKind::Corrupt => {
                    report.damaged("events", key, error.to_string());
                    return Ok(u64::MAX);
                }
                Err(error) => return Err(error),
            };
            if events.is_empty() {
                break;
            }
            report.events += events.len() as u64;
            for event in &events {
                if let Some(what) = check.event(event) {
                    report.damaged("events", format!("{key}, event {}", event.sequence_nr), what);
                }
                reminders.event(id, event);
            }
        }
        let highest = self.highest(id).await?.value();
        // events may have been added meanwhile, never taken away
        if highest < check.next() - 1 {
            let what =
                format!("expected the highest number {}, actual {highest}", check.next() - 1);
            report.damaged("events", key, what);
        }
        Ok(highest)
    }

    async fn verify_snapshots(
        &self,
        id: &PersistenceId,
        highest: u64,
        report: &mut Report,
    ) -> Result<()> {
        let mut last = u64::MAX >> 1;
        while let Some((number, record)) = self.tables().snapshot(id.as_str(), last).await? {
            report.snapshots += 1;
            let key = format!("snapshot {number} of `{id}`");
            match snapshot::decode(id.as_str(), SequenceNr::new(number), &record) {
                Err(why) => report.damaged("snapshots", key, why),
                Ok(_) if number > highest => {
                    let what = format!("its stream has events up to {highest} only");
                    report.damaged("snapshots", key, what);
                }
                Ok(_) => {}
            }
            let Some(before) = number.checked_sub(1) else { break };
            last = before;
        }
        Ok(())
    }

    async fn verify_cells(&self, report: &mut Report) -> Result<()> {
        for table in self.tables().cell_tables().await? {
            let cells = match self.tables().cells(&table).await.map_err(Error::from) {
                Ok(cells) => cells,
                Err(error) if error.kind() == ErrorKind::Corrupt => {
                    report.damaged("cells", format!("`{table}`"), error.to_string());
                    continue;
                }
                Err(error) => return Err(error),
            };
            for row in cells.rows {
                report.other_rows += 1;
                if let Err(why) = cell::decode(&table, &row.key, row.version, &row.value) {
                    let key = format!("row `{}` of `{table}`", row.key.escape_debug());
                    report.damaged("cells", key, why);
                }
            }
        }
        Ok(())
    }
}
