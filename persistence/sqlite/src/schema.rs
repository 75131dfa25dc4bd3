//! The tables, and the check of a file before it is opened.
//!
//! | table | content |
//! |---|---|
//! | `streams` | one row for each stream, never changed: number, name, hash of the name |
//! | `heads` | one small row for each stream: highest number, newest batch, last deleted event |
//! | `batches` | one row for each append, in commit order, with its predecessor in the stream |
//! | `marks` | every 64th batch of a stream |
//! | `writers`, `snapshots`, `offsets`, `cells` | as named |
//! | `tokens` | for each coordination table: fencing token, and sum of the rows' checksums |
//!
//! - A mark lets a replay enter the chain of a stream's batches near its target; it is only a hint.
//! - The sum in `tokens` reveals a missing row.
//!
//! Every row except a mark has a checksum of its key and all its columns, which each read compares:
//! in a column of its own (`sums.rs`), or at the end of the values of `snapshots`, `offsets` and
//! `cells`. The hash of a stream's name leads to its row when the name is damaged: a damaged stream
//! is an error, not an empty stream.

use std::path::Path;
use std::time::Duration;

use antiphon_base::{Error, ErrorKind, Result};
use rusqlite::{Connection, OpenFlags};

use crate::error::{copy_of, from_sqlite};
use crate::file::{Owner, check_path, check_writable, is_log_alone, owner};
use crate::{Durability, Role, SqliteSettings};

/// The version of the tables below; a file with another version is refused. Version 1, without
/// checksums, was written before the first release.
const VERSION: i64 = 2;

/// "Anti": marks the file as a journal (`PRAGMA application_id`).
const APPLICATION_ID: i64 = 0x416e_7469;

const TABLES: &str = "
CREATE TABLE streams (
  stream INTEGER PRIMARY KEY,
  persistence_id TEXT NOT NULL UNIQUE,
  hash INTEGER NOT NULL
) STRICT;
CREATE INDEX streams_by_hash ON streams (hash);
CREATE TABLE heads (
  stream INTEGER PRIMARY KEY,
  highest INTEGER NOT NULL,
  newest INTEGER NOT NULL,
  deleted INTEGER NOT NULL,
  depth INTEGER NOT NULL,
  checksum INTEGER NOT NULL
) STRICT;
CREATE TABLE batches (
  ordinal INTEGER PRIMARY KEY,
  stream INTEGER NOT NULL,
  first INTEGER NOT NULL,
  last INTEGER NOT NULL,
  previous INTEGER NOT NULL,
  seen BLOB NOT NULL,
  events_checksum INTEGER NOT NULL,
  checksum INTEGER NOT NULL,
  events BLOB NOT NULL
) STRICT;
CREATE TABLE marks (
  stream INTEGER NOT NULL,
  first INTEGER NOT NULL,
  ordinal INTEGER NOT NULL,
  PRIMARY KEY (stream, first)
) STRICT, WITHOUT ROWID;
CREATE TABLE writers (
  writer TEXT PRIMARY KEY,
  sealed INTEGER NOT NULL,
  checksum INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE snapshots (
  persistence_id TEXT NOT NULL,
  sequence_nr INTEGER NOT NULL,
  snapshot BLOB NOT NULL,
  PRIMARY KEY (persistence_id, sequence_nr)
) STRICT;
CREATE TABLE offsets (
  reader TEXT NOT NULL,
  part TEXT NOT NULL,
  position TEXT NOT NULL,
  PRIMARY KEY (reader, part)
) STRICT, WITHOUT ROWID;
CREATE TABLE cells (
  cell_table TEXT NOT NULL,
  cell_key TEXT NOT NULL,
  version INTEGER NOT NULL,
  value BLOB NOT NULL,
  PRIMARY KEY (cell_table, cell_key)
) STRICT, WITHOUT ROWID;
CREATE TABLE tokens (
  cell_table TEXT PRIMARY KEY,
  token INTEGER NOT NULL,
  digest INTEGER NOT NULL,
  checksum INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
";

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

/// Checks the path and its file. To a reader, whatever is there instead of a journal is no error of
/// its own settings, so the error says what it is not.
fn check_journal(path: &Path, role: Role) -> Result<()> {
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

pub(crate) fn check_version(path: &Path, connection: &Connection, owner: bool) -> Result<()> {
    let sqlite = |error| from_sqlite(path, "reading the schema", error);
    if owner && read(connection, "user_version").map_err(sqlite)? == 0 {
        create(path, connection)?;
    }
    let id = read(connection, "application_id").map_err(sqlite)?;
    let version = read(connection, "user_version").map_err(sqlite)?;
    let shown = path.display();
    match version {
        VERSION if id == APPLICATION_ID => Ok(()),
        0 => Err(no_tables(path)),
        _ if id != APPLICATION_ID => Err(not_ours(path)),
        1 => Err(Error::rejected(format!(
            "journal `{shown}`: expected schema version {VERSION}, actual 1: it was written before version 0.1.0, without checksums, and \
             is not read any more; use another path, and let the place take its events from the others"
        ))),
        _ => Err(Error::rejected(format!(
            "journal `{shown}`: expected schema version {VERSION}, actual {version}: it was written by a newer \
             Antiphon; use that one, or another path"
        ))),
    }
}

/// Creates the tables, unless another process was faster.
fn create(path: &Path, connection: &Connection) -> Result<()> {
    let sqlite = |error| from_sqlite(path, "creating the tables", error);
    connection.execute_batch("BEGIN IMMEDIATE").map_err(sqlite)?;
    let created = create_in_transaction(path, connection);
    let end = if created.is_ok() { "COMMIT" } else { "ROLLBACK" };
    connection.execute_batch(end).map_err(sqlite)?;
    created
}

fn create_in_transaction(path: &Path, connection: &Connection) -> Result<()> {
    let sqlite = |error| from_sqlite(path, "creating the tables", error);
    if read(connection, "user_version").map_err(sqlite)? != 0 {
        return Ok(());
    }
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(sqlite)?;
    if tables > 0 {
        return Err(not_ours(path));
    }
    connection.execute_batch(TABLES).map_err(sqlite)?;
    connection.pragma_update(None, "application_id", APPLICATION_ID).map_err(sqlite)?;
    connection.pragma_update(None, "user_version", VERSION).map_err(sqlite)
}

fn read(connection: &Connection, pragma: &str) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, pragma, |row| row.get(0))
}

fn no_tables(path: &Path) -> Error {
    Error::unavailable(format!("`{}` has no tables yet: its owner creates them", path.display()))
}

fn not_ours(path: &Path) -> Error {
    Error::rejected(format!(
        "`{}` is a database of another program: choose another path for the journal",
        path.display()
    ))
}
