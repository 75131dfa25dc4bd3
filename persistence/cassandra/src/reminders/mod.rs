//! Reminders by their due time.
//!
//! | table | partition | rows |
//! |---|---|---|
//! | `reminders` | entity type and hour | the reminders that are due in the hour, in order |
//! | `reminder_marks` | entity type | by hour: the marks of those who put rows, and progress |
//!
//! `due` reads the marks up to the present hour, which is one statement, and then only the minutes
//! where a row may be due. The rules are in `marks`, for those who put, and `floors`, for those who
//! read. When no row of a past hour is left, its marks are removed. A mark is removed with its
//! number as the time of the removal, so a newer mark of the same session stays.
//!
//! Rows have no TTL. The time of a put or a removal is that of the node's clock, and grows within a
//! session: a removal by a node whose clock is behind that of the node which put the row takes
//! effect only when it is repeated later.

mod floors;
mod marks;
pub(crate) mod state;

use std::collections::BTreeMap;
use std::sync::Arc;

use antiphon_base::time::{Clock, SystemClock, Timestamp};
use antiphon_base::{Error, Result};
use antiphon_persistence::record::reminder::{self, Columns};
use antiphon_persistence::store::{CasOutcome, Coordination, ReminderRow, ReminderStore};
use antiphon_persistence::verify::{ReminderCheck, Report};
use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use parking_lot::Mutex;

use crate::damaged::damaged;
use crate::stats::count;
use crate::stores::CassandraStores;
use crate::tables::ReminderPart;
use floors::{Floors, PROGRESS, before_all, behind_all};
use marks::{Marks, hour_of, minute_of, within_hour};

/// Statements of one call that are under way at the same time.
const IN_FLIGHT_MAX: usize = 64;

/// The coordination table, and its row, with the number of the next session.
const SESSIONS: (&str, &str) = ("reminder_sessions", "next");

/// Attempts to get the number of a session while others do the same.
const ATTEMPTS_MAX: u32 = 100;

fn part_of(row: &ReminderRow) -> ReminderPart {
    let hour = hour_of(row.due.as_micros());
    ReminderPart { entity_type: row.entity_type().into(), hour }
}

/// The rows within their bounds; no other row is ever there.
fn encoded(rows: &[ReminderRow]) -> Vec<(ReminderPart, Columns)> {
    let rows = rows.iter().filter(|row| row.check().is_ok());
    rows.map(|row| (part_of(row), reminder::encode(row))).collect()
}

#[async_trait]
impl ReminderStore for CassandraStores {
    async fn put(&self, rows: &[ReminderRow]) -> Result<()> {
        self.require_owner()?;
        rows.iter().try_for_each(ReminderRow::check)?;
        if rows.is_empty() {
            return Ok(());
        }
        let (state, tables) = (&self.inner.shared.reminders, self.tables());
        let marks = state.marks.get_or_try_init(|| self.begin_session()).await?;
        let mut minutes: BTreeMap<ReminderPart, Vec<u8>> = BTreeMap::new();
        for row in rows {
            let minute = within_hour(minute_of(row.due.as_micros()));
            minutes.entry(part_of(row)).or_default().push(minute);
        }
        let puts = encoded(rows)
            .into_iter()
            .map(|(part, row)| async move { tables.put_reminder(&part, &row, state.now()).await });
        stream::iter(puts).buffer_unordered(IN_FLIGHT_MAX).try_collect::<()>().await?;
        // the rows are durable: see `marks`
        let puts = minutes.into_iter().map(|(part, minutes)| async move {
            let (mark, number) = marks.lock().put(&part, minutes);
            tables.put_mark(&part.entity_type, &mark, number).await
        });
        stream::iter(puts).buffer_unordered(IN_FLIGHT_MAX).try_collect::<()>().await?;
        Ok(())
    }

    async fn remove(&self, rows: &[ReminderRow]) -> Result<()> {
        self.require_owner()?;
        let (state, tables) = (&self.inner.shared.reminders, self.tables());
        let removals = encoded(rows).into_iter().map(|(part, row)| async move {
            tables.remove_reminder(&part, &row.key, state.now()).await
        });
        stream::iter(removals).buffer_unordered(IN_FLIGHT_MAX).try_collect::<()>().await?;
        Ok(())
    }

    async fn contains(&self, row: &ReminderRow) -> Result<bool> {
        if row.check().is_err() {
            return Ok(false);
        }
        let Columns { key, checksum } = reminder::encode(row);
        match self.tables().reminder(&part_of(row), &key).await? {
            None => Ok(false),
            Some(found) if found == checksum => Ok(true),
            Some(_) => {
                let row = format!("`{}` of `{}`", key.name.escape_debug(), key.persistence_id);
                Err(damaged("reminders", &row, "its checksum is another one"))
            }
        }
    }

    async fn due(
        &self,
        entity_type: &str,
        until: Timestamp,
        after: Option<&ReminderRow>,
        row_count_max: usize,
    ) -> Result<Vec<ReminderRow>> {
        let floors = self.inner.shared.reminders.floors(entity_type);
        let mut floors = floors.lock().await;
        let last_hour = hour_of(reminder::due(until).unsigned_abs());
        let marks = self.tables().marks(entity_type, last_hour).await?;
        if let Some(why) = floors.read(&marks, last_hour) {
            self.passed_over("reminder_marks", entity_type, &why);
        }
        let rows = self.due_rows(&mut floors, entity_type, until, after, row_count_max).await?;
        if self.require_owner().is_ok()
            && let Err(error) = self.tidy(&mut floors, entity_type, until).await
        {
            tracing::debug!(%error, "marks of reminders are removed later");
        }
        Ok(rows)
    }
}

impl CassandraStores {
    /// Takes the number of a new session, which no session had before. The time is a guard for
    /// tables that were restored from a backup.
    async fn begin_session(&self) -> Result<Mutex<Marks>> {
        let (table, key) = SESSIONS;
        for _ in 0..ATTEMPTS_MAX {
            let row = Coordination::read(self, table, key).await?;
            let text = row.as_ref().map_or(&b"0"[..], |row| &row.value);
            let number = std::str::from_utf8(text).ok().and_then(|text| text.parse::<u64>().ok());
            let number = number.ok_or_else(|| damaged("cells", key, "expected a number"))?;
            let next = Bytes::from((number + 1).to_string());
            let version = row.map(|row| row.version);
            let outcome = self.compare_and_set(table, key, version, Some(next)).await?;
            match outcome {
                CasOutcome::Applied(_) => {
                    let session = format!("{number:08}-{}", SystemClock.wall().as_micros());
                    return Ok(Mutex::new(Marks::new(session.into())));
                }
                CasOutcome::Conflict(_) => {}
            }
        }
        Err(Error::unavailable("reminders: the number of a session was taken each time: try again"))
    }

    /// The due rows, read minute by minute.
    async fn due_rows(
        &self,
        floors: &mut Floors,
        entity_type: &str,
        until: Timestamp,
        after: Option<&ReminderRow>,
        row_count_max: usize,
    ) -> Result<Vec<ReminderRow>> {
        let until = reminder::due(until);
        let mut at = after.map_or_else(|| before_all(0), |row| reminder::encode(row).key);
        let mut rows = Vec::new();
        while rows.len() < row_count_max {
            let Some(slice) = floors.next(&at, until) else { break };
            let room = row_count_max - rows.len();
            let part = ReminderPart { entity_type: entity_type.into(), hour: slice.hour };
            let page = self.tables().reminders(&part, &slice.after, slice.last, room).await?;
            floors.found(&slice, page.first().map(|first| &first.key), until);
            let last = page.last().filter(|_| page.len() >= room).map(|last| last.key.clone());
            for columns in page.iter().take_while(|columns| columns.key.due <= until) {
                match reminder::decode(entity_type, columns) {
                    Ok(row) => rows.push(row),
                    Err(why) => self.passed_over("reminders", &columns.key.persistence_id, why),
                }
            }
            at = match last {
                Some(last) if last.due > until => break,
                Some(last) => last,
                None if slice.last >= until => break,
                None => behind_all(slice.last),
            };
        }
        Ok(rows)
    }

    /// Removes the marks of hours without a row, and writes progress.
    async fn tidy(&self, floors: &mut Floors, entity_type: &str, until: Timestamp) -> Result<()> {
        let (tables, state) = (self.tables(), &self.inner.shared.reminders);
        for ended in floors.ended(reminder::due(until)) {
            let hour = ended.hour;
            for (session, number) in &ended.sessions {
                tables.remove_mark(entity_type, hour, session, *number).await?;
            }
            if ended.has_progress {
                tables.remove_mark(entity_type, hour, PROGRESS, state.now()).await?;
            }
            floors.forget(hour);
        }
        for row in floors.progress() {
            tables.put_mark(entity_type, &row, state.now()).await?;
        }
        Ok(())
    }

    /// Counts and logs a damaged row that was passed over.
    fn passed_over(&self, table: &str, of: &str, why: &str) {
        let shared = &self.inner.shared;
        count(&shared.counters.reminders_damaged, 1);
        if let Some(line) = shared.reminders.fault.lock().failed(SystemClock.now()) {
            let times = line.count;
            tracing::error!(times, "table `{table}`, a row of `{of}` is passed over: {why}");
        }
    }

    /// Checks every row of a reminder, and every mark of their entity types.
    pub(crate) async fn verify_reminders(
        &self,
        report: &mut Report,
        reminders: &mut ReminderCheck,
    ) -> Result<()> {
        const ROWS_MAX: usize = 1000;
        let mut types: Vec<Arc<str>> = Vec::new();
        for part in self.tables().reminder_parts().await? {
            let mut after = before_all(i64::MIN);
            loop {
                let rows = self.tables().reminders(&part, &after, i64::MAX, ROWS_MAX).await?;
                for row in &rows {
                    report.other_rows += 1;
                    match reminder::decode(&part.entity_type, row) {
                        Ok(row) => reminders.row(&row),
                        Err(why) => {
                            let (id, name) = (&row.key.persistence_id, row.key.name.escape_debug());
                            let id = id.escape_debug();
                            report.damaged("reminders", format!("`{name}` of `{id}`"), why);
                        }
                    }
                }
                match rows.last() {
                    Some(last) if rows.len() == ROWS_MAX => after = last.key.clone(),
                    Some(_) | None => break,
                }
            }
            types.push(part.entity_type);
        }
        types.sort();
        types.dedup();
        for entity_type in types {
            for mark in self.tables().marks(&entity_type, u64::MAX).await? {
                report.other_rows += 1;
                let checked = if &*mark.session == PROGRESS {
                    floors::check_progress(&entity_type, &mark)
                } else {
                    marks::decode(&entity_type, &mark).map(drop)
                };
                if let Err(why) = checked {
                    let (hour, session) = (mark.hour, mark.session.escape_debug());
                    let key = format!("`{entity_type}`, hour {hour}, session `{session}`");
                    report.damaged("reminder_marks", key, why);
                }
            }
        }
        Ok(())
    }
}
