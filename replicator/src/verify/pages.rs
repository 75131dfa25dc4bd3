//! A stream of an event store or of a journal, page by page.

use std::collections::VecDeque;

use antiphon_eventstore as es;
use antiphon_persistence::event::SequenceNr;
use antiphon_persistence::identity::PersistenceId;
use antiphon_persistence::store::Stores;

use crate::event::Event;
use crate::source::{error, recorded_event};
use crate::{Result, journal_event};

/// Largest number of events in one page of a stream.
const PAGE: u64 = 500;

/// The events of a stream from a number on, with the number behind them; no events and no number at
/// the end. A stream that is not there has no events.
pub(super) async fn page(
    client: &es::EventStoreClient,
    stream: &str,
    from: u64,
    resolve_links: bool,
) -> Result<(Vec<es::ResolvedEvent>, Option<u64>)> {
    let (direction, from) = (es::Direction::Forwards, es::ReadFrom::At(from));
    let events = match client.read_stream(stream, direction, from, PAGE, resolve_links).await {
        Ok(events) => events.collect().await,
        Err(failed) => Err(failed),
    };
    match events {
        Ok(events) => {
            let last = events.last().and_then(es::ResolvedEvent::original);
            let next = last.map(|last| last.revision + 1);
            Ok((events, next))
        }
        Err(failed)
            if matches!(failed.kind(), es::ErrorKind::NotFound | es::ErrorKind::StreamDeleted) =>
        {
            Ok((Vec::new(), None))
        }
        Err(failed) => Err(error(failed)),
    }
}

/// One of the two sides of a comparison.
#[derive(Clone, Copy)]
pub(super) enum Side<'a> {
    EventStore(&'a es::EventStoreClient),
    Journal(&'a Stores),
}

impl Side<'_> {
    /// The events of a stream from a number on, with the number behind them, as [`page`].
    async fn page(&self, stream: &str, from: u64) -> Result<(Vec<Event>, Option<u64>)> {
        match self {
            Self::EventStore(client) => {
                let (events, next) = page(client, stream, from, false).await?;
                let own = events.into_iter().filter_map(|one| one.link.or(one.event));
                Ok((own.map(recorded_event).collect(), next))
            }
            Self::Journal(stores) => {
                let id = PersistenceId::parse(stream)?;
                let first = SequenceNr::new(from.saturating_add(1));
                let count = usize::try_from(PAGE).unwrap_or(usize::MAX);
                let stored = stores.journal.replay(&id, first, SequenceNr::MAX, count).await?;
                let events = stored.into_iter().map(|one| journal_event::to_event(&id, one));
                let events = events.collect::<Result<Vec<Event>>>()?;
                let next = events.last().map(|last| last.revision + 1);
                Ok((events, next))
            }
        }
    }

    /// The event that this side should have for an event of the other side.
    pub(super) fn expected(&self, event: Event) -> Result<Event> {
        match self {
            Self::EventStore(_) => Ok(event),
            Self::Journal(_) => {
                let id = PersistenceId::parse(&event.stream)?;
                journal_event::to_event(&id, journal_event::to_stored(&event)?)
            }
        }
    }

    /// The word for an event's data.
    pub(super) fn data(&self) -> &'static str {
        match self {
            Self::EventStore(_) => "the data",
            Self::Journal(_) => "the payload",
        }
    }
}

/// Reads a stream in pages.
pub(super) struct Pages<'a> {
    side: Side<'a>,
    stream: String,
    next: u64,
    pub(super) events: VecDeque<Event>,
    is_over: bool,
}

impl<'a> Pages<'a> {
    pub(super) fn new(side: Side<'a>, stream: &str) -> Self {
        let events = VecDeque::new();
        Self { side, stream: stream.to_owned(), next: 0, events, is_over: false }
    }

    pub(super) async fn fill(&mut self, count: usize) -> Result<()> {
        while self.events.len() < count && !self.is_over {
            let (page, next) = self.side.page(&self.stream, self.next).await?;
            (self.next, self.is_over) = (next.unwrap_or(self.next), next.is_none());
            self.events.extend(page);
        }
        Ok(())
    }

    pub(super) async fn pop(&mut self) -> Result<Option<Event>> {
        self.fill(1).await?;
        Ok(self.events.pop_front())
    }

    /// Reads on, where the stream may have grown.
    pub(super) fn go_on(&mut self) {
        self.is_over = false;
    }
}
