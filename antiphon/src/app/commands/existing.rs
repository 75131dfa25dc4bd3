//! The journal of a place for the commands of an operator.

use crate::OpenJournal;
use crate::prelude::*;

use crate::app::config::Config;

/// Opens the journal of the own place to write. A node makes a missing journal; a command must not,
/// because a wrong path would give a new journal, and an answer that is true of nothing.
///
/// # Errors
/// - `Rejected`, naming the path, when there is no file.
/// - `Unavailable`, naming the path, when no node has made the tables in the file yet.
/// - The errors of the store.
pub(crate) async fn open_existing(config: &Config) -> Result<OpenJournal> {
    let journal = config.own_journal()?;
    journal.check_exists()?;
    journal.open(false).await
}
