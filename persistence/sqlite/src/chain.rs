//! The chain of a stream's batches, which a replay follows backwards, from the end of the stream or
//! from a mark near the requested events.

#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;

use std::collections::VecDeque;
use std::sync::LazyLock;

use antiphon_persistence::event::{SequenceNr, StoredEvent};
use antiphon_persistence::identity::PersistenceId;
use antiphon_persistence::record::batch;
use antiphon_persistence::record::checksum::DAMAGED;
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension};

use crate::batch_row::{BATCH_COLUMNS, BatchHeader};
use crate::head::End;
use crate::record_error::Unread;
use crate::sums::of_events;
use crate::writer::MARK_EVERY;

/// Events that a replay returns: inclusive bounds, never empty, without deleted events.
#[derive(Clone, Copy)]
pub(crate) struct Range {
    first: i64,
    last: i64,
}

impl Range {
    pub(crate) fn new(
        first: SequenceNr,
        last: SequenceNr,
        count_max: usize,
        end: End,
    ) -> Option<Self> {
        let number = |nr: SequenceNr| i64::try_from(nr.value()).unwrap_or(i64::MAX);
        let count_max = i64::try_from(count_max).unwrap_or(i64::MAX);
        let first = number(first).max(end.deleted + 1);
        let last = number(last).min(end.highest).min(first.saturating_add(count_max) - 1);
        if first > last {
            return None;
        }
        assert!(end.deleted < first && last <= end.highest, "events {first} to {last} of {end:?}");
        Some(Self { first, last })
    }
}

/// The events of one batch.
pub(crate) struct Batch {
    first: i64,
    events: Bytes,
}

/// The batches that overlap the range, in order. Keeps the first ones, as many as `bytes_max`
/// allows and at least one.
pub(crate) fn batches(
    connection: &Connection,
    id: &PersistenceId,
    end: End,
    range: Range,
    bytes_max: usize,
) -> Result<VecDeque<Batch>, Unread> {
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
        assert!(header.previous < ordinal, "the chain of `{id}` must end");
        ordinal = header.previous;
    }
    Ok(found)
}

/// Column of the events in [`BATCH_STATEMENT`].
const EVENTS_COLUMN: usize = 8;

static BATCH_STATEMENT: LazyLock<String> =
    LazyLock::new(|| format!("SELECT {BATCH_COLUMNS}, events FROM batches WHERE ordinal = ?1"));

/// Reads a batch without its events. `None` when the batch is missing.
pub(crate) fn header(
    connection: &Connection,
    ordinal: i64,
) -> rusqlite::Result<Option<BatchHeader>> {
    connection
        .prepare_cached(&format!("SELECT {BATCH_COLUMNS} FROM batches WHERE ordinal = ?1"))?
        .query_row([ordinal], BatchHeader::read)
        .optional()
}

/// Checks that a batch is one of the stream that ends so. The error is the problem.
pub(crate) fn check(
    header: &BatchHeader,
    id: &PersistenceId,
    end: End,
    ordinal: i64,
) -> Result<(), String> {
    header.check(id.as_str())?;
    let sound =
        header.ordinal == ordinal && header.stream == end.stream && header.last <= end.highest;
    if sound { Ok(()) } else { Err(format!("batch {ordinal} is no batch of `{id}`")) }
}

fn lost(id: &PersistenceId, ordinal: i64) -> Unread {
    Unread::Row(format!("table `batches`, ordinal {ordinal}, of `{id}`: its row is missing"))
}

/// The first marked batch after `last`, or the newest batch of the stream. A mark is only a hint: a
/// mark that does not lead to a later batch of the stream is ignored.
pub(crate) fn start(
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

/// The events of the range from its batches.
pub(crate) fn decode(
    id: &PersistenceId,
    range: Range,
    batches: VecDeque<Batch>,
) -> Result<Vec<StoredEvent>, Unread> {
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
