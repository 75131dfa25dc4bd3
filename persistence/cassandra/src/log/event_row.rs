//! A row of events in a stream's own partitions: a batch of events, and a checksum over the key of
//! the row and the batch. The key is the first and the last event, and a row never changes.

use std::sync::Arc;

use antiphon_base::Result;
use antiphon_persistence::record::checksum::{Checksum, open, seal};
use bytes::Bytes;

use crate::damaged::damaged;
use crate::tables::EventRow;

/// Events in a row. A replay that starts within a row looks back by this number. Never lower it:
/// stored rows have up to 256 events.
pub(crate) const ROW_EVENTS_MAX: u64 = 256;

/// Returns whether the row may hold the first events of an append whose other events are in later
/// rows: an append is cut at the end of a part, and after [`ROW_EVENTS_MAX`] events.
pub(crate) fn may_be_cut(row: &EventRow, partition_events_max: u64) -> bool {
    row.last.is_multiple_of(partition_events_max) || row.last - row.first + 1 == ROW_EVENTS_MAX
}

fn key(row: &EventRow) -> Checksum {
    let mut sum = Checksum::of("events");
    sum.text(&row.stream).number(row.part).number(row.first).number(row.last);
    sum
}

/// The row of the events `first..=last`, whose batch is `events`.
///
/// # Panics
/// When the row has no event, or more events than a replay looks back: the replay would not find
/// them.
pub(super) fn sealed(
    stream: &Arc<str>,
    part: u64,
    (first, last): (u64, u64),
    mut events: Vec<u8>,
) -> EventRow {
    assert!(0 < first && first <= last, "a row of `{stream}` has the events {first} to {last}");
    assert!(
        last - first < ROW_EVENTS_MAX,
        "a row of `{stream}` has the events {first} to {last}, expected at most {ROW_EVENTS_MAX}"
    );
    let mut row = EventRow { stream: stream.clone(), part, first, last, record: Bytes::new() };
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

#[cfg(test)]
mod tests {
    use antiphon_base::time::Timestamp;
    use antiphon_persistence::event::{EventMeta, Labels, Payload, SequenceNr, StoredEvent};
    use antiphon_persistence::identity::ReplicaId;
    use antiphon_persistence::record::batch;
    use antiphon_persistence::version::VersionVector;

    use super::*;

    fn row() -> EventRow {
        let event = StoredEvent {
            sequence_nr: SequenceNr::new(1),
            meta: EventMeta {
                origin: ReplicaId::new("A").unwrap(),
                version: VersionVector::new(),
                source_seq: SequenceNr::new(1),
                concurrent: false,
                timestamp: Timestamp::from_micros(1),
                labels: Labels::none(),
            },
            payload: Payload { codec: 1, manifest: "".into(), version: 1, bytes: Bytes::new() },
        };
        sealed(&"c|1|A".into(), 0, (1, 1), batch::encode(&[event]))
    }

    #[test]
    fn the_bytes_of_a_row_of_events_never_change() {
        let mut golden = vec![1, 1, 0, 1, b'A', 0, 1, 1, 1, 0, 1, 0];
        golden.extend([119, 54, 177, 131, 24, 142, 240, 109]);
        assert_eq!(row().record, golden);
    }

    #[test]
    fn a_row_of_events_under_another_key_or_with_a_flipped_bit_is_found() {
        let row = row();
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
    #[should_panic(expected = "expected at most 256")]
    fn a_row_that_a_replay_would_not_find_is_never_written() {
        sealed(&"c|1|A".into(), 0, (1, 257), Vec::new());
    }
}
