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

use std::ops::Range;
use std::sync::Arc;

use antiphon_persistence::event::{SequenceNr, StoredEvent};
use antiphon_persistence::identity::ReplicationId;
use antiphon_persistence::record::bytes::{Reader, put_bytes, put_number};
use antiphon_persistence::record::{batch, version};
use antiphon_persistence::store::Append;
use antiphon_persistence::version::VersionVector;
use antiphon_persistence::{Error, Result};
use bytes::Bytes;

const FORMAT: u8 = 1;

/// One append within a round, its events still encoded.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) stream: Arc<ReplicationId>,
    pub(crate) first: u64,
    pub(crate) last: u64,
    /// The merged versions of the events.
    pub(crate) seen: VersionVector,
    pub(crate) events: Bytes,
}

impl Entry {
    /// The events.
    pub(crate) fn decode(&self) -> Result<Vec<StoredEvent>> {
        decode_events(&self.stream.to_string(), self.first, self.last, &self.events)
    }
}

/// The events `first..=last` of a stream from their record.
pub(crate) fn decode_events(
    stream: &str,
    first: u64,
    last: u64,
    bytes: &[u8],
) -> Result<Vec<StoredEvent>> {
    let unreadable = |why: &str| {
        Error::corrupt(format!("the events {first} to {last} of `{stream}` are unreadable: {why}"))
    };
    let events = batch::decode(SequenceNr::new(first), bytes).map_err(unreadable)?;
    if events.last().map(|event| event.sequence_nr.value()) != Some(last) {
        return Err(unreadable("their number is another one than that of the row"));
    }
    Ok(events)
}

/// The record of one append, of which a round has one or more.
pub(crate) fn encode_entry(append: &Append) -> Vec<u8> {
    let mut seen = VersionVector::new();
    for event in &append.events {
        seen.merge(&event.meta.version);
    }
    let events = batch::encode(&append.events);
    let mut out = Vec::with_capacity(events.len() + append.persistence_id.as_str().len() + 64);
    put_bytes(&mut out, append.persistence_id.as_str().as_bytes());
    put_number(&mut out, append.expected.value() + 1);
    put_number(&mut out, append.events.len() as u64);
    version::put(&mut out, &seen);
    put_bytes(&mut out, &events);
    out
}

/// The record of a round from those of its appends.
pub(crate) fn encode<'a>(entries: impl ExactSizeIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut out = vec![FORMAT];
    put_number(&mut out, entries.len() as u64);
    for entry in entries {
        out.extend_from_slice(entry);
    }
    out
}

/// Reads a round; the events stay where they are, as parts of `bytes`.
pub(crate) fn decode(bytes: &Bytes) -> std::result::Result<Vec<Entry>, String> {
    let mut reader = Reader(bytes);
    if reader.byte()? != FORMAT {
        return Err("its format is not 1".into());
    }
    let count = reader.number()?;
    let mut entries = Vec::new();
    for _ in 0..count {
        let stream = ReplicationId::parse(reader.text()?).map_err(|error| error.to_string())?;
        let first = reader.number()?;
        let count = reader.number()?;
        if first == 0 || count == 0 {
            return Err("an append is empty".into());
        }
        let last = first.checked_add(count - 1).ok_or("a number is out of range")?;
        let seen = version::get(&mut reader)?;
        let events = reader.bytes()?;
        let events = bytes.slice(range_of(bytes, events));
        entries.push(Entry { stream: Arc::new(stream), first, last, seen, events });
    }
    reader.end()?;
    Ok(entries)
}

fn range_of(whole: &[u8], part: &[u8]) -> Range<usize> {
    let start = part.as_ptr() as usize - whole.as_ptr() as usize;
    start..start + part.len()
}

#[cfg(test)]
mod tests {
    use antiphon_persistence::event::{EventMeta, Payload};
    use antiphon_persistence::identity::{PersistenceId, ReplicaId};
    use antiphon_persistence::time::Timestamp;

    use super::*;

    fn append() -> Append {
        let replica = ReplicaId::new("A").unwrap();
        let meta = EventMeta {
            origin: replica.clone(),
            version: [(replica, 3)].into_iter().collect(),
            source_seq: SequenceNr::new(7),
            concurrent: false,
            timestamp: Timestamp::from_micros(1),
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
        let entry = encode_entry(&append());
        let batch = [1, 1, 0, 1, b'A', 1, 1, b'A', 3, 7, 1, 1, 1, b'm', 2, 2, b'x', b'y'];
        let mut golden = vec![1, 1, 5, b'c', b'|', b'1', b'|', b'A', 7, 1, 1, 1, b'A', 3, 18];
        golden.extend(batch);
        assert_eq!(encode([entry.as_slice()].into_iter()), golden);
    }

    #[test]
    fn a_round_is_read_back_as_it_was_written() {
        let entry = encode_entry(&append());
        let bytes = Bytes::from(encode([entry.as_slice(), entry.as_slice()].into_iter()));
        let entries = decode(&bytes).unwrap();
        assert_eq!(entries.len(), 2);
        assert_eq!((entries[1].first, entries[1].last), (7, 7));
        assert_eq!(entries[1].decode().unwrap(), append().events);
    }

    #[test]
    fn damaged_bytes_are_an_error_and_no_panic() {
        let entry = encode_entry(&append());
        let bytes = encode([entry.as_slice()].into_iter());
        for end in 0..bytes.len() {
            assert!(decode(&Bytes::copy_from_slice(&bytes[..end])).is_err(), "cut at {end}");
        }
        for index in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[index] ^= 0xff;
            for entry in decode(&damaged.into()).unwrap_or_default() {
                let _ = entry.decode();
            }
        }
    }
}
