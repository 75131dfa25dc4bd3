//! The index of reminders by time: which entity has something to do, and when.
//!
//! The truth about a reminder is in the events of its entity. A row of this store finds the entity
//! at the due time without loading every entity; the entity compares the row with its events, so a
//! row that nothing asks for any more does no harm, and no row needs a fencing token.

use std::sync::Arc;

use antiphon_base::text::foreign;
use antiphon_base::time::Timestamp;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::event::SequenceNr;
use crate::identity::{PersistenceId, SEPARATOR};
use crate::{Error, Result};

/// The row of a reminder: at `due`, the entity has something to do. Every field is part of the key.
///
/// Rows are ordered by due time, then by the bytes of the persistence id, the bytes of the name,
/// and the number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ReminderRow {
    /// The time at which the reminder is due; at most [`Self::due_max`].
    pub due: Timestamp,
    /// The stream of the entity, with its replica.
    pub persistence_id: PersistenceId,
    /// The name of the reminder: any text of 1 to [`Self::NAME_BYTES_MAX`] bytes.
    pub name: Arc<str>,
    /// The number of the event that set the reminder, in the entity's own stream; at most
    /// [`Self::set_by_max`].
    pub set_by: SequenceNr,
}

impl ReminderRow {
    /// The longest name, in bytes.
    pub const NAME_BYTES_MAX: usize = 128;

    /// The latest due time, about 292,000 years after 1970: databases have signed numbers.
    pub fn due_max() -> Timestamp {
        Timestamp::from_micros(i64::MAX.unsigned_abs())
    }

    /// The highest number of an event that can set a reminder.
    pub fn set_by_max() -> SequenceNr {
        SequenceNr::new(i64::MAX.unsigned_abs())
    }

    /// The entity type, the first part of the persistence id.
    pub fn entity_type(&self) -> &str {
        let id = self.persistence_id.as_str();
        id.split_once(SEPARATOR).map_or(id, |(entity_type, _)| entity_type)
    }

    /// Checks the bounds of the row.
    ///
    /// # Errors
    /// `Rejected`, naming the field and its bound.
    pub fn check(&self) -> Result<()> {
        let Self { due, persistence_id, name, set_by } = self;
        let refused = |what: String| {
            Err(Error::rejected(format!(
                "reminder `{}` of `{persistence_id}`: {what}",
                foreign(name)
            )))
        };
        let (due_max, set_by_max) = (Self::due_max(), Self::set_by_max());
        match name.len() {
            0 => return refused("`name`: expected a text, actual an empty one".into()),
            1..=Self::NAME_BYTES_MAX => {}
            actual => {
                let max = Self::NAME_BYTES_MAX;
                return refused(format!("`name`: expected at most {max} bytes, actual {actual}"));
            }
        }
        if *due > due_max {
            return refused(format!("`due`: expected at most {due_max}, actual {due}"));
        }
        if *set_by > set_by_max {
            return refused(format!("`set_by`: expected at most {set_by_max}, actual {set_by}"));
        }
        Ok(())
    }
}

/// The rows of the reminders of one place.
///
/// # Contract
/// - `put` must store every row, durable when it returns. A row that is there stays: `put` is
///   idempotent. A row that was removed can be put again.
/// - `put` must fail with `Rejected`, and store no row, when one of them breaks a bound of
///   [`ReminderRow::check`].
/// - `remove` must remove the rows, durable when it returns, and no other row. A row that is not
///   there is no error.
/// - `contains` must see every `put` and `remove` that returned before it was called, also of other
///   sessions.
/// - `due` must return the rows of the entity type that are due at or before `until`, in the order
///   of [`ReminderRow`], beginning behind `after`, at most `row_count_max`. Fewer rows mean that no
///   further row is due.
/// - `due` must see every `put` and `remove` that returned before it was called, also of other
///   sessions, and also a row that is late by months.
/// - `after` need not be a row that is there: rows may be removed while a caller reads page by
///   page, and no other row may be left out or come twice because of it.
/// - A row must be read back equal, to the bit: names are any text, with every character.
/// - A damaged row must never be returned as another row: `due` passes over it, logged and counted;
///   `contains` fails with `Corrupt` or does not find it.
/// - Rows must outlive the sessions, in a store that keeps data.
///
/// A node asks every second, so a `due` that finds nothing should be cheap: one small read, however
/// many rows are due later, and however many were removed before.
///
/// # Example
/// ```
/// use antiphon_base::time::Timestamp;
/// use antiphon_persistence::event::SequenceNr;
/// use antiphon_persistence::identity::PersistenceId;
/// use antiphon_persistence::memory::MemoryStores;
/// use antiphon_persistence::store::ReminderRow;
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let reminders = MemoryStores::new().stores().reminders;
/// let row = ReminderRow {
///     due: Timestamp::from_micros(900),
///     persistence_id: PersistenceId::parse("cart|c-1|DC-A")?,
///     name: "expire".into(),
///     set_by: SequenceNr::new(1),
/// };
/// reminders.put(&[row.clone()]).await?;
/// assert!(reminders.due("cart", Timestamp::from_micros(899), None, 10).await?.is_empty());
/// assert_eq!(reminders.due("cart", Timestamp::from_micros(900), None, 10).await?, [row.clone()]);
///
/// reminders.remove(&[row.clone()]).await?;
/// assert!(!reminders.contains(&row).await?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[async_trait]
pub trait ReminderStore: Send + Sync + 'static {
    /// Stores rows.
    ///
    /// A cancelled or failed call may store all of them or some, at once or later: call again.
    ///
    /// # Errors
    /// `Rejected` when a row breaks a bound; `Unavailable`, or `Timeout` when the outcome is
    /// unknown.
    async fn put(&self, rows: &[ReminderRow]) -> Result<()>;

    /// Removes rows.
    ///
    /// A cancelled or failed call may remove all of them or some, at once or later: call again.
    ///
    /// # Errors
    /// `Unavailable`, or `Timeout` when the outcome is unknown.
    async fn remove(&self, rows: &[ReminderRow]) -> Result<()>;

    /// Returns whether the row is there.
    ///
    /// A cancelled call leaves nothing behind.
    ///
    /// # Errors
    /// `Unavailable`; `Corrupt` when the row is damaged.
    async fn contains(&self, row: &ReminderRow) -> Result<bool>;

    /// The rows of `entity_type` that are due at or before `until`, beginning behind `after`, at
    /// most `row_count_max`.
    ///
    /// A cancelled call leaves nothing behind.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn due(
        &self,
        entity_type: &str,
        until: Timestamp,
        after: Option<&ReminderRow>,
        row_count_max: usize,
    ) -> Result<Vec<ReminderRow>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(due: u64, name: &str, set_by: u64) -> ReminderRow {
        ReminderRow {
            due: Timestamp::from_micros(due),
            persistence_id: PersistenceId::parse("cart|c-1|DC-A").unwrap(),
            name: name.into(),
            set_by: SequenceNr::new(set_by),
        }
    }

    #[test]
    fn a_row_out_of_bounds_is_refused_with_the_field_named() {
        let most = i64::MAX.unsigned_abs();
        row(most, &"n".repeat(128), most).check().unwrap();
        row(0, "\0", 0).check().unwrap();
        for (row, field) in [
            (row(most + 1, "n", 1), "`due`"),
            (row(1, "n", most + 1), "`set_by`"),
            (row(1, "", 1), "`name`"),
            (row(1, &"n".repeat(129), 1), "`name`: expected at most 128 bytes, actual 129"),
        ] {
            let message = row.check().unwrap_err().to_string();
            assert!(message.contains(field), "{message}");
            assert!(message.contains("`cart|c-1|DC-A`"), "{message}");
        }
    }

    #[test]
    fn the_entity_type_is_the_first_part_of_the_id() {
        assert_eq!(row(1, "a|b", 1).entity_type(), "cart");
    }
}
