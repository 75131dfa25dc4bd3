//! The walk through the rows of a table.

use antiphon_persistence::verify::{ReminderCheck, Report};
use rusqlite::{Connection, Row};

use crate::record_error::Unread;

pub(super) type Walked<T> = Result<T, Unread>;

/// A walk through the file in one transaction, with its report.
pub(super) struct Walk<'a> {
    pub(super) connection: &'a Connection,
    pub(super) report: Report,
    pub(super) reminders: ReminderCheck,
}

impl Walk<'_> {
    /// Calls `visit` with each row. A row with unreadable columns counts as damaged.
    pub(super) fn each(
        &mut self,
        table: &'static str,
        sql: &str,
        mut visit: impl FnMut(&mut Report, &Row<'_>) -> rusqlite::Result<()>,
    ) -> Walked<()> {
        let mut statement = self.connection.prepare(sql)?;
        let mut rows = statement.query([])?;
        let mut number = 0_u64;
        while let Some(row) = rows.next()? {
            number += 1;
            if let Err(error) = visit(&mut self.report, row) {
                if error.sqlite_error_code().is_some() {
                    return Err(error.into());
                }
                self.report.damaged(table, format!("row {number}"), error.to_string());
            }
        }
        Ok(())
    }

    /// Checks the pages of the file, and that the indexes fit the tables.
    pub(super) fn file(&mut self) -> Walked<()> {
        self.each("file", "PRAGMA integrity_check(100)", |report, row| {
            let what: String = row.get(0)?;
            if what != "ok" {
                report.damaged("file", "pages and indexes", what);
            }
            Ok(())
        })
    }
}
