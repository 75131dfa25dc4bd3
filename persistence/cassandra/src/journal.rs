//! Single streams: appends go to the log, a replay joins the streams' own partitions with what is not yet copied.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use antiphon_persistence::event::{SequenceNr, StoredEvent};
use antiphon_persistence::identity::PersistenceId;
use antiphon_persistence::store::{Append, Journal, WriterId};
use antiphon_persistence::{Error, Result};
use async_trait::async_trait;

use crate::log::copy::{ROW_EVENTS_MAX, part_of};
use crate::log::round::{Entry, decode_events, encode_entry};
use crate::log::seal::Sealing;
use crate::log::writer::{Reserved, Writer};
use crate::stats::count;
use crate::stores::CassandraStores;
use crate::tables::{EventRow, StreamRow, WriterRow};

/// Rows that one read of a partition takes.
const ROWS_MAX: usize = 64;

#[async_trait]
impl Journal for CassandraStores {
    async fn open_writer(&self, writer: &WriterId) -> Result<()> {
        self.require_owner()?;
        let row = WriterRow {
            writer: writer.as_str().into(),
            lanes: self.inner.shared.settings.lanes,
            sealed: false,
            copied: false,
            ended_at: 0,
        };
        match self.tables().insert_writer(&row).await? {
            None => {
                self.start_writer(writer);
                Ok(())
            }
            Some(there) if there.sealed => {
                Err(Error::rejected(format!("writer `{writer}` is sealed: use a new name")))
            }
            Some(_) => {
                Err(Error::rejected(format!("writer `{writer}` was opened before: use a new name")))
            }
        }
    }

    async fn append(&self, id: &WriterId, append: Append) -> Result<()> {
        append.check()?;
        let Some(writer) = self.open_here(id) else { return Err(self.not_open(id).await?) };
        let outcome = self.append_with(&writer, append).await;
        if outcome.as_ref().is_err_and(|e| e.kind() == antiphon_persistence::ErrorKind::Fenced) {
            count(&self.inner.shared.counters.fenced, 1);
        }
        outcome
    }

    async fn seal(&self, writer: &WriterId) -> Result<()> {
        self.require_owner()?;
        if let Some(open) = self.open_here(writer) {
            open.end();
        }
        let shared = &self.inner.shared;
        let sealing = Sealing {
            tables: &shared.tables,
            settings: &shared.settings,
            counters: &shared.counters,
            partition_events_max: shared.partition_events_max,
        };
        sealing.seal(writer.as_str()).await
    }

    async fn replay(
        &self,
        persistence_id: &PersistenceId,
        first: SequenceNr,
        last: SequenceNr,
        event_count_max: usize,
    ) -> Result<Vec<StoredEvent>> {
        // what is not copied is looked at first: an event that moves meanwhile is found in its partition
        let tail = self.fresh_tail(persistence_id.as_str()).await?;
        let row = self.tables().stream(persistence_id.as_str()).await?;
        let count_max = u64::try_from(event_count_max).unwrap_or(u64::MAX);
        let first = first.value().max(row.deleted + 1);
        let last = last.value().min(first.saturating_add(count_max).saturating_sub(1));
        let bytes_max = self.inner.shared.settings.replay_bytes_max;
        let mut read = Reading {
            stream: persistence_id.as_str().into(),
            next: first,
            last,
            events: Vec::new(),
            bytes: 0,
            bytes_max,
            tail: tail.into(),
        };
        if count_max == 0 || first > last {
            return Ok(Vec::new());
        }
        self.read_partitions(&mut read, row).await?;
        read.add_tail(u64::MAX)?;
        // nothing from the middle of nowhere is no end
        let ends_here = !read.events.is_empty() || first == row.deleted + 1;
        if ends_here && last >= read.next && !read.is_full() {
            self.learn(&read.stream, read.next - 1);
        }
        Ok(read.events)
    }

    async fn highest(&self, persistence_id: &PersistenceId) -> Result<SequenceNr> {
        let stream: Arc<str> = persistence_id.as_str().into();
        let (highest, _) = self.end_of(&stream).await?;
        Ok(SequenceNr::new(highest))
    }

    async fn delete_to(&self, persistence_id: &PersistenceId, last: SequenceNr) -> Result<()> {
        self.require_owner()?;
        let stream: Arc<str> = persistence_id.as_str().into();
        let (highest, row) = self.end_of(&stream).await?;
        let deleted = last.value().min(highest);
        if deleted <= row.deleted {
            return Ok(());
        }
        // the mark first: from here on the events are gone for every reader
        self.tables().put_stream(&stream, StreamRow { part: 0, deleted }).await?;
        let max = self.inner.shared.partition_events_max;
        for part in part_of(row.deleted.max(1), max)..=part_of(deleted, max) {
            self.tables().delete_events(&stream, part, deleted).await?;
        }
        Ok(())
    }
}

impl CassandraStores {
    /// Why a writer that is not open here cannot append.
    async fn not_open(&self, writer: &WriterId) -> Result<Error> {
        self.require_owner()?;
        let row = self.tables().writer(writer.as_str()).await?;
        Ok(match row {
            Some(row) if row.sealed => Error::fenced(format!("writer `{writer}` is sealed")),
            Some(_) => Error::rejected(format!("writer `{writer}` was opened by another session")),
            None => Error::rejected(format!("writer `{writer}` was never opened")),
        })
    }

    async fn append_with(&self, writer: &Writer, append: Append) -> Result<()> {
        let settings = &self.inner.shared.settings;
        writer.ended()?;
        let record = encode_entry(&append);
        if record.len() > settings.append_bytes_max {
            return Err(Error::rejected(format!(
                "append to `{}`: expected at most {} bytes (`append_bytes_max`), actual {}",
                append.persistence_id,
                settings.append_bytes_max,
                record.len()
            )));
        }
        writer.room_to_copy().await;
        let queue = &self.inner.queue;
        if queue.available_permits() == 0 {
            count(&self.inner.shared.counters.queue_full, 1);
        }
        let Ok(room) = queue.clone().acquire_owned().await else {
            return Err(Error::bug("the queue of the journal is closed"));
        };
        writer.ended()?;
        let stream: Arc<str> = append.persistence_id.as_str().into();
        let (expected, count) = (append.expected.value(), append.events.len() as u64);
        let numbers = (expected, count);
        let mut reserved = writer.reserve(&stream, numbers, record, room, None);
        if let Reserved::Look(record, room) = reserved {
            let (highest, _) = self.end_of(&stream).await?;
            reserved = writer.reserve(&stream, numbers, record, room, Some(highest));
        }
        match reserved {
            Reserved::UnderWay(answer) => answer.await.unwrap_or_else(|_| {
                Err(Error::timeout("the process ended before the append was answered"))
            }),
            Reserved::Fenced(highest) => Err(Error::fenced(format!(
                "append to `{stream}`: expected the highest number {expected}, actual {highest}"
            ))),
            Reserved::Look(..) => {
                Err(Error::bug(format!("append to `{stream}`: its end is not known after a look")))
            }
        }
    }

    fn learn(&self, stream: &Arc<str>, highest: u64) {
        let shared = &self.inner.shared;
        shared.ends.learn(stream, highest, shared.settings.stream_cache_max);
    }

    async fn fresh_tail(&self, stream: &str) -> Result<Vec<Entry>> {
        let shared = &self.inner.shared;
        shared.view.refresh(self.tables(), &shared.counters, Duration::ZERO).await?;
        Ok(shared.view.tail(stream))
    }

    /// The highest number of a stream, deleted ones included, and its row.
    async fn end_of(&self, stream: &Arc<str>) -> Result<(u64, StreamRow)> {
        let tail = self.fresh_tail(stream).await?;
        let tables = self.tables();
        let (row, in_first) =
            futures::try_join!(tables.stream(stream), tables.highest_in_part(stream, 0))?;
        let mut copied = if row.part == 0 { in_first } else { None };
        let mut part = row.part;
        // a part is made known before it has events
        while copied.is_none() && part > 0 {
            copied = tables.highest_in_part(stream, part).await?;
            part -= 1;
            if part == 0 && copied.is_none() {
                copied = in_first;
            }
        }
        let uncopied = tail.iter().map(|entry| entry.last).max().unwrap_or(0);
        Ok((copied.unwrap_or(0).max(uncopied).max(row.deleted), row))
    }

    /// Reads on until the range or the partitions end. Streams that moved between writers may have later events there than some that are not
    /// copied yet.
    async fn read_partitions(&self, read: &mut Reading, row: StreamRow) -> Result<()> {
        let max = self.inner.shared.partition_events_max;
        let wanted = |read: &Reading| read.next <= read.last && !read.is_full();
        let mut part = part_of(read.next, max);
        while wanted(read) && part <= row.part {
            let mut from = read.next.saturating_sub(ROW_EVENTS_MAX - 1).max(part * max + 1);
            loop {
                let stream = read.stream.clone();
                let rows = self.tables().events(&stream, part, from, read.last, ROWS_MAX).await?;
                let full = rows.len() == ROWS_MAX;
                // several rows may begin with the same number
                let next_from = rows.last().map_or(from, |row| row.first.max(from));
                let stuck = full && next_from == from;
                for row in rows {
                    read.add_row(&row)?;
                }
                if !full || !wanted(read) {
                    break;
                }
                if stuck {
                    return Err(Error::corrupt(format!(
                        "`{stream}` has more than {ROWS_MAX} rows that begin with event {from}"
                    )));
                }
                from = next_from;
            }
            part += 1;
        }
        Ok(())
    }
}

/// A replay under way.
struct Reading {
    stream: Arc<str>,
    next: u64,
    last: u64,
    events: Vec<StoredEvent>,
    bytes: usize,
    bytes_max: usize,
    /// What may not be copied yet, in order.
    tail: VecDeque<Entry>,
}

impl Reading {
    fn is_full(&self) -> bool {
        self.bytes >= self.bytes_max
    }

    fn add_row(&mut self, row: &EventRow) -> Result<()> {
        self.add_tail(row.first)?;
        self.add(row.first, row.last, &row.record)
    }

    /// Adds what is not copied and begins before `end`.
    fn add_tail(&mut self, end: u64) -> Result<()> {
        while self.tail.front().is_some_and(|entry| entry.first < end) {
            let Some(entry) = self.tail.pop_front() else { break };
            self.add(entry.first, entry.last, &entry.events)?;
        }
        Ok(())
    }

    /// Adds the events that are next. What was read before is compared: two writers of one stream are noticed.
    fn add(&mut self, first: u64, last: u64, record: &[u8]) -> Result<()> {
        if self.next > self.last || self.is_full() {
            return Ok(());
        }
        let start = self.next - self.events.len() as u64;
        if last < start {
            return Ok(());
        }
        if last < self.next && first >= start {
            return self.compare(&decode_events(&self.stream, first, last, record)?);
        }
        if first > self.next {
            return Err(Error::corrupt(format!(
                "the events of `{}` have a hole: expected {}, actual {first}",
                self.stream, self.next
            )));
        }
        let events = decode_events(&self.stream, first, last, record)?;
        self.compare(&events)?;
        for event in events {
            if event.sequence_nr.value() == self.next && self.next <= self.last {
                self.next += 1;
                self.bytes += event.payload.bytes.len() + 64;
                self.events.push(event);
            }
        }
        Ok(())
    }

    fn compare(&self, again: &[StoredEvent]) -> Result<()> {
        let Some(start) = self.events.first().map(|event| event.sequence_nr.value()) else {
            return Ok(());
        };
        for event in again {
            let index = event.sequence_nr.value().checked_sub(start);
            let known = index
                .and_then(|index| usize::try_from(index).ok())
                .and_then(|index| self.events.get(index));
            if known.is_some_and(|known| known != event) {
                return Err(Error::corrupt(format!(
                    "event {} of `{}` was written twice, by two writers that were open at the same time",
                    event.sequence_nr, self.stream
                )));
            }
        }
        Ok(())
    }
}
