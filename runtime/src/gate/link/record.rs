//! The bytes of a frame. All numbers are little-endian.
//!
//! ```text
//! frame                                     record (data frames only, until the end)
//!  0  u8   kind: 1 data, 2 ack, 3 reset      0  u8   kind: 1 tell, 2 ask, 3 answer, 4 failure;
//!  1  u64  stream                                    + 0x40 part of a message, more follow
//!  9  u64  number of the frame in it                 + 0x80 its last part
//! 17  u64  stream that is acknowledged       1  u16  service
//! 25  u64  frames of it below this number    3  u64  correlation of ask and answer
//!          have arrived                     11  u32  length
//! 33  ...  records                          15  ...  payload
//! ```
//!
//! `stream` is a stream of the sender; in a reset it is the stream of the receiver that the
//! receiver must give up.

use bytes::{Buf, Bytes};

use crate::gate::service::ServiceId;

/// Bytes of a frame before its records.
pub(super) const FRAME_HEADER_BYTES: usize = 33;
/// Bytes of a record before its payload.
pub(super) const RECORD_HEADER_BYTES: usize = 15;

const PART: u8 = 0x40;
const LAST_PART: u8 = 0x80;

/// The kind of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MessageKind {
    /// Needs no answer.
    Tell,
    /// Needs an answer with the same correlation.
    Ask,
    /// Answers an ask.
    Answer,
    /// Answers an ask with an encoded error.
    Failure,
}

/// A whole message.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Message {
    pub(crate) kind: MessageKind,
    pub(crate) service: ServiceId,
    pub(crate) correlation: u64,
    pub(crate) payload: Bytes,
}

/// The kind of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FrameKind {
    Data,
    Ack,
    Reset,
}

impl Message {
    /// True when `part` goes on with the message that begins with this part.
    pub(super) fn is_continued_by(&self, part: &Self) -> bool {
        (self.kind, self.service, self.correlation) == (part.kind, part.service, part.correlation)
    }
}

/// The first bytes of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameHeader {
    pub(super) kind: FrameKind,
    pub(super) stream: u64,
    pub(super) number: u64,
    pub(super) ack_stream: u64,
    pub(super) ack_next: u64,
}

/// The share of a message that a record has: the whole message, or a part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Whole,
    More,
    Last,
}

/// A record of a frame.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Record {
    pub(super) part: Part,
    pub(super) message: Message,
}

/// The error for bytes that are no frame: a bug or an attack, never a loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

impl FrameHeader {
    pub(super) fn write(&self, frame: &mut Vec<u8>) {
        frame.push(match self.kind {
            FrameKind::Data => 1,
            FrameKind::Ack => 2,
            FrameKind::Reset => 3,
        });
        for number in [self.stream, self.number, self.ack_stream, self.ack_next] {
            frame.extend_from_slice(&number.to_le_bytes());
        }
    }

    /// Reads the header off the front.
    pub(super) fn read(frame: &mut Bytes) -> Result<Self, Malformed> {
        if frame.len() < FRAME_HEADER_BYTES {
            return Err(Malformed);
        }
        let kind = match frame.get_u8() {
            1 => FrameKind::Data,
            2 => FrameKind::Ack,
            3 => FrameKind::Reset,
            _ => return Err(Malformed),
        };
        Ok(Self {
            kind,
            stream: frame.get_u64_le(),
            number: frame.get_u64_le(),
            ack_stream: frame.get_u64_le(),
            ack_next: frame.get_u64_le(),
        })
    }
}

/// Writes one record; `payload` is the message's, or a part of it.
pub(super) fn write_record(frame: &mut Vec<u8>, message: &Message, part: Part, payload: &[u8]) {
    let kind = match message.kind {
        MessageKind::Tell => 1,
        MessageKind::Ask => 2,
        MessageKind::Answer => 3,
        MessageKind::Failure => 4,
    };
    frame.push(match part {
        Part::Whole => kind,
        Part::More => kind | PART,
        Part::Last => kind | LAST_PART,
    });
    frame.extend_from_slice(&message.service.0.to_le_bytes());
    frame.extend_from_slice(&message.correlation.to_le_bytes());
    let length = u32::try_from(payload.len()).expect("a record fits into a frame");
    frame.extend_from_slice(&length.to_le_bytes());
    frame.extend_from_slice(payload);
}

/// Reads the next record off the front; `None` at the end.
pub(super) fn read_record(frame: &mut Bytes) -> Result<Option<Record>, Malformed> {
    if frame.is_empty() {
        return Ok(None);
    }
    if frame.len() < RECORD_HEADER_BYTES {
        return Err(Malformed);
    }
    let kind_and_part = frame.get_u8();
    let service = ServiceId(frame.get_u16_le());
    let correlation = frame.get_u64_le();
    let length = frame.get_u32_le() as usize;
    if frame.len() < length {
        return Err(Malformed);
    }
    let part = match kind_and_part & (PART | LAST_PART) {
        0 => Part::Whole,
        PART => Part::More,
        LAST_PART => Part::Last,
        _ => return Err(Malformed),
    };
    let kind = match kind_and_part & !(PART | LAST_PART) {
        1 => MessageKind::Tell,
        2 => MessageKind::Ask,
        3 => MessageKind::Answer,
        4 => MessageKind::Failure,
        _ => return Err(Malformed),
    };
    let payload = frame.split_to(length);
    Ok(Some(Record { part, message: Message { kind, service, correlation, payload } }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(payload: &'static [u8]) -> Message {
        Message {
            kind: MessageKind::Ask,
            service: ServiceId(0x0102),
            correlation: 7,
            payload: Bytes::from_static(payload),
        }
    }

    #[test]
    fn frame_has_these_bytes_and_is_read_back() {
        let header =
            FrameHeader { kind: FrameKind::Data, stream: 1, number: 2, ack_stream: 3, ack_next: 4 };
        let mut frame = Vec::new();
        header.write(&mut frame);
        write_record(&mut frame, &message(b"ab"), Part::Last, b"ab");

        let mut golden = vec![1];
        for number in [1u8, 2, 3, 4] {
            golden.extend_from_slice(&[number, 0, 0, 0, 0, 0, 0, 0]);
        }
        golden.extend_from_slice(&[0x82, 2, 1, 7, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, b'a', b'b']);
        assert_eq!(frame, golden);

        let mut bytes = Bytes::from(frame);
        assert_eq!(FrameHeader::read(&mut bytes), Ok(header));
        let record = Record { part: Part::Last, message: message(b"ab") };
        assert_eq!(read_record(&mut bytes), Ok(Some(record)));
        assert_eq!(read_record(&mut bytes), Ok(None));
    }

    #[test]
    fn truncated_or_unknown_bytes_are_malformed() {
        let mut frame = Vec::new();
        write_record(&mut frame, &message(b"ab"), Part::Whole, b"ab");
        for length in 1..frame.len() {
            let mut cut = Bytes::copy_from_slice(&frame[..length]);
            assert_eq!(read_record(&mut cut), Err(Malformed), "{length}");
        }
        for kind in [0, 5, 0xc1] {
            frame[0] = kind;
            assert_eq!(read_record(&mut Bytes::copy_from_slice(&frame)), Err(Malformed), "{kind}");
        }
        assert_eq!(FrameHeader::read(&mut Bytes::from_static(&[1; 32])), Err(Malformed));
        assert_eq!(FrameHeader::read(&mut Bytes::from_static(&[9; 33])), Err(Malformed));
    }
}
