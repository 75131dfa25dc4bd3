//! The copy from the log into the entities' partitions: cuts the events of rounds into rows, and
//! writes the rows.
//!
//! The key of a row is its first and last event, and a row never changes. Two copiers, or one
//! copier twice, may cut the same events differently: their rows then overlap, with the same
//! events.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use antiphon_base::Result;
use antiphon_persistence::identity::ReplicationId;
use antiphon_persistence::record::batch;
use antiphon_persistence::record::checksum::{Checksum, open, seal};
use bytes::Bytes;
use futures::stream::{self, StreamExt};

use super::round::Entry;
use crate::damaged::damaged;
use crate::settings::CassandraSettings;
use crate::stats::{Counters, count};
use crate::tables::{EventRow, LaneId, LanePosition, LaneState, Outcome, StreamRow, Tables};

/// Events in a row. A replay that starts within a row looks back by this number. Never lower it:
/// stored rows have up to 256 events.
pub(crate) const ROW_EVENTS_MAX: u64 = 256;
/// Bytes in a row, which takes at least one append or event.
const ROW_BYTES_MAX: usize = 64 * 1024;

/// The part of a stream that holds event `nr`.
pub(crate) fn part_of(nr: u64, partition_events_max: u64) -> u64 {
    nr.saturating_sub(1) / partition_events_max
}

/// The bucket in which a stream is listed.
pub(crate) fn bucket_of(stream: &ReplicationId) -> u16 {
    stream.slice().number() % BUCKETS
}

/// Partitions in which the streams of a type are listed.
pub(crate) const BUCKETS: u16 = 16;

fn key(row: &EventRow) -> Checksum {
    let mut sum = Checksum::of("events");
    sum.text(&row.stream).number(row.part).number(row.first).number(row.last);
    sum
}

/// Completes a row with its events and their checksum.
fn sealed(mut row: EventRow, mut events: Vec<u8>) -> EventRow {
    seal(key(&row), &mut events);
    row.record = events.into();
    row
}

/// The events of a row that was read, after a check of the checksum.
pub(crate) fn events_of(row: &EventRow) -> Result<Bytes> {
    match open(key(row), &row.record) {
        Ok(events) => Ok(row.record.slice_ref(events)),
        Err(why) => {
            let EventRow { stream, part, first, last, .. } = row;
            Err(damaged(
                "events",
                &format!("stream `{stream}`, part {part}, events {first} to {last}"),
                why,
            ))
        }
    }
}

/// The rows of one stream. `entries` are in the order of the stream.
pub(crate) fn rows(
    stream: &Arc<str>,
    entries: &[Entry],
    partition_events_max: u64,
) -> Result<Vec<EventRow>> {
    let mut rows = Vec::new();
    let mut held: Vec<&Entry> = Vec::new();
    let mut held_bytes = 0;
    let flush = |held: &mut Vec<&Entry>, rows: &mut Vec<EventRow>| {
        if let (Some(first), Some(last)) = (held.first(), held.last()) {
            let row = EventRow {
                stream: stream.clone(),
                part: part_of(first.first, partition_events_max),
                first: first.first,
                last: last.last,
                record: Bytes::new(),
            };
            rows.push(sealed(row, batch::join(held.iter().map(|entry| &*entry.events))));
        }
        held.clear();
    };
    for entry in entries {
        let part = part_of(entry.first, partition_events_max);
        let fits = held.first().is_none_or(|first| {
            part_of(first.first, partition_events_max) == part_of(entry.last, partition_events_max)
                && entry.last - first.first < ROW_EVENTS_MAX
                && held_bytes + entry.events.len() <= ROW_BYTES_MAX
                && held.last().is_some_and(|last| last.last + 1 == entry.first)
        });
        if !fits {
            flush(&mut held, &mut rows);
            held_bytes = 0;
        }
        let whole = part == part_of(entry.last, partition_events_max)
            && entry.last - entry.first < ROW_EVENTS_MAX;
        if whole {
            held.push(entry);
            held_bytes += entry.events.len();
        } else {
            flush(&mut held, &mut rows);
            held_bytes = 0;
            split(stream, entry, partition_events_max, &mut rows)?;
        }
    }
    flush(&mut held, &mut rows);
    Ok(rows)
}

/// Splits an append that is too long for one row, or that crosses the boundary of a part.
fn split(
    stream: &Arc<str>,
    entry: &Entry,
    partition_events_max: u64,
    rows: &mut Vec<EventRow>,
) -> Result<()> {
    let events = entry.decode()?;
    let mut rest = events.as_slice();
    while let Some(first) = rest.first().map(|event| event.sequence_nr.value()) {
        let part = part_of(first, partition_events_max);
        let in_part = (part + 1).saturating_mul(partition_events_max) - first + 1;
        let limit = usize::try_from(in_part.min(ROW_EVENTS_MAX)).unwrap_or(usize::MAX);
        let (now, later) = rest.split_at(limit.min(rest.len()));
        let row = EventRow {
            stream: stream.clone(),
            part,
            first,
            last: first + now.len() as u64 - 1,
            record: Bytes::new(),
        };
        rows.push(sealed(row, batch::encode(now)));
        rest = later;
    }
    Ok(())
}

/// Copies the events of `entries`, and returns when all are stored. Repeats failed statements for
/// ever; drop the future to stop.
pub(crate) async fn copy(
    tables: &Arc<dyn Tables>,
    settings: &CassandraSettings,
    counters: &Counters,
    partition_events_max: u64,
    entries: impl Iterator<Item = Entry>,
) -> Result<()> {
    let mut streams: BTreeMap<Arc<str>, Vec<Entry>> = BTreeMap::new();
    for entry in entries {
        streams.entry(entry.stream.name.clone()).or_default().push(entry);
    }
    let mut jobs = Vec::new();
    for (name, entries) in streams {
        let Some(first) = entries.first() else { continue };
        let rows = rows(&name, &entries, partition_events_max)?;
        jobs.push((name, first.stream.clone(), first.first == 1, rows));
    }
    stream::iter(jobs)
        .for_each_concurrent(settings.copies_in_flight_max, |(name, of, is_new, rows)| async move {
            if is_new {
                let bucket = bucket_of(&of.id);
                until_done(settings, counters, || {
                    tables.put_stream_id(of.id.entity_type(), bucket, &name)
                })
                .await;
            }
            for row in rows {
                // a new part is made known before it has events
                if row.part > 0 && (row.first - 1) % partition_events_max < ROW_EVENTS_MAX {
                    let known = StreamRow { part: row.part, deleted: 0 };
                    until_done(settings, counters, || tables.put_stream(&name, known)).await;
                }
                until_done(settings, counters, || tables.put_events(&row)).await;
                count(&counters.copied_rows, 1);
                count(&counters.copied_events, row.last - row.first + 1);
            }
        })
        .await;
    Ok(())
}

/// Stores how far a lane is copied.
pub(crate) async fn mark_copied(
    tables: &Arc<dyn Tables>,
    settings: &CassandraSettings,
    counters: &Counters,
    lane: &LaneId,
    copied: LanePosition,
) {
    let state = LaneState { copied, first_part: 0 };
    until_done(settings, counters, || tables.put_lane_state(lane, state)).await;
}

/// Repeats an idempotent statement until it succeeds.
pub(crate) async fn until_done<'a, T, F>(
    settings: &CassandraSettings,
    counters: &Counters,
    statement: impl Fn() -> F,
) -> T
where
    F: Future<Output = Outcome<T>> + 'a,
{
    let mut wait = settings.retry_min;
    loop {
        match statement().await {
            Ok(value) => return value,
            Err(failed) => {
                count(&counters.retries, 1);
                tracing::debug!(error = %failed, ?wait, "a statement is repeated");
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(settings.retry_max).max(Duration::from_millis(1));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use antiphon_base::time::Timestamp;
    use antiphon_persistence::event::{EventMeta, Payload, SequenceNr, StoredEvent};
    use antiphon_persistence::identity::ReplicaId;
    use antiphon_persistence::version::VersionVector;

    use super::*;
    use crate::log::round::{Stream, decode_events};

    fn entry(first: u64, last: u64) -> Entry {
        let event = |nr| StoredEvent {
            sequence_nr: SequenceNr::new(nr),
            meta: EventMeta {
                origin: ReplicaId::new("A").unwrap(),
                version: VersionVector::new(),
                source_seq: SequenceNr::new(nr),
                concurrent: false,
                timestamp: Timestamp::from_micros(nr),
            },
            payload: Payload { codec: 1, manifest: "".into(), version: 1, bytes: Bytes::new() },
        };
        let events: Vec<_> = (first..=last).map(event).collect();
        Entry {
            stream: Stream::parse("c|1|A").unwrap(),
            first,
            last,
            seen: VersionVector::new(),
            events: batch::encode(&events).into(),
        }
    }

    fn bounds(entries: &[Entry], partition_events_max: u64) -> Vec<(u64, u64, u64)> {
        let rows = rows(&"c|1|A".into(), entries, partition_events_max).unwrap();
        for row in &rows {
            let events = decode_events("c|1|A", row.first, row.last, &events_of(row).unwrap());
            let events = events.unwrap();
            assert_eq!(events.len() as u64, row.last - row.first + 1);
        }
        rows.iter().map(|row| (row.part, row.first, row.last)).collect()
    }

    #[test]
    fn the_bytes_of_a_row_of_events_never_change() {
        let rows = rows(&"c|1|A".into(), &[entry(1, 1)], 100).unwrap();
        let mut golden = vec![1, 1, 0, 1, b'A', 0, 1, 1, 1, 0, 1, 0];
        golden.extend([119, 54, 177, 131, 24, 142, 240, 109]);
        assert_eq!(rows[0].record, golden);
    }

    #[test]
    fn a_row_of_events_under_another_key_or_with_a_flipped_bit_is_found() {
        let row = rows(&"c|1|A".into(), &[entry(1, 1)], 100).unwrap().remove(0);
        assert!(events_of(&row).is_ok());
        for other in [
            EventRow { stream: "c|2|A".into(), ..row.clone() },
            EventRow { part: 1, ..row.clone() },
            EventRow { first: 2, ..row.clone() },
            EventRow { last: 2, ..row.clone() },
        ] {
            assert!(events_of(&other).is_err(), "{other:?}");
        }
        for bit in 0..row.record.len() * 8 {
            let mut record = row.record.to_vec();
            record[bit / 8] ^= 1 << (bit % 8);
            let damaged = EventRow { record: record.into(), ..row.clone() };
            assert!(events_of(&damaged).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn appends_that_follow_each_other_become_one_row() {
        assert_eq!(bounds(&[entry(1, 2), entry(3, 3), entry(4, 9)], 100), [(0, 1, 9)]);
    }

    #[test]
    fn a_row_never_crosses_the_boundary_of_a_part() {
        let entries = [entry(8, 9), entry(10, 10), entry(11, 12), entry(13, 32)];
        let rows = [(0, 8, 10), (1, 11, 12), (1, 13, 20), (2, 21, 30), (3, 31, 32)];
        assert_eq!(bounds(&entries, 10), rows);
    }

    #[test]
    fn a_row_has_a_limit_of_events() {
        let rows = [(0, 1, 256), (0, 257, 512), (0, 513, 600), (0, 601, 700)];
        assert_eq!(bounds(&[entry(1, 600), entry(601, 700)], 10_000), rows);
    }

    #[test]
    fn a_hole_is_never_papered_over() {
        assert_eq!(bounds(&[entry(1, 2), entry(5, 6)], 100), [(0, 1, 2), (0, 5, 6)]);
    }
}
