//! The task that opens the source and reads it. No other task polls the reader, and it is never
//! polled inside a `select!`.

use std::sync::Arc;

use ractor::ActorRef;

use super::flow::Flow;
use super::message::{Message, tell};

use crate::filter::Shaping;
use crate::pipeline::{Generation, Input};
use crate::source::{Bookmark, Delivery, Source};
use crate::{Error, ErrorKind};

/// Largest number of deliveries in one message to the actor.
const BATCH_MAX: usize = 512;

pub(super) struct ReaderTask {
    pub(super) source: Arc<dyn Source>,
    pub(super) shaping: Arc<Shaping>,
    pub(super) flow: Flow,
    pub(super) actor: ActorRef<Message>,
    pub(super) generation: Generation,
    pub(super) position: Option<Bookmark>,
}

impl ReaderTask {
    pub(super) async fn run(self) {
        let generation = self.generation;
        let opened = match self.source.open(self.position.clone()).await {
            Ok(opened) => opened,
            Err(error) => {
                let (reason, is_final) = lasting(&error);
                return tell(&self.actor, Input::OpenFailed { generation, reason, is_final });
            }
        };
        let mut reader = opened.reader;
        // when the actor has ended, this task ends with it
        let _ = self.actor.cast(Message::Opened(generation, opened.settler, opened.went_back));
        loop {
            let Some(permit) = self.flow.acquire(BATCH_MAX).await else {
                // the subscription stops: the source stays open until its verdicts are sent
                return std::future::pending().await;
            };
            let deliveries = match reader.next(permit.num_permits()).await {
                Ok(deliveries) => deliveries,
                Err(error) => {
                    let (reason, is_final) = lasting(&error);
                    drop(permit);
                    return tell(&self.actor, Input::SourceLost { generation, reason, is_final });
                }
            };
            let deliveries: Vec<_> =
                deliveries.into_iter().map(|delivery| self.filtered(delivery)).collect();
            let bytes = deliveries.iter().map(Delivery::size).sum();
            self.flow.sent(permit, deliveries.len(), bytes);
            tell(&self.actor, Input::Arrived(generation, deliveries));
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
}

/// The reason of a failure, and whether another try with the same settings cannot succeed.
fn lasting(error: &Error) -> (String, bool) {
    (error.to_string(), error.kind() != ErrorKind::Unavailable)
}
