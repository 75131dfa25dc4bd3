//! Causes of a failed read: SQLite, or an unreadable row.

use std::path::Path;

use antiphon_base::Error;

use crate::error::from_sqlite;

/// The cause, before the path and the operation are added.
#[derive(Debug)]
pub(crate) enum Unread {
    Sqlite(rusqlite::Error),
    /// A row that differs from the row that was written: its name, and the problem.
    Row(String),
    /// An error that is complete already.
    Other(Error),
}

impl From<rusqlite::Error> for Unread {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// True for an error of one row, such as a column with a value of another type, and false for an
/// error of SQLite itself.
pub(crate) fn is_of_row(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code().is_none()
}

/// Remedy for a damaged row.
const REMEDY: &str = "`antiphon journal verify` lists all damage; restore the file from a backup, or let the place take its events from the others";

impl Unread {
    pub(crate) fn into_error(self, path: &Path, doing: &str) -> Error {
        match self {
            Self::Sqlite(error) => from_sqlite(path, doing, error),
            Self::Row(what) => damaged(path, doing, &what),
            Self::Other(error) => error,
        }
    }
}

/// The error of a damaged row.
pub(crate) fn damaged(path: &Path, doing: &str, what: &str) -> Error {
    Error::corrupt(format!("{doing} in `{}`: {what}: {REMEDY}", path.display()))
}
