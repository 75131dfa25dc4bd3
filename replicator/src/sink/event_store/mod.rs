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
mod look_back;
mod metadata;
mod settings;

use antiphon_eventstore as es;
use append::ExactAppends;
use async_trait::async_trait;
use at_once::{AppendsAtOnce, IN_FLIGHT_MAX};
use look_back::LookBack;
use metadata::{StreamMetadata, is_metadata, is_special, is_tombstone};
pub use settings::{EventStoreSinkSettings, Versions};

use super::run::{FailedStreams, Run};
use super::{Outcome, Sink};
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
}

impl EventStoreSink {
    /// A sink that writes through `client`.
    pub fn new(client: es::EventStoreClient, settings: EventStoreSinkSettings) -> Self {
        let exact = ExactAppends::new(client.clone(), settings.time_to_live.is_some());
        Self {
            versions: settings.versions,
            metadata: StreamMetadata::new(client.clone(), &settings),
            at_once: AppendsAtOnce::new(client.clone(), exact.clone()),
            exact,
            look_back: LookBack::new(client.clone(), &settings),
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

    /// Writes consecutive events of one stream. Returns one outcome for each.
    async fn write_run(&self, run: Run<'_>) -> Vec<Outcome> {
        let first = &run[0].event;
        if is_metadata(first) {
            return vec![self.metadata.copy(first).await];
        }
        if is_tombstone(first) {
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
        let mut rest = &runs[..];
        while !rest.is_empty() {
            let (segment, later) = rest.split_at(self.count_at_once(rest));
            rest = later;
            let at_once = self.write_at_once(segment, &failed).await;
            for (run, written) in segment.iter().zip(at_once) {
                let of_run = match written {
                    _ if failed.has(run) => vec![Outcome::Untried; run.len()],
                    Some(written) => self.metadata.with_time_to_live(run, written).await,
                    None => self.write_run(run).await,
                };
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
