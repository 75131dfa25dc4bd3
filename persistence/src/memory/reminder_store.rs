//! [`ReminderStore`] in memory: the sorted rows of each entity type.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use antiphon_base::time::Timestamp;
use async_trait::async_trait;

use super::MemoryStores;
use crate::Result;
use crate::store::{ReminderRow, ReminderStore};

/// The rows by entity type.
pub(super) type ReminderRows = BTreeMap<Arc<str>, BTreeSet<ReminderRow>>;

#[async_trait]
impl ReminderStore for MemoryStores {
    async fn put(&self, rows: &[ReminderRow]) -> Result<()> {
        rows.iter().try_for_each(ReminderRow::check)?;
        let reminders = &mut self.lock().reminders;
        for row in rows {
            reminders.entry(row.entity_type().into()).or_default().insert(row.clone());
        }
        Ok(())
    }

    async fn remove(&self, rows: &[ReminderRow]) -> Result<()> {
        let reminders = &mut self.lock().reminders;
        for row in rows {
            if let Some(of_type) = reminders.get_mut(row.entity_type()) {
                of_type.remove(row);
            }
        }
        Ok(())
    }

    async fn contains(&self, row: &ReminderRow) -> Result<bool> {
        let state = self.lock_to_read();
        let of_type = state.reminders.get(row.entity_type());
        Ok(of_type.is_some_and(|rows| rows.contains(row)))
    }

    async fn due(
        &self,
        entity_type: &str,
        until: Timestamp,
        after: Option<&ReminderRow>,
        row_count_max: usize,
    ) -> Result<Vec<ReminderRow>> {
        let state = self.lock_to_read();
        let Some(rows) = state.reminders.get(entity_type) else { return Ok(Vec::new()) };
        let begin = after.map_or(Bound::Unbounded, Bound::Excluded);
        let rows = rows.range((begin, Bound::Unbounded)).take_while(|row| row.due <= until);
        Ok(rows.take(row_count_max).cloned().collect())
    }
}
