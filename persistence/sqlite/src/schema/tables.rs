//! The tables, their version, and their creation.
//!
//! | table | content |
//! |---|---|
//! | `streams` | one row for each stream, never changed: number, name, hash of the name |
//! | `heads` | one small row for each stream: highest number, newest batch, last deleted event |
//! | `batches` | one row for each append, in commit order, with its predecessor in the stream |
//! | `marks` | every 64th batch of a stream |
//! | `writers`, `snapshots`, `offsets`, `cells` | as named |
//! | `reminders` | one row for each reminder, in the order of its due time |
//! | `tokens` | for each coordination table: fencing token, and sum of the rows' checksums |
//!
//! - A mark lets a replay enter the chain of a stream's batches near its target; it is only a hint.
//! - The sum in `tokens` reveals a missing row.
//!
//! Every row except a mark has a checksum of its key and all its columns, which each read compares:
//! in a column of its own (`head.rs`, `batch_row.rs`, `sums.rs`, `reminders.rs`), or at the end of
//! the values of `snapshots`, `offsets` and `cells`. The hash of a stream's name leads to its row
//! when the name is damaged: a damaged stream is an error, not an empty stream.

use std::path::Path;

use antiphon_base::{Error, Result};
use rusqlite::Connection;

use crate::error::from_sqlite;

/// The version of the tables below; a file with another version is refused. Version 1, without
/// checksums, was written before the first release.
const VERSION: i64 = 2;

/// "Anti": marks the file as a journal (`PRAGMA application_id`).
pub(super) const APPLICATION_ID: i64 = 0x416e_7469;

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

/// Tables that files of this version may lack, because they were made by an earlier build. An owner
/// adds them when it opens the file; an earlier build leaves them alone.
const LATER_TABLES: &str = "
CREATE TABLE IF NOT EXISTS reminders (
  entity_type TEXT NOT NULL,
  due INTEGER NOT NULL,
  persistence_id TEXT NOT NULL,
  name TEXT NOT NULL,
  set_by INTEGER NOT NULL,
  checksum INTEGER NOT NULL,
  PRIMARY KEY (entity_type, due, persistence_id, name, set_by)
) STRICT, WITHOUT ROWID;
";

/// Checks the version of the tables; an owner creates them in a new file, and adds the tables that
/// a file of an earlier build lacks.
pub(crate) fn check_version(path: &Path, connection: &Connection, owner: bool) -> Result<()> {
    let sqlite = |error| from_sqlite(path, "reading the schema", error);
    if owner && read(connection, "user_version").map_err(sqlite)? == 0 {
        create(path, connection)?;
    }
    let id = read(connection, "application_id").map_err(sqlite)?;
    let version = read(connection, "user_version").map_err(sqlite)?;
    let shown = path.display();
    match version {
        VERSION if id == APPLICATION_ID && owner => {
            connection.execute_batch(LATER_TABLES).map_err(sqlite)
        }
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

/// Reads a number that a pragma returns.
pub(super) fn read(connection: &Connection, pragma: &str) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, pragma, |row| row.get(0))
}

pub(super) fn no_tables(path: &Path) -> Error {
    Error::unavailable(format!("`{}` has no tables yet: its owner creates them", path.display()))
}

pub(super) fn not_ours(path: &Path) -> Error {
    Error::rejected(format!(
        "`{}` is a database of another program: choose another path for the journal",
        path.display()
    ))
}
