//! Catch-up on a stream (a category is the stream of its links) or on `$all`. The replicator keeps
//! the position.

use antiphon_eventstore as es;
use async_trait::async_trait;

use super::drain::Messages;
use super::resolve::{PositionOf, all_position, delivery, error};
use super::{Delivery, Opened, Position, Settler, Source, Token, Verdict};
use crate::{Error, Result};

/// The start of a catch-up without a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// The first event.
    Beginning,
    /// After the last event at the time of opening.
    End,
    /// The event with this number, inclusive.
    Revision(u64),
}

/// The events to catch up with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// The events of one stream, with links resolved.
    Stream(String),
    /// The events of `$all` that pass the server's filter.
    All(es::Filter),
}

/// A catch-up subscription.
pub struct CatchUpSource {
    client: es::EventStoreClient,
    what: What,
    start: Start,
}

impl CatchUpSource {
    /// Reads `what`, from `start` when there is no position.
    pub fn new(client: es::EventStoreClient, what: What, start: Start) -> Self {
        Self { client, what, start }
    }

    async fn after(&self, position: Option<Position>) -> Result<Option<Position>> {
        if position.is_some() {
            return Ok(position);
        }
        match self.start {
            Start::Beginning | Start::Revision(0) => Ok(None),
            Start::End => self.head().await,
            Start::Revision(revision) => Ok(Some(Position::Stream(revision - 1))),
        }
    }
}

#[async_trait]
impl Source for CatchUpSource {
    async fn open(&self, position: Option<Position>) -> Result<Opened> {
        let after = self.after(position).await?;
        let (subscription, position_of) = match (&self.what, after) {
            (What::Stream(stream), None) => {
                (self.client.subscribe_stream(stream, None, true).await, PositionOf::Stream)
            }
            (What::Stream(stream), Some(Position::Stream(revision))) => {
                let from = Some(revision);
                (self.client.subscribe_stream(stream, from, true).await, PositionOf::Stream)
            }
            (What::All(filter), None) => {
                (self.client.subscribe_all(None, filter.clone(), false).await, PositionOf::All)
            }
            (What::All(filter), Some(Position::All { commit, prepare })) => {
                let from = Some(es::Position { commit, prepare });
                (self.client.subscribe_all(from, filter.clone(), false).await, PositionOf::All)
            }
            (what, Some(position)) => {
                return Err(Error::rejected(format!(
                    "checkpoint `{position}`: expected one of {what:?}, actual one of another kind of subscription"
                )));
            }
        };
        let subscription = subscription.map_err(error)?;
        Ok(Opened {
            reader: Box::new(CatchUpReader { subscription, position_of }),
            settler: Box::new(NoSettler),
        })
    }

    async fn head(&self) -> Result<Option<Position>> {
        match &self.what {
            What::Stream(stream) => head_of(&self.client, stream).await,
            What::All(_) => head_of(&self.client, es::ALL).await,
        }
    }

    fn settles(&self) -> bool {
        false
    }
}

/// The position of the newest event of a stream; none when it has no event.
pub(super) async fn head_of(
    client: &es::EventStoreClient,
    stream: &str,
) -> Result<Option<Position>> {
    let newest = client.newest(stream).await.map_err(error)?;
    let original = newest.as_ref().and_then(|newest| newest.original());
    Ok(original.map(|original| match stream {
        es::ALL => all_position(original.position),
        _ => Position::Stream(original.revision),
    }))
}

struct CatchUpReader {
    subscription: es::Subscription,
    position_of: PositionOf,
}

impl Messages for CatchUpReader {
    async fn next_delivery(&mut self) -> Result<Option<Delivery>> {
        Ok(match self.subscription.next().await.map_err(error)? {
            es::SubscriptionMessage::Confirmed => None,
            es::SubscriptionMessage::Event(resolved) => {
                delivery(resolved, self.position_of, 0, None)
            }
            es::SubscriptionMessage::Checkpoint(position) => {
                Some(Delivery::Mark(all_position(position)))
            }
            es::SubscriptionMessage::CaughtUp => Some(Delivery::CaughtUp),
            es::SubscriptionMessage::FellBehind => Some(Delivery::FellBehind),
        })
    }
}

/// The settler of sources that need no verdicts.
pub(super) struct NoSettler;

#[async_trait]
impl Settler for NoSettler {
    async fn settle(&mut self, _verdicts: Vec<(Token, Verdict)>) -> Result<()> {
        Ok(())
    }
}
