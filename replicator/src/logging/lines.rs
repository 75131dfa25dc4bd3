//! Ditto's log lines, with Ditto's words and at Ditto's levels.

use std::time::Duration;

use super::format::TARGET;
use crate::config::SinkKind;
use crate::event::Envelope;
use crate::pipeline::Note;

/// Writes the lines of one subscription.
#[derive(Debug, Clone)]
pub struct Lines {
    consumer: &'static str,
    suffix: &'static str,
    destination: &'static str,
    stream: String,
    group: String,
}

impl Lines {
    /// Lines of a subscription; `sink` decides Ditto's words for the consumer and the destination.
    pub fn new(stream: impl Into<String>, group: impl Into<String>, sink: SinkKind) -> Self {
        let (consumer, suffix, destination) = match sink {
            SinkKind::Kinesis => ("KinesisConsumer", " to Kinesis", "Kinesis"),
            SinkKind::EventStore => ("ReplicatingConsumer", "", "Event Store Ditto:Destination"),
            SinkKind::Ndjson | SinkKind::Journal => ("ReplicatingConsumer", "", "the destination"),
        };
        Self { consumer, suffix, destination, stream: stream.into(), group: group.into() }
    }

    /// The subscription starts.
    pub fn starting(&self) {
        self.life("Starting");
    }

    /// The subscription stops.
    pub fn stopping(&self) {
        self.life("Stopping");
    }

    fn life(&self, what: &str) {
        let (consumer, stream, group) = (self.consumer, &*self.stream, &*self.group);
        tracing::info!(target: TARGET, Consumer = consumer, StreamName = stream, GroupName = group,
            "{what} {consumer} subscribed to {stream} in group {group}");
    }

    /// The subscription ends with an error.
    pub fn failed(&self, reason: &str) {
        let (consumer, stream, group) = (self.consumer, &*self.stream, &*self.group);
        tracing::error!(target: TARGET, Consumer = consumer, StreamName = stream, GroupName = group, Reason = reason,
            "{consumer} subscribed to {stream} in group {group} ended: {reason}");
    }

    /// The line of a note of the pipeline.
    pub fn note(&self, note: &Note) {
        match note {
            Note::Completed { envelope, elapsed, .. } => self.replicating(envelope, *elapsed),
            Note::Retrying { envelope, attempt, delay, reason } => {
                self.failing(
                    envelope,
                    &format!("abandoned, try {attempt}, again in {delay:?}"),
                    reason,
                );
            }
            Note::Parked { envelope, reason } => {
                self.failing(envelope, "abandoned and parked", reason)
            }
            Note::Conflict { envelope, reason } => {
                self.failing(envelope, "abandoned, conflict", reason)
            }
            Note::Unresolved(envelope) => {
                let (number, stream) = (envelope.current_revision(), &*self.stream);
                tracing::warn!(target: TARGET, OriginalEventNumber = number, StreamName = stream,
                    "Event #{number} from {stream} is not resolved. Skipping");
            }
            Note::Skipped { envelope, reason } => {
                let (number, stream) = (envelope.event.revision, &*envelope.event.stream);
                tracing::debug!(target: TARGET, EventNumber = number, StreamName = stream, Reason = reason,
                    "Event #{number} from {stream} is skipped: {reason}");
            }
            Note::SourceUp => self.connected("Event Store Ditto:Source"),
            Note::SinkUp => self.connected(self.destination),
            Note::SourceDown { reason, delay } => {
                self.lost("Event Store Ditto:Source", &format!("in {delay:?}: {reason}"));
            }
            Note::SinkDown(reason) => self.lost(self.destination, &format!("again: {reason}")),
            Note::CaughtUp => self.live("is caught up and live"),
            Note::FellBehind => self.live("fell behind"),
            Note::Renewed(stream, number) => {
                tracing::debug!(target: TARGET, EventNumber = number, StreamName = &**stream,
                    "Event #{number} from {stream} waits longer than its server does, and is asked for again");
            }
            Note::NotRedelivered(stream, number) => {
                tracing::warn!(target: TARGET, EventNumber = number, StreamName = &**stream,
                    "Event #{number} from {stream} was handed back and did not come again; its stream goes on");
            }
            Note::Checkpoint(position) => {
                tracing::debug!(target: TARGET, StreamName = &*self.stream, Position = %position,
                    "Checkpoint of {} at {position}", self.stream);
            }
            Note::CheckpointFailed(reason) | Note::ParkingFailed(reason) => {
                tracing::error!(target: TARGET, StreamName = &*self.stream, Reason = reason,
                    "Could not store for {}, trying again: {reason}", self.stream);
            }
        }
    }

    fn connected(&self, connection: &str) {
        let stream = &*self.stream;
        tracing::info!(target: TARGET, StreamName = stream, ConnectionName = connection,
            "Connected to {connection} for {stream}");
    }

    fn lost(&self, connection: &str, then: &str) {
        let stream = &*self.stream;
        tracing::warn!(target: TARGET, StreamName = stream, ConnectionName = connection,
            "Connection to {connection} for {stream} is lost. Attempting to connect {then}");
    }

    fn live(&self, what: &str) {
        let stream = &*self.stream;
        tracing::info!(target: TARGET, StreamName = stream, "{stream} {what}");
    }

    fn replicating(&self, envelope: &Envelope, elapsed: Duration) {
        if !tracing::enabled!(target: TARGET, tracing::Level::DEBUG) {
            return;
        }
        let event = &envelope.event;
        let (number, original) = (event.revision, envelope.current_revision());
        let millis = elapsed.as_secs_f64() * 1000.0;
        let (event_type, stream, suffix) = (&*event.event_type, &*event.stream, self.suffix);
        tracing::debug!(target: TARGET, EventType = event_type, EventNumber = number, StreamName = stream,
            OriginalEventNumber = original, Elapsed = millis, Outcome = "completed",
            "Replicating {event_type} #{number} from {stream} (Original Event: #{original}){suffix} completed in {millis:.1} ms");
    }

    fn failing(&self, envelope: &Envelope, outcome: &str, reason: &str) {
        let event = &envelope.event;
        let (number, original) = (event.revision, envelope.current_revision());
        let (event_type, stream, suffix) = (&*event.event_type, &*event.stream, self.suffix);
        tracing::error!(target: TARGET, EventType = event_type, EventNumber = number, StreamName = stream,
            OriginalEventNumber = original, Outcome = outcome, Reason = reason,
            "Replicating {event_type} #{number} from {stream} (Original Event: #{original}){suffix} {outcome}: {reason}");
    }
}
