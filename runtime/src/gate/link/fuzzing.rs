//! Frames and the errors in them, for the fuzzing in `fuzz`.

use antiphon_base::fuzzing::{Bounds, Check, Decoder, round_trip};
use antiphon_base::time::{Clock, SystemClock};
use bytes::Bytes;

use super::budget::Budget;
use super::core::{Effect, Input, LinkCore};
use super::record::{
    FRAME_HEADER_BYTES, FrameHeader, FrameKind, Malformed, Message, MessageKind, Part, Record,
    read_record, write_record,
};
use crate::gate::ask_error::AskError;
use crate::gate::service::ServiceId;
use crate::gate::settings::GateSettings;

/// Frames, the course of a link that gets them, and the errors in answers.
pub const FRAMES: &[Decoder] = &[
    Decoder {
        name: "frame",
        decode: frame,
        seeds: || vec![a_frame(0), a_frame(1)[..FRAME_HEADER_BYTES].to_vec()],
        // a record of 15 bytes is a message in memory
        bounds: Bounds::new(4096, 32),
    },
    Decoder {
        name: "link",
        decode: link,
        seeds: || {
            let frames = [0, 2, 1, 3].map(a_frame);
            let chunk = |frame: &Vec<u8>| [&[RAW, length(frame)][..], frame].concat();
            let short = [SHORT, 2, 1, 4].to_vec();
            vec![frames.iter().flat_map(chunk).chain(short).collect()]
        },
        // an early frame of two bytes is a place in a map, and answers of 33 bytes go out
        bounds: Bounds::new(16 * 1024, 512),
    },
    Decoder {
        name: "ask_error",
        decode: |bytes| {
            let error = AskError::decode(bytes)?;
            // a text that was escaped and cut is cut again
            let again = AskError::decode(&error.clone().encode());
            assert_eq!(again.map(|error| error.reason()), Some(error.reason()));
            Some(round_trip(error.reason(), |reason| *reason, Some))
        },
        seeds: || {
            let errors = [AskError::Timeout, AskError::Rejected("ä\n".into())];
            errors.map(|error| error.encode().to_vec()).into()
        },
        bounds: Bounds::new(16 * 1024, 32),
    },
];

/// A frame follows with its length in one byte.
const RAW: u8 = 0;
/// A tick.
const TICK: u8 = 1;
/// Data follows with stream, number and length in one byte each.
const SHORT: u8 = 2;

fn length(frame: &[u8]) -> u8 {
    u8::try_from(frame.len()).expect("a short frame")
}

fn a_frame(number: u64) -> Vec<u8> {
    let header =
        FrameHeader { kind: FrameKind::Data, stream: 1, number, ack_stream: 101, ack_next: 0 };
    let mut frame = Vec::new();
    header.write(&mut frame);
    let message = |kind, payload: &'static [u8]| Message {
        kind,
        service: ServiceId(16),
        correlation: 7,
        payload: Bytes::from_static(payload),
    };
    write_record(&mut frame, &message(MessageKind::Tell, b"ab"), Part::Whole, b"ab");
    write_record(&mut frame, &message(MessageKind::Ask, b"cd"), Part::More, b"cd");
    write_record(&mut frame, &message(MessageKind::Ask, b"ef"), Part::Last, b"ef");
    frame
}

fn read(bytes: &Bytes) -> Result<(FrameHeader, Vec<Record>), Malformed> {
    let mut frame = bytes.clone();
    let header = FrameHeader::read(&mut frame)?;
    let mut records = Vec::new();
    while let Some(record) = read_record(&mut frame)? {
        records.push(record);
    }
    Ok((header, records))
}

fn frame(bytes: &[u8]) -> Option<Check> {
    let bytes = Bytes::copy_from_slice(bytes);
    let (header, records) = read(&bytes).ok()?;
    Some(Box::new(move || {
        let mut again = Vec::new();
        header.write(&mut again);
        for Record { part, message } in &records {
            write_record(&mut again, message, *part, &message.payload);
        }
        assert_eq!(again, bytes, "a frame has one form");
    }))
}

/// Settings whose limits a short input reaches.
fn settings() -> GateSettings {
    GateSettings {
        message_bytes_max: 64,
        reorder_frames_max: 4,
        received_peer_bytes_max: 1024,
        received_bytes_max: 2048,
        direct_bytes_max: 16,
        ..GateSettings::default()
    }
}

/// The course of a link: what arrives is delivered at most once, and is no more than was sent.
fn link(mut bytes: &[u8]) -> Option<Check> {
    let length = bytes.len();
    let (settings, mut now) = (settings(), SystemClock.now());
    let budget = Budget::new(settings.received_bytes_max);
    let tick_interval = settings.tick_interval;
    let mut core = LinkCore::new(settings, budget, 100);
    core.step(now, Input::Up);
    let (mut delivered, mut accepted) = (0, false);
    while let [operation, rest @ ..] = bytes {
        let (input, after) = match (operation % 3, rest) {
            (RAW, [length, rest @ ..]) => {
                let (frame, rest) = rest.split_at(rest.len().min(usize::from(*length)));
                (Input::Frame(Bytes::copy_from_slice(frame)), rest)
            }
            (SHORT, [stream, number, length, rest @ ..]) => {
                let (records, rest) = rest.split_at(rest.len().min(usize::from(*length)));
                let (stream, number) = (u64::from(*stream), u64::from(*number));
                let kind = FrameKind::Data;
                let header = FrameHeader { kind, stream, number, ack_stream: 0, ack_next: 0 };
                let mut frame = Vec::new();
                header.write(&mut frame);
                frame.extend_from_slice(records);
                (Input::Frame(frame.into()), rest)
            }
            (TICK, rest) => (Input::Tick, rest),
            (_, rest) => (Input::Delivered, rest),
        };
        bytes = after;
        now += tick_interval;
        for effect in core.step(now, input) {
            if let Effect::Deliver(message) | Effect::DeliverLater(message) = effect {
                delivered += message.payload.len();
                accepted = true;
            }
        }
        core.check();
    }
    assert!(delivered <= length, "{delivered} bytes of {length} were delivered");
    accepted.then(|| antiphon_base::fuzzing::nothing_more(core))
}
