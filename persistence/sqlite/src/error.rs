//! Maps errors of SQLite to kinds, which tell the caller what to do.

use std::path::Path;

use antiphon_base::{Error, ErrorKind};
use rusqlite::ErrorCode;

use crate::file::why_not_opened;

/// Maps an error of a read, or of a write that did not take effect.
pub(crate) fn from_sqlite(path: &Path, doing: &str, error: rusqlite::Error) -> Error {
    let code = error.sqlite_error_code();
    let (kind, hint) = match code {
        Some(ErrorCode::DiskFull) => {
            (ErrorKind::Unavailable, "the disk or the file is full: make room, then it goes on")
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            (ErrorKind::Unavailable, "another process holds the file: see `busy_timeout`")
        }
        Some(ErrorCode::CannotOpen) => {
            let why = why_not_opened(path);
            let message = format!("{doing} in `{}`: {why}", path.display());
            return Error::unavailable(message).with_source(error);
        }
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            (ErrorKind::Unavailable, "expected a file and a folder that this user may write")
        }
        // the file was a journal when it was looked at, before it was opened
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => (
            ErrorKind::Corrupt,
            "the file or its log is damaged: copy the file, `-wal` and `-shm` away first, then restore it, or replicate it anew",
        ),
        _ if code.is_some() => (ErrorKind::Unavailable, "see the cause"),
        _ => (ErrorKind::Corrupt, "a row is not as it was written"),
    };
    Error::new(kind, format!("{doing} in `{}`: {hint}", path.display())).with_source(error)
}

/// Copies an error for each of many waiters: errors cannot be cloned, because they carry their
/// cause.
pub(crate) fn copy_of(error: &Error) -> Error {
    let cause = std::error::Error::source(error).map(ToString::to_string);
    let message = match cause {
        Some(cause) => format!("{error} ({cause})"),
        None => error.to_string(),
    };
    Error::new(error.kind(), message)
}
