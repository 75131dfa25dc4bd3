//! Stream metadata: copying it, deleting a stream, and merging the time to live into it.
//!
//! Metadata is copied byte by byte, with its id, to its own number, like any event: a repeated copy
//! is found, and an older version does not replace a newer one. The destination may have other
//! metadata at that number: its server writes some when a deleted stream is written again, and so
//! do others. Then only the newest version of the source is written behind it, so that both sides
//! end with the same.

use std::time::Duration;

use antiphon_eventstore as es;
use bytes::Bytes;
use uuid::Uuid;

use super::append::expected_revision;
use super::client::{behind, failure, ids, new_event};
use super::origin::Origin;
use super::settings::{EventStoreSinkSettings, Versions};
use crate::event::{Envelope, Event};
use crate::filter::Metadata;
use crate::sink::Outcome;
use crate::sink::run::Run;

/// Limit of rounds in one write, when other clients change the metadata meanwhile.
const ROUNDS_MAX: usize = 5;

/// Largest number of versions of a stream's metadata that are compared.
const VERSIONS_MAX: u64 = 512;

const MAX_AGE: &str = "$maxAge";
const BEFORE: &str = "$tb";

/// Returns true for metadata and deletions, which are not events of the stream itself.
pub(super) fn is_special(event: &Event) -> bool {
    event.is_stream_metadata() || event.is_tombstone()
}

/// The number before which metadata hides the events of its stream; none when it hides none by
/// their numbers, or deletes the stream.
pub(super) fn hidden_before(event: &Event) -> Option<u64> {
    hidden_before_in(&event.data)
}

fn hidden_before_in(data: &[u8]) -> Option<u64> {
    let metadata = Metadata::parse(data).ok().filter(|metadata| !metadata.deletes())?;
    metadata.get(BEFORE)?.parse().ok()
}

/// The metadata of the destination's streams.
pub(super) struct StreamMetadata {
    client: es::EventStoreClient,
    origin: Option<Origin>,
    versions: Versions,
    time_to_live: Option<Duration>,
}

impl StreamMetadata {
    pub(super) fn new(
        client: es::EventStoreClient,
        settings: &EventStoreSinkSettings,
        origin: Option<Origin>,
    ) -> Self {
        let EventStoreSinkSettings { versions, time_to_live, .. } = *settings;
        Self { client, origin, versions, time_to_live }
    }

    /// Replaces the metadata of the destination's stream by the source's. The configured time to
    /// live is used if the source has none. Where events have other numbers than at the source, it
    /// hides none by their numbers. A cancelled call may have written.
    pub(super) async fn copy(&self, envelope: &Envelope, keeps_numbers: bool) -> Outcome {
        let event = &envelope.event;
        let data = match self.wanted(event, keeps_numbers).await {
            Ok(data) => data,
            Err(outcome) => return outcome,
        };
        let wanted = new_event(&Event { data, ..event.clone() });
        let expected = expected_revision(event);
        match self.client.append(&event.stream, expected, vec![wanted.clone()]).await {
            Ok(es::AppendOutcome::Written { .. }) => match self.is_overruled(envelope).await {
                Ok(true) => {}
                Ok(false) => return Outcome::Written(None),
                Err(outcome) => return outcome,
            },
            Ok(es::AppendOutcome::WrongExpectedRevision { .. }) => {
                // also where the destination has fewer versions, because older ones were passed
                // over
                match self.is_settled(envelope, &wanted).await {
                    Ok(true) => return Outcome::Duplicate,
                    Ok(false) => {}
                    Err(outcome) => return outcome,
                }
            }
            Err(failed) => return failure(&failed),
        }
        let replaced = self.replace(&event.stream, |current| {
            Ok(current.is_none_or(|current| *current != wanted.data).then(|| wanted.clone()))
        });
        match replaced.await {
            Ok(true) => Outcome::Written(None),
            Ok(false) => Outcome::Duplicate,
            Err(outcome) => outcome,
        }
    }

    /// Returns whether the destination's server has followed this version, just written, with one
    /// of its own. It does so when metadata bring a deleted stream back, and hides as many events
    /// as it has then: other ones than the source, when it has more or fewer of them.
    async fn is_overruled(&self, envelope: &Envelope) -> Result<bool, Outcome> {
        let event = &envelope.event;
        let newest = self.client.newest(&event.stream).await.map_err(|failed| failure(&failed))?;
        let newest = newest.and_then(|newest| newest.event);
        let is_by_server = newest.is_some_and(|newest| {
            newest.revision == event.revision + 1 && hidden_before_in(&newest.data).is_some()
        });
        if !is_by_server {
            return Ok(false);
        }
        // a version of the source that follows is written behind it, or was in an earlier copy
        match &self.origin {
            Some(origin) => origin.is_newest(&envelope.source_stream, event.id).await,
            None => Ok(false),
        }
    }

    /// Returns whether the destination has this version, or had it, or a newer one follows.
    async fn is_settled(
        &self,
        envelope: &Envelope,
        wanted: &es::NewEvent,
    ) -> Result<bool, Outcome> {
        let event = &envelope.event;
        let (backwards, from) = (es::Direction::Backwards, es::ReadFrom::End);
        let found = self.client.read_if_there(&event.stream, backwards, from, VERSIONS_MAX).await;
        let found = found.map_err(|failed| failure(&failed))?;
        let is_it = |one: &es::RecordedEvent| {
            one.id == event.id || (one.revision == event.revision && one.data == wanted.data)
        };
        if found.iter().filter_map(|one| one.event.as_ref()).any(is_it) {
            return Ok(true);
        }
        match &self.origin {
            Some(origin) => Ok(!origin.is_newest(&envelope.source_stream, event.id).await?),
            None => Ok(false),
        }
    }

    /// The metadata as the destination gets it.
    async fn wanted(&self, event: &Event, keeps_numbers: bool) -> Result<Bytes, Outcome> {
        if keeps_numbers && self.time_to_live.is_none() {
            return Ok(event.data.clone());
        }
        let Ok(mut metadata) = Metadata::parse(&event.data) else {
            return Err(Outcome::Rejected(format!(
                "metadata in `{}`: expected a JSON object, because `Settings:TimeToLive` adds `{MAX_AGE}`",
                event.stream
            )));
        };
        if let Some(time_to_live) = self.time_to_live
            && metadata.get(MAX_AGE).is_none()
        {
            metadata.set(MAX_AGE, &time_to_live.as_secs().into());
        }
        if !keeps_numbers {
            let newest = self.client.newest(&event.stream).await;
            let newest = newest.map_err(|failed| failure(&failed))?.and_then(|one| one.event);
            // the version with the same number is that of the destination's server, which wrote it
            // when the deleted stream was written again
            let own = newest.filter(|newest| newest.revision == event.revision);
            let own = own.and_then(|own| hidden_before_in(&own.data)).unwrap_or_default();
            metadata.set(BEFORE, &own.into());
        }
        Ok(metadata.to_bytes())
    }

    /// Appends to the metadata stream `metastream` what `change` makes of its newest data. Returns
    /// false when nothing has to change.
    async fn replace(
        &self,
        metastream: &str,
        change: impl Fn(Option<&Bytes>) -> Result<Option<es::NewEvent>, Outcome>,
    ) -> Result<bool, Outcome> {
        for _ in 0..ROUNDS_MAX {
            let newest = self.client.newest(metastream).await.map_err(|failed| failure(&failed))?;
            let newest = newest.and_then(|newest| newest.event);
            let Some(wanted) = change(newest.as_ref().map(|newest| &newest.data))? else {
                return Ok(false);
            };
            let expected = behind(newest.map(|newest| newest.revision));
            match self.client.append(metastream, expected, vec![wanted]).await {
                Ok(es::AppendOutcome::Written { .. }) => return Ok(true),
                Ok(es::AppendOutcome::WrongExpectedRevision { .. }) => {}
                Err(failed) => return Err(failure(&failed)),
            }
        }
        Err(Outcome::Retryable(format!(
            "metadata in `{metastream}`: others change it all the time"
        )))
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
        let id = Uuid::new_v4();
        let metastream = format!("$${stream}");
        let replaced = self.replace(&metastream, |current| {
            let current = current.map_or(&[][..], |current| &current[..]);
            let Ok(mut merged) = Metadata::parse(current) else {
                let why = "expected a JSON object at the destination";
                return Err(Outcome::Retryable(format!("metadata of stream `{stream}`: {why}")));
            };
            if merged.get(MAX_AGE).is_some() {
                return Ok(None);
            }
            merged.set(MAX_AGE, &time_to_live.as_secs().into());
            Ok(Some(es::NewEvent::json("$metadata", merged.to_bytes()).with_id(id)))
        });
        if replaced.await? {
            tracing::debug!(target: crate::logging::TARGET, StreamName = stream,
                "Setting TTL on stream {stream}");
        }
        Ok(())
    }
}
