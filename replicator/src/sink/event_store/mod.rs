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
mod client;
mod hidden;
mod look_back;
mod metadata;
mod origin;
mod settings;

use std::collections::BTreeSet;

use antiphon_eventstore as es;
use append::ExactAppends;
use async_trait::async_trait;
use at_once::{AppendsAtOnce, IN_FLIGHT_MAX};
use hidden::behind_tombstone;
use look_back::LookBack;
use metadata::{StreamMetadata, hidden_before, is_special};
pub use origin::Origin;
pub use settings::{EventStoreSinkSettings, Versions};

use super::run::{FailedStreams, Run};
use super::{Conflict, Outcome, Sink};
use crate::Result;
use crate::event::Envelope;
use crate::source::error;

/// The event store as a destination.
pub struct EventStoreSink {
    client: es::EventStoreClient,
    versions: Versions,
    metadata: StreamMetadata,
    exact: ExactAppends,
    at_once: AppendsAtOnce,
    look_back: LookBack,
    origin: Option<Origin>,
}

impl EventStoreSink {
    /// A sink that writes through `client`, and asks `origin` about events that the destination
    /// hides. Without it, when the source is no event store, such events are told by their numbers.
    pub fn new(
        client: es::EventStoreClient,
        settings: EventStoreSinkSettings,
        origin: Option<Origin>,
    ) -> Self {
        let exact = ExactAppends::new(client.clone(), origin.clone());
        Self {
            versions: settings.versions,
            metadata: StreamMetadata::new(client.clone(), &settings, origin.clone()),
            at_once: AppendsAtOnce::new(client.clone(), exact.clone()),
            exact,
            look_back: LookBack::new(client.clone(), &settings, origin.clone()),
            origin,
            client,
        }
    }

    /// Number of runs that can be written at once.
    fn count_at_once(&self, runs: &[Run<'_>]) -> usize {
        let plain = runs.iter().take(IN_FLIGHT_MAX).take_while(|run| !is_special(&run[0].event));
        match self.versions {
            Versions::Exact => plain.count().max(1),
            Versions::LookBack => 1,
        }
    }

    /// The outcomes of runs that are written at once; none for each that must be written alone.
    async fn write_at_once(
        &self,
        runs: &[Run<'_>],
        failed: &FailedStreams<'_>,
    ) -> Vec<Option<Vec<Outcome>>> {
        let going: Vec<Run<'_>> = runs.iter().filter(|run| !failed.has(run)).copied().collect();
        let written = if going.len() > 1 { self.at_once.append(&going).await } else { None };
        let mut written = written.map(Vec::into_iter);
        let mut next = || written.as_mut().and_then(Iterator::next);
        runs.iter().map(|run| if failed.has(run) { None } else { next() }).collect()
    }

    async fn copy_metadata(&self, envelope: &Envelope) -> Outcome {
        let described = |stream: &str| stream.strip_prefix("$$").unwrap_or(stream).to_owned();
        let (stream, source) =
            (described(&envelope.event.stream), described(&envelope.source_stream));
        let keeps_numbers = match (self.versions, hidden_before(&envelope.event)) {
            (Versions::LookBack, Some(end)) => {
                self.look_back.keeps_numbers(&stream, &source, end).await
            }
            (Versions::LookBack, None) | (Versions::Exact, _) => Ok(true),
        };
        match keeps_numbers {
            Ok(keeps_numbers) => self.metadata.copy(envelope, keeps_numbers).await,
            Err(outcome) => outcome,
        }
    }

    /// Writes consecutive events of one stream. Returns one outcome for each.
    async fn write_run(&self, run: Run<'_>) -> Vec<Outcome> {
        let first = &run[0].event;
        if first.is_stream_metadata() {
            return vec![self.copy_metadata(&run[0]).await];
        }
        if first.is_tombstone() {
            return vec![self.metadata.tombstone(first).await];
        }
        let outcomes = match self.versions {
            Versions::Exact => self.exact.append(run).await,
            Versions::LookBack => self.look_back.append(run).await,
        };
        self.metadata.with_time_to_live(run, outcomes).await
    }
}

#[async_trait]
impl Sink for EventStoreSink {
    async fn write(&self, batch: &[Envelope]) -> Vec<Outcome> {
        let versions = self.versions;
        let runs: Vec<Run<'_>> =
            batch.chunk_by(|one, next| are_neighbours(one, next, versions)).collect();
        let mut outcomes: Vec<Outcome> = Vec::with_capacity(batch.len());
        let mut failed = FailedStreams::default();
        // streams that both sides have ended for ever
        let mut gone: BTreeSet<&str> = BTreeSet::new();
        let mut rest = &runs[..];
        while !rest.is_empty() {
            let (segment, later) = rest.split_at(self.count_at_once(rest));
            rest = later;
            let at_once = self.write_at_once(segment, &failed).await;
            for (run, written) in segment.iter().zip(at_once) {
                let of_run = match written {
                    _ if failed.has(run) => vec![Outcome::Untried; run.len()],
                    _ if gone.contains(&*run[0].event.stream) => {
                        vec![Outcome::Duplicate; run.len()]
                    }
                    Some(written) => self.metadata.with_time_to_live(run, written).await,
                    None => self.write_run(run).await,
                };
                let is_ended = of_run.contains(&Outcome::Conflict(Conflict::Ended));
                let of_run = behind_tombstone(run, of_run, self.origin.as_ref()).await;
                if is_ended && of_run.iter().all(Outcome::is_done) {
                    gone.insert(&run[0].event.stream);
                }
                failed.note(run, &of_run);
                outcomes.extend(of_run);
            }
        }
        outcomes
    }

    async fn probe(&self) -> Result<()> {
        self.client.ping().await.map_err(error)
    }

    fn mixes_streams(&self) -> bool {
        self.versions == Versions::Exact
    }
}

/// Returns true when two events can share an append.
fn are_neighbours(one: &Envelope, next: &Envelope, versions: Versions) -> bool {
    one.event.stream == next.event.stream
        && !is_special(&one.event)
        && !is_special(&next.event)
        && (versions == Versions::LookBack || one.event.revision + 1 == next.event.revision)
}
