//! Sends messages: to the queue of a link, or to the node itself.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::ask_error::AskError;
use super::asks::{AnswerCall, Ticket};
use super::link::{Link, Message, MessageKind};
use super::links::Links;
use super::loopback::Loopback;
use super::metrics::GateMetrics;
use super::service::{AnswerSink, ServiceId};
use super::settings::GateSettings;
use crate::NodeId;
use crate::transport::SendError;

/// The links of a node and its queue to itself, as its senders see them.
pub(super) struct Sender {
    pub(super) local: NodeId,
    pub(super) metrics: GateMetrics,
    pub(super) links: Links,
    pub(super) loopback: Loopback,
    /// Requests of other nodes that have no answer yet.
    serving: AtomicUsize,
    closed: AtomicBool,
}

impl Sender {
    /// A sender without links, and the messages of the node to itself.
    pub(super) fn new(
        local: NodeId,
        settings: &GateSettings,
        metrics: GateMetrics,
    ) -> (Self, mpsc::Receiver<Message>) {
        let (loopback, local_messages) = Loopback::new(settings);
        let sender = Self {
            local,
            metrics,
            links: Links::new(settings),
            loopback,
            serving: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
        };
        (sender, local_messages)
    }

    /// Notes that the gate is closed. Returns true when it was before.
    pub(super) fn close(&self) -> bool {
        self.closed.swap(true, Ordering::AcqRel)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Fails the asks of the node to itself.
    pub(super) fn end_local_asks(&self) {
        self.loopback.asks.fail_except(&[], &gate_closed());
    }

    /// Notes that a request of another node has arrived, which `answer` ends.
    pub(super) fn begin_serving(&self) {
        self.serving.fetch_add(1, Ordering::AcqRel);
    }

    /// True while a request of another node has no answer yet.
    pub(super) fn is_serving(&self) -> bool {
        self.serving.load(Ordering::Acquire) > 0
    }

    pub(super) fn send(
        &self,
        to: &NodeId,
        kind: MessageKind,
        service: ServiceId,
        correlation: u64,
        payload: Bytes,
    ) -> Result<(), SendError> {
        let message = Message { kind, service, correlation, payload };
        let sent = if *to == self.local {
            self.loopback.send(message)
        } else {
            let unknown = || SendError::Unreachable(format!("`{to}` is not connected"));
            self.links.get(to).ok_or_else(unknown).and_then(|link| Self::offer(&link, message))
        };
        if sent.is_ok() && kind == MessageKind::Tell {
            self.metrics.tells.inc();
        }
        self.noted(sent)
    }

    /// Counts the reason of a refusal.
    fn noted(&self, sent: Result<(), SendError>) -> Result<(), SendError> {
        if let Err(error) = &sent {
            self.metrics.refused.with_label_values(&[error.reason()]).inc();
        }
        sent
    }

    fn offer(link: &Link, message: Message) -> Result<(), SendError> {
        let wake = link.core().offer(message)?;
        if wake {
            link.wake.notify_one();
        }
        Ok(())
    }

    pub(super) fn ask(
        &self,
        to: &NodeId,
        service: ServiceId,
        message: Bytes,
    ) -> Result<Ticket, AskError> {
        self.metrics.asks.inc();
        let message_of = |ticket: &Ticket| Message {
            kind: MessageKind::Ask,
            service,
            correlation: ticket.correlation,
            payload: message,
        };
        if *to == self.local {
            let ticket = self.loopback.asks.register(service)?;
            self.noted(self.loopback.send(message_of(&ticket)))?;
            return Ok(ticket);
        }
        let link = self.links.get(to).ok_or_else(|| not_connected(to))?;
        let ticket = link.asks.register(service)?;
        self.noted(Self::offer(&link, message_of(&ticket)))?;
        Ok(ticket)
    }

    /// Sends a request whose answer goes to `then`. On an error, `then` comes back.
    pub(super) fn ask_then(
        &self,
        to: &NodeId,
        service: ServiceId,
        message: Bytes,
        (then, deadline): (AnswerCall, Instant),
    ) -> Result<(), (AskError, AnswerCall)> {
        self.metrics.asks.inc();
        let link = if *to == self.local {
            None
        } else {
            match self.links.get(to) {
                Some(link) => Some(link),
                None => return Err((not_connected(to), then)),
            }
        };
        let asks = link.as_ref().map_or(&self.loopback.asks, |link| &link.asks);
        let correlation = asks.register_call(service, then, deadline)?;
        let message = Message { kind: MessageKind::Ask, service, correlation, payload: message };
        let sent = match &link {
            Some(link) => Self::offer(link, message),
            None => self.loopback.send(message),
        };
        match self.noted(sent) {
            // nobody delivers a local message any more, nor looks at the time
            Ok(()) if link.is_none() && self.is_closed() => {
                asks.take_call(correlation).map_or(Ok(()), |then| Err((gate_closed(), then)))
            }
            Ok(()) => Ok(()),
            // an ask that is not there any more has its answer: the link has just ended
            Err(error) => match asks.take_call(correlation) {
                Some(then) => Err((error.into(), then)),
                None => Ok(()),
            },
        }
    }
}

/// Counts a request as answered once its answer is in the queue.
struct Answered<'a>(&'a AtomicUsize);

impl Drop for Answered<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl AnswerSink for Sender {
    fn answer(
        &self,
        to: &NodeId,
        service: ServiceId,
        correlation: u64,
        outcome: Result<Bytes, AskError>,
    ) {
        let _answered = Answered(&self.serving);
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

fn not_connected(to: &NodeId) -> AskError {
    AskError::NotConnected(format!("`{to}` is not connected"))
}

fn gate_closed() -> AskError {
    AskError::Unreachable("the gate was closed".into())
}
