//! The row of a reminder as databases store it: signed numbers, and the checksum of the whole row.
//!
//! The entity type is a column of its own, by which rows are found; the checksum covers it too.

use std::sync::Arc;

use antiphon_base::time::Timestamp;

use super::bytes::Unreadable;
use super::checksum::{Checksum, DAMAGED};
use crate::event::SequenceNr;
use crate::identity::PersistenceId;
use crate::store::ReminderRow;

/// The key of a row within its entity type. The order of keys is the order of the rows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// Microseconds since 1970.
    pub due: i64,
    /// The persistence id.
    pub persistence_id: Arc<str>,
    /// The name of the reminder.
    pub name: Arc<str>,
    /// The number of the event.
    pub set_by: i64,
}

/// The columns of a row, without the entity type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Columns {
    /// The key of the row.
    pub key: Key,
    /// The checksum of the row.
    pub checksum: i64,
}

/// The largest number of the database, for a number that no row has.
fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The due time in the form of a database, for the bound of a range: no row is later than the
/// largest number.
pub fn due(due: Timestamp) -> i64 {
    number(due.as_micros())
}

/// The columns of a row whose bounds were checked.
pub fn encode(row: &ReminderRow) -> Columns {
    let key = Key {
        due: due(row.due),
        persistence_id: row.persistence_id.clone().into(),
        name: row.name.clone(),
        set_by: number(row.set_by.value()),
    };
    Columns { checksum: key.sum(row.entity_type()), key }
}

/// The row of these columns, under this entity type.
///
/// # Errors
/// The reason why the row cannot be used.
pub fn decode(entity_type: &str, columns: &Columns) -> Result<ReminderRow, Unreadable> {
    if columns.key.sum(entity_type) != columns.checksum {
        return Err(DAMAGED);
    }
    let Key { due, persistence_id, name, set_by } = &columns.key;
    let row = ReminderRow {
        due: Timestamp::from_micros(u64::try_from(*due).map_err(|_| DAMAGED)?),
        persistence_id: PersistenceId::parse(persistence_id).map_err(|_| DAMAGED)?,
        name: name.clone(),
        set_by: SequenceNr::new(u64::try_from(*set_by).map_err(|_| DAMAGED)?),
    };
    let is_sound = row.entity_type() == entity_type && row.check().is_ok();
    if is_sound { Ok(row) } else { Err(DAMAGED) }
}

impl Key {
    fn sum(&self, entity_type: &str) -> i64 {
        let mut sum = Checksum::of("reminders");
        sum.text(entity_type).signed(self.due).text(&self.persistence_id).text(&self.name);
        sum.signed(self.set_by).stored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_of_a_row_never_change() {
        let row = ReminderRow {
            due: Timestamp::from_micros(1_700_000_000_000_001),
            persistence_id: PersistenceId::parse("cart|c-1|DC-A").unwrap(),
            name: "expire".into(),
            set_by: SequenceNr::new(7),
        };
        let Columns { key, checksum } = encode(&row);
        assert_eq!((key.due, key.set_by), (1_700_000_000_000_001, 7));
        assert_eq!((&*key.persistence_id, &*key.name), ("cart|c-1|DC-A", "expire"));
        assert_eq!(checksum, 5_354_856_417_991_813_570);
    }

    #[test]
    fn a_row_comes_back_and_a_changed_column_is_found() {
        let row = ReminderRow {
            due: ReminderRow::due_max(),
            persistence_id: PersistenceId::parse("cart|c-1|DC-A").unwrap(),
            name: "a\0|ü".into(),
            set_by: ReminderRow::set_by_max(),
        };
        let columns = encode(&row);
        assert_eq!(decode("cart", &columns), Ok(row));
        for key in [
            Key { due: columns.key.due - 1, ..columns.key.clone() },
            Key { persistence_id: "cart|c-2|DC-A".into(), ..columns.key.clone() },
            Key { persistence_id: "no id".into(), ..columns.key.clone() },
            Key { name: "a".into(), ..columns.key.clone() },
            Key { set_by: -1, ..columns.key.clone() },
        ] {
            let changed = Columns { key, checksum: columns.checksum };
            assert_eq!(decode("cart", &changed), Err(DAMAGED), "{changed:?}");
        }
        let changed = Columns { checksum: columns.checksum ^ 1, ..columns.clone() };
        assert_eq!(decode("cart", &changed), Err(DAMAGED));
        assert_eq!(decode("card", &columns), Err(DAMAGED));
    }

    #[test]
    fn a_sound_checksum_over_an_impossible_row_is_no_row() {
        let persistence_id = "cart|c-1|DC-A".into();
        let key = Key { due: 1, persistence_id, name: "".into(), set_by: 1 };
        let columns = Columns { checksum: key.sum("cart"), key };
        assert_eq!(decode("cart", &columns), Err(DAMAGED), "the empty name");
    }
}
