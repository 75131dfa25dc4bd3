//! The section `Settings`: Ditto's keys with Ditto's defaults, and keys that Ditto never had, off
//! by default.

use std::time::Duration;

use super::journal::JournalSettings;
use super::problems::Problems;
use super::reader::{Reader, choice};
use super::rules::{FilterRule, RenameRule, pattern_problem, read_filters, read_renames};
use super::secret::Secret;
use super::stores::StoreSettings;
use super::subscription::{SubscriptionKind, SubscriptionSettings};
use super::tuning::{CheckpointSettings, RetrySettings, TransformSettings, WorkSettings};
use crate::pipeline::ConflictPolicy;

choice! {
    /// The destination of events.
    SinkKind {
        /// The event store of `DestinationEventStoreConnectionString`.
        EventStore = "eventstore",
        /// The Kinesis stream `Kinesis:StreamName`; needs a build with the feature `kinesis`.
        Kinesis = "kinesis",
        /// Lines of JSON, to `Settings:NdjsonPath`.
        Ndjson = "ndjson",
        /// An Antiphon journal: the SQLite file `Settings:JournalPath`, or the Cassandra of
        /// `Settings:Journal`.
        Journal = "journal",
    }
}

/// Loop prevention for two links between the same two places, one each way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoopSettings {
    /// True when loop prevention is on.
    pub enabled: bool,
    /// The name of the source's place; it is added to `$origin` of each event.
    pub source_name: String,
    /// The name of the destination's place; an event with this name in `$origin` came from there
    /// and is dropped.
    pub destination_name: String,
}

/// The section `Settings`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Connection string of the event store that is read.
    pub source: Secret,
    /// Connection string of the event store that is written, when the sink is an event store.
    pub destination: Secret,
    /// The subscriptions that are read.
    pub subscriptions: Vec<SubscriptionSettings>,
    /// Events of a group that the server sends ahead of their acknowledgement.
    pub buffer_size: u32,
    /// A pause after each event, per subscription; zero is none.
    pub throttle_interval: Duration,
    /// Appends at any version of the destination's stream.
    pub skip_version_check: bool,
    /// `$maxAge` of streams that are new at the destination.
    pub time_to_live: Option<Duration>,
    /// Reads, logs and acknowledges, and writes nothing. It moves the group's position.
    pub read_only: bool,
    /// The sink; none chooses Kinesis when `Kinesis:StreamName` is given, else the event store.
    pub sink: Option<SinkKind>,
    /// The file of the sink `ndjson`; `-` is the standard output.
    pub ndjson_path: Option<String>,
    /// The SQLite file of the sink `journal`.
    pub journal_path: Option<String>,
    /// The kind of journal of the sink `journal`, and the settings of a Cassandra.
    pub journal: JournalSettings,
    /// The reaction to another event at an event's number at the destination.
    pub conflict_policy: ConflictPolicy,
    /// The filters of events; empty is all events.
    pub filters: Vec<FilterRule>,
    /// True when streams and types whose names start with `$` are replicated too.
    pub system_events: bool,
    /// New names of streams and types.
    pub renames: Vec<RenameRule>,
    /// Adds `$originalStream`, `$originalEventNumber`, `$originalEventType` and
    /// `$originalCreatedDate` to the metadata.
    pub provenance: bool,
    /// Keeps events from going round between two places.
    pub loops: LoopSettings,
    /// Copies the metadata of streams: ACL, `$maxAge`, `$maxCount`, `$tb`, `$cacheControl`, own
    /// keys.
    pub copy_stream_metadata: bool,
    /// Deletes at the destination the streams that were deleted at the source.
    pub copy_deletes: bool,
    /// Ends when all events that existed at the start are replicated.
    pub run_once: bool,
    /// Reads catch-ups and shows the events that would be written; saves no checkpoint, settles
    /// nothing.
    pub dry_run: bool,
    /// Longest time that a subscription may take to stop.
    pub stop_timeout: Duration,
    /// Lanes, batches and waiting times.
    pub work: WorkSettings,
    /// Retries and parking.
    pub retry: RetrySettings,
    /// Limits of the client and of the sink `eventstore`.
    pub stores: StoreSettings,
    /// Checkpoints of catch-ups.
    pub checkpoint: CheckpointSettings,
    /// The transform hook.
    pub transform: TransformSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            source: Secret::default(),
            destination: Secret::default(),
            subscriptions: Vec::new(),
            buffer_size: 10,
            throttle_interval: Duration::ZERO,
            skip_version_check: false,
            time_to_live: None,
            read_only: false,
            sink: None,
            ndjson_path: None,
            journal_path: None,
            journal: JournalSettings::default(),
            conflict_policy: ConflictPolicy::Park,
            filters: Vec::new(),
            system_events: false,
            renames: Vec::new(),
            provenance: false,
            loops: LoopSettings::default(),
            copy_stream_metadata: false,
            copy_deletes: false,
            run_once: false,
            dry_run: false,
            stop_timeout: Duration::from_secs(10),
            work: WorkSettings::default(),
            retry: RetrySettings::default(),
            stores: StoreSettings::default(),
            checkpoint: CheckpointSettings::default(),
            transform: TransformSettings::default(),
        }
    }
}

impl Settings {
    pub(super) fn read(reader: &Reader<'_>) -> Self {
        let default = Self::default();
        let flag = |name: &str| reader.flag(&format!("Settings:{name}"), false);
        let subscription = |index: String| {
            SubscriptionSettings::read(reader, &format!("Settings:Subscriptions:{index}"))
        };
        let throttle: u32 = reader.number("Settings:ReplicationThrottleInterval", 0);
        Self {
            source: reader.secret("Settings:SourceEventStoreConnectionString"),
            destination: reader.secret("Settings:DestinationEventStoreConnectionString"),
            subscriptions: reader
                .children("Settings:Subscriptions")
                .into_iter()
                .map(subscription)
                .collect(),
            buffer_size: reader
                .number("Settings:PersistentSubscriptionBufferSize", default.buffer_size),
            throttle_interval: Duration::from_millis(throttle.into()),
            skip_version_check: flag("SkipVersionCheck"),
            time_to_live: reader.optional_span("Settings:TimeToLive"),
            read_only: flag("ReadOnly"),
            sink: reader
                .has("Settings:Sink")
                .then(|| reader.choice("Settings:Sink", SinkKind::EventStore)),
            ndjson_path: reader.optional("Settings:NdjsonPath"),
            journal_path: reader.optional("Settings:JournalPath"),
            journal: JournalSettings::read(reader, "Settings:Journal"),
            conflict_policy: reader.choice("Settings:ConflictPolicy", default.conflict_policy),
            filters: read_filters(reader, "Settings:Filters"),
            system_events: flag("SystemEvents"),
            renames: read_renames(reader, "Settings:Renames"),
            provenance: flag("Provenance"),
            loops: LoopSettings {
                enabled: flag("LoopPrevention:Enabled"),
                source_name: reader.text("Settings:LoopPrevention:SourceName", ""),
                destination_name: reader.text("Settings:LoopPrevention:DestinationName", ""),
            },
            copy_stream_metadata: flag("CopyStreamMetadata"),
            copy_deletes: flag("CopyDeletes"),
            run_once: flag("RunOnce"),
            dry_run: flag("DryRun"),
            stop_timeout: reader.span("Settings:StopTimeout", default.stop_timeout),
            work: WorkSettings::read(reader),
            retry: RetrySettings::read(reader),
            stores: StoreSettings::read(reader),
            checkpoint: CheckpointSettings::read(reader),
            transform: TransformSettings::read(reader),
        }
    }

    pub(super) fn check(&self, sink: SinkKind, problems: &mut Problems) {
        self.check_ends(sink, problems);
        for (index, subscription) in self.subscriptions.iter().enumerate() {
            subscription.check(&format!("Settings:Subscriptions:{index}"), problems);
        }
        self.check_names(problems);
        problems.number(
            "Settings:PersistentSubscriptionBufferSize",
            self.buffer_size.into(),
            1,
            10_000,
        );
        let (second, day) = (Duration::from_secs(1), Duration::from_secs(86_400));
        problems.span("Settings:StopTimeout", self.stop_timeout, second, day / 24);
        let throttle = u64::try_from(self.throttle_interval.as_millis()).unwrap_or(u64::MAX);
        problems.number("Settings:ReplicationThrottleInterval", throttle, 0, 86_400_000);
        if let Some(time_to_live) = self.time_to_live {
            problems.span("Settings:TimeToLive", time_to_live, second, day * 36_500);
        }
        for (index, filter) in self.filters.iter().enumerate() {
            let key = format!("Settings:Filters:{index}:Value");
            problems.extend(pattern_problem(&key, filter.matching, &filter.value));
        }
        for (index, rename) in self.renames.iter().enumerate() {
            let key = format!("Settings:Renames:{index}");
            problems.extend(pattern_problem(&format!("{key}:From"), rename.matching, &rename.from));
            problems.required(&format!("{key}:To"), &rename.to, "the new name");
        }
        if self.loops.enabled {
            let expected = "a name for this place, the same in every link that touches it";
            problems.required(
                "Settings:LoopPrevention:SourceName",
                &self.loops.source_name,
                expected,
            );
            let destination = &self.loops.destination_name;
            problems.required("Settings:LoopPrevention:DestinationName", destination, expected);
            if !destination.is_empty() && *destination == self.loops.source_name {
                let expected = "another name than `Settings:LoopPrevention:SourceName`";
                problems.expected("Settings:LoopPrevention:DestinationName", destination, expected);
            }
        }
        self.work.check(problems);
        self.retry.check(problems);
        self.stores.check(problems);
        self.checkpoint.check(problems);
        self.transform.check(problems);
    }

    fn check_ends(&self, sink: SinkKind, problems: &mut Problems) {
        if self.subscriptions.is_empty() {
            let expected = "at least one element with `StreamName` and `GroupName`";
            problems.required("Settings:Subscriptions", "", expected);
        }
        let example = "a connection string such as `esdb://admin:changeit@host:2113?tls=false`";
        let from_store = |one: &SubscriptionSettings| one.kind != SubscriptionKind::Journal;
        if self.subscriptions.iter().any(from_store) {
            let source = self.source.expose();
            problems.required("Settings:SourceEventStoreConnectionString", source, example);
        }
        match sink {
            SinkKind::EventStore if !self.read_only && !self.dry_run => {
                let destination = self.destination.expose();
                problems.required(
                    "Settings:DestinationEventStoreConnectionString",
                    destination,
                    example,
                );
            }
            SinkKind::EventStore | SinkKind::Kinesis => {}
            SinkKind::Ndjson => {
                let path = self.ndjson_path.as_deref().unwrap_or_default();
                problems.required("Settings:NdjsonPath", path, "the path of a file, or `-`");
            }
            SinkKind::Journal => {
                let path = self.journal_path.as_deref();
                self.journal.check("Settings:Journal", path, problems);
            }
        }
    }

    fn check_names(&self, problems: &mut Problems) {
        let names: Vec<String> =
            self.subscriptions.iter().map(SubscriptionSettings::display_name).collect();
        for (index, name) in names.iter().enumerate() {
            let is_group = self.subscriptions[index].kind == SubscriptionKind::Group;
            if !is_group && names[..index].contains(name) {
                let key = format!("Settings:Subscriptions:{index}:Name");
                let expected = "a name of its own, because the checkpoint is kept under it";
                problems.expected(&key, name, expected);
            }
        }
    }
}
