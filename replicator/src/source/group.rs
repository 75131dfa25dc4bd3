//! A persistent subscription group: the server keeps the position, and needs a verdict on each
//! event.

use std::collections::BTreeMap;

use antiphon_eventstore as es;
use async_trait::async_trait;

use super::drain::Messages;
use super::resolve::{PositionOf, delivery, error};
use super::{Delivery, Opened, Position, Settler, Source, Token, Verdict};
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

impl Messages for GroupReader {
    async fn next_delivery(&mut self) -> Result<Option<Delivery>> {
        let event = self.subscription.next().await.map_err(error)?;
        let token = event.answer_id().map(Token);
        Ok(delivery(event.resolved, PositionOf::Nobody, event.retry_count, token))
    }
}

struct GroupSettler {
    answers: es::GroupAnswers,
}

#[async_trait]
impl Settler for GroupSettler {
    async fn settle(&mut self, verdicts: Vec<(Token, Verdict)>) -> Result<()> {
        let mut acks = Vec::new();
        let mut nacks: BTreeMap<(es::NackAction, String), Vec<uuid::Uuid>> = BTreeMap::new();
        for (Token(id), verdict) in verdicts {
            let nack = match verdict {
                Verdict::Ack => {
                    acks.push(id);
                    continue;
                }
                Verdict::Retry(reason) => (es::NackAction::Retry, reason),
                Verdict::Park(reason) => (es::NackAction::Park, reason),
                Verdict::Skip(reason) => (es::NackAction::Skip, reason),
            };
            nacks.entry(nack).or_default().push(id);
        }
        if !acks.is_empty() {
            self.answers.ack(acks).await.map_err(error)?;
        }
        for ((action, reason), ids) in nacks {
            self.answers.nack(ids, action, &reason).await.map_err(error)?;
        }
        Ok(())
    }
}
