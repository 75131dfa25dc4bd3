//! An append within a transaction: its writer must be open, and the stream must end where the
//! append expects.

use std::path::Path;

use antiphon_base::{Error, Result};
use antiphon_persistence::event::SequenceNr;
use antiphon_persistence::identity::PersistenceId;
use antiphon_persistence::store::{Append, WriterId};
use antiphon_persistence::version::VersionVector;
use rusqlite::{CachedStatement, Connection, OptionalExtension, params};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::record_error::{damaged, is_of_row};

use super::streams::{End, Found, Streams, stream_end};
use crate::sums::{BatchHeader, of_events, of_head, of_writer};
use antiphon_persistence::record::checksum::DAMAGED;
use antiphon_persistence::record::{batch, version};

/// Batches of a stream from one mark to the next: a replay follows the chain at most this far
/// beyond the events that it returns.
pub(crate) const MARK_EVERY: i64 = 64;

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

/// The states that this transaction has read. No other process can change them while it runs. A
/// list, because a process has few writers.
#[derive(Default)]
pub(super) struct WriterStates(Vec<(WriterId, WriterState)>);

impl WriterStates {
    /// Forgets all states, because another write of this transaction may have sealed a writer.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }

    fn get(&mut self, connection: &Connection, writer: &WriterId) -> rusqlite::Result<WriterState> {
        if let Some((_, state)) = self.0.iter().find(|(known, _)| known == writer) {
            return Ok(*state);
        }
        let state = writer_state(connection, writer.as_str())?;
        self.0.push((writer.clone(), state));
        Ok(state)
    }
}

/// Reason why an append was not stored.
#[derive(Debug)]
pub(super) enum Refusal {
    Sealed(WriterId),
    NeverOpened(WriterId),
    OtherEnd { persistence_id: String, expected: SequenceNr, actual: i64 },
    Damaged(String),
}

impl Refusal {
    pub(super) fn into_error(self, path: &Path) -> Error {
        match self {
            Self::Damaged(what) => damaged(path, "appending", &what),
            Self::Sealed(writer) => {
                Error::fenced(format!("writer `{writer}` is sealed: its node was declared dead"))
            }
            Self::NeverOpened(writer) => {
                Error::rejected(format!("writer `{writer}` was never opened"))
            }
            Self::OtherEnd { persistence_id, expected, actual } => Error::fenced(format!(
                "append to `{persistence_id}`: expected highest sequence number {expected}, actual {actual}: another \
                 writer was faster"
            )),
        }
    }
}

/// An append whose events were encoded by its caller, off the writer thread.
pub(crate) struct EncodedAppend {
    writer: WriterId,
    persistence_id: PersistenceId,
    expected: SequenceNr,
    event_count: usize,
    seen: Vec<u8>,
    events: Vec<u8>,
    events_checksum: i64,
    answer: oneshot::Sender<Result<()>>,
    room: OwnedSemaphorePermit,
}

/// The statements of every append, prepared once for a transaction.
pub(super) struct Statements<'a> {
    move_head: CachedStatement<'a>,
    insert_batch: CachedStatement<'a>,
}

impl<'a> Statements<'a> {
    pub(super) fn prepare(connection: &'a Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            // the checksum covers every column: nothing is built upon a damaged head
            move_head: connection.prepare_cached(
                "UPDATE heads SET highest = ?2, newest = ?3, depth = ?4, checksum = ?5
                 WHERE stream = ?1 AND highest = ?6 AND newest = ?7 AND deleted = ?8 AND depth = ?9 AND checksum = ?10",
            )?,
            insert_batch: connection
                .prepare_cached("INSERT INTO batches VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")?,
        })
    }
}

impl EncodedAppend {
    pub(super) fn new(
        writer: &WriterId,
        append: Append,
        answer: oneshot::Sender<Result<()>>,
        room: OwnedSemaphorePermit,
    ) -> Self {
        let mut seen = VersionVector::new();
        for event in &append.events {
            seen.merge(&event.meta.version);
        }
        let (seen, events) = (version::encode(&seen), batch::encode(&append.events));
        Self {
            writer: writer.clone(),
            persistence_id: append.persistence_id,
            expected: append.expected,
            event_count: append.events.len(),
            events_checksum: of_events(&events),
            seen,
            events,
            answer,
            room,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.events.len()
    }

    pub(super) fn event_count(&self) -> u64 {
        self.event_count as u64
    }

    /// Answers the asker, and returns the room that the append took.
    pub(super) fn finish(self, outcome: Result<()>) -> OwnedSemaphorePermit {
        // the asker may have cancelled its call: the append then took effect or not, as the
        // contract allows
        let _ = self.answer.send(outcome);
        self.room
    }

    pub(super) fn store(
        &self,
        connection: &Connection,
        statements: &mut Statements<'_>,
        streams: &mut Streams,
        states: &mut WriterStates,
        next_ordinal: &mut i64,
    ) -> rusqlite::Result<std::result::Result<(), Refusal>> {
        match states.get(connection, &self.writer)? {
            WriterState::Open => {}
            WriterState::Sealed => return Ok(Err(Refusal::Sealed(self.writer.clone()))),
            WriterState::Unknown => return Ok(Err(Refusal::NeverOpened(self.writer.clone()))),
            WriterState::Damaged => {
                return Ok(Err(Refusal::Damaged(damaged_writer(&self.writer))));
            }
        }
        let id = &self.persistence_id;
        let guess = streams.guess(id).filter(|end| self.follows(*end));
        let moved = match guess {
            Some(end) => self.move_head(statements, end, *next_ordinal)?,
            None => None,
        };
        let moved = match moved {
            Some(end) => end,
            None => {
                let end = match stream_end(connection, id)? {
                    Found::End(end) => end,
                    Found::Damaged(what) => return Ok(Err(Refusal::Damaged(what))),
                    Found::Nothing if self.expected == SequenceNr::ZERO => {
                        Streams::create(connection, id)?
                    }
                    Found::Nothing => return Ok(Err(self.other_end(0))),
                };
                if !self.follows(end) {
                    streams.remember(id, end);
                    return Ok(Err(self.other_end(end.highest)));
                }
                match self.move_head(statements, end, *next_ordinal)? {
                    Some(end) => end,
                    None => return Ok(Err(self.other_end(end.highest))),
                }
            }
        };
        self.insert(connection, statements, moved)?;
        *next_ordinal += 1;
        streams.remember(id, moved);
        Ok(Ok(()))
    }

    fn follows(&self, end: End) -> bool {
        u64::try_from(end.highest).is_ok_and(|highest| highest == self.expected.value())
    }

    fn other_end(&self, actual: i64) -> Refusal {
        Refusal::OtherEnd {
            persistence_id: self.persistence_id.to_string(),
            expected: self.expected,
            actual,
        }
    }

    /// Moves the head if it is the expected one: the second guard against two writers, besides the
    /// seal.
    fn move_head(
        &self,
        statements: &mut Statements<'_>,
        end: End,
        ordinal: i64,
    ) -> rusqlite::Result<Option<End>> {
        let mut moved = End {
            highest: end.highest.saturating_add(self.events_stored()),
            newest: ordinal,
            previous: end.newest,
            depth: end.depth + 1,
            ..end
        };
        moved.checksum = of_head(self.persistence_id.as_str(), moved);
        let changed = statements.move_head.execute(params![
            end.stream,
            moved.highest,
            moved.newest,
            moved.depth,
            moved.checksum,
            end.highest,
            end.newest,
            end.deleted,
            end.depth,
            end.checksum
        ])?;
        Ok((changed == 1).then_some(moved))
    }

    fn insert(
        &self,
        connection: &Connection,
        statements: &mut Statements<'_>,
        end: End,
    ) -> rusqlite::Result<()> {
        let first = end.highest - self.events_stored() + 1;
        let header = BatchHeader {
            ordinal: end.newest,
            stream: end.stream,
            first,
            last: end.highest,
            previous: end.previous,
            seen: Vec::new(),
            events_checksum: self.events_checksum,
            checksum: 0,
        };
        statements.insert_batch.execute(params![
            header.ordinal,
            header.stream,
            header.first,
            header.last,
            header.previous,
            self.seen,
            header.events_checksum,
            header.sum(self.persistence_id.as_str(), &self.seen),
            self.events
        ])?;
        if end.depth % MARK_EVERY == 0 {
            connection
                .prepare_cached("INSERT INTO marks VALUES (?1, ?2, ?3)")?
                .execute(params![end.stream, first, end.newest])?;
        }
        Ok(())
    }

    fn events_stored(&self) -> i64 {
        i64::try_from(self.event_count).unwrap_or(i64::MAX)
    }
}
