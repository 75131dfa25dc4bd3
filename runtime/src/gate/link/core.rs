//! The rules of one link: batching, credit, order, and losses.
//!
//! Messages wait in a queue and leave in frames when the shell finds the time to flush: there is no
//! timer, and a batch is all that has gathered until then. A window bounds the frames under way.
//! The other node acknowledges them in the headers of its own frames or, when it has nothing to
//! send, by an extra frame now and then.
//!
//! ```text
//!            Up                    Reset from the other node, or a full window without progress
//!   Down --------> Up (stream n) -----------------------------------> Up (stream n + 1)
//!     ^             |  Down
//!     +-------------+
//! ```
//!
//! Nothing is sent twice. When frames are missing for good, the receiver refuses the stream and the
//! sender begins another: the messages under way are lost, and the asks among them fail. The
//! messages that still waited in the queue are sent in the new stream.
//!
//! Invariants:
//! - messages of one service arrive in the order in which they were sent, each at most once
//!   (`queue` has one exception to the order);
//! - the queue, the window and the arrived bytes never exceed their limits; urgent messages have a
//!   small window of their own beyond the window.
//!
//! A message over `direct_bytes_max`, and each message of its lane behind it, is handed over by
//! another task, in order. The frame that brought such a message is acknowledged when the receiver
//! has the message, so that the other node's window bounds the messages that wait here.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use super::budget::{Budget, Held};
use super::incoming::{Arrival, Incoming, OVERHEAD_BYTES, RECEIVED_BYTES_MAX};
use super::queue::Queue;
use super::record::{FRAME_HEADER_BYTES, FrameHeader, FrameKind, Message, MessageKind};
use crate::gate::settings::GateSettings;
use crate::transport::{FRAME_BYTES_MAX, SendError};

/// An acknowledgement gets a frame of its own after this number of bytes or frames.
const ACK_BYTES: usize = 128 * 1024;
const ACK_FRAMES: usize = 32;
/// Limit of the frames of urgent messages under way beyond the window.
const URGENT_FRAMES_MAX: usize = 64;

/// The reason of a link that begins anew because the other node acknowledges nothing.
pub(crate) const STALLED: &str = "stalled";

/// A fact for the link.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Input {
    /// The transport is connected.
    Up,
    /// The transport is not connected any more.
    Down,
    /// There is time to send the waiting messages.
    Flush,
    /// A frame has arrived.
    Frame(Bytes),
    /// The receiver has the first of the messages that were to be handed over later.
    Delivered,
    /// Time has passed.
    Tick,
}

/// A request to the shell.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Effect {
    /// Give this frame to the transport.
    Send(Bytes),
    /// Hand this message to its receiver.
    Deliver(Message),
    /// Hand this message to its receiver after the messages before it, on another task; answered by
    /// `Delivered`.
    DeliverLater(Message),
    /// Flush soon.
    Wake,
    /// Fail these asks as without effect: they were never sent whole, and will not be.
    AsksUnsent(Vec<u64>),
    /// Requests, or answers, were lost: fail all asks that wait for an answer, except those that
    /// have not been sent.
    AsksLost { unsent: Vec<u64> },
    /// Messages or frames were dropped, `count` of them.
    Dropped { reason: &'static str, count: usize },
    /// The link begins anew.
    Restarted { reason: &'static str },
}

/// A message that is handed over later.
#[derive(Debug)]
struct Deferred {
    stream: u64,
    /// The number of the frame that brought its end.
    number: u64,
    cost: usize,
}

#[derive(Debug)]
pub(crate) struct LinkCore {
    settings: GateSettings,
    up: bool,
    stream: u64,
    next_number: u64,
    /// Number and size of each frame under way.
    under_way: VecDeque<(u64, usize)>,
    under_way_bytes: usize,
    progress_at: Option<Instant>,
    queue: Queue,
    woken: bool,
    incoming: Incoming,
    /// Messages that are handed over later, in the order in which they arrived.
    deferred: VecDeque<Deferred>,
    deferred_held: Held,
    /// The share of the bytes that wait for the other node or are under way to it, while it is no
    /// member.
    outgoing_held: Option<Held>,
    /// The other node has begun no stream since the link is up: its next stream is no sign of a
    /// loss.
    expects_stream: bool,
}

impl LinkCore {
    /// A link that is down, to a node that is no member: `budget` is that of all such nodes. The
    /// streams are numbered above `first_stream`, which must be higher than any stream of an
    /// earlier link to that node.
    pub(crate) fn new(settings: GateSettings, budget: Arc<Budget>, first_stream: u64) -> Self {
        Self {
            incoming: Incoming::new(budget.clone(), &settings),
            deferred: VecDeque::new(),
            deferred_held: Held::new(budget.clone(), settings.received_peer_bytes_max),
            outgoing_held: Some(Held::new(budget, usize::MAX)),
            settings,
            up: false,
            stream: first_stream,
            next_number: 0,
            under_way: VecDeque::new(),
            under_way_bytes: 0,
            progress_at: None,
            queue: Queue::default(),
            woken: false,
            expects_stream: true,
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.up
    }

    /// Notes that the other node is a member: `budget` is that of all members.
    pub(crate) fn join(&mut self, budget: &Arc<Budget>) {
        if self.outgoing_held.take().is_some() {
            self.incoming.move_to(budget.clone());
            self.deferred_held.move_to(budget.clone());
        }
    }

    /// Queues a message. Returns whether the shell must flush soon.
    ///
    /// # Errors
    /// `Unreachable` when the link is down, `Full`, `TooLarge`.
    pub(crate) fn offer(&mut self, message: Message) -> Result<bool, SendError> {
        if !self.up {
            return Err(SendError::Unreachable("there is no connection".into()));
        }
        let cost = message.payload.len() + OVERHEAD_BYTES;
        if let Some(held) = &mut self.outgoing_held
            && !held.grow(cost)
        {
            let limit = self.settings.strangers_bytes_max;
            return Err(SendError::Full(format!("`strangers_bytes_max` {limit}")));
        }
        let pushed = self.queue.push(message, &self.settings);
        if pushed.is_err() {
            self.hold_outgoing();
        }
        pushed?;
        Ok(!std::mem::replace(&mut self.woken, true))
    }

    /// True when no message waits for the other node, or for its acknowledgement.
    pub(crate) fn is_settled(&self) -> bool {
        self.queue.is_empty() && self.under_way.is_empty()
    }

    /// Advances the link by one input.
    #[expect(unreachable_pub, reason = "`pub fn step(` is how the tidy test finds the cores")]
    pub fn step(&mut self, now: Instant, input: Input) -> Vec<Effect> {
        let mut effects = Vec::new();
        match input {
            Input::Up => self.on_up(now),
            Input::Down => self.on_down(&mut effects),
            Input::Flush => self.on_flush(now, &mut effects),
            Input::Frame(frame) => self.on_frame(now, frame, &mut effects),
            Input::Delivered => self.on_delivered(&mut effects),
            Input::Tick => self.on_tick(now, &mut effects),
        }
        self.hold_outgoing();
        if cfg!(debug_assertions) {
            self.check();
        }
        effects
    }

    /// Gives back the share of the messages that were sent and acknowledged, or are lost.
    fn hold_outgoing(&mut self) {
        if let Some(held) = &mut self.outgoing_held {
            held.reduce_to(self.queue.cost(OVERHEAD_BYTES) + self.under_way_bytes);
        }
    }

    fn on_up(&mut self, now: Instant) {
        if !self.up {
            self.up = true;
            self.expects_stream = true;
            self.begin_stream(now);
        }
    }

    fn on_down(&mut self, effects: &mut Vec<Effect>) {
        if !self.up {
            return;
        }
        self.up = false;
        self.under_way.clear();
        self.under_way_bytes = 0;
        // a message that has not arrived whole never will: the other node begins another stream
        self.incoming.refuse();
        // the other node hands over only messages that have arrived whole
        let unsent = self.queue.asks();
        if !unsent.is_empty() {
            effects.push(Effect::AsksUnsent(unsent));
        }
        let count = self.queue.clear();
        if count > 0 {
            effects.push(Effect::Dropped { reason: "link_down", count });
        }
        effects.push(Effect::AsksLost { unsent: Vec::new() });
    }

    fn begin_stream(&mut self, now: Instant) {
        self.stream += 1;
        self.next_number = 0;
        self.under_way.clear();
        self.under_way_bytes = 0;
        self.progress_at = Some(now);
        self.queue.rewind();
        self.woken = false;
    }

    fn restart(&mut self, now: Instant, reason: &'static str, effects: &mut Vec<Effect>) {
        self.begin_stream(now);
        effects.push(Effect::Restarted { reason });
        effects.push(Effect::AsksLost { unsent: self.queue.asks() });
        self.wake(effects);
    }

    fn wake(&mut self, effects: &mut Vec<Effect>) {
        if !self.queue.is_empty() && !std::mem::replace(&mut self.woken, true) {
            effects.push(Effect::Wake);
        }
    }

    fn has_credit(&self) -> bool {
        self.under_way_bytes < self.settings.window_bytes_max
            && self.under_way.len() < self.settings.window_frames_max
    }

    fn may_send(&self) -> bool {
        let room_for_urgent =
            self.under_way.len() < self.settings.window_frames_max + URGENT_FRAMES_MAX;
        (!self.queue.is_empty() && self.has_credit())
            || (self.queue.has_urgent() && room_for_urgent)
    }

    fn on_flush(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        self.woken = false;
        while self.up && self.may_send() {
            let urgent_only = !self.has_credit();
            let mut frame = self.header(FrameKind::Data, self.stream, self.next_number);
            self.queue.fill(&mut frame, urgent_only);
            if self.under_way.is_empty() {
                self.progress_at = Some(now);
            }
            self.under_way.push_back((self.next_number, frame.len()));
            self.under_way_bytes += frame.len();
            self.next_number += 1;
            effects.push(Effect::Send(frame.into()));
        }
    }

    /// Starts a frame, with the acknowledgement of all that has arrived.
    fn header(&mut self, kind: FrameKind, stream: u64, number: u64) -> Vec<u8> {
        self.incoming.unreported_frames = 0;
        self.incoming.unreported_bytes = 0;
        let (ack_stream, ack_next) = (self.incoming.stream, self.acknowledgeable());
        let room = if kind == FrameKind::Data { 1024 } else { FRAME_HEADER_BYTES };
        let mut frame = Vec::with_capacity(room);
        FrameHeader { kind, stream, number, ack_stream, ack_next }.write(&mut frame);
        frame
    }

    /// The number below which all frames are acknowledged: they have arrived, and their messages
    /// are with their receivers.
    fn acknowledgeable(&self) -> u64 {
        let mut deferred = self.deferred.iter();
        let first = deferred.find(|deferred| deferred.stream == self.incoming.stream);
        first.map_or(self.incoming.next, |first| first.number)
    }

    fn on_delivered(&mut self, effects: &mut Vec<Effect>) {
        let before = self.acknowledgeable();
        let Some(delivered) = self.deferred.pop_front() else { return };
        self.deferred_held.shrink(delivered.cost);
        if self.up && self.acknowledgeable() > before {
            let ack = self.header(FrameKind::Ack, self.stream, 0);
            effects.push(Effect::Send(ack.into()));
        }
    }

    /// Hands a message over, now or later. Returns false when no more messages may wait.
    fn hand_over(&mut self, number: u64, mut message: Message, effects: &mut Vec<Effect>) -> bool {
        let size = message.payload.len();
        let is_answer = matches!(message.kind, MessageKind::Answer | MessageKind::Failure);
        let is_direct = self.deferred.is_empty() && size <= self.settings.direct_bytes_max;
        if is_answer || message.service.is_urgent() || is_direct {
            effects.push(Effect::Deliver(message));
            return true;
        }
        let cost = size + OVERHEAD_BYTES;
        if !self.deferred_held.grow(cost) {
            return false;
        }
        if size <= FRAME_BYTES_MAX {
            // a small message must not keep its whole frame in memory
            message.payload = Bytes::copy_from_slice(&message.payload);
        }
        self.deferred.push_back(Deferred { stream: self.incoming.stream, number, cost });
        effects.push(Effect::DeliverLater(message));
        true
    }

    fn on_frame(&mut self, now: Instant, mut frame: Bytes, effects: &mut Vec<Effect>) {
        if !self.up {
            effects.push(Effect::Dropped { reason: "link_down", count: 1 });
            return;
        }
        let Ok(header) = FrameHeader::read(&mut frame) else {
            effects.push(Effect::Dropped { reason: "malformed_frame", count: 1 });
            return;
        };
        if header.ack_stream == self.stream && header.ack_next > self.next_number {
            // it acknowledges frames that were never sent
            effects.push(Effect::Dropped { reason: "malformed_frame", count: 1 });
            return;
        }
        if header.ack_stream == self.stream {
            self.acknowledged(now, header.ack_next, effects);
        }
        match header.kind {
            FrameKind::Ack => {}
            FrameKind::Reset if header.stream == self.stream => {
                self.restart(now, "refused_by_peer", effects);
            }
            FrameKind::Reset => {
                effects.push(Effect::Dropped { reason: "stale_frame", count: 1 });
            }
            FrameKind::Data => self.on_data(now, header, frame, effects),
        }
    }

    fn acknowledged(&mut self, now: Instant, next: u64, effects: &mut Vec<Effect>) {
        let had_credit = self.has_credit();
        while let Some(&(number, bytes)) = self.under_way.front() {
            if number >= next {
                break;
            }
            self.under_way.pop_front();
            self.under_way_bytes -= bytes;
            self.progress_at = Some(now);
        }
        if !had_credit && self.has_credit() {
            self.wake(effects);
        }
    }

    fn on_data(
        &mut self,
        now: Instant,
        header: FrameHeader,
        records: Bytes,
        effects: &mut Vec<Effect>,
    ) {
        if header.stream < self.incoming.stream {
            effects.push(Effect::Dropped { reason: "stale_frame", count: 1 });
            return;
        }
        if header.stream > self.incoming.stream {
            self.incoming.begin(header.stream);
            if !std::mem::replace(&mut self.expects_stream, false) {
                effects.push(Effect::AsksLost { unsent: self.queue.asks() });
            }
        }
        if self.incoming.refused {
            effects.push(Effect::Dropped { reason: "refused_stream", count: 1 });
            let reset = self.header(FrameKind::Reset, self.incoming.stream, 0);
            effects.push(Effect::Send(reset.into()));
            // the frame may have had answers to asks that were sent after the refusal
            effects.push(Effect::AsksLost { unsent: self.queue.asks() });
            return;
        }
        let mut messages = Vec::new();
        let arrival =
            self.incoming.frame(now, header.number, records, &self.settings, &mut messages);
        for (number, message) in messages {
            if !self.hand_over(number, message, effects) {
                return self.refuse(RECEIVED_BYTES_MAX, effects);
            }
        }
        match arrival {
            Arrival::Taken => self.report(effects),
            Arrival::Dropped(reason) => effects.push(Effect::Dropped { reason, count: 1 }),
            Arrival::Broken(reason) => self.refuse(reason, effects),
        }
    }

    fn report(&mut self, effects: &mut Vec<Effect>) {
        let incoming = &self.incoming;
        if incoming.unreported_bytes >= ACK_BYTES || incoming.unreported_frames >= ACK_FRAMES {
            let ack = self.header(FrameKind::Ack, self.stream, 0);
            effects.push(Effect::Send(ack.into()));
        }
    }

    fn refuse(&mut self, reason: &'static str, effects: &mut Vec<Effect>) {
        self.incoming.refuse();
        let is_stranger = self.outgoing_held.is_some();
        let reason = match reason {
            RECEIVED_BYTES_MAX if is_stranger => "strangers_bytes_max",
            reason => reason,
        };
        let reset = self.header(FrameKind::Reset, self.incoming.stream, 0);
        effects.push(Effect::Send(reset.into()));
        effects.push(Effect::Restarted { reason });
        effects.push(Effect::AsksLost { unsent: self.queue.asks() });
    }

    fn on_tick(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if !self.up {
            return;
        }
        if let Some(reason) = self.incoming.overdue(now, &self.settings) {
            self.refuse(reason, effects);
        }
        let is_blocked = !self.queue.is_empty() && !self.has_credit();
        let is_late = |at: Instant| now.duration_since(at) >= self.settings.stall_timeout;
        if is_blocked && self.progress_at.is_some_and(is_late) {
            self.restart(now, STALLED, effects);
        }
    }

    /// Asserts the invariants.
    pub(crate) fn check(&self) {
        self.queue.check();
        self.incoming.check(&self.settings);
        let frames_max = self.settings.window_frames_max + URGENT_FRAMES_MAX;
        assert!(self.under_way.len() <= frames_max, "window in frames");
        assert!(self.up || self.queue.is_empty(), "a link that is down keeps messages");
    }
}

#[cfg(test)]
mod tests;
