//! Single streams. A replay follows the chain of a stream's batches backwards, from its end or from
//! a mark near the requested events.

use std::collections::VecDeque;
use std::sync::LazyLock;

use antiphon_base::{Error, Result};
use antiphon_persistence::event::{SequenceNr, StoredEvent};
use antiphon_persistence::identity::PersistenceId;
use antiphon_persistence::record::checksum::DAMAGED;
use antiphon_persistence::store::{Append, Journal, Limits, ReplayPage, WriterId};
use async_trait::async_trait;
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, params};

use crate::record_error::{Unread, damaged};
use crate::stores::SqliteStores;
use crate::sums::{BATCH_COLUMNS, BatchHeader, of_events, of_head};
use crate::writer::{
    End, MARK_EVERY, WriterState, damaged_writer, insert_writer, seal_writer, stream_end,
    writer_state,
};
use antiphon_persistence::record::batch;

#[async_trait]
impl Journal for SqliteStores {
    async fn open_writer(&self, writer: &WriterId) -> Result<()> {
        let name = writer.as_str().to_owned();
        let before = self
            .writer()?
            .run(move |connection| {
                let before = writer_state(connection, &name)?;
                if before == WriterState::Unknown {
                    insert_writer(connection, &name)?;
                }
                Ok(before)
            })
            .await?;
        match before {
            WriterState::Unknown => Ok(()),
            WriterState::Open => {
                Err(Error::rejected(format!("writer `{writer}` was opened before: use a new name")))
            }
            WriterState::Sealed => {
                Err(Error::rejected(format!("writer `{writer}` is sealed: use a new name")))
            }
            WriterState::Damaged => {
                Err(damaged(&self.inner.path, "opening a writer", &damaged_writer(writer)))
            }
        }
    }

    fn limits(&self) -> Limits {
        Limits { append_bytes_max: self.inner.settings.append_bytes_max, ..Limits::default() }
    }

    async fn append(&self, writer: &WriterId, append: Append) -> Result<()> {
        append.check()?;
        let bytes = append.check_size(&self.limits())?;
        self.writer()?.append(writer, append, bytes).await
    }

    async fn seal(&self, writer: &WriterId) -> Result<()> {
        let name = writer.as_str().to_owned();
        self.writer()?.run(move |connection| seal_writer(connection, &name)).await
    }

    async fn replay(
        &self,
        persistence_id: &PersistenceId,
        first: SequenceNr,
        last: SequenceNr,
        event_count_max: usize,
    ) -> Result<Vec<StoredEvent>> {
        Ok(self.replay_page(persistence_id, first, last, event_count_max).await?.events)
    }

    async fn replay_page(
        &self,
        persistence_id: &PersistenceId,
        first: SequenceNr,
        last: SequenceNr,
        event_count_max: usize,
    ) -> Result<ReplayPage> {
        let id = persistence_id.clone();
        let bytes_max = self.inner.settings.replay_bytes_max;
        self.read("replaying", move |transaction| {
            let Some(end) = stream_end(transaction, &id)?.end()? else {
                return Ok(ReplayPage { events: Vec::new(), highest: Some(SequenceNr::ZERO) });
            };
            let events = match Range::new(first, last, event_count_max, end) {
                None => Vec::new(),
                Some(range) => {
                    let batches = batches(transaction, &id, end, range, bytes_max)?;
                    decode(&id, range, batches)?
                }
            };
            Ok(ReplayPage { events, highest: Some(end.highest_nr()) })
        })
        .await
    }

    async fn highest(&self, persistence_id: &PersistenceId) -> Result<SequenceNr> {
        let id = persistence_id.clone();
        let end = self.read("reading the highest", move |t| stream_end(t, &id)?.end()).await?;
        Ok(end.map_or(SequenceNr::ZERO, End::highest_nr))
    }

    async fn delete_to(&self, persistence_id: &PersistenceId, last: SequenceNr) -> Result<()> {
        let id = persistence_id.clone();
        self.writer()?
            .run_reading(move |connection| {
                let Some(end) = stream_end(connection, &id)?.end()? else { return Ok(()) };
                let last = i64::try_from(last.value()).unwrap_or(i64::MAX).min(end.highest);
                if last > end.deleted { delete(connection, &id, end, last) } else { Ok(()) }
            })
            .await
    }
}

/// Events that a replay returns: inclusive bounds, never empty, without deleted events.
#[derive(Clone, Copy)]
struct Range {
    first: i64,
    last: i64,
}

impl Range {
    fn new(first: SequenceNr, last: SequenceNr, count_max: usize, end: End) -> Option<Self> {
        let number = |nr: SequenceNr| i64::try_from(nr.value()).unwrap_or(i64::MAX);
        let count_max = i64::try_from(count_max).unwrap_or(i64::MAX);
        let first = number(first).max(end.deleted + 1);
        let last = number(last).min(end.highest).min(first.saturating_add(count_max) - 1);
        (first <= last).then_some(Self { first, last })
    }
}

struct Batch {
    first: i64,
    events: Bytes,
}

/// The batches that overlap the range, in order. Keeps the first ones, as many as `bytes_max`
/// allows and at least one.
fn batches(
    connection: &Connection,
    id: &PersistenceId,
    end: End,
    range: Range,
    bytes_max: usize,
) -> std::result::Result<VecDeque<Batch>, Unread> {
    let start = start(connection, id, end, range.last)?;
    let mut found = VecDeque::new();
    let mut bytes = 0;
    let mut statement = connection.prepare_cached(&BATCH_STATEMENT)?;
    let mut ordinal = start;
    while ordinal != 0 {
        let mut rows = statement.query([ordinal])?;
        let Some(row) = rows.next()? else { return Err(lost(id, ordinal)) };
        let header = BatchHeader::read(row)?;
        check(&header, id, end, ordinal).map_err(Unread::Row)?;
        if header.first <= range.last {
            let events: Vec<u8> = row.get(EVENTS_COLUMN)?;
            if of_events(&events) != header.events_checksum {
                return Err(Unread::Row(format!(
                    "table `batches`, ordinal {ordinal}, events {} to {} of `{id}`: {DAMAGED}",
                    header.first, header.last
                )));
            }
            bytes += events.len();
            found.push_front(Batch { first: header.first, events: events.into() });
        }
        while bytes > bytes_max && found.len() > 1 {
            bytes -= found.pop_back().map_or(0, |batch: Batch| batch.events.len());
        }
        if header.first <= range.first {
            break;
        }
        ordinal = header.previous;
    }
    Ok(found)
}

/// Column of the events in [`BATCH_STATEMENT`].
const EVENTS_COLUMN: usize = 8;

static BATCH_STATEMENT: LazyLock<String> =
    LazyLock::new(|| format!("SELECT {BATCH_COLUMNS}, events FROM batches WHERE ordinal = ?1"));

/// Reads a batch without its events. `None` when the batch is missing.
fn header(connection: &Connection, ordinal: i64) -> rusqlite::Result<Option<BatchHeader>> {
    connection
        .prepare_cached(&format!("SELECT {BATCH_COLUMNS} FROM batches WHERE ordinal = ?1"))?
        .query_row([ordinal], BatchHeader::read)
        .optional()
}

fn check(
    header: &BatchHeader,
    id: &PersistenceId,
    end: End,
    ordinal: i64,
) -> std::result::Result<(), String> {
    header.check(id.as_str())?;
    let BatchHeader { stream, first, last, previous, .. } = header;
    let sound = *stream == end.stream
        && (0..ordinal).contains(previous)
        && 0 < *first
        && first <= last
        && *last <= end.highest;
    if sound { Ok(()) } else { Err(format!("batch {ordinal} is no batch of `{id}`")) }
}

fn lost(id: &PersistenceId, ordinal: i64) -> Unread {
    Unread::Row(format!("table `batches`, ordinal {ordinal}, of `{id}`: its row is missing"))
}

/// The first marked batch after `last`, or the newest batch of the stream. A mark is only a hint: a
/// mark that does not lead to a later batch of the stream is ignored.
fn start(
    connection: &Connection,
    id: &PersistenceId,
    end: End,
    last: i64,
) -> rusqlite::Result<i64> {
    if end.depth < MARK_EVERY {
        // the stream has no mark yet
        return Ok(end.newest);
    }
    let marked: Option<i64> = connection
        .prepare_cached(
            "SELECT ordinal FROM marks WHERE stream = ?1 AND first > ?2 ORDER BY first LIMIT 1",
        )?
        .query_row([end.stream, last], |row| row.get(0))
        .optional()?;
    let Some(ordinal) = marked else { return Ok(end.newest) };
    let leads = match header(connection, ordinal)? {
        Some(header) => check(&header, id, end, ordinal).is_ok() && header.last >= last,
        None => false,
    };
    if !leads {
        tracing::error!(%id, ordinal, "table `marks`: a row leads nowhere: the stream is read from its end; `antiphon journal verify` lists all damage");
        return Ok(end.newest);
    }
    Ok(ordinal)
}

fn decode(
    id: &PersistenceId,
    range: Range,
    batches: VecDeque<Batch>,
) -> std::result::Result<Vec<StoredEvent>, Unread> {
    let mut events = Vec::new();
    for Batch { first, events: bytes } in batches {
        let first = SequenceNr::new(first.unsigned_abs());
        batch::decode_into(&mut events, first, &bytes).map_err(|why| {
            Unread::Row(format!(
                "the events of `{id}` from sequence number {first} are unreadable: {why}"
            ))
        })?;
    }
    // the first and the last batch may have more than was asked for
    let (first, last) = (range.first.unsigned_abs(), range.last.unsigned_abs());
    let before = events.iter().take_while(|event| event.sequence_nr.value() < first).count();
    events.drain(..before);
    let after = events.iter().rev().take_while(|event| event.sequence_nr.value() > last).count();
    events.truncate(events.len() - after);
    let dense = (first..).zip(&events).all(|(nr, e)| e.sequence_nr.value() == nr);
    if !dense || events.is_empty() {
        return Err(Unread::Row(format!("the events of `{id}` from {} have a hole", range.first)));
    }
    Ok(events)
}

/// Moves the mark of deletion, and removes the batches that lie wholly before it. The newest batch
/// of the file stays, deleted or not, so that row numbers only grow.
fn delete(
    connection: &Connection,
    id: &PersistenceId,
    end: End,
    last: i64,
) -> std::result::Result<(), Unread> {
    let mut ordinal = start(connection, id, end, last)?;
    let mut gone = Vec::new();
    while ordinal != 0 {
        // an earlier deletion ended here
        let Some(header) = header(connection, ordinal)? else { break };
        check(&header, id, end, ordinal).map_err(Unread::Row)?;
        if header.last <= last {
            gone.push(ordinal);
        }
        ordinal = header.previous;
    }
    let deleted = End { deleted: last, ..end };
    connection.execute(
        "UPDATE heads SET deleted = ?2, checksum = ?3 WHERE stream = ?1",
        params![end.stream, last, of_head(id.as_str(), deleted)],
    )?;
    let mut statement = connection.prepare_cached(
        "DELETE FROM batches WHERE ordinal = ?1 AND ordinal < (SELECT max(ordinal) FROM batches)",
    )?;
    for ordinal in gone {
        statement.execute([ordinal])?;
    }
    connection.execute(
        "DELETE FROM marks WHERE stream = ?1 AND first <= ?2",
        params![end.stream, last],
    )?;
    Ok(())
}
