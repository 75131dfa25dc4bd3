//! The check of a path and its file before SQLite opens the file.

use std::path::Path;

use antiphon_base::{Error, ErrorKind, Result};

use super::tables::{APPLICATION_ID, no_tables, not_ours};
use crate::Role;
use crate::error::copy_of;
use crate::file::{Owner, check_path, check_writable, is_log_alone, owner};

/// Checks the path and its file. To a reader, whatever is there instead of a journal is no error of
/// its own settings, so the error says what it is not.
pub(super) fn check_journal(path: &Path, role: Role) -> Result<()> {
    let checked = check_path(path, role).and_then(|()| look(path, role));
    checked.map_err(|error| match (role, error.kind()) {
        (Role::Reader, ErrorKind::Rejected) => {
            Error::rejected(format!("{path:?} is no Antiphon journal: {}", copy_of(&error)))
        }
        (Role::Reader | Role::Owner, _) => error,
    })
}

/// Checks the owner of the file before SQLite opens it to write.
fn look(path: &Path, role: Role) -> Result<()> {
    match (owner(path, APPLICATION_ID)?, role) {
        (Owner::Antiphon, _) => Ok(()),
        (Owner::Nobody, Role::Owner) => no_log_alone(path),
        (Owner::Nobody, Role::Reader) => Err(no_tables(path)),
        (Owner::Other, _) => Err(not_ours(path)),
    }
}

/// Refuses a log without its database: it has the newest events of a journal, and SQLite would
/// delete it and begin an empty journal.
fn no_log_alone(path: &Path) -> Result<()> {
    if is_log_alone(path) {
        return Err(Error::rejected(format!(
            "`journal`: {path:?}: expected the file beside its write-ahead log, actual the log alone, which may have events: put the file back; \
             or, to begin an empty journal, move the log (`-wal`) away too"
        )));
    }
    Ok(())
}

/// Checks whether a journal can be opened or made at a path, without making or changing anything.
/// An owner must be able to write the file and its folder.
///
/// # Errors
/// - `Rejected` when the path can keep no journal, when the file is another program's, or when this
///   user may not write the files of an owner.
/// - `Unavailable` when the file cannot be looked at, or when a reader finds no tables yet.
pub fn check_file(path: &Path, role: Role) -> Result<()> {
    match role {
        Role::Reader if !path.exists() => check_path(path, role),
        Role::Reader => check_journal(path, role),
        Role::Owner => {
            check_path(path, role)?;
            check_writable(path)?;
            look(path, role)
        }
    }
}
