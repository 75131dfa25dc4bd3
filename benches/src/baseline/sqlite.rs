//! A bare SQLite loop: the statements of the store's schema, one transaction for each group,
//! nothing else.
//!
//! The loop knows every end in advance and reads nothing, so it is the limit of any store on this
//! schema.

use std::path::Path;

use rusqlite::{Connection, params};

use crate::stats::Stopwatch;

const TABLES: &str = "
PRAGMA journal_mode = wal;
PRAGMA synchronous = full;
PRAGMA cache_size = -16000;
PRAGMA wal_autocheckpoint = 4000;
CREATE TABLE heads (stream INTEGER PRIMARY KEY, highest INTEGER NOT NULL, newest INTEGER NOT NULL,
  deleted INTEGER NOT NULL, depth INTEGER NOT NULL) STRICT;
CREATE TABLE batches (ordinal INTEGER PRIMARY KEY, stream INTEGER NOT NULL, first INTEGER NOT NULL,
  last INTEGER NOT NULL, previous INTEGER NOT NULL, seen BLOB NOT NULL, events BLOB NOT NULL) STRICT;
CREATE TABLE marks (stream INTEGER NOT NULL, first INTEGER NOT NULL, ordinal INTEGER NOT NULL,
  PRIMARY KEY (stream, first)) STRICT, WITHOUT ROWID;
";

/// The shape of the loop's appends.
pub(crate) struct Shape {
    /// Streams that take turns.
    pub(crate) streams: usize,
    /// Appends in one transaction.
    pub(crate) group: usize,
    /// Events in one append.
    pub(crate) events: usize,
    /// Encoded bytes of one event, metadata included.
    pub(crate) event_bytes: usize,
}

/// Appends `count` events, and returns events per second.
pub(crate) fn events_per_second(folder: &Path, count: usize, shape: &Shape) -> f64 {
    let connection = Connection::open(folder.join("bare.db")).expect("a writable folder");
    connection.execute_batch(TABLES).expect("new tables");
    let mut heads = vec![(0_i64, 0_i64, 0_i64); shape.streams];
    for stream in 0..shape.streams {
        let stream = i64::try_from(stream).expect("a small number");
        connection.execute("INSERT INTO heads VALUES (?1, 0, 0, 0, 0)", [stream]).expect("space");
    }
    let blob = vec![7_u8; shape.event_bytes * shape.events];
    let seen = [7_u8; 14];
    let append_count = count.div_ceil(shape.events);
    let mut ordinal = 0;
    let watch = Stopwatch::start();
    while ordinal < append_count {
        connection.execute_batch("BEGIN IMMEDIATE").expect("nobody else");
        for _ in 0..shape.group.min(append_count - ordinal) {
            ordinal += 1;
            append(&connection, ordinal, shape, &mut heads, &seen, &blob).expect("space");
        }
        connection.execute_batch("COMMIT").expect("space");
    }
    watch.rate(append_count * shape.events)
}

fn append(
    connection: &Connection,
    ordinal: usize,
    shape: &Shape,
    heads: &mut [(i64, i64, i64)],
    seen: &[u8],
    blob: &[u8],
) -> rusqlite::Result<()> {
    let index = ordinal % shape.streams;
    let (highest, newest, depth) = heads[index];
    let number = |value: usize| i64::try_from(value).expect("a small number");
    let (stream, ordinal) = (number(index), number(ordinal));
    let moved = (highest + number(shape.events), ordinal, depth + 1);
    connection
        .prepare_cached(
            "UPDATE heads SET highest = ?2, newest = ?3, depth = ?4
             WHERE stream = ?1 AND highest = ?5 AND newest = ?6",
        )?
        .execute(params![stream, moved.0, moved.1, moved.2, highest, newest])?;
    connection
        .prepare_cached("INSERT INTO batches VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?
        .execute(params![ordinal, stream, highest + 1, moved.0, newest, seen, blob])?;
    if moved.2 % 64 == 0 {
        connection.prepare_cached("INSERT INTO marks VALUES (?1, ?2, ?3)")?.execute(params![
            stream,
            highest + 1,
            ordinal
        ])?;
    }
    heads[index] = moved;
    Ok(())
}
