//! Reminders by their due time: one table, whose key is the whole row.

use std::sync::Arc;

use antiphon_base::Result;
use antiphon_base::lasting::LastingFault;
use antiphon_base::time::{Clock, SystemClock, Timestamp};
use antiphon_persistence::record::reminder::{self, Columns, Key};
use antiphon_persistence::store::{ReminderRow, ReminderStore};
use async_trait::async_trait;
use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::record_error::{Unread, is_of_row};
use crate::stats::{Counters, count};
use crate::stores::SqliteStores;

/// Begins behind a row; the key gives both bounds of the range.
const DUE_AFTER: &str = "SELECT due, persistence_id, name, set_by, checksum FROM reminders
    WHERE entity_type = ?1 AND due <= ?2 AND (due, persistence_id, name, set_by) > (?3, ?4, ?5, ?6)
    ORDER BY due, persistence_id, name, set_by";
const DUE: &str = "SELECT due, persistence_id, name, set_by, checksum FROM reminders
    WHERE entity_type = ?1 AND due <= ?2 ORDER BY due, persistence_id, name, set_by";

#[async_trait]
impl ReminderStore for SqliteStores {
    async fn put(&self, rows: &[ReminderRow]) -> Result<()> {
        rows.iter().try_for_each(ReminderRow::check)?;
        let writer = self.writer()?;
        if rows.is_empty() {
            return Ok(());
        }
        let rows = rows.to_vec();
        writer
            .run(move |connection| {
                // a damaged checksum of the same row is replaced
                let sql = "INSERT OR REPLACE INTO reminders VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
                let mut statement = connection.prepare_cached(sql)?;
                for row in &rows {
                    let (key, Columns { key: of, checksum }) =
                        (row.entity_type(), reminder::encode(row));
                    let Key { due, persistence_id, name, set_by } = of;
                    statement.execute(params![key, due, persistence_id, name, set_by, checksum])?;
                }
                Ok(())
            })
            .await
    }

    async fn remove(&self, rows: &[ReminderRow]) -> Result<()> {
        let writer = self.writer()?;
        let rows: Vec<_> = rows.iter().filter(|row| row.check().is_ok()).cloned().collect();
        if rows.is_empty() {
            return Ok(());
        }
        writer
            .run(move |connection| {
                let mut statement = connection.prepare_cached(
                    "DELETE FROM reminders WHERE entity_type = ?1 AND due = ?2
                     AND persistence_id = ?3 AND name = ?4 AND set_by = ?5",
                )?;
                for row in &rows {
                    let Key { due, persistence_id, name, set_by } = reminder::encode(row).key;
                    let key = row.entity_type();
                    statement.execute(params![key, due, persistence_id, name, set_by])?;
                }
                Ok(())
            })
            .await
    }

    async fn contains(&self, row: &ReminderRow) -> Result<bool> {
        if row.check().is_err() {
            return Ok(false);
        }
        let row = row.clone();
        self.read("reading a reminder", move |transaction| contains(transaction, &row)).await
    }

    async fn due(
        &self,
        entity_type: &str,
        until: Timestamp,
        after: Option<&ReminderRow>,
        row_count_max: usize,
    ) -> Result<Vec<ReminderRow>> {
        let (entity_type, after) = (entity_type.to_owned(), after.cloned());
        let (counters, fault) = (self.inner.counters.clone(), self.inner.damaged_reminder.clone());
        self.read("reading the reminders", move |transaction| {
            let page = Page { entity_type, until, after, row_count_max };
            page.read(transaction, |name, why| passed_over(&counters, &fault, name, why))
        })
        .await
    }
}

fn contains(connection: &Connection, row: &ReminderRow) -> std::result::Result<bool, Unread> {
    let Columns { key, checksum } = reminder::encode(row);
    let Key { due, persistence_id, name, set_by } = key;
    let found: Option<i64> = connection
        .prepare_cached(
            "SELECT checksum FROM reminders WHERE entity_type = ?1 AND due = ?2
             AND persistence_id = ?3 AND name = ?4 AND set_by = ?5",
        )?
        .query_row(params![row.entity_type(), due, persistence_id, name, set_by], |found| {
            found.get(0)
        })
        .optional()?;
    match found {
        None => Ok(false),
        Some(found) if found == checksum => Ok(true),
        Some(_) => Err(Unread::Row(format!(
            "table `reminders`, `{}` of `{persistence_id}`: its checksum is another one",
            name.escape_debug()
        ))),
    }
}

/// A page of due rows.
struct Page {
    entity_type: String,
    until: Timestamp,
    after: Option<ReminderRow>,
    row_count_max: usize,
}

impl Page {
    fn read(
        &self,
        connection: &Connection,
        damaged: impl Fn(&str, &str),
    ) -> std::result::Result<Vec<ReminderRow>, Unread> {
        let Self { entity_type, until, after, row_count_max } = self;
        let until = reminder::due(*until);
        let mut statement = connection.prepare_cached(match after {
            None => DUE,
            Some(_) => DUE_AFTER,
        })?;
        let mut found = match after.as_ref().map(|row| reminder::encode(row).key) {
            None => statement.query(params![entity_type, until])?,
            Some(Key { due, persistence_id, name, set_by }) => {
                statement.query(params![entity_type, until, due, persistence_id, name, set_by])?
            }
        };
        let mut rows = Vec::new();
        while rows.len() < *row_count_max {
            let Some(row) = found.next()? else { break };
            match columns(row) {
                Ok(columns) => match reminder::decode(entity_type, &columns) {
                    Ok(row) => rows.push(row),
                    Err(why) => damaged(&columns.key.persistence_id, why),
                },
                Err(error) if is_of_row(&error) => damaged("?", &error.to_string()),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(rows)
    }
}

/// Counts and logs a damaged row that was passed over. Each read meets it again, so the log is
/// paced.
fn passed_over(counters: &Counters, fault: &Mutex<LastingFault>, id: &str, why: &str) {
    count(&counters.reminders_damaged, 1);
    if let Some(line) = fault.lock().failed(SystemClock.now()) {
        let times = line.count;
        tracing::error!(times, "table `reminders`, a row of `{id}` is passed over: {why}");
    }
}

/// The columns of a row of `reminders`, in the order of the queries above.
pub(crate) fn columns(row: &Row<'_>) -> rusqlite::Result<Columns> {
    let (persistence_id, name): (Arc<str>, Arc<str>) = (row.get(1)?, row.get(2)?);
    let key = Key { due: row.get(0)?, persistence_id, name, set_by: row.get(3)? };
    Ok(Columns { key, checksum: row.get(4)? })
}
