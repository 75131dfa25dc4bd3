//! The event store as a destination.
//!
//! Events keep id, type, content type, payload and metadata. There are two ways to be idempotent:
//!
//! - [`Versions::Exact`] (Ditto's default): an event keeps its number of the source. The event at
//!   that number is compared by id, so a repeated write is always seen as a duplicate, and a gap or
//!   a different event is detected.
//! - [`Versions::LookBack`] (`SkipVersionCheck`, and whenever single events of a stream are left
//!   out): an event is appended behind the last one. The ids at the end of the destination's stream
//!   are read once and kept, so that events written before a crash are found. The append expects
//!   the end that was read, so no event of another client gets between the read and the write.

mod append;
mod at_once;
mod look_back;
mod metadata;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use antiphon_eventstore as es;
use async_trait::async_trait;
use at_once::IN_FLIGHT_MAX;
use look_back::Tails;
use parking_lot::{Mutex, MutexGuard};

use super::{Outcome, Sink};
use crate::Result;
use crate::event::{Envelope, Event};
use crate::source::error;

/// The way in which an append is made repeatable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Versions {
    /// Append at the event's number of the source.
    Exact,
    /// Append behind the last event, after a search for the event's id.
    LookBack,
}

/// Settings of the sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventStoreSinkSettings {
    /// The way in which an append is made repeatable.
    pub versions: Versions,
    /// `$maxAge` of streams that are new at the destination. None for no limit.
    pub time_to_live: Option<Duration>,
    /// Number of ids read from the end of a destination stream to find events written before. Must
    /// exceed the number of events in progress at a crash.
    pub look_back_max: u64,
    /// Largest number of ids kept for all streams together. Above it streams are forgotten, and
    /// read again at their next write.
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

/// Consecutive events of one stream, for one append.
type Run<'a> = &'a [Envelope];

/// The event store as a destination.
pub struct EventStoreSink {
    client: es::EventStoreClient,
    settings: EventStoreSinkSettings,
    tails: Mutex<Tails>,
    /// Appenders that are idle: as many as there were simultaneous writes.
    appenders: Mutex<Vec<es::Appender>>,
    /// True when the server is too old for appenders.
    appends_alone: AtomicBool,
}

impl EventStoreSink {
    /// A sink that writes through `client`.
    pub fn new(client: es::EventStoreClient, settings: EventStoreSinkSettings) -> Self {
        Self {
            client,
            settings,
            tails: Mutex::default(),
            appenders: Mutex::default(),
            appends_alone: AtomicBool::new(false),
        }
    }

    /// An appender for exclusive use; none when the server does not support them.
    async fn appender(&self) -> es::Result<Option<es::Appender>> {
        if self.appends_alone.load(Ordering::Relaxed) {
            return Ok(None);
        }
        // an appender that failed while idle is useless
        let kept = std::iter::from_fn(|| self.kept().pop()).find(|one| !one.has_failed());
        if kept.is_some() {
            return Ok(kept);
        }
        match self.client.appender(IN_FLIGHT_MAX).await {
            Ok(appender) => Ok(Some(appender)),
            Err(failed) if failed.kind() == es::ErrorKind::Rejected => {
                let reason = crate::source::message(&failed);
                tracing::warn!(reason, "appends to the destination wait for each other");
                self.appends_alone.store(true, Ordering::Relaxed);
                Ok(None)
            }
            Err(failed) => Err(failed),
        }
    }

    fn give_back(&self, appender: es::Appender) {
        self.kept().push(appender);
    }

    fn kept(&self) -> MutexGuard<'_, Vec<es::Appender>> {
        self.appenders.lock()
    }

    /// Number of runs that can be written at once.
    fn count_at_once(&self, runs: &[Run<'_>]) -> usize {
        let plain = runs.iter().take(IN_FLIGHT_MAX).take_while(|run| !is_special(&run[0].event));
        match self.settings.versions {
            Versions::Exact => plain.count().max(1),
            Versions::LookBack => 1,
        }
    }

    /// Writes runs. Returns the outcomes of each.
    async fn write_runs(&self, runs: &[Run<'_>]) -> Vec<Vec<Outcome>> {
        let at_once = if runs.len() > 1 { self.append_at_once(runs).await } else { None };
        let mut at_once = at_once.map(Vec::into_iter);
        let mut failed: BTreeSet<&str> = BTreeSet::new();
        let mut all = Vec::with_capacity(runs.len());
        for run in runs {
            let stream = &*run[0].event.stream;
            let first = at_once.as_mut().and_then(Iterator::next);
            let outcomes = match first {
                _ if failed.contains(stream) => vec![Outcome::Untried; run.len()],
                Some(outcomes) => self.with_time_to_live(run, outcomes).await,
                None => self.write_run(run).await,
            };
            if !outcomes.iter().all(is_done) {
                failed.insert(stream);
            }
            all.push(outcomes);
        }
        all
    }

    /// Writes consecutive events of one stream. Returns one outcome for each.
    async fn write_run(&self, run: Run<'_>) -> Vec<Outcome> {
        let first = &run[0].event;
        if metadata::is_metadata(first) {
            return vec![self.write_metadata(first).await];
        }
        if metadata::is_tombstone(first) {
            return vec![self.write_tombstone(first).await];
        }
        let outcomes = match self.settings.versions {
            Versions::Exact => self.append_exact(run).await,
            Versions::LookBack => self.append_looking_back(run).await,
        };
        self.with_time_to_live(run, outcomes).await
    }

    async fn with_time_to_live(&self, run: Run<'_>, outcomes: Vec<Outcome>) -> Vec<Outcome> {
        if let Some(time_to_live) = self.settings.time_to_live
            && let Some(problem) = self.set_time_to_live(run, &outcomes, time_to_live).await
        {
            // the events are written but the time to live is not: a retry finds them, and sets it
            return failed_first(problem, run.len());
        }
        outcomes
    }
}

#[async_trait]
impl Sink for EventStoreSink {
    async fn write(&self, batch: &[Envelope]) -> Vec<Outcome> {
        let versions = self.settings.versions;
        let runs: Vec<Run<'_>> =
            batch.chunk_by(|one, next| are_neighbours(one, next, versions)).collect();
        let mut outcomes: Vec<Outcome> = Vec::with_capacity(batch.len());
        let mut failed: BTreeSet<&str> = BTreeSet::new();
        let mut rest = &runs[..];
        while !rest.is_empty() {
            let (segment, later) = rest.split_at(self.count_at_once(rest));
            rest = later;
            let goes = |run: &&Run<'_>| !failed.contains(&*run[0].event.stream);
            let going: Vec<Run<'_>> = segment.iter().filter(goes).copied().collect();
            let mut written = self.write_runs(&going).await.into_iter();
            let went: Vec<bool> = segment.iter().map(|run| goes(&run)).collect();
            for (run, went) in segment.iter().zip(went) {
                let of_run = if went { written.next() } else { None };
                let of_run = of_run.unwrap_or_else(|| vec![Outcome::Untried; run.len()]);
                if !of_run.iter().all(is_done) {
                    failed.insert(&run[0].event.stream);
                }
                outcomes.extend(of_run);
            }
        }
        outcomes
    }

    async fn probe(&self) -> Result<()> {
        self.client.ping().await.map_err(error)
    }

    fn mixes_streams(&self) -> bool {
        self.settings.versions == Versions::Exact
    }
}

/// Returns true when two events can share an append.
fn are_neighbours(one: &Envelope, next: &Envelope, versions: Versions) -> bool {
    let (one, next) = (&one.event, &next.event);
    one.stream == next.stream
        && ![one, next].into_iter().any(is_special)
        && (versions == Versions::LookBack || one.revision + 1 == next.revision)
}

/// Returns true for metadata and deletions, which are not events of the stream itself.
fn is_special(event: &Event) -> bool {
    metadata::is_metadata(event) || metadata::is_tombstone(event)
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

/// The outcome of an event whose call failed.
fn failure(failed: &es::Error) -> Outcome {
    let reason = crate::source::message(failed);
    match failed.kind() {
        es::ErrorKind::Unavailable
        | es::ErrorKind::Timeout
        | es::ErrorKind::NotLeader
        // a changed password: not the fault of an event
        | es::ErrorKind::AccessDenied => Outcome::Unavailable(reason),
        es::ErrorKind::Rejected | es::ErrorKind::StreamDeleted => Outcome::Rejected(reason),
        es::ErrorKind::NotFound
        | es::ErrorKind::AlreadyExists
        | es::ErrorKind::Corrupt
        | es::ErrorKind::Bug => Outcome::Retryable(reason),
        _ => Outcome::Retryable(reason),
    }
}

/// The outcomes of `count` events when the first one failed.
fn failed_first(outcome: Outcome, count: usize) -> Vec<Outcome> {
    let mut outcomes = vec![Outcome::Untried; count];
    if let Some(first) = outcomes.first_mut() {
        *first = outcome;
    }
    outcomes
}
