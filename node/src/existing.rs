//! The journal of a place for the commands of an operator.

use antiphon::prelude::*;
use antiphon::sqlite::{Role, check_file};
use antiphon::{Journal, OpenJournal};

use crate::config::Config;

/// Opens the journal of the own place to write. A node makes a missing file; a command must not,
/// because a wrong path would give a new journal, and an answer that is true of nothing.
///
/// # Errors
/// - `Rejected`, naming the path, when there is no file.
/// - `Unavailable`, naming the path, when no node has made the tables in the file yet.
/// - The errors of the store.
pub(crate) async fn open_existing(config: &Config) -> Result<OpenJournal> {
    let journal = config.own_journal();
    if let Journal::Sqlite { path, .. } = &journal {
        let is_there = path.try_exists().map_err(|error| {
            Error::unavailable(format!("`journal`: {path:?} cannot be looked at"))
                .with_source(error)
        })?;
        if !is_there {
            return Err(Error::rejected(format!(
                "`journal`: expected the journal of the place at {path:?}, actual no file: a relative path starts at the current folder"
            )));
        }
        // refuses a file without tables, in which an owner would make them
        check_file(path, Role::Reader)?;
    }
    journal.open(false).await
}
