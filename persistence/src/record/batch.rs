//! The record of the events of one append.
//!
//! | field | form |
//! |---|---|
//! | format | byte, 1 |
//! | event count | number |
//! | per event: flags | byte, bit 0: concurrent |
//! | origin | text |
//! | version | [version vector](super::version) |
//! | source seq, timestamp | numbers |
//! | codec, manifest, payload version, payload | byte, text, number, blob |
//!
//! The sequence numbers are not stored: they follow from the first one, which the row names.

use crate::event::{EventMeta, Payload, SequenceNr, StoredEvent};
use crate::time::Timestamp;
use bytes::Bytes;

use super::bytes::{Reader, Unreadable, put_bytes, put_number};
use super::version;

const FORMAT: u8 = 1;

/// The record of `events`, which follow each other.
pub fn encode(events: &[StoredEvent]) -> Vec<u8> {
    let payload_bytes: usize = events.iter().map(|event| event.payload.bytes.len()).sum();
    let mut out = Vec::with_capacity(payload_bytes + 48 * events.len());
    out.push(FORMAT);
    put_number(&mut out, events.len() as u64);
    for event in events {
        let StoredEvent { meta, payload, .. } = event;
        out.push(u8::from(meta.concurrent));
        put_bytes(&mut out, meta.origin.as_str().as_bytes());
        version::put(&mut out, &meta.version);
        put_number(&mut out, meta.source_seq.value());
        put_number(&mut out, meta.timestamp.as_micros());
        out.push(payload.codec);
        put_bytes(&mut out, payload.manifest.as_bytes());
        put_number(&mut out, u64::from(payload.version));
        put_bytes(&mut out, &payload.bytes);
    }
    out
}

/// One record from records whose events follow each other, without reading the events.
pub fn join<'a>(records: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let (mut count, mut body) = (0, Vec::new());
    for record in records {
        let mut reader = Reader(record);
        // records are checked where they are read; what is no record ends up in one that is unreadable
        if reader.byte() == Ok(FORMAT) {
            count += reader.number().unwrap_or(0);
        }
        body.extend_from_slice(reader.0);
    }
    let mut out = Vec::with_capacity(body.len() + 8);
    out.push(FORMAT);
    put_number(&mut out, count);
    out.extend_from_slice(&body);
    out
}

/// The events of a record whose first one has the number `first`.
///
/// # Errors
/// What is wrong with the bytes.
pub fn decode(first: SequenceNr, bytes: &[u8]) -> Result<Vec<StoredEvent>, Unreadable> {
    let mut reader = Reader(bytes);
    if reader.byte()? != FORMAT {
        return Err("its format is not 1");
    }
    let count = reader.number()?;
    let mut events = Vec::new();
    for index in 0..count {
        events.push(event(first.plus(index), &mut reader)?);
    }
    reader.end()?;
    Ok(events)
}

fn event(sequence_nr: SequenceNr, reader: &mut Reader<'_>) -> Result<StoredEvent, Unreadable> {
    let flags = reader.byte()?;
    if flags > 1 {
        return Err("a flag is unknown");
    }
    let meta = EventMeta {
        concurrent: flags == 1,
        origin: version::replica(reader)?,
        version: version::get(reader)?,
        source_seq: SequenceNr::new(reader.number()?),
        timestamp: Timestamp::from_micros(reader.number()?),
    };
    let payload = Payload {
        codec: reader.byte()?,
        manifest: reader.text()?.into(),
        version: u16::try_from(reader.number()?).map_err(|_| "a payload version is too large")?,
        bytes: Bytes::copy_from_slice(reader.bytes()?),
    };
    Ok(StoredEvent { sequence_nr, meta, payload })
}

#[cfg(test)]
mod tests {
    use crate::identity::ReplicaId;

    use super::*;

    fn event(sequence_nr: u64) -> StoredEvent {
        let replica = ReplicaId::new("A").unwrap();
        let meta = EventMeta {
            origin: replica.clone(),
            version: [(replica, 300)].into_iter().collect(),
            source_seq: SequenceNr::new(7),
            concurrent: true,
            timestamp: Timestamp::from_micros(1),
        };
        let payload = Payload {
            codec: 1,
            manifest: "m".into(),
            version: 2,
            bytes: Bytes::from_static(b"xy"),
        };
        StoredEvent { sequence_nr: SequenceNr::new(sequence_nr), meta, payload }
    }

    #[test]
    fn the_bytes_of_a_batch_never_change() {
        let bytes = encode(&[event(5)]);
        let golden = [1, 1, 1, 1, b'A', 1, 1, b'A', 0xac, 2, 7, 1, 1, 1, b'm', 2, 2, b'x', b'y'];
        assert_eq!(bytes, golden);
    }

    #[test]
    fn a_batch_is_read_back_as_it_was_written() {
        let events = vec![event(5), event(6)];
        assert_eq!(decode(SequenceNr::new(5), &encode(&events)), Ok(events));
    }

    #[test]
    fn joined_records_are_the_record_of_all_their_events() {
        let all: Vec<_> = (5..205).map(event).collect();
        let (a, b) = (encode(&all[..1]), encode(&all[1..]));
        assert_eq!(join([&*a, &*b].into_iter()), encode(&all));
    }

    #[test]
    fn damaged_bytes_are_an_error_and_no_panic() {
        let bytes = encode(&[event(5), event(6)]);
        for end in 0..bytes.len() {
            assert!(decode(SequenceNr::new(5), &bytes[..end]).is_err(), "cut at {end}");
        }
        for index in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[index] ^= 0xff;
            let _ = decode(SequenceNr::new(5), &damaged);
        }
        assert_eq!(
            decode(SequenceNr::new(5), &[1, 0xff, 0xff, 0xff, 0xff, 0x7f]),
            Err("it ends too early")
        );
    }
}
