//! The task that opens the source and reads it. No other task polls the reader, and it is never
//! polled inside a `select!`.

use std::sync::Arc;

use ractor::ActorRef;

use super::actor::Message;
use super::flow::Flow;
use crate::ErrorKind;
use crate::filter::Shaping;
use crate::pipeline::{Generation, Input};
use crate::source::{Delivery, Position, Source};

/// Largest number of deliveries in one message to the actor.
const BATCH_MAX: usize = 512;

pub(super) struct ReaderTask {
    pub(super) source: Arc<dyn Source>,
    pub(super) shaping: Arc<Shaping>,
    pub(super) flow: Flow,
    pub(super) actor: ActorRef<Message>,
    pub(super) generation: Generation,
    pub(super) position: Option<Position>,
}

impl ReaderTask {
    pub(super) async fn run(self) {
        let generation = self.generation;
        let opened = match self.source.open(self.position.clone()).await {
            Ok(opened) => opened,
            Err(error) => {
                let is_final = error.kind() != ErrorKind::Unavailable;
                let reason = error.to_string();
                self.tell(Message::Input(Input::OpenFailed { generation, reason, is_final }));
                return;
            }
        };
        let mut reader = opened.reader;
        self.tell(Message::Opened(generation, opened.settler));
        loop {
            let Some(permit) = self.flow.acquire(BATCH_MAX).await else {
                // the subscription stops: the source stays open until its verdicts are sent
                return std::future::pending().await;
            };
            let deliveries = match reader.next(permit.num_permits()).await {
                Ok(deliveries) => deliveries,
                Err(error) => {
                    let is_final = error.kind() != ErrorKind::Unavailable;
                    let reason = error.to_string();
                    drop(permit);
                    self.tell(Message::Input(Input::SourceLost { generation, reason, is_final }));
                    return;
                }
            };
            let deliveries: Vec<_> =
                deliveries.into_iter().map(|delivery| self.filtered(delivery)).collect();
            let bytes = deliveries.iter().map(size).sum();
            self.flow.sent(permit, deliveries.len(), bytes);
            self.tell(Message::Input(Input::Arrived(generation, deliveries)));
        }
    }

    fn filtered(&self, delivery: Delivery) -> Delivery {
        if let Delivery::Event(envelope) = &delivery
            && self.shaping.excludes(&envelope.event).is_some()
        {
            return Delivery::Excluded(envelope.clone());
        }
        delivery
    }

    fn tell(&self, message: Message) {
        // when the actor has ended, this task ends with it
        let _ = self.actor.cast(message);
    }
}

/// Size of a delivery in bytes, as it counts while it is held.
pub(super) fn size(delivery: &Delivery) -> usize {
    match delivery {
        Delivery::Event(envelope)
        | Delivery::Unresolved(envelope)
        | Delivery::Excluded(envelope) => envelope.event.size(),
        Delivery::Mark(_) | Delivery::CaughtUp | Delivery::FellBehind => 0,
    }
}
