//! The section `Settings`: Ditto's keys with Ditto's defaults, and keys that Ditto never had, off
//! by default.

use std::time::Duration;

use super::choice::choice;
use super::journal::{JournalKeys, JournalSettings};
use super::kinds::{
    DAY, GIGA, HOUR, MILLISECOND, SECOND, flag, number, optional, span, text, word,
};
use super::rules::{FilterRule, RenameRule};
use super::secret::Secret;
use super::stores::StoreSettings;
use super::subscription::SubscriptionSettings;
use super::table::{Each, Sub, settings};
use super::work::{CheckpointSettings, RetrySettings, TransformSettings};
use crate::pipeline::PipelineSettings;

choice! {
    /// The destination of events.
    SinkKind {
        /// The event store of `DestinationEventStoreConnectionString`.
        EventStore = "eventstore",
        /// The Kinesis stream `Kinesis:StreamName`; needs a build with the feature `kinesis`.
        Kinesis = "kinesis",
        /// Lines of JSON, to `Settings:NdjsonPath`.
        Ndjson = "ndjson",
        /// An Antiphon journal: the SQLite file `Settings:JournalPath`, or the journal of
        /// `Settings:Journal`.
        Journal = "journal",
    }
}

settings! {
    /// Loop prevention for two links between the same two places, one each way.
    LoopSettings {
        /// Drops events that came from the destination; for two links, one each way.
        enabled: bool = false, "Enabled", flag();
        /// The name of the source's place; it is added to `$origin` of each event.
        source_name: String = String::new(), "SourceName", text("a name");
        /// The name of the destination's place; an event with this name in `$origin` came from
        /// there and is dropped.
        destination_name: String = String::new(), "DestinationName", text("a name");
    }
}

/// The settings of a group's pipeline; a catch-up has nothing to renew or to suspend.
fn of_a_group() -> PipelineSettings {
    let (renew_after, suspend_after) = (Some(SECOND * 20), Some(SECOND * 10));
    PipelineSettings { renew_after, suspend_after, ..PipelineSettings::default() }
}

settings! {
    /// The section `Settings`.
    Settings {
        /// Connection string of the event store that is read.
        source: Secret = Secret::default(), "SourceEventStoreConnectionString",
            text("`esdb://..` or `kurrentdb://..`");
        /// Connection string of the event store that is written; not used by other sinks.
        destination: Secret = Secret::default(), "DestinationEventStoreConnectionString",
            text("the same");
        /// Events of a group that the server sends ahead of their acknowledgement. For speed, use
        /// 100 and more.
        buffer_size: u32 = 10, "PersistentSubscriptionBufferSize", number(1, 10_000);
        /// Appends at any version of the destination's stream. Needed when the source does not have
        /// each stream from its event 0 on. Duplicates are then avoided by looking back, which is
        /// best effort.
        skip_version_check: bool = false, "SkipVersionCheck", flag();
        /// `$maxAge` of streams that are new at the destination, merged with the metadata that is
        /// there.
        time_to_live: Option<Duration> = None, "TimeToLive", optional(span(SECOND, DAY * 36_500));
        /// Reads, logs and acknowledges, and writes nothing. Moves the group's position: to look
        /// only, use `DryRun`.
        read_only: bool = false, "ReadOnly", flag();
        /// The subscriptions that are read.
        subscriptions: Vec<SubscriptionSettings> = Vec::new(), "Subscriptions", Each;
        /// The sink; without this key `kinesis` when `Kinesis:StreamName` is given, else
        /// `eventstore`.
        sink: Option<SinkKind> = None, "Sink", optional(word());
        /// The file of the sink `ndjson`; `-` is the standard output.
        ndjson_path: Option<String> = None, "NdjsonPath", optional(text("a path, or `-`"));
        /// The SQLite file of the sink `journal`.
        journal_path: Option<String> = None, "JournalPath", optional(text("a path"));
        /// The journal of the sink `journal`.
        journal: JournalSettings = JournalSettings::default(), "Journal", JournalKeys;
        /// The filters of events; empty is all events.
        filters: Vec<FilterRule> = Vec::new(), "Filters", Each;
        /// Replicates streams whose names start with `$` too.
        system_events: bool = false, "SystemEvents", flag();
        /// New names of streams and types.
        renames: Vec<RenameRule> = Vec::new(), "Renames", Each;
        /// Adds `$originalStream`, `$originalEventNumber`, `$originalEventType` and
        /// `$originalCreatedDate` to the metadata.
        provenance: bool = false, "Provenance", flag();
        /// Keeps events from going round between two places.
        loops: LoopSettings = LoopSettings::default(), "LoopPrevention", Sub;
        /// Copies the metadata of streams: ACL, `$maxAge`, `$maxCount`, `$tb`, `$cacheControl`, own
        /// keys.
        copy_stream_metadata: bool = false, "CopyStreamMetadata", flag();
        /// Deletes at the destination the streams that were deleted at the source.
        copy_deletes: bool = false, "CopyDeletes", flag();
        /// The transform hook.
        transform: TransformSettings = TransformSettings::default(), "Transform", Sub;
        /// Lanes, batches and waiting times.
        pipeline: PipelineSettings = of_a_group(), "", Sub;
        /// Bytes of the events that arrived and are not settled; when full, reading pauses.
        held_bytes_max: usize = 64 * 1024 * 1024, "HeldBytesMax", number(1024, 64 * GIGA);
        /// Longest time of one append, or of another request to a store; then its outcome is
        /// unknown and is found out. In a connection string, `defaultDeadline` goes first.
        write_timeout: Duration = SECOND * 10, "WriteTimeout", span(MILLISECOND * 100, DAY);
        /// Retries and parking.
        retry: RetrySettings = RetrySettings::default(), "", Sub;
        /// Checkpoints of catch-ups.
        checkpoint: CheckpointSettings = CheckpointSettings::default(), "Checkpoint", Sub;
        /// Limits of the client and of the sink `eventstore`.
        stores: StoreSettings = StoreSettings::default(), "", Sub;
        /// Ends when all events that existed at the start are replicated. The exit code is 3 when
        /// an event was parked.
        run_once: bool = false, "RunOnce", flag();
        /// Reads, and shows the events that would be written. Changes nothing anywhere: it saves no
        /// checkpoint, parks nothing, and neither creates nor joins a group, but reads the stream
        /// from the group's position on.
        dry_run: bool = false, "DryRun", flag();
        /// Longest time that a subscription may take to stop.
        stop_timeout: Duration = SECOND * 10, "StopTimeout", span(SECOND, HOUR);
    }
}
