//! Catch-up on a stream (a category is the stream of its links) or on `$all`. The replicator keeps
//! the position.

use antiphon_eventstore as es;
use async_trait::async_trait;

use super::drain::Messages;
use super::resolve::{PositionOf, all_position, delivery, error};
use super::{Anchor, Bookmark, Delivery, Opened, Position, Settler, Source, Token, Verdict};
use crate::filter::Metadata;
use crate::{Error, ErrorKind, Result};

/// Largest number of events in which an event is searched by its id, from the end of a stream on.
const SEARCH_MAX: u64 = 4096;

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

/// The place to go on from when the source ends before the checkpoint, or has another event there:
/// it was restored from an older copy, or replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenAhead {
    /// None: the subscription is not ready, and waits for another choice or source.
    Wait,
    /// None: the subscription ends with an error. For one that runs once.
    Fail,
    /// The first event.
    Start,
    /// Behind the newest event.
    End,
    /// Behind the event with the id of the last one before the checkpoint.
    Id,
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
    when_ahead: WhenAhead,
}

impl CatchUpSource {
    /// Reads `what`, from `start` when there is no position.
    pub fn new(client: es::EventStoreClient, what: What, start: Start) -> Self {
        Self { client, what, start, when_ahead: WhenAhead::Wait }
    }

    /// The same source with another place to go on from when it went back.
    #[must_use]
    pub fn when_ahead(self, when_ahead: WhenAhead) -> Self {
        Self { when_ahead, ..self }
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

impl CatchUpSource {
    /// The reason why the source cannot be the one of the bookmark; none when it can.
    async fn went_back(&self, bookmark: &Bookmark) -> Result<Option<String>> {
        let position = &bookmark.position;
        let end = self.head().await?;
        // the position in `$all` may be that of a record behind the last event
        let last = bookmark.event.as_ref().map_or(position, |event| &event.position);
        let is_beyond = match &end {
            Some(end) => end.is_before(last),
            None => match &self.what {
                What::Stream(stream) => !self.is_limited(stream).await?,
                What::All(_) => true,
            },
        };
        if is_beyond {
            let end = end.map_or_else(|| "its beginning".to_owned(), |end| end.to_string());
            return Ok(Some(format!(
                "checkpoint {position} lies beyond the end of the source at {end}"
            )));
        }
        let Some(event) = &bookmark.event else { return Ok(None) };
        let in_place = match self.event_at(event).await? {
            Some(there) if is_same(&there, event) => None,
            Some(there) => Some(format!("event {} at {} in its place", there.id, there.position)),
            None => self.never_had(event).await?,
        };
        Ok(in_place.map(|in_place| {
            format!(
                "checkpoint {position} lies behind event {} (#{} of `{}` at {}), and the source has {in_place}",
                event.id, event.revision, event.stream, event.position
            )
        }))
    }

    /// The sign that the source of `$all` never had an event that it does not show; none when the
    /// event may have been truncated or deleted. Another history may be as long as the one of the
    /// checkpoint, with other streams.
    async fn never_had(&self, event: &Anchor) -> Result<Option<String>> {
        let What::All(_) = &self.what else { return Ok(None) };
        let stream = &*event.stream;
        let newest = match self.client.newest(stream).await {
            Ok(newest) => newest,
            Err(failed) if failed.kind() == es::ErrorKind::StreamDeleted => return Ok(None),
            Err(failed) => return Err(error(failed)),
        };
        Ok(match newest.and_then(|newest| newest.original().map(|event| event.revision)) {
            Some(newest) if newest >= event.revision => None,
            // a truncated stream keeps its newest event
            Some(newest) => Some(format!("only events up to #{newest} in that stream")),
            None if self.is_limited(stream).await? => None,
            None => Some("no such stream".to_owned()),
        })
    }

    /// Returns whether the stream may have had events that it does not show: it was truncated or
    /// deleted.
    async fn is_limited(&self, stream: &str) -> Result<bool> {
        let newest = self.client.newest(&format!("$${stream}")).await.map_err(error)?;
        let data = newest.and_then(|newest| newest.event).map(|event| event.data);
        let limits = ["$tb", "$maxAge", "$maxCount"];
        let metadata = data.and_then(|data| Metadata::parse(&data).ok());
        Ok(metadata.is_some_and(|metadata| limits.iter().any(|key| metadata.get(key).is_some())))
    }

    /// The event that the source has in the place of `event`; none when it does not show any.
    async fn event_at(&self, event: &Anchor) -> Result<Option<Anchor>> {
        let (stream, number) = match (&self.what, &event.position) {
            (What::Stream(stream), Position::Stream(number)) => (stream.as_str(), *number),
            (What::Stream(_) | What::All(_), _) => (&*event.stream, event.revision),
        };
        let found = self.page(stream, es::Direction::Forwards, es::ReadFrom::At(number), 1).await?;
        Ok(found.into_iter().find(|(at, _)| *at == number).map(|(_, anchor)| anchor))
    }

    /// The event with the id of `event`, among the last ones of its stream; none when there is
    /// none.
    async fn find(&self, event: &Anchor) -> Result<Option<Anchor>> {
        let stream = match &self.what {
            What::Stream(stream) => stream.as_str(),
            What::All(_) => &*event.stream,
        };
        let (backwards, end) = (es::Direction::Backwards, es::ReadFrom::End);
        let found = self.page(stream, backwards, end, SEARCH_MAX).await?;
        let is_wanted = |anchor: &Anchor| anchor.id == event.id && anchor.position != UNTOLD;
        Ok(found.into_iter().map(|(_, anchor)| anchor).find(is_wanted))
    }

    /// Events of a stream, with their numbers there.
    async fn page(
        &self,
        stream: &str,
        direction: es::Direction,
        from: es::ReadFrom<u64>,
        count: u64,
    ) -> Result<Vec<(u64, Anchor)>> {
        let is_all = matches!(self.what, What::All(_));
        let events = match self.client.read_stream(stream, direction, from, count, !is_all).await {
            Ok(events) => events.collect().await,
            Err(failed) => Err(failed),
        };
        let events = match events {
            Ok(events) => events,
            Err(failed)
                if matches!(
                    failed.kind(),
                    es::ErrorKind::NotFound | es::ErrorKind::StreamDeleted
                ) =>
            {
                Vec::new()
            }
            Err(failed) => return Err(error(failed)),
        };
        let anchor = |resolved: &es::ResolvedEvent| {
            let number = resolved.original()?.revision;
            let event = resolved.event.as_ref()?;
            let position =
                if is_all { all_position(event.position) } else { Position::Stream(number) };
            let (stream, revision, id) = (event.stream.clone(), event.revision, event.id);
            Some((number, Anchor { stream, revision, id, position }))
        };
        Ok(events.iter().filter_map(anchor).collect())
    }

    /// The place to go on from, after the source went back for this reason.
    async fn place_after(
        &self,
        reason: String,
        event: Option<&Anchor>,
    ) -> Result<Option<Position>> {
        let choices =
            "set `Settings:Checkpoint:WhenAhead` to `start`, `end` or `id` to go on from there";
        let place = match self.when_ahead {
            WhenAhead::Wait => return Err(Error::unavailable(format!("{reason}: {choices}"))),
            WhenAhead::Fail => return Err(Error::rejected(format!("{reason}: {choices}"))),
            WhenAhead::Start => None,
            WhenAhead::End => self.head().await?,
            WhenAhead::Id => {
                let found = match event {
                    Some(event) => self.find(event).await?,
                    None => None,
                };
                let Some(found) = found else {
                    let id = event.map_or_else(|| "no id".to_owned(), |event| event.id.to_string());
                    return Err(Error::unavailable(format!(
                        "{reason}, and none of the last {SEARCH_MAX} events there is the one of the checkpoint, {id}: set `Settings:Checkpoint:WhenAhead` to `start` or `end`"
                    )));
                };
                Some(found.position)
            }
        };
        let from = place.as_ref().map_or_else(|| "the beginning".to_owned(), Position::to_string);
        tracing::warn!("{reason}: going on from {from} (`Settings:Checkpoint:WhenAhead`)");
        Ok(place)
    }
}

#[async_trait]
impl Source for CatchUpSource {
    async fn open(&self, position: Option<Bookmark>) -> Result<Opened> {
        let reason = match &position {
            Some(bookmark) => self.went_back(bookmark).await?,
            None => None,
        };
        let event = position.as_ref().and_then(|bookmark| bookmark.event.as_ref());
        let went_back = match reason {
            Some(reason) => Some(self.place_after(reason, event).await?),
            None => None,
        };
        let after = match (&went_back, position) {
            (Some(place), _) => place.clone(),
            (None, position) => self.after(position.map(|bookmark| bookmark.position)).await?,
        };
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
            went_back,
        })
    }

    async fn target(&self) -> Result<Option<Position>> {
        let What::All(filter) = &self.what else { return self.head().await };
        match self.client.newest_of_all(filter.clone()).await {
            Ok(newest) => {
                let event = newest.as_ref().and_then(|newest| newest.original());
                Ok(event.map(|event| all_position(event.position)))
            }
            Err(failed) => match error(failed) {
                // an old server cannot filter a read; it tells of events that it leaves out
                refused if refused.kind() == ErrorKind::Rejected => self.head().await,
                failed => Err(failed),
            },
        }
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

/// The position of an event where the server does not tell it.
const UNTOLD: Position = Position::All { commit: u64::MAX, prepare: u64::MAX };

/// Returns whether the source has the same event at the same place.
fn is_same(there: &Anchor, event: &Anchor) -> bool {
    let of = |anchor: &Anchor| (anchor.stream.clone(), anchor.revision, anchor.id);
    of(there) == of(event) && (there.position == event.position || there.position == UNTOLD)
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
