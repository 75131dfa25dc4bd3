//! Settings of how the replicator works: lanes, batches, retries, parking, checkpoints, the transform hook.

use std::time::Duration;

use super::problems::Problems;
use super::reader::{Reader, choice};
use super::secret::Secret;

const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);

/// Lanes and batches of one subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PipelineSettings {
    /// Writers that work at the same time; a stream always stays in one of them. One is Ditto's order.
    pub lanes: u32,
    /// Events that wait in one lane; when it is full, reading pauses.
    pub lane_events_max: u32,
    /// Events that a catch-up holds which are not settled; when it is full, reading pauses.
    pub in_flight_max: u32,
    /// Bytes of the same.
    pub in_flight_bytes_max: u64,
    /// Events of one append.
    pub batch_events_max: u32,
    /// Bytes of one append; a single larger event goes alone.
    pub batch_bytes_max: u64,
    /// How long one append may take; then its outcome is unknown and is found out.
    pub write_timeout: Duration,
}

impl Default for PipelineSettings {
    fn default() -> Self {
        Self {
            lanes: 1,
            lane_events_max: 1000,
            in_flight_max: 8000,
            in_flight_bytes_max: 64 * 1024 * 1024,
            batch_events_max: 200,
            batch_bytes_max: 512 * 1024,
            write_timeout: Duration::from_secs(10),
        }
    }
}

impl PipelineSettings {
    pub(super) fn read(reader: &Reader<'_>) -> Self {
        let default = Self::default();
        Self {
            lanes: reader.number("Settings:Lanes", default.lanes),
            lane_events_max: reader.number("Settings:LaneEventsMax", default.lane_events_max),
            in_flight_max: reader.number("Settings:InFlightMax", default.in_flight_max),
            in_flight_bytes_max: reader
                .number("Settings:InFlightBytesMax", default.in_flight_bytes_max),
            batch_events_max: reader.number("Settings:BatchEventsMax", default.batch_events_max),
            batch_bytes_max: reader.number("Settings:BatchBytesMax", default.batch_bytes_max),
            write_timeout: reader.span("Settings:WriteTimeout", default.write_timeout),
        }
    }

    pub(super) fn check(&self, problems: &mut Problems) {
        problems.number("Settings:Lanes", self.lanes.into(), 1, 256);
        problems.number("Settings:LaneEventsMax", self.lane_events_max.into(), 1, 1_000_000);
        problems.number("Settings:InFlightMax", self.in_flight_max.into(), 1, 10_000_000);
        let giga = 1024 * 1024 * 1024;
        problems.number("Settings:InFlightBytesMax", self.in_flight_bytes_max, 1024, 64 * giga);
        problems.number("Settings:BatchEventsMax", self.batch_events_max.into(), 1, 10_000);
        problems.number("Settings:BatchBytesMax", self.batch_bytes_max, 1024, giga);
        problems.span("Settings:WriteTimeout", self.write_timeout, MILLISECOND * 100, HOUR);
    }
}

/// Retries, and events that are put aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetrySettings {
    /// The pause before the first repetition of a failed event, and before a lost connection is made again.
    pub delay: Duration,
    /// The longest pause: each is about twice the one before.
    pub delay_max: Duration,
    /// How often one event is repeated before it is parked; a destination that is not reachable does not count.
    pub attempts_max: u32,
    /// Events that may be parked; when there are so many, the subscription stops with an error.
    pub parked_max: u32,
    /// Where parked events are kept: a directory.
    pub park_directory: String,
}

impl Default for RetrySettings {
    fn default() -> Self {
        Self {
            delay: Duration::from_millis(100),
            delay_max: Duration::from_secs(10),
            attempts_max: 10,
            parked_max: 10_000,
            park_directory: "parked".to_owned(),
        }
    }
}

impl RetrySettings {
    pub(super) fn read(reader: &Reader<'_>) -> Self {
        let default = Self::default();
        Self {
            delay: reader.span("Settings:RetryDelay", default.delay),
            delay_max: reader.span("Settings:RetryDelayMax", default.delay_max),
            attempts_max: reader.number("Settings:RetryAttemptsMax", default.attempts_max),
            parked_max: reader.number("Settings:ParkedMax", default.parked_max),
            park_directory: reader.text("Settings:ParkDirectory", &default.park_directory),
        }
    }

    pub(super) fn check(&self, problems: &mut Problems) {
        problems.span("Settings:RetryDelay", self.delay, MILLISECOND, HOUR);
        problems.span("Settings:RetryDelayMax", self.delay_max, MILLISECOND, HOUR);
        if self.delay_max < self.delay {
            problems.push(
                "`Settings:RetryDelayMax`: expected at least `Settings:RetryDelay`".to_owned(),
            );
        }
        problems.number("Settings:RetryAttemptsMax", self.attempts_max.into(), 0, 1_000_000);
        problems.number("Settings:ParkedMax", self.parked_max.into(), 0, 10_000_000);
    }
}

choice! {
    /// Where the checkpoints of catch-ups are kept.
    CheckpointKind {
        /// A file a subscription.
        File = "file",
        /// A stream a subscription at the destination event store, in the format of Ditto of 2018.
        Destination = "destination",
    }
}

/// Checkpoints of catch-ups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointSettings {
    /// Where they are kept.
    pub kind: CheckpointKind,
    /// The directory of the files.
    pub directory: String,
    /// The longest time between two of them while events come.
    pub interval: Duration,
    /// Saves one earlier after so many events.
    pub events_max: u64,
}

impl Default for CheckpointSettings {
    fn default() -> Self {
        Self {
            kind: CheckpointKind::File,
            directory: "checkpoints".to_owned(),
            interval: Duration::from_secs(5),
            events_max: 10_000,
        }
    }
}

impl CheckpointSettings {
    pub(super) fn read(reader: &Reader<'_>) -> Self {
        let default = Self::default();
        Self {
            kind: reader.choice("Settings:Checkpoint:Store", default.kind),
            directory: reader.text("Settings:Checkpoint:Directory", &default.directory),
            interval: reader.span("Settings:Checkpoint:Interval", default.interval),
            events_max: reader.number("Settings:Checkpoint:EventsMax", default.events_max),
        }
    }

    pub(super) fn check(&self, problems: &mut Problems) {
        problems.span("Settings:Checkpoint:Interval", self.interval, MILLISECOND * 10, HOUR);
        problems.number("Settings:Checkpoint:EventsMax", self.events_max, 1, 100_000_000);
    }
}

/// The HTTP hook that may change or drop an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransformSettings {
    /// Where each event is posted; none is no transform.
    pub url: Option<Secret>,
    /// The value of the header `Authorization`; none sends none.
    pub authorization: Option<Secret>,
    /// How long one request may take.
    pub timeout: Duration,
    /// How often a request is repeated that got no answer, a 5xx, a 408 or a 429.
    pub attempts_max: u32,
    /// Requests under way at the same time; further ones wait.
    pub concurrency_max: u32,
    /// Bytes of an answer; a larger one is an error.
    pub answer_bytes_max: u64,
}

impl Default for TransformSettings {
    fn default() -> Self {
        Self {
            url: None,
            authorization: None,
            timeout: Duration::from_secs(5),
            attempts_max: 3,
            concurrency_max: 16,
            answer_bytes_max: 16 * 1024 * 1024,
        }
    }
}

impl TransformSettings {
    pub(super) fn read(reader: &Reader<'_>) -> Self {
        let default = Self::default();
        let secret = |name: &str| {
            let key = format!("Settings:Transform:{name}");
            reader.optional(&key).map(Secret::new)
        };
        Self {
            url: secret("Url"),
            authorization: secret("Authorization"),
            timeout: reader.span("Settings:Transform:Timeout", default.timeout),
            attempts_max: reader.number("Settings:Transform:AttemptsMax", default.attempts_max),
            concurrency_max: reader
                .number("Settings:Transform:ConcurrencyMax", default.concurrency_max),
            answer_bytes_max: reader
                .number("Settings:Transform:AnswerBytesMax", default.answer_bytes_max),
        }
    }

    pub(super) fn check(&self, problems: &mut Problems) {
        if let Some(url) = &self.url
            && !url.expose().starts_with("http://")
        {
            let expected = "a URL `http://host:port/path` (for TLS put a proxy beside the hook)";
            problems.expected("Settings:Transform:Url", &url.to_string(), expected);
        }
        problems.span("Settings:Transform:Timeout", self.timeout, MILLISECOND, SECOND * 600);
        problems.number("Settings:Transform:AttemptsMax", self.attempts_max.into(), 0, 1000);
        problems.number("Settings:Transform:ConcurrencyMax", self.concurrency_max.into(), 1, 1024);
        let giga = 1024 * 1024 * 1024;
        problems.number("Settings:Transform:AnswerBytesMax", self.answer_bytes_max, 1024, giga);
    }
}
