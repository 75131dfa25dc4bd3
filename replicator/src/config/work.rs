//! Settings of the replicator's work: lanes, batches, retries, parking, checkpoints, the transform
//! hook.

use std::time::Duration;

use super::choice::{choice, words};
use super::kinds::{DAY, GIGA, HOUR, MILLISECOND, SECOND, number, optional, span, text, word};
use super::secret::Secret;
use super::table::settings;
use crate::pipeline::{ConflictPolicy, Followers, LaneOrder, Neighbours};

words! { LaneOrder { Arrival = "arrival", PerStream = "stream" } }
words! { Neighbours { GoOn = "go-on", Wait = "wait" } }
words! { Followers { Park = "park", GoOn = "go-on" } }
words! { ConflictPolicy { Park = "park", Skip = "skip", Stop = "stop" } }

settings! {
    /// Lanes, batches and waiting times of one subscription.
    WorkSettings {
        /// Lanes, which write at the same time; a stream stays in one lane. With one lane, the
        /// order across streams is kept, as Ditto keeps it.
        lanes: u32 = 1, "Lanes", number(1, 256);
        /// Order in which a lane writes. `arrival` writes a lane's events in the order in which
        /// they came, one write at a time; `stream` keeps only the order within each stream, and is
        /// faster.
        lane_order: LaneOrder = LaneOrder::Arrival, "LaneOrder", word();
        /// Writes under way at once in a lane, with `LaneOrder=stream`.
        lane_writes_max: u32 = 4, "LaneWritesMax", number(1, 1024);
        /// Behaviour of the other streams of a lane while one stream waits for its failing event.
        /// `wait` writes one stream at a time, which is slow.
        when_blocked: Neighbours = Neighbours::GoOn, "WhenBlocked", word();
        /// Events of one write; 1 writes events one by one. A write to an event store has the
        /// events of several streams, which are appended at the same time (except with
        /// `SkipVersionCheck`).
        batch_events_max: u32 = 256, "BatchEventsMax", number(1, 10_000);
        /// Bytes of one append; a single larger event goes alone.
        batch_bytes_max: u64 = 512 * 1024, "BatchBytesMax", number(1024, GIGA);
        /// Events that arrived and are not settled; when full, reading pauses.
        held_events_max: u32 = 8192, "HeldEventsMax", number(1, 10_000_000);
        /// Bytes of the events that arrived and are not settled; when full, reading pauses.
        held_bytes_max: u64 = 64 * 1024 * 1024, "HeldBytesMax", number(1024, 64 * GIGA);
        /// Events that may wait behind failing events; when full, the stream with the most is given
        /// up: its failing event is parked early.
        blocked_events_max: u32 = 4096, "BlockedEventsMax", number(1, 10_000_000);
        /// Shortest time that an event must have been failing before its stream is given up early.
        blocked_wait_max: Duration = SECOND * 5, "BlockedWaitMax", span(MILLISECOND, DAY);
        /// Longest wait of an event for the events before it to appear at the destination; then it
        /// is parked.
        missing_wait_max: Duration = SECOND * 30, "MissingWaitMax", span(MILLISECOND, DAY);
        /// Handling of the later events of a stream with a parked event. With the version check,
        /// they cannot be written without the parked event.
        after_parked: Followers = Followers::Park, "AfterParked", word();
        /// Streams with a parked event that are remembered; when full, the oldest is forgotten, and
        /// its next event is tried again.
        parked_streams_max: u32 = 100_000, "ParkedStreamsMax", number(1, 10_000_000);
        /// Time for which such a stream is remembered; then one event of the stream is tried again.
        parked_streams_memory: Duration = SECOND * 60, "ParkedStreamsMemory",
            span(MILLISECOND, DAY);
        /// Time after which a waiting event is handed back to its group and asked for again; 0 is
        /// never. Keep it below the group's message timeout.
        renew_after: Duration = SECOND * 20, "RenewAfter", span(Duration::ZERO, DAY);
        /// Longest wait for the event to come again after that.
        redelivery_wait_max: Duration = SECOND * 60, "RedeliveryWaitMax", span(MILLISECOND, DAY);
        /// Time that the destination may be away before a group is left, so that its retries are
        /// not used up; 0 is for ever.
        suspend_after: Duration = SECOND * 10, "SuspendAfter", span(Duration::ZERO, DAY);
        /// The first pause before a lost source is opened again; each next pause is twice as long.
        reopen_delay: Duration = MILLISECOND * 100, "ReopenDelay", span(MILLISECOND, DAY);
        /// The longest pause before a lost source is opened again.
        reopen_delay_max: Duration = SECOND * 5, "ReopenDelayMax", span(MILLISECOND, DAY);
        /// Longest time of one append, or of another request to a store; then its outcome is
        /// unknown and is found out. In a connection string, `defaultDeadline` goes first.
        write_timeout: Duration = SECOND * 10, "WriteTimeout", span(MILLISECOND * 100, DAY);
    }
}

settings! {
    /// Retries, and limits of parked events.
    RetrySettings {
        /// The pause before the first repetition of a failed event, a transform request or a
        /// throttled Kinesis request; each next pause is about twice as long.
        delay: Duration = MILLISECOND * 50, "RetryDelay", span(MILLISECOND, HOUR);
        /// The longest such pause.
        delay_max: Duration = SECOND * 5, "RetryDelayMax", span(MILLISECOND, HOUR);
        /// Repetitions of one event before it is parked; a destination that is not reachable does
        /// not count.
        attempts_max: u32 = 10, "RetryAttemptsMax", number(0, 1_000_000);
        /// Events that may be parked; one more stops the subscription with an error.
        parked_max: u32 = 10_000, "ParkedMax", number(0, 10_000_000);
        /// The directory of parked events.
        park_directory: String = "parked".to_owned(), "ParkDirectory", text("a path");
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

settings! {
    /// Checkpoints of catch-ups.
    CheckpointSettings {
        /// The store of the checkpoints of catch-ups: files, or streams at the destination, in the
        /// format of Ditto of 2018.
        kind: CheckpointKind = CheckpointKind::File, "Store", word();
        /// The directory of the files.
        directory: String = "checkpoints".to_owned(), "Directory", text("a path");
        /// The longest time between two checkpoints while events come.
        interval: Duration = SECOND * 5, "Interval", span(MILLISECOND * 10, HOUR);
        /// Saves a checkpoint earlier after so many events.
        events_max: u64 = 1000, "EventsMax", number(1, 100_000_000);
    }
}

settings! {
    /// The HTTP hook that may change or drop an event.
    TransformSettings {
        /// The URL that each event is posted to. The answer replaces the event; 204 drops it.
        url: Option<Secret> = None, "Url", optional(text("`http://host:port/path`"));
        /// The value of the header `Authorization`; without it, no such header. Never shown.
        authorization: Option<Secret> = None, "Authorization", optional(text("a text"));
        /// Longest time of one request.
        timeout: Duration = SECOND * 5, "Timeout", span(MILLISECOND, SECOND * 600);
        /// Repetitions of a request that got no answer, a 5xx, a 408 or a 429; then the event
        /// counts as failed once.
        attempts_max: u32 = 3, "AttemptsMax", number(0, 1000);
        /// Requests under way at the same time; further ones wait.
        concurrency_max: u32 = 16, "ConcurrencyMax", number(1, 1024);
        /// Bytes of an answer; a larger one is an error.
        answer_bytes_max: u64 = 16 * 1024 * 1024, "AnswerBytesMax", number(1024, GIGA);
    }
}
