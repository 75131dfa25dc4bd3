//! The check of streams, their heads, batches and marks.

use std::collections::HashMap;

use antiphon_persistence::event::SequenceNr;
use antiphon_persistence::identity::PersistenceId;
use antiphon_persistence::record::checksum::DAMAGED;
use antiphon_persistence::record::{batch, snapshot, version};
use antiphon_persistence::verify::{ReminderCheck, StreamCheck};
use bytes::Bytes;

use super::walk::{Walk, Walked};
use crate::batch_row::{BATCH_COLUMNS, BatchHeader};
use crate::head::End;
use crate::sums::{name_hash, of_events};

/// A stream, as its rows and then its batches show it.
pub(super) struct Stream {
    pub(super) name: String,
    pub(super) end: End,
    check: StreamCheck,
    newest: i64,
    last: i64,
    /// True when damage in the stream is reported already; its consequences are not reported.
    is_damaged: bool,
}

impl Walk<'_> {
    pub(super) fn streams(&mut self) -> Walked<HashMap<i64, Stream>> {
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
            if let Err(why) = end.check(&name)
                && !is_damaged
            {
                report.damaged("heads", format!("stream {stream} (`{name}`)"), why);
                is_damaged = true;
            }
            let check = StreamCheck::after(deleted.unsigned_abs());
            streams
                .insert(stream, Stream { name, end, check, newest: 0, last: deleted, is_damaged });
            Ok(())
        })?;
        self.snapshots_before(&streams)?;
        let sql = "SELECT stream FROM heads WHERE stream NOT IN (SELECT stream FROM streams)";
        self.each("heads", sql, |report, row| {
            let stream: i64 = row.get(0)?;
            report.damaged("heads", format!("stream {stream}"), "no stream has this number");
            Ok(())
        })?;
        Ok(streams)
    }

    /// Begins the reminders of streams whose first events are deleted with their newest snapshots.
    fn snapshots_before(&mut self, streams: &HashMap<i64, Stream>) -> Walked<()> {
        let sql = "SELECT sequence_nr, snapshot FROM snapshots WHERE persistence_id = ?1
                   ORDER BY sequence_nr DESC LIMIT 1";
        let mut statement = self.connection.prepare(sql)?;
        for stream in streams.values().filter(|stream| stream.end.deleted > 0) {
            let Ok(id) = PersistenceId::parse(&stream.name) else { continue };
            let mut rows = statement.query([&stream.name])?;
            let Some(row) = rows.next()? else { continue };
            let (number, record): (i64, Vec<u8>) = (row.get(0)?, row.get(1)?);
            let number = SequenceNr::new(u64::try_from(number).unwrap_or(0));
            // a damaged one is reported with the other snapshots
            if let Ok(snapshot) = snapshot::decode(&stream.name, number, &record.into()) {
                self.reminders.snapshot(&id, &snapshot);
            }
        }
        Ok(())
    }

    /// Checks the batches in the order of the feed, which for each stream is the order of its
    /// chain.
    pub(super) fn batches(&mut self, streams: &mut HashMap<i64, Stream>) -> Walked<()> {
        let sql = format!("SELECT {BATCH_COLUMNS}, events FROM batches ORDER BY ordinal");
        let mut reminders = std::mem::take(&mut self.reminders);
        let walked = self.each("batches", &sql, |report, row| {
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
            let counted = (&mut report.events, &mut reminders);
            for what in batch_problems(stream, &header, events.into(), counted) {
                report.damaged("batches", key.clone(), what);
            }
            (stream.newest, stream.last) = (header.ordinal, header.last);
            Ok(())
        });
        self.reminders = reminders;
        walked
    }

    /// Checks that each stream ends where its head says.
    pub(super) fn ends(&mut self, streams: &HashMap<i64, Stream>) {
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

    pub(super) fn marks(&mut self, streams: &HashMap<i64, Stream>) -> Walked<()> {
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
}

/// The problems of a batch of a stream, and of its events.
fn batch_problems(
    stream: &mut Stream,
    header: &BatchHeader,
    events: Bytes,
    (event_count, reminders): (&mut u64, &mut ReminderCheck),
) -> Vec<String> {
    let was_damaged = stream.is_damaged;
    let is_sound =
        header.check(&stream.name).is_ok() && header.events_checksum == of_events(&events);
    let decoded = if is_sound {
        batch::decode(SequenceNr::new(header.first.unsigned_abs()), &events)
    } else {
        Err(DAMAGED)
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
    let id = PersistenceId::parse(&stream.name).ok();
    for event in left {
        problems.extend(stream.check.event(event));
        if let Some(id) = &id {
            reminders.event(id, event);
        }
    }
    stream.is_damaged |= !problems.is_empty();
    // a consequence of earlier damage is not reported again
    if was_damaged { Vec::new() } else { problems }
}
