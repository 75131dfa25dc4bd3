//! Stream metadata: copying it, deleting a stream, and merging the time to live into it.

use std::time::Duration;

use antiphon_eventstore as es;
use serde_json::{Map, Value};

use super::client::{behind, failure, ids};
use super::settings::{EventStoreSinkSettings, Versions};
use crate::event::Event;
use crate::sink::Outcome;
use crate::sink::run::Run;

/// Limit of rounds in one write, when other clients change the metadata meanwhile.
const ROUNDS_MAX: usize = 5;

const MAX_AGE: &str = "$maxAge";

pub(super) fn is_metadata(event: &Event) -> bool {
    &*event.event_type == "$metadata" && event.stream.starts_with("$$")
}

pub(super) fn is_tombstone(event: &Event) -> bool {
    &*event.event_type == "$streamDeleted"
}

/// Returns true for metadata and deletions, which are not events of the stream itself.
pub(super) fn is_special(event: &Event) -> bool {
    is_metadata(event) || is_tombstone(event)
}

/// The metadata of the destination's streams.
pub(super) struct StreamMetadata {
    client: es::EventStoreClient,
    versions: Versions,
    time_to_live: Option<Duration>,
}

impl StreamMetadata {
    pub(super) fn new(client: es::EventStoreClient, settings: &EventStoreSinkSettings) -> Self {
        Self { client, versions: settings.versions, time_to_live: settings.time_to_live }
    }

    /// Replaces the metadata of the destination's stream by the source's. The configured time to
    /// live is used if the source has none. A cancelled call may have written.
    pub(super) async fn copy(&self, event: &Event) -> Outcome {
        let stream = event.stream.strip_prefix("$$").unwrap_or(&event.stream);
        let mut wanted: Map<String, Value> = match serde_json::from_slice(&event.data) {
            Ok(wanted) => wanted,
            Err(_) if event.data.is_empty() => Map::new(),
            Err(error) => {
                return Outcome::Rejected(format!(
                    "metadata of stream `{stream}`: expected a JSON object: {error}"
                ));
            }
        };
        if let Some(time_to_live) = self.time_to_live {
            wanted.entry(MAX_AGE).or_insert_with(|| time_to_live.as_secs().into());
        }
        let replaced = self.replace(stream, |current| {
            let is_there = wanted == current.properties && current.revision.is_some();
            (!is_there).then(|| wanted.clone())
        });
        match replaced.await {
            Ok(true) => Outcome::Written(None),
            Ok(false) => Outcome::Duplicate,
            Err(outcome) => outcome,
        }
    }

    /// Replaces the metadata of a stream by what `change` makes of it. Returns false when nothing
    /// has to change.
    async fn replace(
        &self,
        stream: &str,
        change: impl Fn(&es::StreamMetadata) -> Option<Map<String, Value>>,
    ) -> Result<bool, Outcome> {
        for _ in 0..ROUNDS_MAX {
            let current = self.client.stream_metadata(stream).await;
            let current = current.map_err(|failed| failure(&failed))?;
            let Some(properties) = change(&current) else { return Ok(false) };
            let expected = behind(current.revision);
            match self.client.set_stream_metadata(stream, expected, &properties).await {
                Ok(es::AppendOutcome::Written { .. }) => return Ok(true),
                Ok(es::AppendOutcome::WrongExpectedRevision { .. }) => {}
                Err(failed) => return Err(failure(&failed)),
            }
        }
        let text = format!("metadata of stream `{stream}`: others change it all the time");
        Err(Outcome::Retryable(text))
    }

    /// Deletes the destination's stream for ever, because the source's stream was deleted so. A
    /// cancelled call may have deleted it.
    pub(super) async fn tombstone(&self, event: &Event) -> Outcome {
        match self.client.tombstone_stream(&event.stream, es::ExpectedRevision::Any).await {
            Ok(_) => Outcome::Written(None),
            Err(failed) if failed.kind() == es::ErrorKind::StreamDeleted => Outcome::Duplicate,
            Err(failed) => failure(&failed),
        }
    }

    /// Returns true when the run has the first event of the destination's stream.
    async fn has_first(&self, run: Run<'_>, outcomes: &[Outcome]) -> Result<bool, Outcome> {
        let mut all = run.iter().zip(outcomes);
        if all.clone().any(|(_, outcome)| *outcome == Outcome::Written(Some(0))) {
            return Ok(true);
        }
        let repeated = all.find(|(envelope, outcome)| {
            envelope.event.revision == 0 && **outcome == Outcome::Duplicate
        });
        let Some((envelope, _)) = repeated else { return Ok(false) };
        if self.versions == Versions::Exact {
            return Ok(true);
        }
        // the first event of the source may have another number at the destination
        let (forwards, stream) = (es::Direction::Forwards, &envelope.event.stream);
        let first = ids(&self.client, stream, forwards, es::ReadFrom::Start, 1).await?;
        Ok(first.first() == Some(&(0, envelope.event.id)))
    }

    /// Sets the time to live when the run wrote, or confirmed, the first event of its stream. If
    /// that fails, the failure replaces the outcomes of the run. A cancelled call may have set it.
    pub(super) async fn with_time_to_live(
        &self,
        run: Run<'_>,
        outcomes: Vec<Outcome>,
    ) -> Vec<Outcome> {
        let Some(time_to_live) = self.time_to_live else { return outcomes };
        match self.set_time_to_live(run, &outcomes, time_to_live).await {
            Ok(()) => outcomes,
            // the events are written but the time to live is not: a retry finds them, and sets it
            Err(problem) => problem.then_untried(run.len()),
        }
    }

    async fn set_time_to_live(
        &self,
        run: Run<'_>,
        outcomes: &[Outcome],
        time_to_live: Duration,
    ) -> Result<(), Outcome> {
        if !self.has_first(run, outcomes).await? {
            return Ok(());
        }
        let stream = &*run[0].event.stream;
        let replaced = self.replace(stream, |current| {
            let mut merged = current.properties.clone();
            let is_new = merged.insert(MAX_AGE.to_owned(), time_to_live.as_secs().into()).is_none();
            is_new.then_some(merged)
        });
        if replaced.await? {
            tracing::debug!(target: crate::logging::TARGET, StreamName = stream,
                "Setting TTL on stream {stream}");
        }
        Ok(())
    }
}
