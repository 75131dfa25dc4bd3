//! The bytes that leave a node for one member, frame by frame.
//!
//! ractor_cluster writes whole frames: eight bytes of length (big-endian), then a protobuf message
//! that is for an actor (a call, a cast, an answer), or keeps actors and groups in step. It knows
//! no limit here: the other side would end the session at a frame over its limit, and whatever a
//! slow connection does not take would fill the memory. So each frame passes these rules:
//!
//! - a message for an actor that is too long, or finds the queue full, is dropped and counted;
//! - what keeps groups in step must not be lost: without room, the session ends and begins anew;
//! - the names of actors do not leave: a remote actor with a name, when it ends, would take the
//!   name from the local actor that has it.

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};
use prost::Message;

/// The bytes in front of each frame.
const HEAD_BYTES: usize = 8;
/// The key of the field of a frame that is a message for an actor.
const NODE_MESSAGE: u8 = 0x12;
/// The key of the field that keeps actors and groups in step.
const CONTROL_MESSAGE: u8 = 0x1a;
/// Bytes from which on a frame is queued by itself, without a copy into the bytes before it.
const ALONE_BYTES_MIN: usize = 32 * 1024;

/// Limits, from the settings.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) frame_bytes_max: usize,
    pub(super) queue_bytes_max: usize,
}

/// The reason why a message for an actor was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dropped {
    /// A frame over `frame_bytes_max`, with its size.
    TooLarge(usize),
    /// `queue_bytes_max` wait already.
    Full,
}

/// The reason why a session cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overflow {
    /// A frame that keeps groups in step is over `frame_bytes_max`; this is its size.
    Frame(usize),
    /// Frames that keep groups in step find no room.
    Queue,
}

/// The queue of bytes to one member.
#[derive(Debug)]
pub(super) struct Outbound {
    limits: Limits,
    /// A frame whose end has not been written yet.
    begun: BytesMut,
    queue: VecDeque<Bytes>,
    open: BytesMut,
    bytes: usize,
}

impl Outbound {
    pub(super) fn new(limits: Limits) -> Self {
        let (begun, open) = (BytesMut::new(), BytesMut::new());
        Self { limits, begun, queue: VecDeque::new(), open, bytes: 0 }
    }

    /// The bytes that wait.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes bytes that ractor_cluster writes. `dropped` is told each message that is dropped.
    ///
    /// # Errors
    /// The reason why the session has to end.
    pub(super) fn push(
        &mut self,
        mut written: &[u8],
        mut dropped: impl FnMut(Dropped),
    ) -> Result<(), Overflow> {
        if !self.begun.is_empty() {
            self.begun.extend_from_slice(written);
            let begun = std::mem::take(&mut self.begun);
            let rest = self.frames(&begun, &mut dropped)?;
            self.begun = BytesMut::from(rest);
            return Ok(());
        }
        written = self.frames(written, &mut dropped)?;
        self.begun.extend_from_slice(written);
        Ok(())
    }

    /// Takes all whole frames, and returns the rest.
    fn frames<'a>(
        &mut self,
        mut written: &'a [u8],
        dropped: &mut impl FnMut(Dropped),
    ) -> Result<&'a [u8], Overflow> {
        while let Some((head, rest)) = written.split_first_chunk::<HEAD_BYTES>() {
            let length = usize::try_from(u64::from_be_bytes(*head)).unwrap_or(usize::MAX);
            let Some((frame, rest)) = rest.split_at_checked(length) else { break };
            self.frame(frame, dropped)?;
            written = rest;
        }
        Ok(written)
    }

    fn frame(&mut self, frame: &[u8], dropped: &mut impl FnMut(Dropped)) -> Result<(), Overflow> {
        let key = frame.first().copied().unwrap_or_default();
        let without_names = (key == CONTROL_MESSAGE).then(|| without_names(frame)).flatten();
        let frame = without_names.as_deref().unwrap_or(frame);
        let Limits { frame_bytes_max, queue_bytes_max } = self.limits;
        let after = self.bytes + HEAD_BYTES + frame.len();
        match (key, frame.len() > frame_bytes_max) {
            (NODE_MESSAGE, true) => dropped(Dropped::TooLarge(frame.len())),
            (NODE_MESSAGE, false) if after > queue_bytes_max => dropped(Dropped::Full),
            (_, true) => return Err(Overflow::Frame(frame.len())),
            (_, false) if after > queue_bytes_max.saturating_mul(2) => return Err(Overflow::Queue),
            (_, false) => self.queue(frame),
        }
        Ok(())
    }

    fn queue(&mut self, frame: &[u8]) {
        let head = (frame.len() as u64).to_be_bytes();
        self.open.extend_from_slice(&head);
        self.open.extend_from_slice(frame);
        self.bytes += HEAD_BYTES + frame.len();
        if self.open.len() >= ALONE_BYTES_MIN {
            self.close_open();
        }
    }

    fn close_open(&mut self) {
        if !self.open.is_empty() {
            self.queue.push_back(self.open.split().freeze());
        }
    }

    /// The next bytes to write; empty when nothing waits.
    pub(super) fn front(&mut self) -> &[u8] {
        if self.queue.is_empty() {
            self.close_open();
        }
        self.queue.front().map_or(&[], |bytes| &bytes[..])
    }

    /// Notes that this number of the next bytes was written.
    pub(super) fn written(&mut self, count: usize) {
        self.bytes -= count;
        let Some(front) = self.queue.front_mut() else { return };
        front.advance(count);
        if front.is_empty() {
            self.queue.pop_front();
        }
    }
}

/// An actor, as ractor_cluster announces it; its name is left out.
#[derive(Clone, PartialEq, Message)]
struct Announced {
    #[prost(uint64, tag = "1")]
    pid: u64,
}

#[derive(Clone, PartialEq, Message)]
struct Spawned {
    #[prost(message, repeated, tag = "1")]
    actors: Vec<Announced>,
}

#[derive(Clone, PartialEq, Message)]
struct GroupChange {
    #[prost(string, tag = "1")]
    group: String,
    #[prost(message, repeated, tag = "2")]
    actors: Vec<Announced>,
    #[prost(string, tag = "3")]
    scope: String,
}

/// The part of a control message that has names.
#[derive(Clone, PartialEq, Message)]
struct Control {
    #[prost(message, optional, tag = "1")]
    spawned: Option<Spawned>,
    #[prost(message, optional, tag = "5")]
    joined: Option<GroupChange>,
    #[prost(message, optional, tag = "6")]
    left: Option<GroupChange>,
}

#[derive(Clone, PartialEq, Message)]
struct Frame {
    #[prost(message, optional, tag = "3")]
    control: Option<Control>,
}

/// The frame without the names of its actors; `None` when it announces no actors.
fn without_names(frame: &[u8]) -> Option<Vec<u8>> {
    let read = Frame::decode(frame).ok()?;
    let Control { spawned, joined, left } = read.control.as_ref()?;
    let has_actors = spawned.is_some() || joined.is_some() || left.is_some();
    has_actors.then(|| read.encode_to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { frame_bytes_max: 100, queue_bytes_max: 300 };

    /// A frame with its length, of that many bytes of a message for an actor.
    fn message(bytes: usize) -> Vec<u8> {
        framed(&[[NODE_MESSAGE].as_slice(), &vec![7; bytes - 1]].concat())
    }

    fn framed(frame: &[u8]) -> Vec<u8> {
        [&(frame.len() as u64).to_be_bytes(), frame].concat()
    }

    fn push(outbound: &mut Outbound, bytes: &[u8]) -> (Result<(), Overflow>, Vec<Dropped>) {
        let mut dropped = Vec::new();
        let pushed = outbound.push(bytes, |why| dropped.push(why));
        (pushed, dropped)
    }

    fn taken(outbound: &mut Outbound) -> Vec<u8> {
        let mut taken = Vec::new();
        while !outbound.front().is_empty() {
            let front = outbound.front().to_vec();
            let count = front.len().min(7);
            taken.extend_from_slice(&front[..count]);
            outbound.written(count);
        }
        assert_eq!(outbound.bytes(), 0);
        taken
    }

    #[test]
    fn frames_leave_as_they_were_written_in_whatever_pieces() {
        let frames = [message(10), message(100), message(1)].concat();
        for piece in [1, 3, 50, frames.len()] {
            let mut outbound = Outbound::new(LIMITS);
            for bytes in frames.chunks(piece) {
                assert_eq!(push(&mut outbound, bytes), (Ok(()), vec![]));
            }
            assert_eq!(outbound.bytes(), frames.len());
            assert_eq!(taken(&mut outbound), frames, "pieces of {piece}");
        }
    }

    #[test]
    fn a_message_over_the_limit_is_dropped_and_those_around_it_are_not() {
        let mut outbound = Outbound::new(LIMITS);
        let written = [message(10), message(101), message(20)].concat();
        assert_eq!(push(&mut outbound, &written), (Ok(()), vec![Dropped::TooLarge(101)]));
        assert_eq!(taken(&mut outbound), [message(10), message(20)].concat());
    }

    #[test]
    fn messages_find_no_room_before_what_keeps_groups_in_step_does() {
        let mut outbound = Outbound::new(LIMITS);
        let written = [message(100), message(100), message(92)].concat();
        let full = vec![Dropped::Full];
        assert_eq!(push(&mut outbound, &written), (Ok(()), full));
        let control = framed(&[[CONTROL_MESSAGE].as_slice(), &[0; 99]].concat());
        for _ in 0..3 {
            assert_eq!(push(&mut outbound, &control), (Ok(()), vec![]));
        }
        assert_eq!(push(&mut outbound, &control), (Err(Overflow::Queue), vec![]));
        let long = framed(&[[CONTROL_MESSAGE].as_slice(), &[0; 100]].concat());
        let mut outbound = Outbound::new(LIMITS);
        assert_eq!(push(&mut outbound, &long), (Err(Overflow::Frame(101)), vec![]));
    }

    #[derive(Clone, PartialEq, Message)]
    struct Named {
        #[prost(uint64, tag = "1")]
        pid: u64,
        #[prost(string, optional, tag = "2")]
        name: Option<String>,
    }

    #[derive(Clone, PartialEq, Message)]
    struct NamedSpawn {
        #[prost(message, repeated, tag = "1")]
        actors: Vec<Named>,
    }

    #[derive(Clone, PartialEq, Message)]
    struct NamedControl {
        #[prost(message, optional, tag = "1")]
        spawned: Option<NamedSpawn>,
    }

    #[derive(Clone, PartialEq, Message)]
    struct NamedFrame {
        #[prost(message, optional, tag = "3")]
        control: Option<NamedControl>,
    }

    #[test]
    fn names_of_actors_do_not_leave() {
        let with = |name: Option<&str>| {
            let actors = vec![Named { pid: 7, name: name.map(str::to_owned) }];
            let control = Some(NamedControl { spawned: Some(NamedSpawn { actors }) });
            framed(&NamedFrame { control }.encode_to_vec())
        };
        let mut outbound = Outbound::new(LIMITS);
        assert_eq!(push(&mut outbound, &with(Some("the-name"))), (Ok(()), vec![]));
        assert_eq!(taken(&mut outbound), with(None));
    }
}
