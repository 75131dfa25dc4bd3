//! Replay: a stream's own partitions, joined with what is not yet copied.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use antiphon_persistence::event::{SequenceNr, StoredEvent};
use antiphon_persistence::identity::PersistenceId;
use antiphon_persistence::{Error, ErrorKind, Result};
use bytes::Bytes;
use futures::future::maybe_done;

use crate::log::copy::{ROW_EVENTS_MAX, part_of};
use crate::log::round::{Entry, decode_events};
use crate::stores::CassandraStores;
use crate::tables::{EventRow, Outcome, StreamRow};

/// Rows that the first read takes: few, so that the next ones come while these are decoded.
const PAGE_ROWS: usize = 16;
/// Rows that the next ones take, when those of the first had no more than [`PAGE_BYTES`] together.
const NEXT_PAGE_ROWS: usize = 64;
const PAGE_BYTES: usize = 512 << 10;
/// Rows that it takes when more than those begin with the same event.
const ROWS_MAX: usize = 256;

impl CassandraStores {
    /// The events `first..=last` of a stream, so many as the limits allow.
    pub(crate) async fn read_stream(
        &self,
        persistence_id: &PersistenceId,
        first: SequenceNr,
        last: SequenceNr,
        event_count_max: usize,
    ) -> Result<Vec<StoredEvent>> {
        let count_max = u64::try_from(event_count_max).unwrap_or(u64::MAX);
        if count_max == 0 || first > last {
            return Ok(Vec::new());
        }
        let stream: Arc<str> = persistence_id.clone().into();
        let asked = Asked { first: first.value(), last: last.value(), count_max };
        let shared = &self.inner.shared;
        if shared.replays.go_on(&stream, asked.first) {
            // there was more: as long as there is, it takes no look at the lanes
            let tail = shared.view.tail(&stream);
            match self.read_with(&stream, asked, tail).await {
                Ok(read) if read.is_whole() => {
                    shared.replays.stopped_before(&stream, read.next);
                    return Ok(read.events);
                }
                // what is missing may be in a lane
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Corrupt => {}
                Err(error) => return Err(error),
            }
        }
        // what is not copied is looked at first: an event that moves meanwhile is found in its partition
        let tail = self.fresh_tail(&stream).await?;
        let read = self.read_with(&stream, asked, tail).await?;
        if read.is_whole() {
            shared.replays.stopped_before(&stream, read.next);
        } else if !read.events.is_empty() || asked.first <= read.first {
            // nothing from the middle of nowhere is no end
            self.learn(&stream, read.next - 1);
        }
        Ok(read.events)
    }

    async fn read_with(
        &self,
        stream: &Arc<str>,
        asked: Asked,
        tail: Vec<Entry>,
    ) -> Result<Reading> {
        let end = |first: u64| asked.last.min(first.saturating_add(asked.count_max - 1));
        let key = PageKey::of(asked.first, end(asked.first), self.partition_events_max());
        let (row, page) = futures::try_join!(self.tables().stream(stream), self.page(stream, key))?;
        let first = asked.first.max(row.deleted + 1);
        let mut read = Reading {
            stream: stream.clone(),
            first: row.deleted + 1,
            next: first,
            last: end(first),
            events: Vec::new(),
            bytes: 0,
            bytes_max: self.inner.shared.settings.replay_bytes_max,
            tail: tail.into(),
        };
        if first <= read.last {
            self.read_partitions(&mut read, row, (key, page)).await?;
            read.add_tail(u64::MAX)?;
        }
        Ok(read)
    }

    fn partition_events_max(&self) -> u64 {
        self.inner.shared.partition_events_max
    }

    async fn page(&self, stream: &str, of: PageKey) -> Outcome<Vec<EventRow>> {
        self.tables().events(stream, of.part, of.from, of.last, of.row_count_max).await
    }

    /// Reads on until the range or the partitions end; a page is asked for before the one before it is decoded. Streams that moved between
    /// writers may have later events there than some that are not copied yet.
    async fn read_partitions(
        &self,
        read: &mut Reading,
        row: StreamRow,
        (mut key, mut rows): (PageKey, Vec<EventRow>),
    ) -> Result<()> {
        let max = self.partition_events_max();
        let stream = read.stream.clone();
        let wanted = PageKey::of(read.next, read.last, max);
        if key != wanted {
            // events were deleted: the page that was asked for is another one
            (key, rows) = (wanted, self.page(&stream, wanted).await?);
        }
        loop {
            let next = key.next(&rows, row.part, max).map_err(|from| {
                Error::corrupt(format!(
                    "`{stream}` has more than {ROWS_MAX} rows that begin with event {from}"
                ))
            })?;
            let bytes: usize = rows.iter().map(|row| row.record.len()).sum();
            let full = read.bytes + bytes >= read.bytes_max;
            let mut ahead = next.map(|next| Box::pin(maybe_done(self.page(&stream, next))));
            if let Some(ahead) = ahead.as_mut().filter(|_| !full) {
                // sends it; the answer is waited for below
                let _ = futures::poll!(ahead.as_mut());
            }
            for row in &rows {
                read.add_row(row)?;
            }
            let (Some(next), Some(mut ahead)) = (next, ahead) else { return Ok(()) };
            if read.is_whole() {
                return Ok(());
            }
            ahead.as_mut().await;
            let page = ahead.as_mut().take_output();
            (key, rows) = (next, page.ok_or_else(|| Error::bug("a page was read twice"))??);
        }
    }
}

/// What a call asked for.
#[derive(Debug, Clone, Copy)]
struct Asked {
    first: u64,
    last: u64,
    count_max: u64,
}

/// Streams that are read page by page, and where the next page begins; of many, those that were read last.
#[derive(Debug, Default)]
pub(crate) struct Replays(Mutex<VecDeque<(Arc<str>, u64)>>);

impl Replays {
    /// Streams that are kept.
    const KEPT_MAX: usize = 128;

    fn lock(&self) -> MutexGuard<'_, VecDeque<(Arc<str>, u64)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a page ended just before `first`, and more was there.
    fn go_on(&self, stream: &Arc<str>, first: u64) -> bool {
        let mut kept = self.lock();
        let known = kept.iter().position(|(of, next)| *next == first && of == stream);
        known.is_some_and(|index| kept.remove(index).is_some())
    }

    fn stopped_before(&self, stream: &Arc<str>, next: u64) {
        let mut kept = self.lock();
        if kept.len() >= Self::KEPT_MAX {
            kept.pop_front();
        }
        kept.push_back((stream.clone(), next));
    }
}

/// One read of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct PageKey {
    part: u64,
    /// The first event that a row of it may begin with, and the last.
    from: u64,
    last: u64,
    row_count_max: usize,
}

impl PageKey {
    /// The page in which event `first` is.
    fn of(first: u64, last: u64, partition_events_max: u64) -> Self {
        let part = part_of(first, partition_events_max);
        let begin = part.saturating_mul(partition_events_max) + 1;
        let from = first.saturating_sub(ROW_EVENTS_MAX - 1).max(begin);
        Self { part, from, last, row_count_max: PAGE_ROWS }
    }

    /// The page after this one, which has these rows; the number in which it is stuck, when too many rows begin with it.
    fn next(
        self,
        rows: &[EventRow],
        newest_part: u64,
        partition_events_max: u64,
    ) -> std::result::Result<Option<Self>, u64> {
        let Some(last) = rows.last().filter(|_| rows.len() == self.row_count_max) else {
            let begin = (self.part + 1).saturating_mul(partition_events_max) + 1;
            let more = self.part < newest_part && begin <= self.last;
            let next = Self { part: self.part + 1, from: begin, row_count_max: PAGE_ROWS, ..self };
            return Ok(more.then_some(next));
        };
        let bytes: usize = rows.iter().map(|row| row.record.len()).sum();
        let row_count_max = if bytes <= PAGE_BYTES { NEXT_PAGE_ROWS } else { PAGE_ROWS };
        // several rows may begin with the same number
        let from = last.first.max(self.from);
        match (from == self.from, self.row_count_max) {
            (false, _) => Ok(Some(Self { from, row_count_max, ..self })),
            (true, ROWS_MAX) => Err(from),
            (true, _) => Ok(Some(Self { row_count_max: ROWS_MAX, ..self })),
        }
    }
}

/// A replay under way.
struct Reading {
    stream: Arc<str>,
    /// The first event that is not deleted.
    first: u64,
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

    /// It ends where the limits say, not where the stream does.
    fn is_whole(&self) -> bool {
        self.next > self.last || self.is_full()
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
    fn add(&mut self, first: u64, last: u64, record: &Bytes) -> Result<()> {
        if self.is_whole() {
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
