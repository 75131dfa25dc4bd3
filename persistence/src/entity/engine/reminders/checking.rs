//! The look for the rows of reminders after a recovery. A journal that was copied without its
//! reminders, or an older copy of the rows, has reminders without rows, which nobody would find.
//!
//! One row is looked for at a time. A missing one is put again if its time is ahead; the reminder
//! of a past one has fired in an earlier life, without an event, and is forgotten. A periodic
//! reminder has at least the row of its next time; a late row of an earlier time leads to the same
//! one.

use antiphon_base::time::Timestamp;

use super::book::{Book, current};
use super::{Reminders, RowChanges};
use crate::store::{ReminderRow, SetReminder};

impl Reminders {
    /// Begins to look for the rows after a recovery. Returns the first one.
    pub(in crate::entity::engine) fn check_rows(&mut self, now: Timestamp) -> Option<ReminderRow> {
        self.0.as_mut()?.forget_elsewhere(now, 0);
        self.tidy();
        let book = self.0.as_mut()?;
        let due = book.set.values().filter_map(|reminders| current(reminders));
        let due = due.filter(|reminder| !book.is_elsewhere(reminder));
        book.unchecked = due.map(|reminder| book.next_row(reminder, now)).collect();
        book.check_next()
    }

    /// The rows that must be there at this time, each with whether its reminder is periodic: its
    /// row may have a later time.
    pub(in crate::entity::engine) fn needed_rows(
        &self,
        now: Timestamp,
    ) -> Vec<(ReminderRow, bool)> {
        let Some(book) = &self.0 else { return Vec::new() };
        let set = book.set.values().filter_map(|reminders| current(reminders));
        let needed = set.filter(|reminder| {
            !book.is_elsewhere(reminder) && (reminder.every > 0 || reminder.due > now)
        });
        needed.map(|reminder| (book.row(reminder), reminder.every > 0)).collect()
    }

    /// Takes the answer of the store whether a row is there; `None`: it cannot be read, and the
    /// next recovery looks again. Returns the next row to look for, and a row to be put.
    pub(in crate::entity::engine) fn checked(
        &mut self,
        now: Timestamp,
        row: &ReminderRow,
        is_there: Option<bool>,
    ) -> (Option<ReminderRow>, Option<RowChanges>) {
        let Some(book) = self.0.as_mut().filter(|book| book.checking.as_ref() == Some(row)) else {
            return (None, None);
        };
        book.checking = None;
        let is_of_row =
            |reminder: &&SetReminder| reminder.set_by == row.set_by && !book.is_elsewhere(reminder);
        let reminders = book.set.get(&row.name).map(Vec::as_slice).unwrap_or_default();
        let reminder = current(reminders).filter(is_of_row).cloned();
        let mut put = None;
        if let Some(reminder) = reminder.filter(|_| is_there == Some(false)) {
            if reminder.every > 0 || row.due > now {
                put = Some(RowChanges { put: vec![row.clone()], remove: Vec::new() });
            } else {
                book.fired_before(row);
            }
        }
        let next = book.check_next();
        self.tidy();
        (next, put)
    }
}

impl Book {
    fn check_next(&mut self) -> Option<ReminderRow> {
        self.checking = self.unchecked.pop_front();
        self.checking.clone()
    }

    /// The row of a reminder; of a periodic one, that of its next time.
    fn next_row(&self, reminder: &SetReminder, now: Timestamp) -> ReminderRow {
        let (due, every) = (reminder.due.as_micros(), reminder.every);
        let passed = now.as_micros().saturating_sub(due);
        let periods = passed.div_ceil(every.max(1));
        let next = if every > 0 { due.saturating_add(periods.saturating_mul(every)) } else { due };
        let due = Timestamp::from_micros(next).min(ReminderRow::due_max());
        ReminderRow { due, ..self.row(reminder) }
    }
}
