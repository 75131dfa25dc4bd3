//! Checks every row of the file, in one read transaction: later writes are not seen, and nothing is
//! changed. While it runs, log entries that were written after its start cannot be copied back into
//! the file.

mod rows;
mod streams;
mod walk;

use antiphon_base::Result;
use antiphon_persistence::verify::{ReminderCheck, Report};

use crate::stores::SqliteStores;
use walk::Walk;

impl SqliteStores {
    /// Checks every row for damage. Changes nothing. A cancelled call runs to its end, and its
    /// result is dropped.
    ///
    /// # Errors
    /// `Unavailable` or `Corrupt` when the file cannot be read at all. Damaged rows are in the
    /// report.
    pub async fn verify(&self) -> Result<Report> {
        self.read("verifying", |transaction| {
            let (report, reminders) = (Report::default(), ReminderCheck::default());
            let mut walk = Walk { connection: transaction, report, reminders };
            walk.file()?;
            let mut streams = walk.streams()?;
            walk.batches(&mut streams)?;
            walk.ends(&streams);
            walk.marks(&streams)?;
            walk.snapshots(&streams)?;
            walk.coordination()?;
            walk.offsets()?;
            walk.reminders()?;
            walk.writers()?;
            Ok(walk.report)
        })
        .await
    }
}
