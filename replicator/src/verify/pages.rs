//! A stream of an event store, page by page.

use std::collections::VecDeque;

use antiphon_eventstore as es;

use crate::Result;
use crate::event::Event;
use crate::source::{error, recorded_event};

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

/// Reads a stream in pages.
pub(super) struct Pages<'a> {
    client: &'a es::EventStoreClient,
    stream: String,
    next: u64,
    pub(super) events: VecDeque<Event>,
    is_over: bool,
}

impl<'a> Pages<'a> {
    pub(super) fn new(client: &'a es::EventStoreClient, stream: &str) -> Self {
        let events = VecDeque::new();
        Self { client, stream: stream.to_owned(), next: 0, events, is_over: false }
    }

    pub(super) async fn fill(&mut self, count: usize) -> Result<()> {
        while self.events.len() < count && !self.is_over {
            let (page, next) = page(self.client, &self.stream, self.next, false).await?;
            (self.next, self.is_over) = (next.unwrap_or(self.next), next.is_none());
            let own = page.into_iter().filter_map(|one| one.link.or(one.event));
            self.events.extend(own.map(recorded_event));
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
