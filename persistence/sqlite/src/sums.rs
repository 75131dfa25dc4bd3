//! The checksums of rows. A checksum covers the key and every column, and the name of the stream in
//! addition to its number, so that a damaged number is found too.

use antiphon_persistence::record::checksum::Checksum;
use xxhash_rust::xxh64::xxh64;

use crate::writer::End;

/// The hash by which a stream is found when its name is damaged.
pub(crate) fn name_hash(name: &str) -> i64 {
    i64::from_le_bytes(xxh64(name.as_bytes(), 0).to_le_bytes())
}

/// The checksum of a head, without the one that is in `end`.
pub(crate) fn of_head(name: &str, end: End) -> i64 {
    let End { stream, highest, newest, deleted, depth, .. } = end;
    let mut sum = Checksum::of("heads");
    sum.text(name).signed(stream).signed(highest);
    sum.signed(newest).signed(deleted).signed(depth).stored()
}

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

    /// Checks the checksum for the stream `name`. The error says which row is damaged.
    pub(crate) fn check(&self, name: &str) -> Result<(), String> {
        if self.checksum == self.sum(name, &self.seen) {
            return Ok(());
        }
        Err(format!(
            "table `batches`, ordinal {}, of stream `{name}`: {}",
            self.ordinal,
            antiphon_persistence::record::checksum::DAMAGED
        ))
    }
}

/// The checksum of the events of a batch.
pub(crate) fn of_events(events: &[u8]) -> i64 {
    Checksum::of("events").bytes(events).stored()
}

/// The checksum of a writer's row.
pub(crate) fn of_writer(name: &str, sealed: i64) -> i64 {
    Checksum::of("writers").text(name).signed(sealed).stored()
}

/// The checksum of the `tokens` row of a coordination table.
pub(crate) fn of_token(table: &str, token: i64, digest: i64) -> i64 {
    Checksum::of("tokens").text(table).signed(token).signed(digest).stored()
}
