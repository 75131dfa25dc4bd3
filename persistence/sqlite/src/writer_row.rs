//! The rows of `writers`: whether a writer is open or sealed.

use antiphon_persistence::record::checksum::DAMAGED;
use antiphon_persistence::store::WriterId;
use rusqlite::{Connection, OptionalExtension, params};

use crate::record_error::is_of_row;
use crate::sums::of_writer;

/// State of a writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WriterState {
    Unknown,
    Open,
    Sealed,
    /// The row differs from the row that was written.
    Damaged,
}

/// The message for [`WriterState::Damaged`].
pub(crate) fn damaged_writer(writer: &WriterId) -> String {
    format!("table `writers`, `{writer}`: {DAMAGED}")
}

/// Reads the state of a writer.
pub(crate) fn writer_state(connection: &Connection, writer: &str) -> rusqlite::Result<WriterState> {
    let found: rusqlite::Result<Option<(i64, i64)>> = connection
        .prepare_cached("SELECT sealed, checksum FROM writers WHERE writer = ?1")?
        .query_row([writer], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional();
    let found = match found {
        Err(error) if is_of_row(&error) => return Ok(WriterState::Damaged),
        found => found?,
    };
    Ok(match found {
        None => WriterState::Unknown,
        Some((sealed, sum)) if sum != of_writer(writer, sealed) => WriterState::Damaged,
        Some((0, _)) => WriterState::Open,
        Some(_) => WriterState::Sealed,
    })
}

/// Registers a new writer.
pub(crate) fn insert_writer(connection: &Connection, writer: &str) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT INTO writers VALUES (?1, 0, ?2)")?
        .execute(params![writer, of_writer(writer, 0)])?;
    Ok(())
}

/// Seals a writer, known or not, damaged or not: a seal is always allowed.
pub(crate) fn seal_writer(connection: &Connection, writer: &str) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO writers VALUES (?1, 1, ?2)")?
        .execute(params![writer, of_writer(writer, 1)])?;
    Ok(())
}
