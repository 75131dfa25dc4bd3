//! The copy plan: which rounds are due for the copy, and which writes, in which order, copy the
//! events of one stream into its own partitions.
//!
//! Two copiers, or one copier twice, may cut the same events into different rows: the rows then
//! overlap, with the same events.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use antiphon_base::{Error, Result};
use antiphon_persistence::identity::ReplicationId;
use antiphon_persistence::record::batch;

use super::entry::{Entry, Stream};
use super::event_row::{ROW_EVENTS_MAX, sealed};
use crate::tables::EventRow;

/// Bytes in a row, which takes at least one append or event.
const ROW_BYTES_MAX: usize = 64 * 1024;

/// Partitions in which the streams of a type are listed.
pub(crate) const BUCKETS: u16 = 16;

/// The part of a stream that holds event `nr`.
pub(crate) fn part_of(nr: u64, partition_events_max: u64) -> u64 {
    nr.saturating_sub(1) / partition_events_max
}

/// The bucket in which a stream is listed.
fn bucket_of(stream: &ReplicationId) -> u16 {
    stream.slice().number() % BUCKETS
}

/// Returns whether the copy must not wait for its delay, because more bytes wait for it than half
/// of the limit at which appends wait.
pub(super) fn is_pressing(uncopied_bytes: usize, uncopied_bytes_max: usize) -> bool {
    uncopied_bytes > uncopied_bytes_max / 2
}

/// Returns whether a round of this age is copied now. The copy comes each `copy_delay`; a round of
/// half that age would otherwise wait for one and a half delays.
pub(super) fn is_due(is_pressing: bool, age: Duration, copy_delay: Duration) -> bool {
    is_pressing || age >= copy_delay / 2
}

/// A write of the copy; the writes of a stream follow each other.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Write {
    /// Lists the stream, before its first event.
    List(u16),
    /// Makes a part of the stream known, before its first event: a reader looks no further than
    /// the newest known part.
    Announce(u64),
    /// Writes a row of events.
    Put(EventRow),
}

/// The writes that copy `entries`, by stream. The entries of a stream are in the order of the
/// stream.
///
/// # Errors
/// `Corrupt` when they are not, or when an append cannot be decoded.
pub(super) fn plan(
    entries: impl Iterator<Item = Entry>,
    partition_events_max: u64,
) -> Result<Vec<(Arc<Stream>, Vec<Write>)>> {
    let mut streams: BTreeMap<Arc<str>, Vec<Entry>> = BTreeMap::new();
    for entry in entries {
        streams.entry(entry.stream.name.clone()).or_default().push(entry);
    }
    let mut plan = Vec::new();
    for (name, entries) in streams {
        let Some(first) = entries.first() else { continue };
        let mut writes = Vec::new();
        if first.first == 1 {
            writes.push(Write::List(bucket_of(&first.stream.id)));
        }
        for row in rows(&name, &entries, partition_events_max)? {
            if row.part > 0 && (row.first - 1) % partition_events_max < ROW_EVENTS_MAX {
                writes.push(Write::Announce(row.part));
            }
            writes.push(Write::Put(row));
        }
        plan.push((first.stream.clone(), writes));
    }
    Ok(plan)
}

/// The rows of one stream.
fn rows(stream: &Arc<str>, entries: &[Entry], partition_events_max: u64) -> Result<Vec<EventRow>> {
    let part = |nr| part_of(nr, partition_events_max);
    let mut rows = Vec::new();
    let mut held: Vec<&Entry> = Vec::new();
    let mut held_bytes = 0;
    let flush = |held: &mut Vec<&Entry>, rows: &mut Vec<EventRow>| {
        if let (Some(first), Some(last)) = (held.first(), held.last()) {
            let batch = batch::join(held.iter().map(|entry| &*entry.events));
            rows.push(sealed(stream, part(first.first), (first.first, last.last), batch));
        }
        held.clear();
    };
    let mut before = 0;
    for entry in entries {
        if entry.first <= before {
            return Err(Error::corrupt(format!(
                "the log has event {} of `{stream}` after event {before}: two writers that were open at the same time wrote it",
                entry.first
            )));
        }
        before = entry.last;
        let fits = held.first().is_none_or(|first| {
            part(first.first) == part(entry.last)
                && entry.last - first.first < ROW_EVENTS_MAX
                && held_bytes + entry.events.len() <= ROW_BYTES_MAX
                && held.last().is_some_and(|last| last.last + 1 == entry.first)
        });
        if !fits {
            flush(&mut held, &mut rows);
            held_bytes = 0;
        }
        let whole =
            part(entry.first) == part(entry.last) && entry.last - entry.first < ROW_EVENTS_MAX;
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
        let last = first + now.len() as u64 - 1;
        assert!(part_of(last, partition_events_max) == part, "a row of `{stream}` leaves its part");
        rows.push(sealed(stream, part, (first, last), batch::encode(now)));
        rest = later;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use antiphon_base::time::Timestamp;
    use antiphon_persistence::event::{EventMeta, Labels, Payload, SequenceNr, StoredEvent};
    use antiphon_persistence::identity::ReplicaId;
    use antiphon_persistence::version::VersionVector;
    use bytes::Bytes;

    use super::*;
    use crate::log::entry::decode_events;
    use crate::log::event_row::events_of;

    fn entry(first: u64, last: u64) -> Entry {
        let event = |nr| StoredEvent {
            sequence_nr: SequenceNr::new(nr),
            meta: EventMeta {
                origin: ReplicaId::new("A").unwrap(),
                version: VersionVector::new(),
                source_seq: SequenceNr::new(nr),
                concurrent: false,
                timestamp: Timestamp::from_micros(nr),
                labels: Labels::none(),
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

    #[test]
    fn a_stream_is_listed_and_its_parts_are_known_before_they_have_events() {
        let plan = plan([entry(1, 2), entry(3, 12)].into_iter(), 10).unwrap();
        let [(stream, writes)] = &plan[..] else { panic!("one stream, actual {plan:?}") };
        assert_eq!(&*stream.name, "c|1|A");
        let order: Vec<_> = writes
            .iter()
            .map(|write| match write {
                Write::List(_) => "list".to_owned(),
                Write::Announce(part) => format!("announce {part}"),
                Write::Put(row) => format!("put {} {}-{}", row.part, row.first, row.last),
            })
            .collect();
        assert_eq!(order, ["list", "put 0 1-2", "put 0 3-10", "announce 1", "put 1 11-12"]);
    }

    #[test]
    fn appends_out_of_order_are_an_error_and_no_row() {
        for entries in [[entry(3, 4), entry(1, 2)], [entry(1, 2), entry(2, 3)]] {
            let error = rows(&"c|1|A".into(), &entries, 100).unwrap_err();
            assert_eq!(error.kind(), antiphon_base::ErrorKind::Corrupt, "{error}");
        }
    }

    #[test]
    fn a_round_is_copied_after_half_a_delay_or_when_too_much_waits() {
        let delay = Duration::from_secs(2);
        assert!(!is_due(false, Duration::from_millis(999), delay));
        assert!(is_due(false, Duration::from_secs(1), delay));
        assert!(is_due(is_pressing(51, 100), Duration::ZERO, delay));
        assert!(!is_pressing(50, 100));
    }
}
