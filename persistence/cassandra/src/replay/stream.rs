//! The replay of one stream: its own partitions, page by page, joined with its events that are not
//! copied yet.

use std::sync::Arc;

use antiphon_base::{Error, ErrorKind, Result};
use antiphon_persistence::event::{SequenceNr, StoredEvent};
use antiphon_persistence::identity::PersistenceId;
use futures::future::maybe_done;

use super::ahead::{PageAhead, StreamPage};
use super::page::{self, PageKey};
use super::reading::Reading;
use crate::log::entry::Entry;
use crate::stats::count;
use crate::stores::CassandraStores;
use crate::tables::EventRow;

/// Range and limit of a replay.
#[derive(Debug, Clone, Copy)]
struct Asked {
    first: u64,
    last: u64,
    count_max: u64,
}

impl Asked {
    /// The last event of an answer that begins with `first`.
    fn end(self, first: u64) -> u64 {
        self.last.min(first.saturating_add(self.count_max - 1))
    }
}

impl CassandraStores {
    /// The events `first..=last` of a stream, as many as the limits allow.
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
        if let Some(ahead) = shared.read_ahead.take(&stream, asked.first) {
            // the last page ended at a limit: as long as that is so, the lanes need no look
            let tail = shared.view.tail(&stream);
            match self.read_with(&stream, asked, tail, ahead).await {
                Ok(read) if read.is_whole() => return Ok(read.events),
                // missing events may be in a lane
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Corrupt => {}
                Err(error) => return Err(error),
            }
        }
        // the lanes first: an event that is copied meanwhile is found in its partition
        let tail = self.fresh_tail(&stream).await?;
        let mut read = self.read_with(&stream, asked, tail, None).await?;
        // an append that came after the look may be copied in part: a later look shows the rest, or
        // all of it is copied by then
        while read.may_end_in_append && !read.is_whole() {
            let tail = self.fresh_tail(&stream).await?;
            let count_max = read.last - read.next + 1;
            let rest = Asked { first: read.next, last: read.last, count_max };
            let more = self.read_with(&stream, rest, tail, None).await?;
            if more.events.is_empty() {
                break;
            }
            read.go_on(more);
        }
        if !read.is_whole() && (!read.events.is_empty() || asked.first <= read.first) {
            // an empty answer shows the end of the stream only when the read began at its first
            // event
            self.learn(&stream, read.next - 1);
        }
        Ok(read.events)
    }

    async fn read_with(
        &self,
        stream: &Arc<str>,
        asked: Asked,
        tail: Vec<Entry>,
        ahead: Option<PageAhead>,
    ) -> Result<Reading> {
        let (key, (row, rows)) = self.first_page(stream, asked, ahead).await?;
        let first = asked.first.max(row.deleted + 1);
        let mut read = Reading {
            stream: stream.clone(),
            first: row.deleted + 1,
            next: first,
            last: asked.end(first),
            events: Vec::new(),
            bytes: 0,
            bytes_max: self.inner.shared.settings.replay_bytes_max,
            tail: tail.into(),
            may_end_in_append: false,
            partition_events_max: self.partition_events_max(),
        };
        if first <= read.last {
            let entered = self.read_partitions(&mut read, asked, row.part, (key, rows)).await?;
            read.add_tail(u64::MAX)?;
            if read.is_whole() && entered != Some(read.next) {
                self.enter(&read, asked, read.next, &[]);
            }
        }
        read.check();
        Ok(read)
    }

    fn partition_events_max(&self) -> u64 {
        self.inner.shared.partition_events_max
    }

    /// The row of the stream, and the first page: the page that was read ahead when it fits, else a
    /// new read.
    async fn first_page(
        &self,
        stream: &Arc<str>,
        asked: Asked,
        ahead: Option<PageAhead>,
    ) -> Result<(PageKey, StreamPage)> {
        let (first, last) = (asked.first, asked.end(asked.first));
        if let Some(ahead) = ahead {
            let key = ahead.key;
            if key.serves(first, last, self.partition_events_max())
                && let Some(page) = ahead.answer().await
            {
                return Ok((key, page));
            }
            count(&self.inner.shared.counters.pages_ahead_unused, 1);
        }
        let (key, tables) = (PageKey::of(first, last, self.partition_events_max()), self.tables());
        Ok((key, futures::try_join!(tables.stream(stream), key.read(tables, stream))?))
    }

    /// Records that the answer ends before `next`, and requests the page that the reader will need
    /// then. `rows` are the last rows of this answer.
    fn enter(&self, read: &Reading, asked: Asked, next: u64, rows: &[EventRow]) -> Option<u64> {
        if next > asked.last {
            return None;
        }
        let key = PageKey::after(rows, next, asked.end(next), self.partition_events_max());
        self.inner.shared.read_ahead.enter(&read.stream, next, key);
        Some(next)
    }

    /// Reads on until the range or the partitions end. Each page is requested before the previous
    /// page is decoded. When a stream has moved between writers, its partitions may have later
    /// events than some events that are not copied yet. Returns the start of the next answer when
    /// its page was requested.
    async fn read_partitions(
        &self,
        read: &mut Reading,
        asked: Asked,
        newest_part: u64,
        (mut key, mut rows): (PageKey, Vec<EventRow>),
    ) -> Result<Option<u64>> {
        let (max, tables) = (self.partition_events_max(), self.tables());
        let stream = read.stream.clone();
        if !key.serves(read.next, read.last, max) {
            // events were deleted, so another page is needed
            key = PageKey::of(read.next, read.last, max);
            rows = key.read(tables, &stream).await?;
        }
        loop {
            let next = key.next(&stream, &rows, newest_part, max)?;
            let full = read.bytes + page::bytes_of(&rows) >= read.bytes_max;
            let ends = rows.last().is_some_and(|row| row.last >= read.last);
            let mut entered = None;
            if ends && !full {
                entered = self.enter(read, asked, read.last.saturating_add(1), &rows);
            }
            let mut ahead =
                next.map(|next| (next, Box::pin(maybe_done(next.read(tables, &stream)))));
            if let Some((_, ahead)) = ahead.as_mut().filter(|_| !full && !ends) {
                // sends the request; its answer is awaited below
                let _ = futures::poll!(ahead.as_mut());
            }
            read.expect(&rows);
            for row in &rows {
                read.add_row(row)?;
            }
            let Some((next, mut ahead)) = ahead.filter(|_| !read.is_whole()) else {
                return Ok(entered);
            };
            ahead.as_mut().await;
            let page = ahead.as_mut().take_output();
            (key, rows) = (next, page.ok_or_else(|| Error::bug("a page was read twice"))??);
        }
    }
}
