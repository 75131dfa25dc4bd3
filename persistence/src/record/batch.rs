//! The record of the events of one append.
//!
//! | field | form |
//! |---|---|
//! | format | byte, 1 |
//! | event count | number |
//! | per event: flags | byte, bit 0: concurrent, bit 1: with labels |
//! | origin | text |
//! | version | [version vector](super::version) |
//! | source seq, timestamp | numbers |
//! | codec, manifest, payload version, payload | byte, text, number, blob |
//! | with labels: labels | [super::labels] |
//!
//! An event without labels has the form of the time before there were labels. A reader of that time
//! refuses the flags of an event with labels. Sequence numbers are not stored: they follow from the
//! first one, which the row names.

use std::sync::Arc;

use antiphon_base::time::Timestamp;

use crate::event::{EventMeta, Labels, Payload, SequenceNr, StoredEvent};
use crate::identity::ReplicaId;
use bytes::Bytes;

use super::bytes::{Reader, Unreadable, number_bytes, put_bytes, put_number, text_bytes};
use super::{labels, version};

const FORMAT: u8 = 1;

/// The flag of an event that is concurrent.
const CONCURRENT: u8 = 1;
/// The flag of an event with labels.
const LABELS: u8 = 2;

/// The record of `events`, whose sequence numbers are consecutive.
pub fn encode(events: &[StoredEvent]) -> Vec<u8> {
    let mut out = Vec::with_capacity(room(events));
    put(&mut out, events);
    out
}

/// Approximate size of the record of `events`, in bytes.
pub fn room(events: &[StoredEvent]) -> usize {
    let room =
        |event: &StoredEvent| event.payload.bytes.len() + labels_bytes(&event.meta.labels) + 48;
    events.iter().map(room).sum()
}

/// The bytes of one event within a record: the unit in which all limits of events and appends are
/// counted. An event has the same size at every replica.
pub fn event_bytes(meta: &EventMeta, payload: &Payload) -> usize {
    1 + text_bytes(meta.origin.as_str().len())
        + version::encoded_bytes(&meta.version)
        + number_bytes(meta.source_seq.value())
        + number_bytes(meta.timestamp.as_micros())
        + 1
        + text_bytes(payload.manifest.len())
        + number_bytes(u64::from(payload.version))
        + text_bytes(payload.bytes.len())
        + labels_bytes(&meta.labels)
}

/// The bytes of the labels of an event, none when it has no labels.
pub fn labels_bytes(of: &Labels) -> usize {
    if of.is_empty() { 0 } else { labels::encoded_bytes(of) }
}

/// The bytes of events within a record, without the [head](HEAD_BYTES_MAX) of the record.
pub fn events_bytes(events: &[StoredEvent]) -> usize {
    events.iter().map(|event| event_bytes(&event.meta, &event.payload)).sum()
}

/// The most bytes that a record has beside its events.
pub const HEAD_BYTES_MAX: usize = 11;

/// Appends the record of `events` to `out`.
///
/// # Panics
/// If the sequence numbers are not consecutive, as far as the first and the last one tell: they
/// are not stored, so the events would be read back under other numbers.
pub fn put(out: &mut Vec<u8>, events: &[StoredEvent]) {
    if let (Some(first), Some(last)) = (events.first(), events.last()) {
        let expected = first.sequence_nr.plus(events.len() as u64 - 1);
        assert_eq!(last.sequence_nr, expected, "the last of consecutive events");
    }
    out.push(FORMAT);
    put_number(out, events.len() as u64);
    for event in events {
        let StoredEvent { meta, payload, .. } = event;
        let with_labels = if meta.labels.is_empty() { 0 } else { LABELS };
        out.push(u8::from(meta.concurrent) | with_labels);
        put_bytes(out, meta.origin.as_str().as_bytes());
        version::put(out, &meta.version);
        put_number(out, meta.source_seq.value());
        put_number(out, meta.timestamp.as_micros());
        out.push(payload.codec);
        put_bytes(out, payload.manifest.as_bytes());
        put_number(out, u64::from(payload.version));
        put_bytes(out, &payload.bytes);
        if with_labels != 0 {
            labels::put(out, &meta.labels);
        }
    }
}

/// Joins records with consecutive events into one record, without reading the events.
pub fn join<'a>(records: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let (mut count, mut body) = (0, Vec::new());
    for record in records {
        let mut reader = Reader(record);
        // readers check records; bytes that are not a record make the joined record unreadable
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

/// The events of a record whose first event has the number `first`. Their payloads are parts of
/// `bytes`, not copies.
///
/// # Errors
/// The reason why the bytes are unreadable.
pub fn decode(first: SequenceNr, bytes: &Bytes) -> Result<Vec<StoredEvent>, Unreadable> {
    let mut events = Vec::new();
    decode_into(&mut events, first, bytes)?;
    Ok(events)
}

/// Appends the events of a record to `events`, and returns their number. After an error, `events`
/// may contain some of them.
///
/// # Errors
/// The reason why the bytes are unreadable.
pub fn decode_into(
    events: &mut Vec<StoredEvent>,
    first: SequenceNr,
    bytes: &Bytes,
) -> Result<u64, Unreadable> {
    let mut reader = Reader(bytes);
    let before = events.len();
    if reader.byte()? != FORMAT {
        return Err("its format is not 1");
    }
    let count = reader.number()?;
    // an event has at least eight bytes: this bounds the memory that a damaged count asks for
    events.reserve(usize::try_from(count).unwrap_or(usize::MAX).min(bytes.len() / 8));
    let mut names = Names::default();
    for index in 0..count {
        events.push(names.event(first.plus(index), &mut reader, bytes)?);
    }
    reader.end()?;
    assert_eq!((events.len() - before) as u64, count, "events of one record");
    Ok(count)
}

/// The names that were read last: most events of a record have the same names, so that each name is
/// checked and kept once.
#[derive(Default)]
struct Names {
    replicas: Vec<ReplicaId>,
    manifest: Option<Arc<str>>,
}

impl Names {
    #[inline]
    fn event(
        &mut self,
        sequence_nr: SequenceNr,
        reader: &mut Reader<'_>,
        bytes: &Bytes,
    ) -> Result<StoredEvent, Unreadable> {
        let flags = reader.byte()?;
        if flags > CONCURRENT | LABELS {
            return Err("a flag is unknown");
        }
        let mut meta = EventMeta {
            concurrent: flags & CONCURRENT != 0,
            origin: self.replica(reader)?,
            version: version::read(reader, |reader| self.replica(reader))?,
            source_seq: SequenceNr::new(reader.number()?),
            timestamp: Timestamp::from_micros(reader.number()?),
            labels: Labels::none(),
        };
        let payload = Payload {
            codec: reader.byte()?,
            manifest: self.manifest(reader.text()?),
            version: u16::try_from(reader.number()?)
                .map_err(|_| "a payload version is too large")?,
            bytes: bytes.slice_ref(reader.bytes()?),
        };
        if flags & LABELS != 0 {
            meta.labels = labels::get(reader)?;
        }
        Ok(StoredEvent { sequence_nr, meta, payload })
    }

    #[inline]
    fn replica(&mut self, reader: &mut Reader<'_>) -> Result<ReplicaId, Unreadable> {
        let name = reader.bytes()?;
        let known = self.replicas.iter().find(|known| known.as_str().as_bytes() == name);
        if let Some(known) = known {
            return Ok(known.clone());
        }
        let replica = version::replica_named(name)?;
        if self.replicas.len() < REPLICAS_KEPT_MAX {
            self.replicas.push(replica.clone());
        }
        Ok(replica)
    }

    #[inline]
    fn manifest(&mut self, text: &str) -> Arc<str> {
        match &self.manifest {
            Some(known) if **known == *text => known.clone(),
            Some(_) | None => self.manifest.insert(text.into()).clone(),
        }
    }
}

/// Replicas that [`Names`] keeps: so few that a search is faster than making a new id.
const REPLICAS_KEPT_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Metadata, Tags};

    fn event(sequence_nr: u64) -> StoredEvent {
        let replica = ReplicaId::new("A").unwrap();
        let meta = EventMeta {
            origin: replica.clone(),
            version: [(replica, 300)].into_iter().collect(),
            source_seq: SequenceNr::new(7),
            concurrent: true,
            timestamp: Timestamp::from_micros(1),
            labels: Labels::none(),
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

    fn labelled(sequence_nr: u64) -> StoredEvent {
        let metadata = Metadata::new().with("k", "v").unwrap();
        let mut event = event(sequence_nr);
        event.meta.labels = Labels::new(metadata, Tags::from(["t"])).unwrap();
        event
    }

    #[test]
    fn the_bytes_of_a_batch_with_labels_never_change_and_old_readers_refuse_them() {
        let golden = [
            1, 1, 3, 1, b'A', 1, 1, b'A', 0xac, 2, 7, 1, 1, 1, b'm', 2, 2, b'x', b'y', 1, 1, b'k',
            1, b'v', 1, 1, b't',
        ];
        assert_eq!(encode(&[labelled(5)]), golden);
        // flags above 1 are unknown to readers of the time before there were labels
        assert!(golden[2] > 1);
    }

    #[test]
    fn a_batch_is_read_back_as_it_was_written() {
        let events = vec![event(5), labelled(6), event(7)];
        assert_eq!(decode(SequenceNr::new(5), &encode(&events).into()), Ok(events));
    }

    #[test]
    fn the_size_of_events_is_known_without_encoding_them() {
        let mut events: Vec<_> = (1..=300).map(event).collect();
        for (index, event) in (0_u64..).zip(&mut events) {
            event.meta.timestamp = Timestamp::from_micros(1 << (index % 64));
            if index % 3 == 0 {
                event.meta.labels = labelled(1).meta.labels;
            }
            event.payload.bytes = vec![7; usize::try_from(index).unwrap()].into();
        }
        for count in [0, 1, 127, 128, 300] {
            let head = 1 + number_bytes(count as u64);
            assert_eq!(head + events_bytes(&events[..count]), encode(&events[..count]).len());
            assert!(head <= HEAD_BYTES_MAX);
        }
    }

    #[test]
    fn events_of_many_origins_and_kinds_are_told_apart() {
        let mut events: Vec<_> = (1..=40).map(event).collect();
        for (index, event) in events.iter_mut().enumerate() {
            let replica = ReplicaId::new(format!("r{}", index % 20)).unwrap();
            event.meta.version.set(&replica, 7);
            event.meta.origin = replica;
            event.payload.manifest = format!("m{}", index % 3).into();
        }
        assert_eq!(decode(SequenceNr::new(1), &encode(&events).into()), Ok(events));
    }

    #[test]
    fn joined_records_are_the_record_of_all_their_events() {
        let all: Vec<_> = (5..205).map(event).collect();
        let (a, b) = (encode(&all[..1]), encode(&all[1..]));
        assert_eq!(join([&*a, &*b].into_iter()), encode(&all));
    }

    #[test]
    fn damaged_bytes_are_an_error_and_no_panic() {
        let bytes = Bytes::from(encode(&[event(5), labelled(6)]));
        for end in 0..bytes.len() {
            assert!(decode(SequenceNr::new(5), &bytes.slice(..end)).is_err(), "cut at {end}");
        }
        for index in 0..bytes.len() {
            let mut damaged = bytes.to_vec();
            damaged[index] ^= 0xff;
            let _ = decode(SequenceNr::new(5), &damaged.into());
        }
        let endless = Bytes::from_static(&[1, 0xff, 0xff, 0xff, 0xff, 0x7f]);
        assert_eq!(decode(SequenceNr::new(5), &endless), Err("it ends too early"));
    }
}
