//! The services that receive messages of other nodes and answer them.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::ask_error::AskError;
use super::served::Serving;
use crate::NodeId;

/// The number of a service of a node. Numbers below 16 belong to this crate; their messages
/// overtake others, if they fit into one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ServiceId(pub u16);

impl ServiceId {
    /// The first number that is free for others.
    pub const FIRST_FREE: u16 = 16;

    /// Returns whether its messages overtake those of other services on the same link.
    pub fn is_urgent(self) -> bool {
        self.0 < Self::FIRST_FREE
    }
}

/// A receiver of messages.
///
/// Messages of one node come one after the other, in the order in which that node sent them to this
/// service. Exception: a message of an urgent service that is longer than one record can be
/// overtaken by later ones. Messages of different nodes may come at the same time.
pub trait Service: Send + Sync + 'static {
    /// Takes a message: a request when there is a responder, else a tell. Must not block; slow work
    /// runs elsewhere and keeps the responder.
    fn receive(&self, from: &NodeId, message: Bytes, responder: Option<Responder>);
}

impl<F> Service for F
where
    F: Fn(&NodeId, Bytes, Option<Responder>) + Send + Sync + 'static,
{
    fn receive(&self, from: &NodeId, message: Bytes, responder: Option<Responder>) {
        self(from, message, responder);
    }
}

/// The sender of answers.
pub(super) trait AnswerSink: Send + Sync {
    fn answer(
        &self,
        to: &NodeId,
        service: ServiceId,
        correlation: u64,
        outcome: Result<Bytes, AskError>,
    );
}

/// Answers one request. Dropping it answers [`AskError::NoReply`] at once, so that the asker does
/// not wait for nothing.
pub struct Responder {
    sink: Option<Arc<dyn AnswerSink>>,
    to: NodeId,
    service: ServiceId,
    correlation: u64,
    /// The share of the asking node; `None` for the local node.
    _serving: Option<Serving>,
}

impl Responder {
    pub(super) fn new(
        sink: Arc<dyn AnswerSink>,
        to: NodeId,
        service: ServiceId,
        correlation: u64,
        serving: Option<Serving>,
    ) -> Self {
        Self { sink: Some(sink), to, service, correlation, _serving: serving }
    }

    /// Answers. An answer that cannot be sent is dropped and counted. The asker gets `Unanswered`
    /// when the answer is too large; otherwise it runs into its timeout, or sees that the link
    /// broke.
    pub fn reply(mut self, message: Bytes) {
        self.finish(Ok(message));
    }

    /// Answers with an error.
    pub fn fail(mut self, error: AskError) {
        self.finish(Err(error));
    }

    fn finish(&mut self, outcome: Result<Bytes, AskError>) {
        if let Some(sink) = self.sink.take() {
            sink.answer(&self.to, self.service, self.correlation, outcome);
        }
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.finish(Err(AskError::NoReply));
    }
}

impl fmt::Debug for Responder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Responder({}, {})", self.to, self.correlation)
    }
}
