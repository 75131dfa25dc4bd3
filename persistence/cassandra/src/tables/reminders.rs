//! Reminders by their due time, and the marks that lead to them.

use std::sync::Arc;

use antiphon_persistence::record::reminder::{Columns, Key};
use async_trait::async_trait;
use bytes::Bytes;

use super::outcome::Outcome;

/// The partition of reminders: all of one entity type that are due in one hour since 1970.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReminderPart {
    /// The entity type.
    pub entity_type: Arc<str>,
    /// The hour.
    pub hour: u64,
}

/// A mark of a part: its reminders by minute, as one session knows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MarkRow {
    /// The hour of the part.
    pub hour: u64,
    /// The session that wrote the mark.
    pub session: Arc<str>,
    /// The record of the mark.
    pub record: Bytes,
}

/// Statements on reminders. A cancelled write may have taken effect, and may still take effect; a
/// cancelled read changes nothing.
///
/// Each write has a time, `at`. Of two writes of one row, the later one counts, in whatever order
/// they arrive; a removal counts more than a put of the same time.
#[async_trait]
pub trait ReminderTables: Send + Sync + 'static {
    /// Plain: a row.
    async fn put_reminder(&self, part: &ReminderPart, row: &Columns, at: u64) -> Outcome<()>;
    /// Plain: removes a row.
    async fn remove_reminder(&self, part: &ReminderPart, key: &Key, at: u64) -> Outcome<()>;
    /// The checksum of a row.
    async fn reminder(&self, part: &ReminderPart, key: &Key) -> Outcome<Option<i64>>;
    /// Rows of a part behind `after` that are due at `last` or before, in order, at most
    /// `row_count_max`.
    async fn reminders(
        &self,
        part: &ReminderPart,
        after: &Key,
        last: i64,
        row_count_max: usize,
    ) -> Outcome<Vec<Columns>>;
    /// All parts that have rows. Reads the whole table.
    async fn reminder_parts(&self) -> Outcome<Vec<ReminderPart>>;

    /// Plain: a mark.
    async fn put_mark(&self, entity_type: &str, mark: &MarkRow, at: u64) -> Outcome<()>;
    /// Plain: removes a mark.
    async fn remove_mark(
        &self,
        entity_type: &str,
        hour: u64,
        session: &str,
        at: u64,
    ) -> Outcome<()>;
    /// The marks of an entity type up to an hour, in order.
    async fn marks(&self, entity_type: &str, last_hour: u64) -> Outcome<Vec<MarkRow>>;
}
