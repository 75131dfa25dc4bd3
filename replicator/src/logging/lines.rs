//! Ditto's log lines, with Ditto's words and at Ditto's levels.

use std::time::Duration;

use super::format::TARGET;
use crate::config::SinkKind;
use crate::event::Envelope;
use crate::pipeline::Note;

/// Writes a line whose message is its template with the values.
macro_rules! line {
    ($level:ident, $template:expr, $($name:ident = $value:expr),+ $(,)?) => {
        tracing::$level!(target: TARGET, MessageTemplate = $template, $($name = $value),+)
    };
}

/// Writes the lines of one subscription.
#[derive(Debug, Clone)]
pub struct Lines {
    consumer: &'static str,
    completed: String,
    failed: String,
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
        let event = "Replicating {EventType} #{EventNumber} from {StreamName} (Original Event: #{OriginalEventNumber})";
        let completed = format!("{event}{suffix} {{Outcome}} in {{Elapsed:0.0}} ms");
        let failed = format!("{event}{suffix} {{Outcome}}: {{Reason}}");
        let (stream, group) = (stream.into(), group.into());
        Self { consumer, completed, failed, destination, stream, group }
    }

    /// The subscription starts.
    pub fn starting(&self) {
        self.life("Starting {Consumer} subscribed to {StreamName} in group {GroupName}");
    }

    /// The subscription stops.
    pub fn stopping(&self) {
        self.life("Stopping {Consumer} subscribed to {StreamName} in group {GroupName}");
    }

    fn life(&self, template: &str) {
        line!(
            info,
            template,
            Consumer = self.consumer,
            StreamName = &*self.stream,
            GroupName = &*self.group
        );
    }

    /// The subscription ends with an error.
    pub fn failed(&self, reason: &str) {
        let template = "{Consumer} subscribed to {StreamName} in group {GroupName} ended: {Reason}";
        line!(
            error,
            template,
            Consumer = self.consumer,
            StreamName = &*self.stream,
            GroupName = &*self.group,
            Reason = reason
        );
    }

    /// The subscribed stream has no event and does not exist, which is seldom meant.
    pub fn no_stream(&self) {
        let template = "Stream {StreamName} does not exist at the source, or has no event: it is waited for (is its name right?)";
        line!(warn, template, StreamName = &*self.stream);
    }

    /// Events are parked since this time.
    pub fn parked(&self, count: u64, oldest: &str) {
        let template = "{Count} events of {StreamName} are parked, the oldest {Oldest}: see `antiphon-replicator park`";
        line!(warn, template, StreamName = &*self.stream, Count = count, Oldest = oldest);
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
                let template =
                    "Event #{OriginalEventNumber} from {StreamName} is not resolved. Skipping";
                let number = envelope.current_revision();
                line!(warn, template, OriginalEventNumber = number, StreamName = &*self.stream);
            }
            Note::Skipped { envelope, reason } => {
                let template = "Event #{EventNumber} from {StreamName} is skipped: {Reason}";
                let event = &envelope.event;
                line!(
                    debug,
                    template,
                    EventNumber = event.revision,
                    StreamName = &*event.stream,
                    Reason = reason
                );
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
                let template = "Event #{EventNumber} from {StreamName} waits longer than its server does, and is asked for again";
                line!(debug, template, EventNumber = number, StreamName = &**stream);
            }
            Note::NotRedelivered(stream, number) => {
                let template = "Event #{EventNumber} from {StreamName} was handed back and did not come again; its stream goes on";
                line!(warn, template, EventNumber = number, StreamName = &**stream);
            }
            Note::Checkpoint(position) => {
                let template = "Checkpoint of {StreamName} at {Position}";
                let position = position.to_string();
                line!(debug, template, StreamName = &*self.stream, Position = position);
            }
            Note::CheckpointFailed(reason) | Note::ParkingFailed(reason) => {
                let template = "Could not store for {StreamName}, trying again: {Reason}";
                line!(error, template, StreamName = &*self.stream, Reason = reason);
            }
        }
    }

    fn connected(&self, connection: &str) {
        let template = "Connected to {ConnectionName} for {StreamName}";
        line!(info, template, StreamName = &*self.stream, ConnectionName = connection);
    }

    fn lost(&self, connection: &str, then: &str) {
        let template =
            "Connection to {ConnectionName} for {StreamName} is lost. Attempting to connect {Next}";
        line!(warn, template, StreamName = &*self.stream, ConnectionName = connection, Next = then);
    }

    fn live(&self, what: &str) {
        line!(info, "{StreamName} {State}", StreamName = &*self.stream, State = what);
    }

    fn replicating(&self, envelope: &Envelope, elapsed: Duration) {
        if !tracing::enabled!(target: TARGET, tracing::Level::DEBUG) {
            return;
        }
        let (event, template) = (&envelope.event, &*self.completed);
        line!(
            debug,
            template,
            EventType = &*event.event_type,
            EventNumber = event.revision,
            StreamName = &*event.stream,
            OriginalEventNumber = envelope.current_revision(),
            Elapsed = elapsed.as_secs_f64() * 1000.0,
            Outcome = "completed"
        );
    }

    fn failing(&self, envelope: &Envelope, outcome: &str, reason: &str) {
        let (event, template) = (&envelope.event, &*self.failed);
        line!(
            error,
            template,
            EventType = &*event.event_type,
            EventNumber = event.revision,
            StreamName = &*event.stream,
            OriginalEventNumber = envelope.current_revision(),
            Outcome = outcome,
            Reason = reason
        );
    }
}
