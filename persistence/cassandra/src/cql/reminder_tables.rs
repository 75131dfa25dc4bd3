//! Statements on reminders.

use std::sync::Arc;

use antiphon_persistence::record::reminder::{Columns, Key};
use async_trait::async_trait;
use bytes::Bytes;

use super::execute::CqlTables;
use super::numbers::{limit, signed, unsigned};
use crate::tables::{MarkRow, Outcome, ReminderPart, ReminderTables};

#[async_trait]
impl ReminderTables for CqlTables {
    async fn put_reminder(&self, part: &ReminderPart, row: &Columns, at: u64) -> Outcome<()> {
        let Key { due, persistence_id, name, set_by } = &row.key;
        let key = (&self.place, &*part.entity_type, signed(part.hour));
        let row = (due, &**persistence_id, &**name, set_by, row.checksum, signed(at));
        let values = (key.0, key.1, key.2, row.0, row.1, row.2, row.3, row.4, row.5);
        self.run(&self.statements.put_reminder, values).await
    }

    async fn remove_reminder(&self, part: &ReminderPart, key: &Key, at: u64) -> Outcome<()> {
        let Key { due, persistence_id, name, set_by } = key;
        let of = (signed(at), &self.place, &*part.entity_type, signed(part.hour));
        let values = (of.0, of.1, of.2, of.3, due, &**persistence_id, &**name, set_by);
        self.run(&self.statements.remove_reminder, values).await
    }

    async fn reminder(&self, part: &ReminderPart, key: &Key) -> Outcome<Option<i64>> {
        let Key { due, persistence_id, name, set_by } = key;
        let of = (&self.place, &*part.entity_type, signed(part.hour));
        let values = (of.0, of.1, of.2, due, &**persistence_id, &**name, set_by);
        let rows: Vec<(Option<i64>,)> = self.rows(&self.statements.reminder, values).await?;
        // a row whose checksum is gone is a damaged one
        Ok(rows.into_iter().next().map(|(sum,)| sum.unwrap_or(0)))
    }

    async fn reminders(
        &self,
        part: &ReminderPart,
        after: &Key,
        last: i64,
        row_count_max: usize,
    ) -> Outcome<Vec<Columns>> {
        type Row = (i64, String, String, i64, Option<i64>);
        let Key { due, persistence_id, name, set_by } = after;
        let of = (&self.place, &*part.entity_type, signed(part.hour));
        let max = limit(row_count_max);
        let values = (of.0, of.1, of.2, due, &**persistence_id, &**name, set_by, last, max);
        let rows: Vec<Row> = self.all_rows(&self.statements.reminders, values).await?;
        let columns = |(due, id, name, set_by, sum): Row| {
            let key = Key { due, persistence_id: id.into(), name: name.into(), set_by };
            Columns { key, checksum: sum.unwrap_or(0) }
        };
        Ok(rows.into_iter().map(columns).collect())
    }

    async fn reminder_parts(&self) -> Outcome<Vec<ReminderPart>> {
        let rows: Vec<(String, String, i64)> =
            self.all_rows(&self.statements.reminder_parts, ()).await?;
        let own = rows.into_iter().filter(|(place, ..)| *place == self.place);
        let part = |(_, entity_type, hour): (String, String, i64)| ReminderPart {
            entity_type: entity_type.into(),
            hour: unsigned(hour),
        };
        Ok(own.map(part).collect())
    }

    async fn put_mark(&self, entity_type: &str, mark: &MarkRow, at: u64) -> Outcome<()> {
        let MarkRow { hour, session, record } = mark;
        let values = (&self.place, entity_type, signed(*hour), &**session, record, signed(at));
        self.run(&self.statements.put_mark, values).await
    }

    async fn remove_mark(
        &self,
        entity_type: &str,
        hour: u64,
        session: &str,
        at: u64,
    ) -> Outcome<()> {
        let values = (signed(at), &self.place, entity_type, signed(hour), session);
        self.run(&self.statements.remove_mark, values).await
    }

    async fn marks(&self, entity_type: &str, last_hour: u64) -> Outcome<Vec<MarkRow>> {
        let values = (&self.place, entity_type, signed(last_hour));
        let rows: Vec<(i64, String, Option<Bytes>)> =
            self.all_rows(&self.statements.marks, values).await?;
        let mark = |(hour, session, record): (i64, String, Option<Bytes>)| MarkRow {
            hour: unsigned(hour),
            session: Arc::from(session),
            record: record.unwrap_or_default(),
        };
        Ok(rows.into_iter().map(mark).collect())
    }
}
