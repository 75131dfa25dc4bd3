//! Hands arrived messages to services and asks. All code that handles messages of the network runs
//! guarded: a panic is a bug that is counted, and costs neither the link nor its task.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use antiphon_base::task;
use bytes::Bytes;

use super::asks::Asks;
use super::inner::Inner;
use super::link::{Input, Message, MessageKind};
use super::peer::Peer;
use super::service::AnswerSink;
use super::{AskError, Responder, ServiceId};
use crate::NodeId;
use crate::transport::{SendError, TransportHandler};

impl Inner {
    /// Runs `call`; a panic ends here.
    pub(super) fn guarded(&self, from: &NodeId, what: &str, call: impl FnOnce()) {
        if catch_unwind(AssertUnwindSafe(call)).is_err() {
            tracing::error!(%from, what, "a panic while a message was handled; this is a bug");
            self.metrics.panics.inc();
        }
    }

    pub(super) fn deliver(&self, from: &NodeId, asks: &Arc<Asks>, message: Message) {
        self.metrics.received.inc();
        self.guarded(from, "message", || self.hand_over(from, asks, message));
    }

    fn hand_over(&self, from: &NodeId, asks: &Arc<Asks>, message: Message) {
        let Message { kind, service, correlation, payload } = message;
        let responder = match kind {
            MessageKind::Tell => None,
            MessageKind::Ask => {
                let Some(sink) = self.this.upgrade() else { return };
                self.serving.fetch_add(1, Ordering::AcqRel);
                Some(Responder::new(sink, from.clone(), service, correlation))
            }
            MessageKind::Answer => return self.answered(asks, correlation, Ok(payload)),
            MessageKind::Failure => {
                let error = AskError::decode(&payload).unwrap_or_else(|| {
                    self.metrics.drop_counted("malformed_error", 1);
                    // the request was received, and nothing more is known
                    AskError::Unanswered("an error that cannot be read".to_owned())
                });
                return self.answered(asks, correlation, Err(error));
            }
        };
        let receiver = self.services.read().get(&service).cloned();
        match receiver {
            Some(receiver) => receiver.receive(from, payload, responder),
            None => {
                self.metrics.drop_counted("no_service", 1);
                if let Some(responder) = responder {
                    responder.fail(AskError::NotHere(format!("service {}", service.0)));
                }
            }
        }
    }

    fn answered(&self, asks: &Asks, correlation: u64, answer: Result<Bytes, AskError>) {
        if !asks.finish(correlation, answer) {
            self.metrics.drop_counted("late_answer", 1);
        }
    }

    /// Hands a message over on a task of its own, after the messages that were kept before it.
    pub(super) fn deliver_later(&self, peer: &Arc<Peer>, message: Message) {
        if !peer.keep(message) {
            return;
        }
        let (gate, peer) = (self.this.clone(), peer.clone());
        task::spawn("gate deliver", async move {
            while let Some(message) = peer.next_kept() {
                let Some(gate) = gate.upgrade() else { return };
                if message.payload.len() > gate.settings.direct_bytes_max {
                    task::long_computation(|| gate.deliver(&peer.id, &peer.asks, message));
                } else {
                    gate.deliver(&peer.id, &peer.asks, message);
                }
                gate.guarded(&peer.id, "delivery", || {
                    let effects = peer.step(gate.clock.now(), Input::Delivered);
                    gate.run(&peer, effects);
                });
                drop(gate);
                tokio::task::yield_now().await;
            }
        });
    }
}

/// Counts a request as answered once its answer is in the queue.
struct Served<'a>(&'a AtomicUsize);

impl Drop for Served<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl AnswerSink for Inner {
    fn answer(
        &self,
        to: &NodeId,
        service: ServiceId,
        correlation: u64,
        outcome: Result<Bytes, AskError>,
    ) {
        let _served = Served(&self.serving);
        let (kind, payload) = match outcome {
            Ok(payload) => (MessageKind::Answer, payload),
            Err(error) => (MessageKind::Failure, error.encode()),
        };
        let Err(error) = self.send(to, kind, service, correlation, payload) else { return };
        self.metrics.drop_counted("answer", 1);
        if let SendError::TooLarge { .. } = error {
            // the request was handled: an answer that is too large does not undo it
            let error = AskError::Unanswered(AskError::from(error).to_string()).encode();
            let _ = self.send(to, MessageKind::Failure, service, correlation, error);
        }
    }
}

/// The transport holds this handler, not the gate itself, or neither would ever be dropped.
pub(super) struct Handler(pub(super) Weak<Inner>);

impl TransportHandler for Handler {
    fn up(&self, peer: &NodeId) {
        let Some(gate) = self.0.upgrade() else { return };
        if gate.closed.load(Ordering::Acquire) {
            return;
        }
        gate.guarded(peer, "connection", || {
            let link = gate.peer_or_new(peer);
            if link.is_up() {
                return;
            }
            link.connection.store(gate.next_number(), Ordering::Release);
            let effects = link.step(gate.clock.now(), Input::Up);
            gate.run(&link, effects);
            gate.link_changed(1);
        });
    }

    fn down(&self, peer: &NodeId) {
        let Some(gate) = self.0.upgrade() else { return };
        let Some(link) = gate.peer(peer) else { return };
        gate.guarded(peer, "end of a connection", || {
            let was_up = link.is_up();
            let effects = link.step(gate.clock.now(), Input::Down);
            gate.run(&link, effects);
            gate.forget(&link);
            if was_up {
                gate.link_changed(-1);
            }
        });
    }

    fn frame(&self, peer: &NodeId, frame: Bytes) {
        let Some(gate) = self.0.upgrade() else { return };
        let Some(link) = gate.peer(peer) else { return };
        gate.metrics.frames_received.inc();
        gate.metrics.bytes_received.inc_by(frame.len() as u64);
        gate.guarded(peer, "frame", || {
            let effects = link.step(gate.clock.now(), Input::Frame(frame));
            gate.run(&link, effects);
        });
    }
}
