//! A row of `batches` without its events.

use antiphon_persistence::record::checksum::{Checksum, DAMAGED};

/// The columns of a batch without its events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BatchHeader {
    pub(crate) ordinal: i64,
    pub(crate) stream: i64,
    pub(crate) first: i64,
    pub(crate) last: i64,
    pub(crate) previous: i64,
    pub(crate) seen: Vec<u8>,
    pub(crate) events_checksum: i64,
    pub(crate) checksum: i64,
}

/// The columns of [`BatchHeader`], in order.
pub(crate) const BATCH_COLUMNS: &str =
    "ordinal, stream, first, last, previous, seen, events_checksum, checksum";

impl BatchHeader {
    /// Reads [`BATCH_COLUMNS`].
    pub(crate) fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            ordinal: row.get(0)?,
            stream: row.get(1)?,
            first: row.get(2)?,
            last: row.get(3)?,
            previous: row.get(4)?,
            seen: row.get(5)?,
            events_checksum: row.get(6)?,
            checksum: row.get(7)?,
        })
    }

    /// The checksum of these columns for the stream `name`, with the given `seen` instead of the
    /// own one.
    pub(crate) fn sum(&self, name: &str, seen: &[u8]) -> i64 {
        let Self { ordinal, stream, first, last, previous, events_checksum, .. } = self;
        let mut sum = Checksum::of("batches");
        sum.text(name).signed(*ordinal).signed(*stream);
        sum.signed(*first).signed(*last).signed(*previous).bytes(seen);
        sum.signed(*events_checksum).stored()
    }

    /// Checks the checksum for the stream `name`, and the numbers against each other. The error
    /// says which row is damaged.
    pub(crate) fn check(&self, name: &str) -> Result<(), String> {
        let Self { ordinal, first, last, previous, .. } = self;
        let why = if self.checksum != self.sum(name, &self.seen) {
            DAMAGED
        } else if *first < 1 || first > last || !(0..*ordinal).contains(previous) {
            "its numbers do not fit each other"
        } else {
            return Ok(());
        };
        Err(format!("table `batches`, ordinal {ordinal}, of stream `{name}`: {why}"))
    }
}
