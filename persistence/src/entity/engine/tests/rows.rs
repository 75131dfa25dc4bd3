//! The rows of reminders of a test, and their scanner.

#![expect(clippy::wildcard_enum_match_arm, reason = "a test looks at what it is about")]

use std::collections::BTreeSet;

use super::log::Log;
use crate::entity::engine::{Action, Input};
use crate::store::ReminderRow;

/// Reads or changes rows.
pub(super) fn run(rows: &mut BTreeSet<ReminderRow>, action: Action<Log>) -> Option<Input<Log>> {
    match action {
        Action::FindReminder(generation, row) => {
            let is_there = rows.contains(&row);
            Some(Input::ReminderFound(generation, row, Ok(is_there)))
        }
        Action::ChangeReminders(changes) => {
            rows.extend(changes.put);
            rows.retain(|row| !changes.remove.contains(row));
            None
        }
        other => panic!("{other:?} is not about rows"),
    }
}
