//! The opening of a file: its check, its tables, and the pragmas of the settings.

use std::path::Path;
use std::time::Duration;

use antiphon_base::Result;
use rusqlite::{Connection, OpenFlags};

use super::check::check_journal;
use super::tables::{check_version, read};
use crate::error::from_sqlite;
use crate::{Durability, Role, SqliteSettings};

/// Opens the file with the pragmas of the settings, and creates or checks the tables. Refuses a
/// path that can keep no journal, and another program's file, before anything is changed.
pub(crate) fn open(path: &Path, settings: &SqliteSettings) -> Result<Connection> {
    let owner = settings.role == Role::Owner;
    check_journal(path, settings.role)?;
    let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    flags.set(OpenFlags::SQLITE_OPEN_CREATE, owner);
    let connection = Connection::open_with_flags(path, flags)
        .map_err(|error| from_sqlite(path, "opening", error))?;
    let sqlite = |error| from_sqlite(path, "opening", error);
    connection.busy_timeout(settings.busy_timeout.max(Duration::from_millis(1))).map_err(sqlite)?;
    // the tables are made before the write-ahead log, so that the file names its owner from its
    // first byte on
    check_version(path, &connection, owner)?;
    prepare(&connection, settings).map_err(sqlite)?;
    if !owner {
        connection.pragma_update(None, "query_only", true).map_err(sqlite)?;
    }
    Ok(connection)
}

fn prepare(connection: &Connection, settings: &SqliteSettings) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(64);
    if settings.role == Role::Owner {
        use_wal(connection, settings.busy_timeout)?;
        if let Some(pages) = settings.file_pages_max {
            connection.query_row(&format!("PRAGMA max_page_count={pages}"), [], |_| Ok(()))?;
        }
    }
    let synchronous = match settings.durability {
        Durability::Full => "full",
        Durability::Relaxed => "normal",
    };
    connection.pragma_update(None, "synchronous", synchronous)?;
    connection.pragma_update(None, "cache_size", -16_000)?;
    connection.pragma_update(None, "wal_autocheckpoint", settings.wal_pages_max)?;
    // the first read makes the two files beside the database
    read(connection, "schema_version").map(drop)
}

/// Turns on the write-ahead log. When two processes make the same file at the same time, SQLite
/// answers "busy" to one of them at once, because its own waiting could be a deadlock here. Nothing
/// was begun, so the call is tried again.
#[expect(
    clippy::disallowed_methods,
    reason = "opening is synchronous, and waits as SQLite itself does"
)]
fn use_wal(connection: &Connection, busy_timeout: Duration) -> rusqlite::Result<()> {
    const PAUSE: Duration = Duration::from_millis(5);
    let mut attempts = busy_timeout.as_millis() / PAUSE.as_millis();
    loop {
        match connection.pragma_update(None, "journal_mode", "wal") {
            Err(error)
                if attempts > 0
                    && error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy) =>
            {
                attempts -= 1;
                std::thread::sleep(PAUSE);
            }
            done => return done,
        }
    }
}
