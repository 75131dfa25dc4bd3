//! The checksums of rows. A checksum covers the key and every column, and the name of the stream in
//! addition to its number, so that a damaged number is found too.

use antiphon_persistence::record::checksum::Checksum;
use xxhash_rust::xxh64::xxh64;

/// The hash by which a stream is found when its name is damaged.
pub(crate) fn name_hash(name: &str) -> i64 {
    i64::from_le_bytes(xxh64(name.as_bytes(), 0).to_le_bytes())
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
