//! The source, asked about events that the destination hides or lacks.
//!
//! A destination cannot show what it has deleted or truncated. The source tells where such an event
//! belongs: whether its stream is gone for ever at the source too, which events come before it, and
//! which event has a number.

use std::sync::Arc;

use antiphon_eventstore as es;
use uuid::Uuid;

use crate::event::Event;
use crate::filter::{Shaped, Shaping};
use crate::sink::Outcome;
use crate::source::{message, recorded_event};

/// The event store that is the source of a sink.
#[derive(Clone)]
pub struct Origin {
    client: es::EventStoreClient,
    shaping: Arc<Shaping>,
}

impl Origin {
    /// A source whose events reach the sink through `shaping`.
    pub fn new(client: es::EventStoreClient, shaping: Arc<Shaping>) -> Self {
        Self { client, shaping }
    }

    /// Returns whether the source has ended the stream for ever.
    pub(super) async fn is_tombstoned(&self, stream: &str) -> Result<bool, Outcome> {
        match self.client.newest(stream).await {
            Ok(_) => Ok(false),
            Err(failed) if failed.kind() == es::ErrorKind::StreamDeleted => Ok(true),
            Err(failed) => Err(unknown(&failed)),
        }
    }

    /// Returns whether the source shows no newer event of a stream than this one.
    pub(super) async fn is_newest(&self, stream: &str, id: Uuid) -> Result<bool, Outcome> {
        match self.client.newest(stream).await {
            Ok(newest) => {
                let newest = newest.and_then(|newest| newest.event);
                Ok(newest.is_none_or(|newest| newest.id == id))
            }
            Err(failed) if failed.kind() == es::ErrorKind::StreamDeleted => Ok(true),
            Err(failed) => Err(unknown(&failed)),
        }
    }

    /// At most `count` events of a stream from a number on, as they are at the source.
    pub(super) async fn events(
        &self,
        stream: &str,
        from: u64,
        count: u64,
    ) -> Result<Vec<Event>, Outcome> {
        let (forwards, from) = (es::Direction::Forwards, es::ReadFrom::At(from));
        match self.client.read_if_there(stream, forwards, from, count).await {
            Ok(events) => {
                let own = events.into_iter().filter_map(|one| one.link.or(one.event));
                Ok(own.map(recorded_event).collect())
            }
            Err(failed) if failed.kind() == es::ErrorKind::StreamDeleted => Ok(Vec::new()),
            Err(failed) => Err(unknown(&failed)),
        }
    }

    /// The events of a stream from `from` up to before `to` that no subscription through links
    /// delivers, in the form of the destination; none unless they are all there and all of this
    /// kind.
    pub(super) async fn undelivered(
        &self,
        stream: &str,
        from: u64,
        to: u64,
    ) -> Result<Option<Vec<Event>>, Outcome> {
        // mostly the first one tells that the others are still on their way
        let first = self.events(stream, from, 1).await?;
        if !first.iter().all(|event| event.revision == from && event.has_system_type()) {
            return Ok(None);
        }
        let events = self.events(stream, from, to - from).await?;
        let is_whole = events.iter().map(|event| event.revision).eq(from..to)
            && events.iter().all(Event::has_system_type);
        if !is_whole {
            return Ok(None);
        }
        let shaped = events.iter().map(|event| match self.shaping.shape(event) {
            Shaped::Event(event) => Some(event),
            Shaped::Refused(_) => None,
        });
        Ok(shaped.collect())
    }
}

/// The outcome of an event whose place the source did not tell.
fn unknown(failed: &es::Error) -> Outcome {
    let reason = format!("the source is asked about a hidden event: {}", message(failed));
    match failed.kind() {
        es::ErrorKind::Unavailable | es::ErrorKind::Timeout | es::ErrorKind::NotLeader => {
            Outcome::Unavailable(reason)
        }
        es::ErrorKind::NotFound
        | es::ErrorKind::AlreadyExists
        | es::ErrorKind::AccessDenied
        | es::ErrorKind::StreamDeleted
        | es::ErrorKind::Rejected
        | es::ErrorKind::Corrupt
        | es::ErrorKind::Bug
        | _ => Outcome::Retryable(reason),
    }
}
