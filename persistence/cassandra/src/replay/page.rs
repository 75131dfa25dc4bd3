//! Pages of a partition: the rows that one read takes.

use antiphon_base::{Error, Result};

use crate::log::copy_plan::part_of;
use crate::log::event_row::ROW_EVENTS_MAX;
use crate::tables::{EventRow, Outcome, Tables};

/// Rows of the first read: few, so that the next rows arrive while these are decoded.
const PAGE_ROWS: usize = 16;
/// Rows of a later read, when the rows before had no more than [`ROW_BYTES`] each on average.
const NEXT_PAGE_ROWS: usize = 64;
const ROW_BYTES: usize = 32 << 10;
/// Rows of a read when all rows of a page begin with the same event.
const ROWS_MAX: usize = 256;

/// A read of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PageKey {
    part: u64,
    /// The first event with which a row of the page may begin, and the last.
    from: u64,
    last: u64,
    row_count_max: usize,
}

impl PageKey {
    /// The page that holds event `first`.
    pub(super) fn of(first: u64, last: u64, partition_events_max: u64) -> Self {
        let part = part_of(first, partition_events_max);
        let begin = part.saturating_mul(partition_events_max) + 1;
        let from = first.saturating_sub(ROW_EVENTS_MAX - 1).max(begin);
        Self { part, from, last, row_count_max: PAGE_ROWS }
    }

    /// The same page, with more rows when `rows` are small.
    pub(super) fn like(self, rows: &[EventRow]) -> Self {
        let small = !rows.is_empty() && bytes_of(rows) <= rows.len() * ROW_BYTES;
        Self { row_count_max: if small { NEXT_PAGE_ROWS } else { PAGE_ROWS }, ..self }
    }

    /// The page that holds event `first`, when `rows` are the rows before it. An overlapping row
    /// may begin before `first` and still contain it; the page then misses the row, and the replay
    /// finds a hole.
    pub(super) fn after(
        rows: &[EventRow],
        first: u64,
        last: u64,
        partition_events_max: u64,
    ) -> Self {
        let key = Self::of(first, last, partition_events_max).like(rows);
        let from = match rows.last() {
            Some(row) if row.last < first => first,
            Some(row) => row.first,
            None => key.from,
        };
        Self { from: from.max(key.from), ..key }
    }

    /// True when this page can be read instead of the page that [`Self::of`] gives for these
    /// events.
    pub(super) fn serves(self, first: u64, last: u64, partition_events_max: u64) -> bool {
        let of = Self::of(first, last, partition_events_max);
        self.part == of.part && self.last == last && (of.from..=first).contains(&self.from)
    }

    pub(super) async fn read(self, tables: &dyn Tables, stream: &str) -> Outcome<Vec<EventRow>> {
        tables.events(stream, self.part, self.from, self.last, self.row_count_max).await
    }

    /// The page after this one. `rows` are the rows of this page.
    pub(super) fn next(
        self,
        stream: &str,
        rows: &[EventRow],
        newest_part: u64,
        partition_events_max: u64,
    ) -> Result<Option<Self>> {
        let Some(last) = rows.last().filter(|_| rows.len() == self.row_count_max) else {
            let begin = (self.part + 1).saturating_mul(partition_events_max) + 1;
            let more = self.part < newest_part && begin <= self.last;
            return Ok(more.then(|| Self { part: self.part + 1, from: begin, ..self }.like(rows)));
        };
        // several rows may begin with the same event
        let from = last.first.max(self.from);
        match (from == self.from, self.row_count_max) {
            (false, _) => Ok(Some(Self { from, ..self }.like(rows))),
            (true, ROWS_MAX) => Err(Error::corrupt(format!(
                "`{stream}` has more than {ROWS_MAX} rows that begin with event {from}"
            ))),
            (true, _) => Ok(Some(Self { row_count_max: ROWS_MAX, ..self })),
        }
    }
}

/// Bytes of the records of `rows`.
pub(super) fn bytes_of(rows: &[EventRow]) -> usize {
    rows.iter().map(|row| row.record.len()).sum()
}
