//! The rows of reminders that the events of a stream ask for: what a check of a store compares
//! with the rows that are there.

use antiphon_base::time::Timestamp;

use super::reminders::{Came, Reminders};
use crate::event::StoredEvent;
use crate::identity::ReplicationId;
use crate::store::{ReminderRow, Snapshot};

/// The reminders that the events of one stream leave set.
#[derive(Debug)]
pub(crate) struct ReminderRows {
    id: ReplicationId,
    reminders: Reminders,
}

impl ReminderRows {
    pub(crate) fn new(id: ReplicationId) -> Self {
        Self { id, reminders: Reminders::default() }
    }

    /// Begins with a snapshot.
    pub(crate) fn adopt(&mut self, snapshot: &Snapshot) {
        self.reminders.adopt(&self.id, &snapshot.reminders);
    }

    /// Takes the next event.
    pub(crate) fn take(&mut self, event: &StoredEvent) {
        // a note of a later version asks for nothing that is known
        let _ = self.reminders.applied(&self.id, event, Came::Replayed);
    }

    /// The reminders as a snapshot keeps them.
    #[cfg(test)]
    pub(crate) fn for_snapshot(&self) -> Vec<crate::store::SetReminder> {
        self.reminders.for_snapshot(&self.id)
    }

    /// The rows that must be there at this time, each with true when it can have a later time: the
    /// row of a periodic reminder. A reminder whose time has passed may have fired without an
    /// event.
    pub(crate) fn needed(&self, now: Timestamp) -> Vec<(ReminderRow, bool)> {
        self.reminders.needed_rows(now)
    }
}
