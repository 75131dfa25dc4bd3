//! Reads a row of a coordination table without opening the journal.
//!
//! A connection to a database with a write-ahead log makes the two files beside it when they are
//! missing. So a journal without a log is read as an immutable file. A journal with a log and
//! shared memory is read by a connection that cannot write and leaves the log as it is; it changes
//! nothing but the marks of readers in the shared memory. A journal with a log alone cannot be read
//! without making a file, and is not read.

use std::path::Path;
use std::time::Duration;

use antiphon_base::Result;
use antiphon_persistence::store::Row;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::coordination::sure_cell;
use crate::error::from_sqlite;
use crate::file::{beside, immutable, real_path};
use crate::schema::check_version;

/// Most attempts to read while another process makes or changes the file, and the time between two
/// attempts.
const LOOKS_MAX: u32 = 20;
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// Longest wait for another process that holds the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(1);

/// Reads a row of a coordination table, also while other processes use the journal. No file is
/// made, and no event or row is changed.
///
/// `None` when there is no such row, when there is no journal, and when the journal has a
/// write-ahead log without shared memory, so that it must be opened to be read.
///
/// # Errors
/// `Rejected` for a journal of another version of Antiphon; `Corrupt` for a damaged journal;
/// `Unavailable` when the file cannot be read.
pub fn peek_row(path: &Path, table: &str, key: &str) -> Result<Option<Row>> {
    let real = real_path(path);
    let mut found = look(path, &real, table, key);
    for _ in 1..LOOKS_MAX {
        if found.is_ok() {
            break;
        }
        std::thread::park_timeout(LOOK_INTERVAL);
        found = look(path, &real, table, key);
    }
    found
}

fn look(path: &Path, real: &Path, table: &str, key: &str) -> Result<Option<Row>> {
    const DOING: &str = "looking at the file";
    let sqlite = |error| from_sqlite(path, DOING, error);
    let bytes = |suffix| std::fs::metadata(beside(real, suffix)).map(|found| found.len());
    let connection = match (bytes("").unwrap_or(0), bytes("-wal").unwrap_or(0), bytes("-shm")) {
        (0, ..) => return Ok(None),
        (_, 0, _) => immutable(real).map_err(sqlite)?,
        (_, _, Ok(_)) => beside_others(real).map_err(sqlite)?,
        (_, _, Err(_)) => return Ok(None),
    };
    let is_new = connection
        .pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0))
        .map_err(sqlite)?
        == 0;
    if is_new {
        return Ok(None);
    }
    check_version(path, &connection, false)?;
    let cell = sure_cell(&connection, table, key).map_err(|error| error.into_error(path, DOING))?;
    Ok(cell.map(|cell| cell.row))
}

/// Opens a file with its log to read, without the right to write, and without the end of the last
/// connection, which would move the log into the file.
fn beside_others(real: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(real, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    Ok(connection)
}
