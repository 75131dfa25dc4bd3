//! Settings of the replicator's work: lanes, batches, retries, parking, checkpoints, the transform
//! hook.

use std::time::Duration;

use super::problems::Problems;
use super::reader::{Choice, Reader, choice};
use super::secret::Secret;
use crate::pipeline::{ConflictPolicy, Followers, LaneOrder, Neighbours};

const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);

impl Choice for LaneOrder {
    const ALL: &'static [Self] = &[Self::Arrival, Self::PerStream];

    fn word(self) -> &'static str {
        match self {
            Self::Arrival => "arrival",
            Self::PerStream => "stream",
        }
    }
}

impl Choice for Neighbours {
    const ALL: &'static [Self] = &[Self::GoOn, Self::Wait];

    fn word(self) -> &'static str {
        match self {
            Self::GoOn => "go-on",
            Self::Wait => "wait",
        }
    }
}

impl Choice for Followers {
    const ALL: &'static [Self] = &[Self::Park, Self::GoOn];

    fn word(self) -> &'static str {
        match self {
            Self::Park => "park",
            Self::GoOn => "go-on",
        }
    }
}

impl Choice for ConflictPolicy {
    const ALL: &'static [Self] = &[Self::Park, Self::Skip, Self::Stop];

    fn word(self) -> &'static str {
        match self {
            Self::Park => "park",
            Self::Skip => "skip",
            Self::Stop => "stop",
        }
    }
}

/// Lanes, batches and waiting times of one subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkSettings {
    /// Lanes, which write at the same time; a stream stays in one lane. With one lane, the order
    /// across streams is kept, as Ditto keeps it.
    pub lanes: u32,
    /// The order in which a lane writes.
    pub lane_order: LaneOrder,
    /// Writes under way at once in a lane.
    pub lane_writes_max: u32,
    /// The behaviour of the other streams of a lane while one stream is blocked.
    pub when_blocked: Neighbours,
    /// Events of one append.
    pub batch_events_max: u32,
    /// Bytes of one append; a single larger event goes alone.
    pub batch_bytes_max: u64,
    /// Events that are held at once; when full, reading pauses.
    pub held_events_max: u32,
    /// Bytes of the held events; when full, reading pauses.
    pub held_bytes_max: u64,
    /// Events that may wait behind failing events; when full, the stream with the most is given up:
    /// its failing event is parked early.
    pub blocked_events_max: u32,
    /// Shortest time that an event must have been failing before its stream is given up early.
    pub blocked_wait_max: Duration,
    /// Longest wait of an event for the events before it to appear at the destination; then it is
    /// parked.
    pub missing_wait_max: Duration,
    /// The handling of the later events of a stream with a parked event.
    pub after_parked: Followers,
    /// Streams with a parked event that are remembered; when full, the oldest is forgotten.
    pub parked_streams_max: u32,
    /// Time for which such a stream is remembered; then one event of the stream is tried again.
    pub parked_streams_memory: Duration,
    /// Time after which a waiting event is handed back to its group and asked for again; zero is
    /// never.
    pub renew_after: Duration,
    /// Longest wait for the event to come again after that.
    pub redelivery_wait_max: Duration,
    /// Time that the destination may be away before a group is left, so that its retries are not
    /// used up; zero is for ever.
    pub suspend_after: Duration,
    /// The first pause before a lost source is opened again.
    pub reopen_delay: Duration,
    /// The longest such pause.
    pub reopen_delay_max: Duration,
    /// Longest time of one append, or of another request to a store; then its outcome is unknown
    /// and is found out.
    pub write_timeout: Duration,
}

impl Default for WorkSettings {
    fn default() -> Self {
        Self {
            lanes: 1,
            lane_order: LaneOrder::Arrival,
            lane_writes_max: 4,
            when_blocked: Neighbours::GoOn,
            batch_events_max: 256,
            batch_bytes_max: 512 * 1024,
            held_events_max: 8192,
            held_bytes_max: 64 * 1024 * 1024,
            blocked_events_max: 4096,
            blocked_wait_max: SECOND * 5,
            missing_wait_max: SECOND * 30,
            after_parked: Followers::Park,
            parked_streams_max: 100_000,
            parked_streams_memory: SECOND * 60,
            renew_after: SECOND * 20,
            redelivery_wait_max: SECOND * 60,
            suspend_after: SECOND * 10,
            reopen_delay: MILLISECOND * 100,
            reopen_delay_max: SECOND * 5,
            write_timeout: SECOND * 10,
        }
    }
}

impl WorkSettings {
    pub(super) fn read(reader: &Reader<'_>) -> Self {
        let default = Self::default();
        let span = |name: &str, default| reader.span(&format!("Settings:{name}"), default);
        Self {
            lanes: reader.number("Settings:Lanes", default.lanes),
            lane_order: reader.choice("Settings:LaneOrder", default.lane_order),
            lane_writes_max: reader.number("Settings:LaneWritesMax", default.lane_writes_max),
            when_blocked: reader.choice("Settings:WhenBlocked", default.when_blocked),
            batch_events_max: reader.number("Settings:BatchEventsMax", default.batch_events_max),
            batch_bytes_max: reader.number("Settings:BatchBytesMax", default.batch_bytes_max),
            held_events_max: reader.number("Settings:HeldEventsMax", default.held_events_max),
            held_bytes_max: reader.number("Settings:HeldBytesMax", default.held_bytes_max),
            blocked_events_max: reader
                .number("Settings:BlockedEventsMax", default.blocked_events_max),
            blocked_wait_max: span("BlockedWaitMax", default.blocked_wait_max),
            missing_wait_max: span("MissingWaitMax", default.missing_wait_max),
            after_parked: reader.choice("Settings:AfterParked", default.after_parked),
            parked_streams_max: reader
                .number("Settings:ParkedStreamsMax", default.parked_streams_max),
            parked_streams_memory: span("ParkedStreamsMemory", default.parked_streams_memory),
            renew_after: span("RenewAfter", default.renew_after),
            redelivery_wait_max: span("RedeliveryWaitMax", default.redelivery_wait_max),
            suspend_after: span("SuspendAfter", default.suspend_after),
            reopen_delay: span("ReopenDelay", default.reopen_delay),
            reopen_delay_max: span("ReopenDelayMax", default.reopen_delay_max),
            write_timeout: span("WriteTimeout", default.write_timeout),
        }
    }

    pub(super) fn check(&self, problems: &mut Problems) {
        let giga = 1024 * 1024 * 1024;
        for (name, value, min, max) in [
            ("Lanes", self.lanes.into(), 1, 256),
            ("LaneWritesMax", self.lane_writes_max.into(), 1, 1024),
            ("BatchEventsMax", self.batch_events_max.into(), 1, 10_000),
            ("BatchBytesMax", self.batch_bytes_max, 1024, giga),
            ("HeldEventsMax", self.held_events_max.into(), 1, 10_000_000),
            ("HeldBytesMax", self.held_bytes_max, 1024, 64 * giga),
            ("BlockedEventsMax", self.blocked_events_max.into(), 1, 10_000_000),
            ("ParkedStreamsMax", self.parked_streams_max.into(), 1, 10_000_000),
        ] {
            problems.number(&format!("Settings:{name}"), value, min, max);
        }
        for (name, value, min) in [
            ("BlockedWaitMax", self.blocked_wait_max, MILLISECOND),
            ("MissingWaitMax", self.missing_wait_max, MILLISECOND),
            ("ParkedStreamsMemory", self.parked_streams_memory, MILLISECOND),
            ("RenewAfter", self.renew_after, Duration::ZERO),
            ("RedeliveryWaitMax", self.redelivery_wait_max, MILLISECOND),
            ("SuspendAfter", self.suspend_after, Duration::ZERO),
            ("ReopenDelay", self.reopen_delay, MILLISECOND),
            ("ReopenDelayMax", self.reopen_delay_max, MILLISECOND),
            ("WriteTimeout", self.write_timeout, MILLISECOND * 100),
        ] {
            problems.span(&format!("Settings:{name}"), value, min, HOUR * 24);
        }
        if self.reopen_delay_max < self.reopen_delay {
            let key = "Settings:ReopenDelayMax";
            problems.push(format!("`{key}`: expected at least `Settings:ReopenDelay`"));
        }
    }
}

/// Retries, and limits of parked events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetrySettings {
    /// The pause before the first repetition of a failed event, a transform request or a throttled
    /// Kinesis request.
    pub delay: Duration,
    /// The longest such pause: each pause is about twice the one before.
    pub delay_max: Duration,
    /// Repetitions of one event before it is parked; a destination that is not reachable does not
    /// count.
    pub attempts_max: u32,
    /// Events that may be parked; one more stops the subscription with an error.
    pub parked_max: u32,
    /// The directory of parked events.
    pub park_directory: String,
}

impl Default for RetrySettings {
    fn default() -> Self {
        Self {
            delay: MILLISECOND * 50,
            delay_max: SECOND * 5,
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
    /// The store of the checkpoints of catch-ups.
    CheckpointKind {
        /// A file per subscription.
        File = "file",
        /// A stream per subscription at the destination event store, in the format of Ditto of
        /// 2018.
        Destination = "destination",
    }
}

/// Checkpoints of catch-ups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointSettings {
    /// The store of the checkpoints.
    pub kind: CheckpointKind,
    /// The directory of the files.
    pub directory: String,
    /// The longest time between two checkpoints while events come.
    pub interval: Duration,
    /// Saves a checkpoint earlier after so many events.
    pub events_max: u64,
}

impl Default for CheckpointSettings {
    fn default() -> Self {
        Self {
            kind: CheckpointKind::File,
            directory: "checkpoints".to_owned(),
            interval: Duration::from_secs(5),
            events_max: 1000,
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
    /// The URL that each event is posted to; none is no transform.
    pub url: Option<Secret>,
    /// The value of the header `Authorization`; none sends no such header.
    pub authorization: Option<Secret>,
    /// Longest time of one request.
    pub timeout: Duration,
    /// Repetitions of a request that got no answer, a 5xx, a 408 or a 429.
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
