//! The bytes of this version of the wire, as in `runtime/fixtures/wire-1.txt`: each line has a name
//! and the bytes.
//!
//! Later versions read them: a line is never changed, and a new kind of frame, record or error gets
//! a line of its own.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::record::{
    FrameHeader, FrameKind, Message, MessageKind, Part, read_record, write_record,
};
use crate::gate::ask_error::AskError;
use crate::gate::service::ServiceId;

const LINES: &str = include_str!("../../../fixtures/wire-1.txt");

fn fixtures() -> BTreeMap<&'static str, Vec<u8>> {
    let lines = LINES.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, hex) = line.split_once(" = ").expect("`name = bytes`");
            let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex");
            (name, (0..hex.len()).step_by(2).map(byte).collect())
        })
        .collect()
}

/// Compares the bytes that this version writes with the fixtures; each fixture must be written.
fn check(prefix: &str, written: &BTreeMap<String, Vec<u8>>) {
    let fixtures = fixtures();
    for (name, bytes) in written {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(fixtures.get(name.as_str()), Some(bytes), "expected the line\n{name} = {hex}\n");
    }
    let of_prefix = fixtures.keys().filter(|name| name.starts_with(prefix)).count();
    assert_eq!(of_prefix, written.len(), "a line of `{prefix}` that this version does not read");
}

fn header(kind: FrameKind) -> FrameHeader {
    FrameHeader { kind, stream: 0x0102_0304_0506_0708, number: 9, ack_stream: 10, ack_next: 11 }
}

#[test]
fn frames_and_records_are_those_of_the_fixtures() {
    let mut written = BTreeMap::new();
    for (name, kind) in
        [("data", FrameKind::Data), ("ack", FrameKind::Ack), ("reset", FrameKind::Reset)]
    {
        let mut bytes = Vec::new();
        header(kind).write(&mut bytes);
        written.insert(format!("frame.{name}"), bytes);
    }
    for (kind_name, kind) in [
        ("tell", MessageKind::Tell),
        ("ask", MessageKind::Ask),
        ("answer", MessageKind::Answer),
        ("failure", MessageKind::Failure),
    ] {
        for (part_name, part) in
            [("whole", Part::Whole), ("more", Part::More), ("last", Part::Last)]
        {
            let message = Message {
                kind,
                service: ServiceId(0x0110),
                correlation: 0x0203,
                payload: Bytes::from_static(b"payload"),
            };
            let mut bytes = Vec::new();
            write_record(&mut bytes, &message, part, &message.payload);
            written.insert(format!("record.{kind_name}.{part_name}"), bytes.clone());

            let read = read_record(&mut bytes.into()).unwrap().unwrap();
            assert_eq!((read.part, read.message), (part, message));
        }
    }
    for (name, kind) in
        [("data", FrameKind::Data), ("ack", FrameKind::Ack), ("reset", FrameKind::Reset)]
    {
        let mut bytes = Bytes::from(fixtures()[format!("frame.{name}").as_str()].clone());
        assert_eq!(FrameHeader::read(&mut bytes), Ok(header(kind)));
        assert!(bytes.is_empty());
    }
    let (frames, records): (BTreeMap<_, _>, BTreeMap<_, _>) =
        written.into_iter().partition(|(name, _)| name.starts_with("frame."));
    check("frame.", &frames);
    check("record.", &records);
}

#[test]
fn errors_are_those_of_the_fixtures() {
    let mut written = BTreeMap::new();
    for error in AskError::each("why") {
        let bytes = error.clone().encode().to_vec();
        let name = format!("error.{}", error.reason());
        assert_eq!(AskError::decode(&fixtures()[name.as_str()]), Some(error));
        written.insert(name, bytes);
    }
    check("error.", &written);
}
