//! The binary records of rows. A record with a checksum is fuzzed behind the checksum, which no
//! fuzzer would find: it is added to the input.

use antiphon_base::fuzzing::{Bounds, Check, Decoder, round_trip};
use antiphon_base::time::Timestamp;
use bytes::Bytes;

use crate::event::{
    EventMeta, Labels, Metadata, Payload, RequestId, SequenceNr, StoredEvent, Tags,
};
use crate::identity::{PersistenceId, ReplicaId, ReplicationId};
use crate::record::checksum::{Checksum, SEAL_BYTES, seal};
use crate::record::{batch, cell, snapshot, version};
use crate::store::{DoneRequest, KeptAnswer, OffsetKey, SetReminder, Snapshot};

/// The records of stores.
pub const RECORDS: &[Decoder] = &[
    Decoder {
        name: "batch",
        decode: batch,
        seeds: || {
            let many: Vec<StoredEvent> = (5..40).map(event).collect();
            let labelled = batch::encode(&[event(5), labelled(6)]);
            vec![batch::encode(&[]), batch::encode(&[event(5)]), batch::encode(&many), labelled]
        },
        // an event of eight bytes is a structure of 200 bytes in memory
        bounds: Bounds::new(4096, 128),
    },
    Decoder {
        name: "version",
        decode: |bytes| {
            let version = version::decode(bytes).ok()?;
            Some(round_trip(version, version::encode, |bytes| version::decode(&bytes).ok()))
        },
        seeds: || vec![version::encode(&event(5).meta.version)],
        bounds: Bounds::new(4096, 64),
    },
    Decoder {
        name: "snapshot",
        decode: snapshot,
        seeds: || {
            let mut bytes = snapshot::encode(&stream(), &a_snapshot());
            bytes.truncate(bytes.len() - SEAL_BYTES);
            let mut noted = snapshot::encode(&stream(), &a_snapshot_with_reminder());
            noted.truncate(noted.len() - SEAL_BYTES);
            let mut with_sections = snapshot::encode(&stream(), &a_snapshot_with_sections());
            with_sections.truncate(with_sections.len() - SEAL_BYTES);
            vec![bytes, noted, with_sections]
        },
        bounds: Bounds::new(4096, 128),
    },
    Decoder {
        name: "cell",
        decode: cell,
        seeds: || vec![cell::encode("members", "n-1", 3, b"value")],
        bounds: Bounds::new(4096, 4),
    },
    Decoder {
        name: "position",
        decode: position,
        seeds: || vec![cell::encode_position(&offset_key(), "12:34").into_bytes()],
        bounds: Bounds::new(4096, 4),
    },
    IDENTITY,
];

/// The text form of an id.
const IDENTITY: Decoder = Decoder {
    name: "identity",
    decode: |bytes| {
        let text = std::str::from_utf8(bytes).ok()?;
        let id = ReplicationId::parse(text).ok()?;
        assert!(PersistenceId::parse(text).is_ok(), "two parsers of one form");
        Some(round_trip(id, ReplicationId::to_string, |text| ReplicationId::parse(&text).ok()))
    },
    seeds: || vec![b"cart|c-1|DC-A".to_vec(), b"cart|c-1".to_vec()],
    bounds: Bounds::new(4096, 64),
};

/// An event with this number, for seeds.
pub fn event(sequence_nr: u64) -> StoredEvent {
    let replica = |name: &str| ReplicaId::new(name).expect("a name");
    StoredEvent {
        sequence_nr: SequenceNr::new(sequence_nr),
        meta: EventMeta {
            origin: replica("A"),
            version: [(replica("A"), sequence_nr), (replica("B"), 1), (replica("C"), 300)]
                .into_iter()
                .collect(),
            source_seq: SequenceNr::new(4),
            concurrent: sequence_nr.is_multiple_of(2),
            timestamp: Timestamp::from_micros(1_000_000),
            labels: Labels::none(),
        },
        payload: Payload {
            codec: 1,
            manifest: "added".into(),
            version: 1,
            bytes: Bytes::from_static(b"xy"),
        },
    }
}

/// An event with metadata and tags, for seeds.
pub(super) fn labelled(sequence_nr: u64) -> StoredEvent {
    let mut event = event(sequence_nr);
    let metadata = Metadata::new().with("user", "anna").and_then(|all| all.with("k", "v"));
    let labels = Labels::new(metadata.expect("two entries"), Tags::from(["eu", "order"]));
    event.meta.labels = labels.expect("two tags");
    event
}

fn batch(bytes: &[u8]) -> Option<Check> {
    let first = SequenceNr::new(5);
    let record = Bytes::copy_from_slice(bytes);
    let events = batch::decode(first, &record).ok()?;
    Some(Box::new(move || {
        let encoded = Bytes::from(batch::encode(&events));
        assert_eq!(batch::decode(first, &encoded).as_ref(), Ok(&events), "events are read back");
        let head = encoded.len() - batch::events_bytes(&events);
        assert!(head <= batch::HEAD_BYTES_MAX, "a head of {head} bytes");
        let joined = Bytes::from(batch::join([&*record, &*encoded].into_iter()));
        let twice = batch::decode(first, &joined).expect("joined records are a record");
        assert_eq!(twice.len(), 2 * events.len());
    }))
}

fn stream() -> PersistenceId {
    PersistenceId::parse("c|1|A").expect("an id")
}

fn a_snapshot() -> Snapshot {
    let event = event(300);
    Snapshot {
        sequence_nr: event.sequence_nr,
        version: event.meta.version,
        positions: [(event.meta.origin, SequenceNr::new(9))].into(),
        timestamp: event.meta.timestamp,
        state: event.payload,
        reminders: Vec::new(),
        metadata: Metadata::new(),
        requests: Vec::new(),
    }
}

fn a_snapshot_with_reminder() -> Snapshot {
    let event = event(300);
    let reminder = SetReminder {
        name: "expire".into(),
        due: event.meta.timestamp,
        every: 0,
        set_by: event.sequence_nr,
        origin: event.meta.origin,
        origin_nr: 300,
        set_at: event.meta.timestamp,
    };
    Snapshot { reminders: vec![reminder], ..a_snapshot() }
}

fn a_snapshot_with_sections() -> Snapshot {
    let metadata = Metadata::new().with("user", "anna").expect("one entry");
    let event = event(300);
    let request = DoneRequest {
        id: RequestId::new("checkout-7").expect("an id"),
        origin: event.meta.origin,
        first: 299,
        at: event.meta.timestamp,
        answer: KeptAnswer::Bytes(Bytes::from_static(b"ok")),
    };
    Snapshot { metadata, requests: vec![request], ..a_snapshot_with_reminder() }
}

fn snapshot(bytes: &[u8]) -> Option<Check> {
    let (id, nr) = (stream(), a_snapshot().sequence_nr);
    let mut key = Checksum::of("snapshots");
    key.text(id.as_str()).number(nr.value());
    let mut record = bytes.to_vec();
    seal(key, &mut record);
    let decode = move |record: Vec<u8>| snapshot::decode("c|1|A", nr, &record.into()).ok();
    let snapshot = decode(record)?;
    Some(round_trip(snapshot, move |snapshot| snapshot::encode(&id, snapshot), decode))
}

fn cell(bytes: &[u8]) -> Option<Check> {
    let decode = |bytes: Vec<u8>| cell::decode("members", "n-1", 3, &bytes.into()).ok();
    let value = decode(bytes.to_vec())?;
    Some(round_trip(value, |value| cell::encode("members", "n-1", 3, value), decode))
}

fn offset_key() -> OffsetKey {
    OffsetKey { reader: "r".into(), part: "p".into() }
}

fn position(bytes: &[u8]) -> Option<Check> {
    let decode = |text: String| cell::decode_position(&offset_key(), &text).ok().map(str::to_owned);
    let position = decode(std::str::from_utf8(bytes).ok()?.to_owned())?;
    Some(round_trip(position, |text| cell::encode_position(&offset_key(), text), decode))
}
