//! Settings of the replicator's work: retries, parking, checkpoints, the transform hook.

use std::time::Duration;

use super::choice::{choice, words};
use super::kinds::{GIGA, HOUR, MILLISECOND, SECOND, number, optional, span, text, word};
use super::secret::Secret;
use super::table::settings;
use crate::pipeline::{ConflictPolicy, Followers, LaneOrder, Neighbours};

words! { LaneOrder { Arrival = "arrival", PerStream = "stream" } }
words! { Neighbours { GoOn = "go-on", Wait = "wait" } }
words! { Followers { Park = "park", GoOn = "go-on" } }
words! { ConflictPolicy { Park = "park", Skip = "skip", Stop = "stop" } }

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
        parked_max: usize = 10_000, "ParkedMax", number(0, 10_000_000);
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

choice! {
    /// The place to go on from when the source ends before a checkpoint.
    AheadChoice {
        /// None: the subscription is not ready, or ends when it runs once.
        Wait = "wait",
        /// The first event.
        Start = "start",
        /// Behind the newest event.
        End = "end",
        /// Behind the event of the checkpoint, found by its id.
        Id = "id",
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
        /// The place to go on from when the source ends before the checkpoint, or has another event
        /// there: it was restored from an older copy, or replaced. `wait` is not ready and copies
        /// nothing (with `RunOnce` the program ends with an error); `start` is the first event,
        /// `end` is behind the newest one, `id` is behind the event of the checkpoint, which is
        /// searched by its id.
        when_ahead: AheadChoice = AheadChoice::Wait, "WhenAhead", word();
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
        concurrency_max: usize = 16, "ConcurrencyMax", number(1, 1024);
        /// Bytes of an answer; a larger one is an error.
        answer_bytes_max: usize = 16 * 1024 * 1024, "AnswerBytesMax", number(1024, GIGA);
    }
}
