//! Checks every row of the file, in one read transaction: later writes are not seen, and nothing is
//! changed. While it runs, log entries that were written after its start cannot be copied back into
//! the file.

use std::collections::HashMap;

use antiphon_base::Result;
use antiphon_persistence::event::SequenceNr;
use antiphon_persistence::record::checksum::DAMAGED;
use antiphon_persistence::record::{batch, cell, snapshot, version};
use antiphon_persistence::store::OffsetKey;
use antiphon_persistence::verify::{Report, StreamCheck};
use bytes::Bytes;
use rusqlite::{Connection, Row};

use crate::record_error::Unread;
use crate::stores::SqliteStores;
use crate::sums::{BATCH_COLUMNS, BatchHeader, name_hash, of_events, of_head, of_token, of_writer};
use crate::writer::End;

impl SqliteStores {
    /// Checks every row for damage. Changes nothing. A cancelled call runs to its end, and its
    /// result is dropped.
    ///
    /// # Errors
    /// `Unavailable` or `Corrupt` when the file cannot be read at all. Damaged rows are in the
    /// report.
    pub async fn verify(&self) -> Result<Report> {
        self.read("verifying", |transaction| {
            let mut walk = Walk { connection: transaction, report: Report::default() };
            walk.file()?;
            let mut streams = walk.streams()?;
            walk.batches(&mut streams)?;
            walk.ends(&streams);
            walk.marks(&streams)?;
            walk.snapshots(&streams)?;
            walk.coordination()?;
            walk.offsets()?;
            walk.writers()?;
            Ok(walk.report)
        })
        .await
    }
}

type Walked<T> = std::result::Result<T, Unread>;

/// A stream, as its rows and then its batches show it.
struct Stream {
    name: String,
    end: End,
    check: StreamCheck,
    newest: i64,
    last: i64,
    /// True when damage in the stream is reported already; its consequences are not reported.
    is_damaged: bool,
}

struct Walk<'a> {
    connection: &'a Connection,
    report: Report,
}

impl Walk<'_> {
    /// Calls `visit` with each row. A row with unreadable columns counts as damaged.
    fn each(
        &mut self,
        table: &'static str,
        sql: &str,
        mut visit: impl FnMut(&mut Report, &Row<'_>) -> rusqlite::Result<()>,
    ) -> Walked<()> {
        let mut statement = self.connection.prepare(sql)?;
        let mut rows = statement.query([])?;
        let mut number = 0_u64;
        while let Some(row) = rows.next()? {
            number += 1;
            if let Err(error) = visit(&mut self.report, row) {
                if error.sqlite_error_code().is_some() {
                    return Err(error.into());
                }
                self.report.damaged(table, format!("row {number}"), error.to_string());
            }
        }
        Ok(())
    }

    /// Checks the pages of the file, and that the indexes fit the tables.
    fn file(&mut self) -> Walked<()> {
        self.each("file", "PRAGMA integrity_check(100)", |report, row| {
            let what: String = row.get(0)?;
            if what != "ok" {
                report.damaged("file", "pages and indexes", what);
            }
            Ok(())
        })
    }

    fn streams(&mut self) -> Walked<HashMap<i64, Stream>> {
        let mut streams = HashMap::new();
        let sql =
            "SELECT streams.stream, persistence_id, hash, highest, newest, deleted, depth, checksum
                   FROM streams LEFT JOIN heads USING (stream) ORDER BY streams.stream";
        self.each("streams", sql, |report, row| {
            report.streams += 1;
            let (stream, name, hash): (i64, String, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let mut is_damaged = false;
            if hash != name_hash(&name) {
                report.damaged(
                    "streams",
                    format!("stream {stream} (`{}`)", name.escape_debug()),
                    DAMAGED,
                );
                is_damaged = true;
            }
            let highest: Option<i64> = row.get(3)?;
            let Some(highest) = highest else {
                report.damaged("heads", format!("`{name}`"), "its row is missing");
                return Ok(());
            };
            let (newest, deleted, depth) = (row.get(4)?, row.get(5)?, row.get(6)?);
            let checksum = row.get(7)?;
            let end = End { stream, highest, newest, previous: 0, deleted, depth, checksum };
            if checksum != of_head(&name, end) && !is_damaged {
                report.damaged("heads", format!("stream {stream} (`{name}`)"), DAMAGED);
                is_damaged = true;
            }
            let check = StreamCheck::after(deleted.unsigned_abs());
            streams
                .insert(stream, Stream { name, end, check, newest: 0, last: deleted, is_damaged });
            Ok(())
        })?;
        let sql = "SELECT stream FROM heads WHERE stream NOT IN (SELECT stream FROM streams)";
        self.each("heads", sql, |report, row| {
            let stream: i64 = row.get(0)?;
            report.damaged("heads", format!("stream {stream}"), "no stream has this number");
            Ok(())
        })?;
        Ok(streams)
    }

    /// Checks the batches in the order of the feed, which for each stream is the order of its
    /// chain.
    fn batches(&mut self, streams: &mut HashMap<i64, Stream>) -> Walked<()> {
        let sql = format!("SELECT {BATCH_COLUMNS}, events FROM batches ORDER BY ordinal");
        self.each("batches", &sql, |report, row| {
            report.event_rows += 1;
            let header = BatchHeader::read(row)?;
            let key = format!("ordinal {}", header.ordinal);
            let Some(stream) = streams.get_mut(&header.stream) else {
                report.damaged(
                    "batches",
                    key,
                    format!("no stream has the number {}", header.stream),
                );
                return Ok(());
            };
            let events: Vec<u8> = row.get(8)?;
            let key = format!("{key}, of stream `{}`", stream.name);
            for what in batch_problems(stream, &header, events.into(), &mut report.events) {
                report.damaged("batches", key.clone(), what);
            }
            (stream.newest, stream.last) = (header.ordinal, header.last);
            Ok(())
        })
    }

    /// Checks that each stream ends where its head says.
    fn ends(&mut self, streams: &HashMap<i64, Stream>) {
        for stream in streams.values().filter(|stream| !stream.is_damaged) {
            let End { highest, newest, .. } = stream.end;
            let whole = stream.newest == 0 && stream.end.deleted == highest;
            if !whole && (stream.newest, stream.last) != (newest, highest) {
                let what = format!(
                    "expected the last batch {newest} with the event {highest}, actual {} with {}",
                    stream.newest, stream.last
                );
                self.report.damaged("batches", format!("stream `{}`", stream.name), what);
            }
        }
    }

    fn marks(&mut self, streams: &HashMap<i64, Stream>) -> Walked<()> {
        let sql = "SELECT marks.stream, marks.first, marks.ordinal, batches.stream, batches.first
                   FROM marks LEFT JOIN batches USING (ordinal)";
        self.each("marks", sql, |report, row| {
            report.other_rows += 1;
            let (stream, first, ordinal): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let there: (Option<i64>, Option<i64>) = (row.get(3)?, row.get(4)?);
            if there != (Some(stream), Some(first)) || !streams.contains_key(&stream) {
                let key = format!("stream {stream}, first {first}");
                report.damaged("marks", key, format!("it does not lead to batch {ordinal}"));
            }
            Ok(())
        })
    }

    fn snapshots(&mut self, streams: &HashMap<i64, Stream>) -> Walked<()> {
        let ends: HashMap<&str, u64> = streams
            .values()
            .map(|stream| (&*stream.name, stream.end.highest.unsigned_abs()))
            .collect();
        let sql = "SELECT persistence_id, sequence_nr, snapshot FROM snapshots";
        self.each("snapshots", sql, |report, row| {
            report.snapshots += 1;
            let (name, number): (String, i64) = (row.get(0)?, row.get(1)?);
            let record: Vec<u8> = row.get(2)?;
            let key = format!("snapshot {number} of `{}`", name.escape_debug());
            let number = u64::try_from(number).unwrap_or(0);
            let highest = ends.get(&*name).copied().unwrap_or(0);
            match snapshot::decode(&name, SequenceNr::new(number), &record.into()) {
                Err(why) => report.damaged("snapshots", key, why),
                Ok(_) if number > highest => {
                    let what = format!("its stream has events up to {highest} only");
                    report.damaged("snapshots", key, what);
                }
                Ok(_) => {}
            }
            Ok(())
        })
    }

    fn coordination(&mut self) -> Walked<()> {
        let mut digests: HashMap<String, u64> = HashMap::new();
        let sql = "SELECT cell_table, cell_key, version, value FROM cells";
        self.each("cells", sql, |report, row| {
            report.other_rows += 1;
            let (table, key, version): (String, String, i64) =
                (row.get(0)?, row.get(1)?, row.get(2)?);
            let record: Vec<u8> = row.get(3)?;
            *digests.entry(table.clone()).or_default() ^= cell::checksum(&record);
            let number = u64::try_from(version).unwrap_or(u64::MAX);
            if let Err(why) = cell::decode(&table, &key, number, &Bytes::from(record)) {
                let key = format!("row `{}` of `{}`", key.escape_debug(), table.escape_debug());
                report.damaged("cells", key, why);
            }
            Ok(())
        })?;
        let sql = "SELECT cell_table, token, digest, checksum FROM tokens";
        self.each("tokens", sql, |report, row| {
            report.other_rows += 1;
            let (table, token, digest, sum): (String, i64, i64, i64) =
                (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
            let rows = digests.remove(&table).unwrap_or(0);
            let key = format!("`{}`", table.escape_debug());
            if sum != of_token(&table, token, digest) {
                report.damaged("tokens", key, DAMAGED);
            } else if rows != digest.cast_unsigned() {
                report.damaged("cells", key, "its rows do not add up to what was written");
            }
            Ok(())
        })?;
        for (table, _) in digests.into_iter().filter(|(_, digest)| *digest != 0) {
            let key = format!("`{}`", table.escape_debug());
            self.report.damaged("tokens", key, "its row is missing");
        }
        Ok(())
    }

    fn offsets(&mut self) -> Walked<()> {
        self.each("offsets", "SELECT reader, part, position FROM offsets", |report, row| {
            report.other_rows += 1;
            let (reader, part, record): (String, String, String) =
                (row.get(0)?, row.get(1)?, row.get(2)?);
            let key = OffsetKey { reader: reader.into(), part: part.into() };
            if let Err(why) = cell::decode_position(&key, &record) {
                let (reader, part) = (key.reader.escape_debug(), key.part.escape_debug());
                report.damaged("offsets", format!("reader `{reader}`, part `{part}`"), why);
            }
            Ok(())
        })
    }

    fn writers(&mut self) -> Walked<()> {
        self.each("writers", "SELECT writer, sealed, checksum FROM writers", |report, row| {
            report.other_rows += 1;
            let (writer, sealed, sum): (String, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            if sum != of_writer(&writer, sealed) {
                report.damaged("writers", format!("`{}`", writer.escape_debug()), DAMAGED);
            }
            Ok(())
        })
    }
}

/// The problems of a batch of a stream, and of its events.
fn batch_problems(
    stream: &mut Stream,
    header: &BatchHeader,
    events: Bytes,
    event_count: &mut u64,
) -> Vec<String> {
    let was_damaged = stream.is_damaged;
    let decoded = if header.checksum != header.sum(&stream.name, &header.seen)
        || header.events_checksum != of_events(&events)
    {
        Err(DAMAGED)
    } else {
        batch::decode(SequenceNr::new(header.first.unsigned_abs()), &events)
    };
    let events = match decoded {
        Ok(events) => events,
        Err(why) => {
            stream.is_damaged = true;
            return vec![why.to_owned()];
        }
    };
    *event_count += events.len() as u64;
    let mut problems = Vec::new();
    let last = events.last().map_or(0, |event| event.sequence_nr.value());
    if last != header.last.unsigned_abs() {
        problems.push(format!("expected events up to {}, actual {last}", header.last));
    }
    if stream.newest != 0 && header.previous != stream.newest {
        problems.push(format!(
            "expected the batch {} before it, actual {}",
            stream.newest, header.previous
        ));
    }
    if let Err(why) = version::decode(&header.seen) {
        problems.push(why.to_owned());
    }
    let next = stream.check.next();
    // the events before `next` are deleted
    let left = events.iter().filter(|event| event.sequence_nr.value() >= next);
    problems.extend(left.filter_map(|event| stream.check.event(event)));
    stream.is_damaged |= !problems.is_empty();
    // a consequence of earlier damage is not reported again
    if was_damaged { Vec::new() } else { problems }
}
