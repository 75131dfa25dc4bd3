//! The event store as a destination.
//!
//! Events keep id, type, content type, payload and metadata. Two ways to be idempotent:
//!
//! - [`Versions::Exact`] (Ditto's default): an event goes to the number that it has at the source. What stands there already is compared
//!   by id, so a repeated write is a duplicate for ever, and a gap or another event is seen.
//! - [`Versions::LookBack`] (`SkipVersionCheck`, and whenever single events of a stream are left out): an event goes behind the last one.
//!   The ids at the end of the destination's stream are read once and kept, so that what was written before a crash is found again; the
//!   append itself expects the end that was seen, so nobody else's event gets between the look and the write.

mod append;
mod look_back;
mod metadata;

use std::sync::Mutex;
use std::time::Duration;

use antiphon_eventstore as es;
use async_trait::async_trait;
use look_back::Tails;

use super::{Outcome, Sink};
use crate::Result;
use crate::event::Envelope;
use crate::source::error;

/// How an append is made repeatable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Versions {
    /// At the number that the event has at the source.
    Exact,
    /// Behind the last event, after a look for its id.
    LookBack,
}

/// Settings of the sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventStoreSinkSettings {
    /// How an append is made repeatable.
    pub versions: Versions,
    /// `$maxAge` of streams that are new at the destination.
    pub time_to_live: Option<Duration>,
    /// Ids of a destination stream that are read to find what was written before: more than can be unfinished at a crash.
    pub look_back_max: u64,
    /// Ids of all streams together that are kept; above it streams are forgotten, and read again when they are written.
    pub known_ids_max: usize,
}

impl Default for EventStoreSinkSettings {
    fn default() -> Self {
        Self {
            versions: Versions::Exact,
            time_to_live: None,
            look_back_max: 4096,
            known_ids_max: 500_000,
        }
    }
}

/// The event store as a destination.
pub struct EventStoreSink {
    client: es::EventStoreClient,
    settings: EventStoreSinkSettings,
    tails: Mutex<Tails>,
}

impl EventStoreSink {
    /// A sink that writes through `client`.
    pub fn new(client: es::EventStoreClient, settings: EventStoreSinkSettings) -> Self {
        Self { client, settings, tails: Mutex::default() }
    }

    /// Writes neighbours of one stream; one outcome each.
    async fn write_run(&self, run: &[Envelope]) -> Vec<Outcome> {
        let first = &run[0].event;
        if metadata::is_metadata(first) {
            return vec![self.write_metadata(first).await];
        }
        if metadata::is_tombstone(first) {
            return vec![self.write_tombstone(first).await];
        }
        let mut outcomes = match self.settings.versions {
            Versions::Exact => self.append_exact(run).await,
            Versions::LookBack => self.append_looking_back(run).await,
        };
        if let Some(time_to_live) = self.settings.time_to_live
            && let Some(problem) = self.set_time_to_live(run, &outcomes, time_to_live).await
        {
            // the events are there, but the stream is not as it should be: they are tried again, found, and the rest is made up for
            outcomes = vec![Outcome::Untried; run.len()];
            outcomes[0] = problem;
        }
        outcomes
    }
}

#[async_trait]
impl Sink for EventStoreSink {
    async fn write(&self, batch: &[Envelope]) -> Vec<Outcome> {
        let mut outcomes: Vec<Outcome> = Vec::with_capacity(batch.len());
        for run in batch.chunk_by(|one, next| are_neighbours(one, next, self.settings.versions)) {
            let has_failed = batch.iter().zip(&outcomes).any(|(envelope, outcome)| {
                !is_done(outcome) && envelope.event.stream == run[0].event.stream
            });
            if has_failed {
                outcomes.extend(run.iter().map(|_| Outcome::Untried));
            } else {
                outcomes.extend(self.write_run(run).await);
            }
        }
        outcomes
    }

    async fn probe(&self) -> Result<()> {
        self.client.ping().await.map_err(error)
    }
}

/// Whether two events can be in one append.
fn are_neighbours(one: &Envelope, next: &Envelope, versions: Versions) -> bool {
    let (one, next) = (&one.event, &next.event);
    let is_special = [one, next]
        .iter()
        .any(|event| metadata::is_metadata(event) || metadata::is_tombstone(event));
    one.stream == next.stream
        && !is_special
        && (versions == Versions::LookBack || one.revision + 1 == next.revision)
}

fn is_done(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Written(_) | Outcome::Duplicate | Outcome::Dropped)
}

fn new_event(envelope: &Envelope) -> es::NewEvent {
    let event = &envelope.event;
    es::NewEvent {
        id: event.id,
        event_type: event.event_type.clone(),
        is_json: event.is_json,
        data: event.data.clone(),
        metadata: event.metadata.clone(),
    }
}

/// What a failed call means for the event that it was about.
fn failure(failed: &es::Error) -> Outcome {
    let reason = crate::source::message(failed);
    match failed.kind() {
        es::ErrorKind::Unavailable
        | es::ErrorKind::Timeout
        | es::ErrorKind::NotLeader
        // a password that was changed: no event is to blame
        | es::ErrorKind::AccessDenied => Outcome::Unavailable(reason),
        es::ErrorKind::Rejected | es::ErrorKind::StreamDeleted => Outcome::Rejected(reason),
        es::ErrorKind::NotFound
        | es::ErrorKind::AlreadyExists
        | es::ErrorKind::Corrupt
        | es::ErrorKind::Bug => Outcome::Retryable(reason),
        _ => Outcome::Retryable(reason),
    }
}

/// The outcomes when the first of `count` events failed.
fn failed_first(outcome: Outcome, count: usize) -> Vec<Outcome> {
    let mut outcomes = vec![Outcome::Untried; count];
    if let Some(first) = outcomes.first_mut() {
        *first = outcome;
    }
    outcomes
}
