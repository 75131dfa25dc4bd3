//! Statements on reminders: of two writes, the later time counts.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use antiphon_persistence::record::reminder::{Columns, Key};
use async_trait::async_trait;
use bytes::Bytes;

use super::ModelTables;
use crate::tables::{MarkRow, Outcome, ReminderPart, ReminderTables};

/// A value with the time of its write; `None` after a removal, whose time stays.
#[derive(Debug, Clone)]
pub(super) struct Timed<T> {
    at: u64,
    pub(super) value: Option<T>,
}

impl<T> Default for Timed<T> {
    fn default() -> Self {
        Self { at: 0, value: None }
    }
}

impl<T> Timed<T> {
    fn write(&mut self, at: u64, value: Option<T>) {
        let is_later = at > self.at || (at == self.at && value.is_none());
        if is_later {
            *self = Self { at, value };
        }
    }
}

#[derive(Debug, Default, Clone)]
pub(super) struct ReminderData {
    /// The checksums of the rows of each part.
    pub(super) rows: BTreeMap<ReminderPart, BTreeMap<Key, Timed<i64>>>,
    marks: BTreeMap<(Arc<str>, u64, Arc<str>), Timed<Bytes>>,
}

#[async_trait]
impl ReminderTables for ModelTables {
    async fn put_reminder(&self, part: &ReminderPart, row: &Columns, at: u64) -> Outcome<()> {
        self.step(|data| {
            let rows = data.reminders.rows.entry(part.clone()).or_default();
            rows.entry(row.key.clone()).or_default().write(at, Some(row.checksum));
        })
    }

    async fn remove_reminder(&self, part: &ReminderPart, key: &Key, at: u64) -> Outcome<()> {
        self.step(|data| {
            let rows = data.reminders.rows.entry(part.clone()).or_default();
            rows.entry(key.clone()).or_default().write(at, None);
        })
    }

    async fn reminder(&self, part: &ReminderPart, key: &Key) -> Outcome<Option<i64>> {
        self.step(|data| data.reminders.rows.get(part)?.get(key)?.value)
    }

    async fn reminders(
        &self,
        part: &ReminderPart,
        after: &Key,
        last: i64,
        row_count_max: usize,
    ) -> Outcome<Vec<Columns>> {
        self.step(|data| {
            let Some(rows) = data.reminders.rows.get(part) else { return Vec::new() };
            let rows = rows.range::<Key, _>((Bound::Excluded(after), Bound::Unbounded));
            let rows = rows.take_while(|(key, _)| key.due <= last);
            let rows = rows
                .filter_map(|(key, row)| Some(Columns { key: key.clone(), checksum: row.value? }));
            rows.take(row_count_max).collect()
        })
    }

    async fn reminder_parts(&self) -> Outcome<Vec<ReminderPart>> {
        self.step(|data| data.reminders.rows.keys().cloned().collect())
    }

    async fn put_mark(&self, entity_type: &str, mark: &MarkRow, at: u64) -> Outcome<()> {
        self.step(|data| {
            let key = (entity_type.into(), mark.hour, mark.session.clone());
            let there = data.reminders.marks.entry(key).or_default();
            there.write(at, Some(mark.record.clone()));
        })
    }

    async fn remove_mark(
        &self,
        entity_type: &str,
        hour: u64,
        session: &str,
        at: u64,
    ) -> Outcome<()> {
        self.step(|data| {
            let key = (entity_type.into(), hour, session.into());
            data.reminders.marks.entry(key).or_default().write(at, None);
        })
    }

    async fn marks(&self, entity_type: &str, last_hour: u64) -> Outcome<Vec<MarkRow>> {
        self.step(|data| {
            let marks = data.reminders.marks.iter().filter_map(|((of, hour, session), mark)| {
                let is_asked = **of == *entity_type && *hour <= last_hour;
                let record = mark.value.clone().filter(|_| is_asked)?;
                Some(MarkRow { hour: *hour, session: session.clone(), record })
            });
            marks.collect()
        })
    }
}
