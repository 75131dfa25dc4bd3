//! The end of a stream: the row of `heads`, found by the stream's name.

use antiphon_persistence::event::SequenceNr;
use antiphon_persistence::identity::PersistenceId;
use antiphon_persistence::record::checksum::{Checksum, DAMAGED};
use rusqlite::{Connection, OptionalExtension, params};

use crate::record_error::{Unread, is_of_row};
use crate::sums::name_hash;

/// The end of one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct End {
    /// The number of the stream.
    pub(crate) stream: i64,
    /// The highest sequence number.
    pub(crate) highest: i64,
    /// The ordinal of the newest batch, zero when there is none.
    pub(crate) newest: i64,
    /// The batch before the newest one, if this process has just written the newest; else zero.
    pub(crate) previous: i64,
    /// Events up to this one are deleted.
    pub(crate) deleted: i64,
    /// Batches that were ever appended.
    pub(crate) depth: i64,
    /// The checksum of the head's row.
    pub(crate) checksum: i64,
}

impl End {
    /// The highest sequence number.
    pub(crate) fn highest_nr(self) -> SequenceNr {
        SequenceNr::new(self.highest.unsigned_abs())
    }

    /// The checksum of the row of the stream `name`, without the one that is in `self`.
    pub(crate) fn sum(self, name: &str) -> i64 {
        let Self { stream, highest, newest, deleted, depth, .. } = self;
        let mut sum = Checksum::of("heads");
        sum.text(name).signed(stream).signed(highest);
        sum.signed(newest).signed(deleted).signed(depth).stored()
    }

    /// Checks the checksum for the stream `name`, and the numbers against each other. The error is
    /// the problem.
    pub(crate) fn check(self, name: &str) -> Result<(), &'static str> {
        if self.checksum != self.sum(name) {
            return Err(DAMAGED);
        }
        let Self { highest, newest, deleted, depth, .. } = self;
        // each batch has at least one event, and an ordinal of its own
        let fits = (0..=highest).contains(&deleted) && (0..=highest).contains(&depth);
        if fits && newest >= depth { Ok(()) } else { Err("its numbers do not fit each other") }
    }
}

/// Result of a search for a stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Nothing,
    End(End),
    /// The rows differ from those that were written: the row, and the problem.
    Damaged(String),
}

impl Found {
    /// The end for a read; a damaged row is an error.
    pub(crate) fn end(self) -> Result<Option<End>, Unread> {
        match self {
            Self::Nothing => Ok(None),
            Self::End(end) => Ok(Some(end)),
            Self::Damaged(what) => Err(Unread::Row(what)),
        }
    }
}

/// Reads the end of a stream.
pub(crate) fn stream_end(
    connection: &Connection,
    persistence_id: &PersistenceId,
) -> rusqlite::Result<Found> {
    let name = persistence_id.as_str();
    match read_end(connection, name) {
        Err(error) if is_of_row(&error) => {
            Ok(Found::Damaged(format!("tables `streams` and `heads`, `{name}`: {error}")))
        }
        found => found,
    }
}

fn read_end(connection: &Connection, name: &str) -> rusqlite::Result<Found> {
    let found: Option<(i64, Option<End>)> = connection
        .prepare_cached(
            "SELECT streams.stream, hash, highest, newest, deleted, depth, heads.checksum
             FROM streams LEFT JOIN heads USING (stream) WHERE persistence_id = ?1",
        )?
        .query_row([name], |row| {
            let highest: Option<i64> = row.get(2)?;
            let head = match highest {
                None => None,
                Some(highest) => Some(End {
                    stream: row.get(0)?,
                    highest,
                    newest: row.get(3)?,
                    previous: 0,
                    deleted: row.get(4)?,
                    depth: row.get(5)?,
                    checksum: row.get(6)?,
                }),
            };
            Ok((row.get(1)?, head))
        })
        .optional()?;
    Ok(match found {
        None => return missing(connection, name),
        Some((hash, _)) if hash != name_hash(name) => {
            Found::Damaged(format!("table `streams`, `{name}`: {DAMAGED}"))
        }
        Some((_, None)) => Found::Damaged(format!("table `heads`, `{name}`: its row is missing")),
        Some((_, Some(end))) => match end.check(name) {
            Ok(()) => Found::End(end),
            Err(why) => {
                Found::Damaged(format!("table `heads`, stream {} (`{name}`): {why}", end.stream))
            }
        },
    })
}

/// Handles a name that is not found. The name in the row may be damaged, and the row is then found
/// by its hash.
fn missing(connection: &Connection, name: &str) -> rusqlite::Result<Found> {
    let mut statement = connection.prepare_cached(
        "SELECT stream, CAST(persistence_id AS BLOB) FROM streams WHERE hash = ?1",
    )?;
    let mut rows = statement.query([name_hash(name)])?;
    while let Some(row) = rows.next()? {
        let (stream, there): (i64, Vec<u8>) = (row.get(0)?, row.get(1)?);
        // another name may have the same hash
        let sound =
            std::str::from_utf8(&there).is_ok_and(|text| name_hash(text) == name_hash(name));
        if !sound {
            return Ok(Found::Damaged(format!(
                "table `streams`, stream {stream} (`{name}`): {DAMAGED}"
            )));
        }
    }
    Ok(Found::Nothing)
}

/// Creates a stream, which ends before its first event.
pub(crate) fn create_stream(
    connection: &Connection,
    persistence_id: &PersistenceId,
) -> rusqlite::Result<End> {
    let name = persistence_id.as_str();
    connection
        .prepare_cached("INSERT INTO streams (persistence_id, hash) VALUES (?1, ?2)")?
        .execute(params![name, name_hash(name)])?;
    let stream = connection.last_insert_rowid();
    let mut end =
        End { stream, highest: 0, newest: 0, previous: 0, deleted: 0, depth: 0, checksum: 0 };
    end.checksum = end.sum(name);
    connection
        .prepare_cached("INSERT INTO heads VALUES (?1, 0, 0, 0, 0, ?2)")?
        .execute([stream, end.checksum])?;
    Ok(end)
}
