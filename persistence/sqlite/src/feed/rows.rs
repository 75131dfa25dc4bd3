//! The rows of the feed, read from the file and checked.

use std::sync::Arc;

use antiphon_persistence::identity::ReplicationId;
use antiphon_persistence::record::version;
use rusqlite::{Connection, OptionalExtension};

use super::cache::FeedCache;
use super::entry::{Entry, Named, Rows};
use crate::batch_row::{BATCH_COLUMNS, BatchHeader};
use crate::record_error::Unread;
use crate::stream_names::checked_name;

/// Rows that one read takes from the file.
const ROWS_MAX: i64 = 4096;

/// Reads the rows after an ordinal, at most [`ROWS_MAX`].
pub(super) fn read_rows(
    connection: &Connection,
    cache: &FeedCache,
    after: i64,
    replacements: u64,
) -> Result<Rows, Unread> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {BATCH_COLUMNS} FROM batches WHERE ordinal > ?1 ORDER BY ordinal LIMIT ?2"
    ))?;
    let mut rows = statement.query([after, ROWS_MAX])?;
    let mut read = Rows { entries: Vec::new(), through: after, more: false, replacements };
    while let Some(row) = rows.next()? {
        let header = BatchHeader::read(row)?;
        let BatchHeader { ordinal, last, .. } = header;
        if ordinal <= read.through {
            let through = read.through;
            return Err(Unread::Row(format!(
                "table `batches`: row {ordinal} comes after {through}"
            )));
        }
        let (stream, name) = stream_name(connection, cache, header.stream, replacements)?;
        header.check(&name).map_err(Unread::Row)?;
        let seen = version::decode(&header.seen).map_err(|why| {
            Unread::Row(format!("the version of batch {ordinal} is unreadable: {why}"))
        })?;
        read.entries.push(Entry { ordinal, checksum: header.checksum, stream, last, seen });
        read.through = ordinal;
    }
    assert!(read.through >= after, "rows up to {} after {after}", read.through);
    read.more = i64::try_from(read.entries.len()).is_ok_and(|count| count == ROWS_MAX);
    Ok(read)
}

/// Returns the name of a stream, and remembers it, because it never changes.
fn stream_name(
    connection: &Connection,
    cache: &FeedCache,
    stream: i64,
    replacements: u64,
) -> Result<Named, Unread> {
    if let Some(known) = cache.name(stream, replacements) {
        return Ok(known);
    }
    let found: Option<(String, i64)> = connection
        .prepare_cached("SELECT persistence_id, hash FROM streams WHERE stream = ?1")?
        .query_row([stream], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((text, hash)) = found else {
        return Err(Unread::Row(format!("table `streams`, stream {stream}: its row is missing")));
    };
    let text: Arc<str> = checked_name(text, hash)?.into();
    let name = (Arc::new(ReplicationId::parse(&text).map_err(Unread::Other)?), text);
    cache.remember(stream, name.clone(), replacements);
    Ok(name)
}
