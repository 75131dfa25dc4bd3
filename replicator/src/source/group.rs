//! A persistent subscription group: the server keeps the position, and needs a verdict on each
//! event.

use std::collections::BTreeMap;

use antiphon_eventstore as es;
use async_trait::async_trait;
use futures::FutureExt;

use super::resolve::{PositionOf, delivery, error};
use super::{Delivery, Opened, Position, Reader, Settler, Source, Token, Verdict};
use crate::Result;

/// A group, created on request.
pub struct GroupSource {
    client: es::EventStoreClient,
    stream: String,
    group: String,
    buffer_size: u32,
    create: Option<es::GroupSettings>,
}

impl GroupSource {
    /// The group `group` on `stream`, with at most `buffer_size` unsettled events. Created with the
    /// settings in `create` if it is missing.
    pub fn new(
        client: es::EventStoreClient,
        stream: impl Into<String>,
        group: impl Into<String>,
        buffer_size: u32,
        create: Option<es::GroupSettings>,
    ) -> Self {
        Self { client, stream: stream.into(), group: group.into(), buffer_size, create }
    }
}

#[async_trait]
impl Source for GroupSource {
    async fn open(&self, _position: Option<Position>) -> Result<Opened> {
        if let Some(settings) = &self.create {
            match self.client.create_group(&self.stream, &self.group, settings).await {
                Ok(()) => {
                    tracing::info!(stream = self.stream, group = self.group, "group created");
                }
                Err(failed) if failed.kind() == es::ErrorKind::AlreadyExists => {}
                Err(failed) => return Err(error(failed)),
            }
        }
        let subscription = self
            .client
            .subscribe_group(&self.stream, &self.group, self.buffer_size)
            .await
            .map_err(error)?;
        let answers = subscription.answers();
        Ok(Opened {
            reader: Box::new(GroupReader { subscription }),
            settler: Box::new(GroupSettler { answers }),
        })
    }

    async fn head(&self) -> Result<Option<Position>> {
        super::catch_up::head_of(&self.client, &self.stream).await
    }

    fn settles(&self) -> bool {
        true
    }
}

struct GroupReader {
    subscription: es::GroupSubscription,
}

#[async_trait]
impl Reader for GroupReader {
    async fn next(&mut self, count_max: usize) -> Result<Vec<Delivery>> {
        let mut deliveries = Vec::new();
        while deliveries.is_empty() {
            let event = self.subscription.next().await.map_err(error)?;
            deliveries.extend(to_delivery(event));
        }
        while deliveries.len() < count_max
            && let Some(next) = self.subscription.next().now_or_never()
        {
            match next {
                Ok(event) => deliveries.extend(to_delivery(event)),
                // events read so far come first; the next call meets the error again
                Err(_) => break,
            }
        }
        Ok(deliveries)
    }
}

fn to_delivery(event: es::GroupEvent) -> Option<Delivery> {
    let token = event.answer_id().map(Token);
    delivery(event.resolved, PositionOf::Nobody, event.retry_count, token)
}

struct GroupSettler {
    answers: es::GroupAnswers,
}

#[async_trait]
impl Settler for GroupSettler {
    async fn settle(&mut self, verdicts: Vec<(Token, Verdict)>) -> Result<()> {
        let mut acks = Vec::new();
        let mut nacks: BTreeMap<(u8, String), Vec<uuid::Uuid>> = BTreeMap::new();
        for (Token(id), verdict) in verdicts {
            match verdict {
                Verdict::Ack => acks.push(id),
                Verdict::Retry(reason) => nacks.entry((0, reason)).or_default().push(id),
                Verdict::Park(reason) => nacks.entry((1, reason)).or_default().push(id),
                Verdict::Skip(reason) => nacks.entry((2, reason)).or_default().push(id),
            }
        }
        if !acks.is_empty() {
            self.answers.ack(acks).await.map_err(error)?;
        }
        for ((action, reason), ids) in nacks {
            let action = match action {
                0 => es::NackAction::Retry,
                1 => es::NackAction::Park,
                _ => es::NackAction::Skip,
            };
            self.answers.nack(ids, action, &reason).await.map_err(error)?;
        }
        Ok(())
    }
}
