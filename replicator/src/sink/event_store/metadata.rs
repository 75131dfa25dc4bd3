//! Stream metadata: copying it, deleting a stream, and merging the time to live into it.

use std::time::Duration;

use antiphon_eventstore as es;
use serde_json::{Map, Value};

use super::{EventStoreSink, Versions, failure, is_done};
use crate::event::{Envelope, Event};
use crate::sink::Outcome;

/// Limit of rounds in one write, when other clients change the metadata meanwhile.
const ROUNDS_MAX: usize = 5;

const MAX_AGE: &str = "$maxAge";

pub(super) fn is_metadata(event: &Event) -> bool {
    &*event.event_type == "$metadata" && event.stream.starts_with("$$")
}

pub(super) fn is_tombstone(event: &Event) -> bool {
    &*event.event_type == "$streamDeleted"
}

impl EventStoreSink {
    /// Replaces the metadata of the destination's stream by the source's. The configured time to
    /// live is used if the source has none.
    pub(super) async fn write_metadata(&self, event: &Event) -> Outcome {
        let stream = event.stream.strip_prefix("$$").unwrap_or(&event.stream);
        let wanted: Map<String, Value> = match serde_json::from_slice(&event.data) {
            Ok(wanted) => wanted,
            Err(_) if event.data.is_empty() => Map::new(),
            Err(error) => {
                return Outcome::Rejected(format!(
                    "metadata of stream `{stream}`: expected a JSON object: {error}"
                ));
            }
        };
        for _ in 0..ROUNDS_MAX {
            let current = match self.client.stream_metadata(stream).await {
                Ok(current) => current,
                Err(failed) => return failure(&failed),
            };
            let mut merged = wanted.clone();
            if let Some(time_to_live) = self.settings.time_to_live {
                merged.entry(MAX_AGE).or_insert_with(|| time_to_live.as_secs().into());
            }
            if merged == current.properties && current.revision.is_some() {
                return Outcome::Duplicate;
            }
            match self.replace_metadata(stream, &current, &merged).await {
                Ok(true) => return Outcome::Written(None),
                Ok(false) => {}
                Err(outcome) => return outcome,
            }
        }
        Outcome::Retryable(format!("metadata of stream `{stream}`: others change it all the time"))
    }

    async fn replace_metadata(
        &self,
        stream: &str,
        current: &es::StreamMetadata,
        properties: &Map<String, Value>,
    ) -> Result<bool, Outcome> {
        let expected =
            current.revision.map_or(es::ExpectedRevision::NoStream, es::ExpectedRevision::Exact);
        match self.client.set_stream_metadata(stream, expected, properties).await {
            Ok(es::AppendOutcome::Written { .. }) => Ok(true),
            Ok(es::AppendOutcome::WrongExpectedRevision { .. }) => Ok(false),
            Err(failed) => Err(failure(&failed)),
        }
    }

    /// Deletes the destination's stream for ever, because the source's stream was deleted so.
    pub(super) async fn write_tombstone(&self, event: &Event) -> Outcome {
        match self.client.tombstone_stream(&event.stream, es::ExpectedRevision::Any).await {
            Ok(_) => Outcome::Written(None),
            Err(failed) if failed.kind() == es::ErrorKind::StreamDeleted => Outcome::Duplicate,
            Err(failed) => failure(&failed),
        }
    }

    /// Returns true when the run has the first event of the destination's stream.
    async fn has_first(&self, run: &[Envelope], outcomes: &[Outcome]) -> Result<bool, Outcome> {
        let mut all = run.iter().zip(outcomes);
        if all.clone().any(|(_, outcome)| *outcome == Outcome::Written(Some(0))) {
            return Ok(true);
        }
        let repeated = all.find(|(envelope, outcome)| {
            is_done(outcome) && envelope.event.revision == 0 && **outcome == Outcome::Duplicate
        });
        let Some((envelope, _)) = repeated else { return Ok(false) };
        if self.settings.versions == Versions::Exact {
            return Ok(true);
        }
        // the first event of the source may have another number at the destination
        let first = self.read_from(&envelope.event.stream, 0, 1).await?;
        Ok(first.first() == Some(&(0, envelope.event.id)))
    }

    /// Sets the time to live when the run wrote, or confirmed, the first event of its stream.
    /// Returns the failure if that fails; it replaces the run's outcomes.
    pub(super) async fn set_time_to_live(
        &self,
        run: &[Envelope],
        outcomes: &[Outcome],
        time_to_live: Duration,
    ) -> Option<Outcome> {
        let stream = &*run[0].event.stream;
        match self.has_first(run, outcomes).await {
            Ok(true) => {}
            Ok(false) => return None,
            Err(outcome) => return Some(outcome),
        }
        for _ in 0..ROUNDS_MAX {
            let current = match self.client.stream_metadata(stream).await {
                Ok(current) => current,
                Err(failed) => return Some(failure(&failed)),
            };
            if current.properties.contains_key(MAX_AGE) {
                return None;
            }
            let mut merged = current.properties.clone();
            merged.insert(MAX_AGE.to_owned(), time_to_live.as_secs().into());
            match self.replace_metadata(stream, &current, &merged).await {
                Ok(true) => {
                    tracing::debug!(target: crate::logging::TARGET, StreamName = stream,
                        "Setting TTL on stream {stream}");
                    return None;
                }
                Ok(false) => {}
                Err(outcome) => return Some(outcome),
            }
        }
        Some(Outcome::Retryable(format!(
            "metadata of stream `{stream}`: others change it all the time"
        )))
    }
}
