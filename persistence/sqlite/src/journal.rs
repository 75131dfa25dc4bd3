//! Single streams. A replay follows the chain of a stream's batches from its end, or from a mark near what is asked for.

use std::collections::VecDeque;

use antiphon_persistence::event::{SequenceNr, StoredEvent};
use antiphon_persistence::identity::PersistenceId;
use antiphon_persistence::store::{Append, Journal, WriterId};
use antiphon_persistence::{Error, Result};
use async_trait::async_trait;
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, params};

use crate::record_error::Unread;
use crate::stores::SqliteStores;
use crate::writer::{End, WriterState, seal_writer, stream_end, writer_state};
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
                    connection.execute("INSERT INTO writers VALUES (?1, 0)", [&name])?;
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
        }
    }

    async fn append(&self, writer: &WriterId, append: Append) -> Result<()> {
        append.check()?;
        self.writer()?.append(writer, append).await
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
        let id = persistence_id.clone();
        let bytes_max = self.inner.settings.replay_bytes_max;
        self.read("replaying", move |transaction| {
            let Some(end) = stream_end(transaction, &id)? else { return Ok(Vec::new()) };
            let Some(range) = Range::new(first, last, event_count_max, end) else {
                return Ok(Vec::new());
            };
            let batches = batches(transaction, end, range, bytes_max)?;
            decode(&id, range, batches)
        })
        .await
    }

    async fn highest(&self, persistence_id: &PersistenceId) -> Result<SequenceNr> {
        let id = persistence_id.clone();
        let end = self.read("reading the highest", move |t| Ok(stream_end(t, &id)?)).await?;
        Ok(end.map_or(SequenceNr::ZERO, |end| SequenceNr::new(end.highest.unsigned_abs())))
    }

    async fn delete_to(&self, persistence_id: &PersistenceId, last: SequenceNr) -> Result<()> {
        let id = persistence_id.clone();
        self.writer()?
            .run(move |connection| {
                let Some(end) = stream_end(connection, &id)? else { return Ok(()) };
                let last = i64::try_from(last.value()).unwrap_or(i64::MAX).min(end.highest);
                if last > end.deleted { delete(connection, end, last) } else { Ok(()) }
            })
            .await
    }
}

/// What a replay returns: numbers inclusive, never empty, without deleted ones.
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

/// The batches that overlap the range, in order; from the front, so many as the limit allows and at least one.
fn batches(
    connection: &Connection,
    end: End,
    range: Range,
    bytes_max: usize,
) -> std::result::Result<VecDeque<Batch>, Unread> {
    let mut found = VecDeque::new();
    let mut bytes = 0;
    let mut ordinal = start(connection, end, range.last)?;
    let mut statement = connection.prepare_cached(
        "SELECT stream, first, last, previous, events FROM batches WHERE ordinal = ?1",
    )?;
    while ordinal != 0 {
        let mut rows = statement.query([ordinal])?;
        let Some(row) = rows.next()? else {
            return Err(Unread::Row(format!(
                "batch {ordinal} of stream {} is missing",
                end.stream
            )));
        };
        let (stream, first, last, previous): (i64, i64, i64, i64) =
            (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
        if stream != end.stream || previous >= ordinal || first > last {
            return Err(Unread::Row(format!(
                "batch {ordinal} is no batch of stream {}",
                end.stream
            )));
        }
        if first <= range.last {
            let events: Vec<u8> = row.get(4)?;
            bytes += events.len();
            found.push_front(Batch { first, events: events.into() });
        }
        while bytes > bytes_max && found.len() > 1 {
            bytes -= found.pop_back().map_or(0, |batch: Batch| batch.events.len());
        }
        if first <= range.first {
            break;
        }
        ordinal = previous;
    }
    Ok(found)
}

/// The first marked batch after `last`, or the newest batch of the stream.
fn start(connection: &Connection, end: End, last: i64) -> rusqlite::Result<i64> {
    let marked: Option<i64> = connection
        .prepare_cached(
            "SELECT ordinal FROM marks WHERE stream = ?1 AND first > ?2 ORDER BY first LIMIT 1",
        )?
        .query_row([end.stream, last], |row| row.get(0))
        .optional()?;
    Ok(marked.unwrap_or(end.newest))
}

fn decode(
    id: &PersistenceId,
    range: Range,
    batches: VecDeque<Batch>,
) -> std::result::Result<Vec<StoredEvent>, Unread> {
    let mut events = Vec::new();
    for Batch { first, events: bytes } in batches {
        let first = SequenceNr::new(first.unsigned_abs());
        let decoded = batch::decode(first, &bytes).map_err(|why| {
            Unread::Row(format!(
                "the events of `{id}` from sequence number {first} are unreadable: {why}"
            ))
        })?;
        let wanted = range.first.unsigned_abs()..=range.last.unsigned_abs();
        events.extend(
            decoded.into_iter().filter(|event| wanted.contains(&event.sequence_nr.value())),
        );
    }
    let dense =
        (range.first.unsigned_abs()..).zip(&events).all(|(nr, e)| e.sequence_nr.value() == nr);
    if !dense || events.is_empty() {
        return Err(Unread::Row(format!("the events of `{id}` from {} have a hole", range.first)));
    }
    Ok(events)
}

/// Moves the mark of what is deleted, and removes the batches that lie wholly before it. The newest batch of the file
/// stays, deleted or not, so that row numbers only grow.
fn delete(connection: &Connection, end: End, last: i64) -> rusqlite::Result<()> {
    connection.execute("UPDATE heads SET deleted = ?2 WHERE stream = ?1", [end.stream, last])?;
    let mut ordinal = start(connection, end, last)?;
    while ordinal != 0 {
        let row: Option<(i64, i64)> = connection
            .prepare_cached("SELECT last, previous FROM batches WHERE ordinal = ?1")?
            .query_row([ordinal], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        // an earlier deletion ended here
        let Some((batch_last, previous)) = row else { break };
        if batch_last <= last {
            connection
                .prepare_cached(
                    "DELETE FROM batches WHERE ordinal = ?1 AND ordinal < (SELECT max(ordinal) FROM batches)",
                )?
                .execute([ordinal])?;
        }
        ordinal = previous;
    }
    connection.execute(
        "DELETE FROM marks WHERE stream = ?1 AND first <= ?2",
        params![end.stream, last],
    )?;
    Ok(())
}
