//! The bytes of an event with serde, as stores of other crates and links write it. Later versions
//! read these bytes: they never change.

use antiphon_base::time::Timestamp;
use bytes::Bytes;

use super::*;
use crate::codec::CodecId;
use crate::identity::ReplicaId;

const JSON: &str = concat!(
    r#"{"sequence_nr":5,"meta":{"origin":"A","version":[["A",2],["B",300]],"#,
    r#""source_seq":4,"concurrent":true,"timestamp":1000000},"#,
    r#""payload":{"codec":1,"manifest":"m","version":2,"bytes":[120,121]}}"#
);
const BINCODE: &str = "050141020141020142fb2c010401fc40420f0001016d02027879";
const CBOR: &str = concat!(
    "a36b73657175656e63655f6e7205646d657461a5666f726967696e6141677665",
    "7273696f6e828261410282614219012c6a736f757263655f736571046a636f6e",
    "63757272656e74f56974696d657374616d701a000f4240677061796c6f6164a4",
    "65636f64656301686d616e6966657374616d6776657273696f6e026562797465",
    "73427879"
);

fn plain() -> StoredEvent {
    let replica = |name: &str| ReplicaId::new(name).unwrap();
    StoredEvent {
        sequence_nr: SequenceNr::new(5),
        meta: EventMeta {
            origin: replica("A"),
            version: [(replica("A"), 2), (replica("B"), 300)].into_iter().collect(),
            source_seq: SequenceNr::new(4),
            concurrent: true,
            timestamp: Timestamp::from_micros(1_000_000),
            labels: Labels::none(),
        },
        payload: Payload {
            codec: 1,
            manifest: "m".into(),
            version: 2,
            bytes: Bytes::from_static(b"xy"),
        },
    }
}

fn labelled() -> StoredEvent {
    let mut event = plain();
    let metadata = Metadata::new().with("k", "v").unwrap();
    event.meta.labels = Labels::new(metadata, Tags::from(["t"])).unwrap();
    event
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn an_event_has_these_bytes_in_each_codec() {
    let encoded = |codec: CodecId| codec.encode(&plain()).unwrap();
    assert_eq!(String::from_utf8(encoded(CodecId::Json)).unwrap(), JSON);
    assert_eq!(hex(&encoded(CodecId::Bincode)), BINCODE);
    assert_eq!(hex(&encoded(CodecId::Cbor)), CBOR);
    for codec in [CodecId::Bincode, CodecId::Cbor, CodecId::Json] {
        assert_eq!(codec.decode::<StoredEvent>(&encoded(codec)).unwrap(), plain());
    }
}

#[test]
fn an_event_with_labels_has_these_bytes_and_is_read_back_in_each_codec() {
    let encoded = |codec: CodecId| codec.encode(&labelled()).unwrap();
    let json = String::from_utf8(encoded(CodecId::Json)).unwrap();
    let labels =
        r#""concurrent":3,"timestamp":1000000,"labels":{"metadata":{"k":"v"},"tags":["t"]}}"#;
    assert!(json.contains(labels), "{json}");
    let golden = "050141020141020142fb2c010403fc40420f0001016b017601017401016d02027879";
    assert_eq!(hex(&encoded(CodecId::Bincode)), golden);
    for codec in [CodecId::Bincode, CodecId::Cbor, CodecId::Json] {
        assert_eq!(codec.decode::<StoredEvent>(&encoded(codec)).unwrap(), labelled());
    }
}

/// The metadata of an event as the version before labels reads it.
#[derive(Debug, PartialEq, serde::Deserialize)]
struct OldMeta {
    origin: ReplicaId,
    version: crate::version::VersionVector,
    source_seq: SequenceNr,
    concurrent: bool,
    timestamp: Timestamp,
}

#[test]
fn a_reader_of_the_time_before_labels_never_takes_an_event_with_labels_for_one_without() {
    for codec in [CodecId::Bincode, CodecId::Cbor, CodecId::Json] {
        let old = |event: StoredEvent| {
            codec.decode::<OldMeta>(&codec.encode(&event.meta).unwrap()).map(|meta| meta.concurrent)
        };
        assert!(old(plain()).unwrap(), "{codec:?}");
        old(labelled()).unwrap_err();
    }
}

#[test]
fn flags_and_labels_that_do_not_agree_are_refused() {
    let json = CodecId::Json.encode(&labelled().meta).unwrap();
    let json = String::from_utf8(json).unwrap();
    for (from, to) in [
        (r#""concurrent":3"#, r#""concurrent":true"#),
        (r#""concurrent":3"#, r#""concurrent":4"#),
        (r#""concurrent":3"#, r#""concurrent":1000"#),
        (r#"{"metadata":{"k":"v"},"tags":["t"]}"#, r#"{"metadata":{},"tags":[]}"#),
        (r#","labels":{"metadata":{"k":"v"},"tags":["t"]}"#, ""),
        (r#"["t"]"#, r#"[""]"#),
        (r#"{"k":"v"}"#, r#"{"":"v"}"#),
    ] {
        let other = json.replace(from, to);
        assert_ne!(other, json);
        assert!(CodecId::Json.decode::<EventMeta>(other.as_bytes()).is_err(), "{other}");
    }
    let plain = CodecId::Bincode.encode(&plain().meta).unwrap();
    let flags = plain.len() - 6;
    assert_eq!(plain[flags], 1);
    for wrong in [2, 3, 4, 255] {
        let mut bytes = plain.clone();
        bytes[flags] = wrong;
        assert!(CodecId::Bincode.decode::<EventMeta>(&bytes).is_err(), "{wrong}");
    }
}
