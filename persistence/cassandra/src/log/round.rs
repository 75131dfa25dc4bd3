//! The record of a round: everything that one conditional write adds to a lane.
//!
//! | field | form |
//! |---|---|
//! | format | byte, 1 |
//! | append count | number |
//! | per append: stream | text |
//! | first sequence number, event count | numbers |
//! | merged version of the events | [version vector](version) |
//! | events | blob, a [batch](batch) |
//! | checksum | 8 bytes, lowest first |
//!
//! The checksum covers writer, lane, part, round and all fields above. Only the record in the
//! database has it; a record for another node ends before it.

use std::sync::Arc;

use antiphon_persistence::record::bytes::{Reader, put_bytes, put_number};
use antiphon_persistence::record::checksum::{Checksum, SEAL_BYTES, open, seal};
use antiphon_persistence::record::version;
use bytes::Bytes;

use super::entry::{EncodedAppend, Entry, Stream};
use crate::tables::{LaneId, LanePosition};

const FORMAT: u8 = 1;

fn key(lane: &LaneId, at: LanePosition) -> Checksum {
    let mut sum = Checksum::of("log");
    sum.text(&lane.writer).number(u64::from(lane.lane)).number(at.part).number(at.nr);
    sum
}

/// Decodes a round that was read at this position, after a check of its checksum.
pub(crate) fn decode_stored(
    lane: &LaneId,
    at: LanePosition,
    record: &Bytes,
) -> Result<Vec<Entry>, String> {
    let bytes = open(key(lane, at), record)?;
    decode(&record.slice_ref(bytes))
}

/// The record of a round that was read, without its checksum, for other nodes.
pub(crate) fn encode_read(entries: &[Entry]) -> Vec<u8> {
    let mut out = vec![FORMAT];
    put_number(&mut out, entries.len() as u64);
    for Entry { stream, first, last, seen, events } in entries {
        put_bytes(&mut out, stream.name.as_bytes());
        put_number(&mut out, *first);
        put_number(&mut out, last - first + 1);
        version::put(&mut out, seen);
        put_bytes(&mut out, events);
    }
    out
}

/// The record of a round at its position in the database, from the records of its appends.
pub(crate) fn encode<'a>(
    lane: &LaneId,
    at: LanePosition,
    entries: impl ExactSizeIterator<Item = &'a [u8]>,
) -> Vec<u8> {
    let mut out = vec![FORMAT];
    put_number(&mut out, entries.len() as u64);
    for entry in entries {
        out.extend_from_slice(entry);
    }
    seal(key(lane, at), &mut out);
    out
}

/// The entries of a round from the appends of which it was made, without decoding the round.
/// `None` when the lengths do not fit.
pub(crate) fn entries<'a>(
    bytes: &Bytes,
    appends: impl ExactSizeIterator<Item = (&'a Arc<Stream>, &'a EncodedAppend)>,
) -> Option<Vec<Entry>> {
    let mut header = vec![FORMAT];
    put_number(&mut header, appends.len() as u64);
    let mut end = header.len();
    let mut entries = Vec::with_capacity(appends.len());
    for (stream, append) in appends {
        end += append.record_bytes;
        if end > bytes.len() {
            return None;
        }
        entries.push(Entry {
            stream: stream.clone(),
            first: append.first,
            last: append.last,
            seen: append.seen.clone(),
            events: bytes.slice(end - append.events_bytes..end),
        });
    }
    (end + SEAL_BYTES == bytes.len()).then_some(entries)
}

/// Decodes a round without its checksum. The events stay slices of `bytes`.
pub(crate) fn decode(bytes: &Bytes) -> Result<Vec<Entry>, String> {
    let mut reader = Reader(bytes);
    if reader.byte()? != FORMAT {
        return Err("its format is not 1".into());
    }
    let count = reader.number()?;
    let mut entries = Vec::new();
    for _ in 0..count {
        let stream = Stream::parse(reader.text()?).map_err(|error| error.to_string())?;
        let first = reader.number()?;
        let count = reader.number()?;
        if first == 0 || count == 0 {
            return Err("an append is empty".into());
        }
        // the numbers of the server have a sign
        let last = first.checked_add(count - 1).filter(|last| *last <= u64::MAX >> 1);
        let last = last.ok_or("a number is out of range")?;
        let seen = version::get(&mut reader)?;
        let events = bytes.slice_ref(reader.bytes()?);
        entries.push(Entry { stream, first, last, seen, events });
    }
    reader.end()?;
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use antiphon_base::time::Timestamp;
    use antiphon_persistence::event::{EventMeta, Labels, Payload, SequenceNr, StoredEvent};
    use antiphon_persistence::identity::{PersistenceId, ReplicaId};
    use antiphon_persistence::store::Append;

    use super::*;
    use crate::log::entry::encode_entry;

    const AT: LanePosition = LanePosition { part: 2, nr: 7 };

    fn lane() -> LaneId {
        LaneId { writer: "n".into(), lane: 1 }
    }

    fn append() -> Append {
        let replica = ReplicaId::new("A").unwrap();
        let meta = EventMeta {
            origin: replica.clone(),
            version: [(replica, 3)].into_iter().collect(),
            source_seq: SequenceNr::new(7),
            concurrent: false,
            timestamp: Timestamp::from_micros(1),
            labels: Labels::none(),
        };
        let payload = Payload {
            codec: 1,
            manifest: "m".into(),
            version: 2,
            bytes: Bytes::from_static(b"xy"),
        };
        Append {
            persistence_id: PersistenceId::parse("c|1|A").unwrap(),
            expected: SequenceNr::new(6),
            events: vec![StoredEvent { sequence_nr: SequenceNr::new(7), meta, payload }],
        }
    }

    #[test]
    fn the_bytes_of_a_round_never_change() {
        let entry = encode_entry(&append()).take_record();
        let batch = [1, 1, 0, 1, b'A', 1, 1, b'A', 3, 7, 1, 1, 1, b'm', 2, 2, b'x', b'y'];
        let mut golden = vec![1, 1, 5, b'c', b'|', b'1', b'|', b'A', 7, 1, 1, 1, b'A', 3, 18];
        golden.extend(batch);
        golden.extend([212, 159, 57, 194, 11, 27, 95, 254]);
        assert_eq!(encode(&lane(), AT, [entry.as_slice()].into_iter()), golden);
    }

    #[test]
    fn a_round_is_read_back_as_it_was_written() {
        let entry = encode_entry(&append()).take_record();
        let bytes =
            Bytes::from(encode(&lane(), AT, [entry.as_slice(), entry.as_slice()].into_iter()));
        let entries = decode_stored(&lane(), AT, &bytes).unwrap();
        assert_eq!(entries.len(), 2);
        assert_eq!((entries[1].first, entries[1].last), (7, 7));
        assert_eq!(entries[1].decode().unwrap(), append().events);
        assert_eq!(encode_read(&entries), bytes[..bytes.len() - 8], "it can be passed on");
        let elsewhere = LanePosition { nr: 8, ..AT };
        assert!(decode_stored(&lane(), elsewhere, &bytes).is_err(), "under another number");
    }

    #[test]
    fn the_entries_of_a_round_are_known_without_reading_it() {
        let mut encoded = encode_entry(&append());
        let record = encoded.take_record();
        let bytes =
            Bytes::from(encode(&lane(), AT, [record.as_slice(), record.as_slice()].into_iter()));
        let stream = Stream::parse("c|1|A").unwrap();

        let known = entries(&bytes, [(&stream, &encoded), (&stream, &encoded)].into_iter());
        let read = decode_stored(&lane(), AT, &bytes).unwrap();
        for (known, read) in known.unwrap().iter().zip(&read) {
            assert_eq!((known.first, known.last), (read.first, read.last));
            assert_eq!((&known.seen, &known.events), (&read.seen, &read.events));
            assert_eq!(known.stream.id, read.stream.id);
        }
        assert!(entries(&bytes, [(&stream, &encoded)].into_iter()).is_none(), "another round");
    }

    #[test]
    fn damaged_bytes_are_an_error_and_no_panic() {
        let entry = encode_entry(&append()).take_record();
        let stored = encode(&lane(), AT, [entry.as_slice()].into_iter());
        let bytes = &stored[..stored.len() - 8];
        for end in 0..bytes.len() {
            assert!(decode(&Bytes::copy_from_slice(&bytes[..end])).is_err(), "cut at {end}");
        }
        for index in 0..bytes.len() {
            let mut damaged = bytes.to_vec();
            damaged[index] ^= 0xff;
            for entry in decode(&damaged.into()).unwrap_or_default() {
                let _ = entry.decode();
            }
        }
        for bit in 0..stored.len() * 8 {
            let mut damaged = stored.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(decode_stored(&lane(), AT, &damaged.into()).is_err(), "bit {bit}");
        }
    }
}
