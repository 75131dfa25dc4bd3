//! Hands arrived messages to services and asks. All code that handles messages of the network runs
//! guarded: a panic is a bug that is counted, and costs neither the link nor its task.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;

use super::ask_error::AskError;
use super::asks::Asks;
use super::link::{Message, MessageKind};
use super::metrics::GateMetrics;
use super::sender::Sender;
use super::served::Served;
use super::service::{Responder, Service, ServiceId};
use crate::NodeId;

/// The asks to a node, and the requests of that node, unless it is this node itself.
pub(super) type Ends<'a> = (&'a Asks, Option<&'a Arc<Served>>);

/// The services of a node.
pub(super) struct Delivery {
    services: RwLock<BTreeMap<ServiceId, Arc<dyn Service>>>,
    sender: Arc<Sender>,
    metrics: GateMetrics,
}

impl Delivery {
    /// A delivery without services, whose responders answer through `sender`.
    pub(super) fn new(sender: Arc<Sender>, metrics: GateMetrics) -> Self {
        Self { services: RwLock::default(), sender, metrics }
    }

    pub(super) fn register(&self, id: ServiceId, service: Arc<dyn Service>) {
        self.services.write().insert(id, service);
    }

    /// Forgets all services.
    pub(super) fn close(&self) {
        self.services.write().clear();
    }

    /// Runs `call`; a panic ends here.
    pub(super) fn guarded(&self, from: &NodeId, what: &str, call: impl FnOnce()) {
        if catch_unwind(AssertUnwindSafe(call)).is_err() {
            tracing::error!(%from, what, "a panic while a message was handled; this is a bug");
            self.metrics.panics.inc();
        }
    }

    /// Hands a message to its service, or to the one of `asks` that it answers.
    pub(super) fn deliver(&self, from: &NodeId, ends: Ends<'_>, message: Message) {
        self.metrics.received.inc();
        self.guarded(from, "message", || self.hand_over(from, ends, message));
    }

    fn hand_over(&self, from: &NodeId, (asks, served): Ends<'_>, message: Message) {
        let Message { kind, service, correlation, payload } = message;
        let responder = match kind {
            MessageKind::Tell => None,
            MessageKind::Ask => {
                let begin = |served: &Arc<Served>| served.begin(service.is_urgent(), payload.len());
                let (serving, refused) = match served.map(begin).transpose() {
                    Ok(serving) => (serving, None),
                    Err(over) => (None, Some(over)),
                };
                self.sender.begin_serving();
                let (sender, to) = (self.sender.clone(), from.clone());
                let responder = Responder::new(sender, to, service, correlation, serving);
                if let Some(over) = refused {
                    self.metrics.drop_counted(over.setting, 1);
                    return responder.fail(over.into());
                }
                Some(responder)
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
}
