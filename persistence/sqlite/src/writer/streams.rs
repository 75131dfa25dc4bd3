//! The ends of the streams, remembered between transactions.
//!
//! What is remembered may be out of date, since other processes write too. So it is only a guess: the update of the head
//! names the end that it expects, and when that is not there the end is read and tried once more.

use std::collections::HashMap;

use antiphon_persistence::identity::PersistenceId;
use rusqlite::{Connection, OptionalExtension};

/// The end of one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct End {
    /// The number of the stream.
    pub(crate) stream: i64,
    /// The highest sequence number.
    pub(crate) highest: i64,
    /// The ordinal of the newest batch, zero when there is none.
    pub(crate) newest: i64,
    /// The batch before the newest one, as far as this process has just written it; zero otherwise.
    pub(crate) previous: i64,
    /// Events up to here are deleted.
    pub(crate) deleted: i64,
    /// How many batches were ever appended.
    pub(crate) depth: i64,
}

/// Reads the end of a stream; `None` when it does not exist.
pub(crate) fn stream_end(
    connection: &Connection,
    persistence_id: &PersistenceId,
) -> rusqlite::Result<Option<End>> {
    connection
        .prepare_cached(
            "SELECT stream, highest, newest, deleted, depth FROM streams JOIN heads USING (stream)
             WHERE persistence_id = ?1",
        )?
        .query_row([persistence_id.as_str()], |row| {
            Ok(End {
                stream: row.get(0)?,
                highest: row.get(1)?,
                newest: row.get(2)?,
                previous: 0,
                deleted: row.get(3)?,
                depth: row.get(4)?,
            })
        })
        .optional()
}

pub(super) struct Streams {
    ends: HashMap<PersistenceId, End>,
    count_max: usize,
}

impl Streams {
    pub(super) fn new(count_max: usize) -> Self {
        Self { ends: HashMap::new(), count_max }
    }

    /// After a rollback nothing that was remembered is sure.
    pub(super) fn forget(&mut self) {
        self.ends.clear();
    }

    pub(super) fn guess(&self, persistence_id: &PersistenceId) -> Option<End> {
        self.ends.get(persistence_id).copied()
    }

    pub(super) fn remember(&mut self, persistence_id: &PersistenceId, end: End) {
        if let Some(known) = self.ends.get_mut(persistence_id) {
            *known = end;
            return;
        }
        if self.ends.len() >= self.count_max {
            self.ends.clear();
        }
        self.ends.insert(persistence_id.clone(), end);
    }

    /// Reads the end, or creates the stream.
    pub(super) fn read(
        connection: &Connection,
        persistence_id: &PersistenceId,
    ) -> rusqlite::Result<End> {
        if let Some(end) = stream_end(connection, persistence_id)? {
            return Ok(end);
        }
        connection
            .prepare_cached("INSERT INTO streams (persistence_id) VALUES (?1)")?
            .execute([persistence_id.as_str()])?;
        let stream = connection.last_insert_rowid();
        connection
            .prepare_cached("INSERT INTO heads VALUES (?1, 0, 0, 0, 0)")?
            .execute([stream])?;
        Ok(End { stream, highest: 0, newest: 0, previous: 0, deleted: 0, depth: 0 })
    }
}
