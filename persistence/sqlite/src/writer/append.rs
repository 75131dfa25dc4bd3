//! An append within a transaction: its writer must be open, and the stream must end where the
//! append expects.

use antiphon_base::Result;
use antiphon_persistence::event::SequenceNr;
use antiphon_persistence::identity::PersistenceId;
use antiphon_persistence::record::{batch, version};
use antiphon_persistence::store::{Append, WriterId};
use antiphon_persistence::version::VersionVector;
use rusqlite::{CachedStatement, Connection, params};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::ends::Streams;
use super::refusal::Refusal;
use super::writer_states::WriterStates;
use crate::batch_row::BatchHeader;
use crate::head::{End, Found, create_stream, stream_end};
use crate::sums::of_events;
use crate::writer_row::{WriterState, damaged_writer};

/// Batches of a stream from one mark to the next: a replay follows the chain at most this far
/// beyond the events that it returns.
pub(crate) const MARK_EVERY: i64 = 64;

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
    /// Encodes an append that was checked: it has events, and at most `bytes_max` encoded bytes.
    pub(super) fn new(
        writer: &WriterId,
        append: Append,
        bytes_max: usize,
        answer: oneshot::Sender<Result<()>>,
        room: OwnedSemaphorePermit,
    ) -> Self {
        assert!(!append.events.is_empty(), "a batch has an event");
        let mut seen = VersionVector::new();
        for event in &append.events {
            seen.merge(&event.meta.version);
        }
        let (seen, events) = (version::encode(&seen), batch::encode(&append.events));
        // the room that the append took, and its limits, were counted before it was encoded
        assert!(events.len() <= bytes_max, "{} bytes, counted {bytes_max}", events.len());
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
        let fits = |end: &End| self.follows(*end) && end.newest < *next_ordinal;
        let guess = streams.guess(id).filter(fits);
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
                        create_stream(connection, id)?
                    }
                    Found::Nothing => return Ok(Err(self.other_end(0))),
                };
                if !self.follows(end) {
                    streams.remember(id, end);
                    return Ok(Err(self.other_end(end.highest)));
                }
                if let Some(what) = self.lost_batch(end, *next_ordinal) {
                    return Ok(Err(Refusal::Damaged(what)));
                }
                match self.move_head(statements, end, *next_ordinal)? {
                    Some(end) => end,
                    // the row was read in this transaction, and nobody else can write
                    None => return Ok(Err(Refusal::Damaged(self.other_head(end)))),
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

    /// The damage of a stream whose newest batch has an ordinal that is not given out yet: the file
    /// has lost its newest batches, and a batch of this append would precede its predecessor.
    fn lost_batch(&self, end: End, ordinal: i64) -> Option<String> {
        let (id, newest) = (&self.persistence_id, end.newest);
        (newest >= ordinal).then(|| {
            format!("table `batches`, ordinal {newest}, the newest of `{id}`: its row is missing")
        })
    }

    fn other_head(&self, end: End) -> String {
        let id = &self.persistence_id;
        format!("table `heads`, stream {} (`{id}`): its row is not found again", end.stream)
    }

    /// Moves the head if it is the expected one: the second guard against two writers, besides the
    /// seal.
    fn move_head(
        &self,
        statements: &mut Statements<'_>,
        end: End,
        ordinal: i64,
    ) -> rusqlite::Result<Option<End>> {
        assert!(self.follows(end), "an append that does not follow the end of its stream");
        assert!(ordinal > end.newest, "batch {ordinal} after batch {} of its stream", end.newest);
        let mut moved = End {
            highest: end.highest + self.events_stored(),
            newest: ordinal,
            previous: end.newest,
            depth: end.depth + 1,
            ..end
        };
        moved.checksum = moved.sum(self.persistence_id.as_str());
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
        assert!(changed <= 1, "{changed} heads of one stream were moved");
        Ok((changed == 1).then_some(moved))
    }

    fn insert(
        &self,
        connection: &Connection,
        statements: &mut Statements<'_>,
        end: End,
    ) -> rusqlite::Result<()> {
        let first = end.highest - self.events_stored() + 1;
        assert!(0 < first && first <= end.highest, "events {first} to {}", end.highest);
        assert!(end.previous < end.newest, "a batch comes after the batch before it");
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
        let stored = statements.insert_batch.execute(params![
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
        assert_eq!(stored, 1, "rows of one batch");
        if end.depth % MARK_EVERY == 0 {
            connection
                .prepare_cached("INSERT INTO marks VALUES (?1, ?2, ?3)")?
                .execute(params![end.stream, first, end.newest])?;
        }
        Ok(())
    }

    fn events_stored(&self) -> i64 {
        i64::try_from(self.event_count).expect("the events were in memory")
    }
}
