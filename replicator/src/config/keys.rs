//! Every key of the configuration, with its default, what it takes and what it does: the source of `docs/replicator/settings.md`.
//!
//! `*` stands for an index or a name. Tests hold this list, the code that reads and the page together.

/// One key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Its path.
    pub key: &'static str,
    /// Its default as it would be written; empty is none.
    pub default: &'static str,
    /// What it takes.
    pub expected: &'static str,
    /// What it does.
    pub about: &'static str,
}

const fn key(
    key: &'static str,
    default: &'static str,
    expected: &'static str,
    about: &'static str,
) -> Key {
    Key { key, default, expected, about }
}

/// All keys, in the order of the page.
#[rustfmt::skip] // one line a key, as in the page
pub const KEYS: &[Key] = &[
    // Ditto's own
    key("Settings:SourceEventStoreConnectionString", "", "`esdb://..` or `kurrentdb://..`", "Where events are read."),
    key("Settings:DestinationEventStoreConnectionString", "", "the same", "Where events are written; not used by other sinks."),
    key("Settings:PersistentSubscriptionBufferSize", "10", "1 to 10000", "Events of a group that the server sends ahead of their acknowledgement. Raise it (100 and more) for speed."),
    key("Settings:ReplicationThrottleInterval", "0", "milliseconds, 0 to 86400000", "A pause after each event, per subscription; 0 is none."),
    key("Settings:SkipVersionCheck", "false", "true, false", "Appends whatever version the destination has. Needed when the source does not hold each stream from its event 0 on. Duplicates are then avoided by looking back, which is best effort."),
    key("Settings:TimeToLive", "", "TimeSpan, 1 second to 100 years", "`$maxAge` of streams that are new at the destination, merged with the metadata that is there."),
    key("Settings:ReadOnly", "false", "true, false", "Reads, logs and acknowledges, and writes nothing. It moves the group's position: use `DryRun` to look only."),
    key("Settings:Subscriptions:*:StreamName", "", "a stream", "The stream that is read, `$ce-customer` say; for `Kind=category` the category. Required but for `all` and `journal`."),
    key("Settings:Subscriptions:*:GroupName", "", "a group", "The persistent subscription group. Required for `Kind=group`."),
    key("Metrics:Enabled", "false", "true, false", "Serves metrics. The file in the image says `true`."),
    key("Metrics:Path", "metrics/", "a path", "Where they are served."),
    key("Metrics:Port", "5000", "0 to 65535", "The port; 0 takes any."),
    key("Kinesis:StreamName", "", "a Kinesis stream", "Where events are written by the sink `kinesis`."),
    key("AWS:Profile", "", "a name", "The profile of the AWS files; credentials come from AWS's usual chain."),
    key("AWS:ProfilesLocation", "", "a path", "The file of the profile."),
    key("AWS:Region", "", "a region", "The region; else `AWS_REGION`, `AWS_DEFAULT_REGION`, the profile, the machine."),
    key("AWS:ServiceURL", "", "`http(s)://host:port`", "Another endpoint than the region's, for a stand-in."),
    key("AWS:RetryMode", "Standard", "Standard, Adaptive, Legacy", "How the SDK repeats requests; `Legacy` is taken for `Standard`."),
    key("AWS:MaxErrorRetry", "2", "0 to 100", "How often it does, before the replicator's own retries take over."),
    key("AWS:Timeout", "00:00:10", "TimeSpan, 0.1 to 600 seconds", "How long one attempt may take."),
    key("Serilog:MinimumLevel", "Debug", "Verbose, Debug, Information, Warning, Error, Fatal", "From which level on something is logged. The line per event is `Debug`."),
    key("Serilog:MinimumLevel:Default", "Debug", "the same", "The same."),
    key("Serilog:MinimumLevel:Override:*", "", "the same", "Another level for one target (a module of the program: `antiphon_replicator`, `tonic`)."),
    key("Serilog:WriteTo:*", "", "Console", "The short form of `Name`."),
    key("Serilog:WriteTo:*:Name", "", "Console", "A sink. Others than the console get a warning and nothing else."),
    key("Serilog:WriteTo:*:Args:restrictedToMinimumLevel", "Verbose", "a level", "The level of this sink."),
    key("Serilog:WriteTo:*:Args:formatter", "", "a .NET type", "Lines of JSON: `Serilog.Formatting.Compact.CompactJsonFormatter` or `Serilog.Formatting.Json.JsonFormatter`."),
    key("Serilog:WriteTo:*:Args:*", "", "anything", "Accepted; `outputTemplate` and `theme` get a warning that they have no effect."),
    key("Serilog:Properties:*", "", "a text", "A fixed property of each JSON line."),
    key("Serilog:Using:*", "", "anything", "Accepted, without effect."),
    key("Serilog:Enrich:*", "", "anything", "Accepted, without effect."),
    // sources
    key("Settings:Subscriptions:*:Kind", "group", "group, stream, category, all, journal", "How it is read: a persistent group as Ditto; a catch-up on a stream, a category or `$all`; an Antiphon journal."),
    key("Settings:Subscriptions:*:Name", "", "a text", "The name of its checkpoint and parked events; else stream and group."),
    key("Settings:Subscriptions:*:CreateGroup", "false", "true, false", "Makes the group when it is missing."),
    key("Settings:Subscriptions:*:GroupStartFrom", "start", "start, end, a number", "Where a group that is made starts."),
    key("Settings:Subscriptions:*:GroupConsumerStrategy", "Pinned", "Pinned, RoundRobin, DispatchToSingle", "How a group that is made hands out events."),
    key("Settings:Subscriptions:*:GroupMessageTimeout", "00:00:30", "TimeSpan, 1 second to 1 day", "After which time a group that is made delivers an event again."),
    key("Settings:Subscriptions:*:GroupRetryCountMax", "10", "0 to 1000000", "How often it does before it parks the event."),
    key("Settings:Subscriptions:*:GroupCheckpointAfter", "00:00:10", "TimeSpan, 1 second to 1 day", "How often a group that is made stores its position."),
    key("Settings:Subscriptions:*:StartFrom", "start", "start, end, a number", "Where a catch-up without a checkpoint starts."),
    key("Settings:Subscriptions:*:FilterBy", "stream", "stream, type", "What the server's filter of `$all` looks at."),
    key("Settings:Subscriptions:*:FilterPrefixes:*", "", "a text", "Passes what starts with one of these."),
    key("Settings:Subscriptions:*:FilterRegex", "", "a .NET regex", "Passes what matches; not together with prefixes."),
    key("Settings:Subscriptions:*:FilterExcludeSystem", "true", "true, false", "Without prefixes and regex: passes no system events."),
    key("Settings:Subscriptions:*:JournalPath", "", "a path", "The SQLite file of a journal."),
    key("Settings:Subscriptions:*:JournalEntityType", "", "a type", "The entities that are read from it."),
    key("Settings:Subscriptions:*:JournalReplica", "", "a replica", "Which of their replicas; none is that of entities without replicas."),
    key("Settings:Subscriptions:*:JournalPollInterval", "00:00:00.2", "TimeSpan, 1 ms to 1 day", "How long to wait before the journal is asked again when nothing is new."),
    key("Settings:Subscriptions:*:JournalChangesMax", "256", "1 to 100000", "Entities in one page of the journal's feed."),
    // sinks
    key("Settings:Sink", "eventstore", "eventstore, kinesis, ndjson, journal", "Where events go. Without this key it is `kinesis` when `Kinesis:StreamName` is given."),
    key("Settings:NdjsonPath", "", "a path, or `-`", "The file of the sink `ndjson`."),
    key("Settings:JournalPath", "", "a path", "The SQLite file of the sink `journal`."),
    key("Kinesis:BatchRecordsMax", "500", "1 to 500", "Records of one request."),
    key("Kinesis:BatchBytesMax", "5242880", "1024 to 10485760", "Bytes of one request."),
    key("Kinesis:RecordBytesMax", "1048576", "1024 to 10485760", "Bytes of one record with its key. A larger event is parked."),
    // what is replicated
    key("Settings:Filters:*:Action", "exclude", "include, exclude", "An exclude wins; with any include of a field only what one of them matches passes."),
    key("Settings:Filters:*:Field", "stream", "stream, type", "What the filter looks at."),
    key("Settings:Filters:*:Match", "exact", "exact, prefix, regex", "How it compares."),
    key("Settings:Filters:*:Value", "", "a text", "With what."),
    key("Settings:SystemEvents", "false", "true, false", "Replicates streams and types that start with `$` too."),
    key("Settings:Renames:*:Field", "stream", "stream, type", "What is renamed; the first rule that matches is taken."),
    key("Settings:Renames:*:Match", "exact", "exact, prefix, regex", "How it is found."),
    key("Settings:Renames:*:From", "", "a text", "The name, prefix or regex that is replaced."),
    key("Settings:Renames:*:To", "", "a text", "What stands there afterwards; `${1}` or `${name}` are the groups of a regex."),
    key("Settings:Provenance", "false", "true, false", "Adds `$originalStream`, `$originalEventNumber`, `$originalEventType` and `$originalCreatedDate` to the metadata."),
    key("Settings:LoopPrevention:Enabled", "false", "true, false", "Drops events that came from the destination; for two links, one each way."),
    key("Settings:LoopPrevention:SourceName", "", "a name", "The place that is read."),
    key("Settings:LoopPrevention:DestinationName", "", "a name", "The place that is written."),
    key("Settings:CopyStreamMetadata", "false", "true, false", "Copies the metadata of streams: ACL, `$maxAge`, `$maxCount`, `$tb`, own keys."),
    key("Settings:CopyDeletes", "false", "true, false", "Deletes at the destination what was deleted at the source."),
    key("Settings:Transform:Url", "", "`http://host:port/path`", "Each event is posted there and takes the answer's place; 204 drops it."),
    key("Settings:Transform:Authorization", "", "a text", "The header `Authorization` of the request. Never shown."),
    key("Settings:Transform:Timeout", "00:00:05", "TimeSpan, 1 ms to 600 seconds", "How long one request may take."),
    key("Settings:Transform:AttemptsMax", "3", "0 to 1000", "How often a request is repeated that failed for now; then the event counts as failed once."),
    key("Settings:Transform:ConcurrencyMax", "16", "1 to 1024", "Requests at the same time; further ones wait."),
    key("Settings:Transform:AnswerBytesMax", "16777216", "1024 to 1073741824", "Bytes of an answer; a larger one is an error."),
    // how it works
    key("Settings:ConflictPolicy", "park", "park, skip, stop", "What is done when another event stands at an event's number at the destination."),
    key("Settings:Lanes", "1", "1 to 256", "Writers at the same time. A stream stays in one lane; 1 keeps the order across streams as Ditto."),
    key("Settings:LaneOrder", "arrival", "arrival, stream", "`arrival` writes a lane's events in the order in which they came, one append at a time; `stream` keeps the order within each stream only, and is faster."),
    key("Settings:LaneWritesMax", "4", "1 to 1024", "Appends under way in a lane, with `LaneOrder=stream`."),
    key("Settings:WhenBlocked", "go-on", "go-on, wait", "What the other streams of a lane do while one waits for its failing event."),
    key("Settings:BatchEventsMax", "256", "1 to 10000", "Events of one append; 1 appends one by one."),
    key("Settings:BatchBytesMax", "524288", "1024 to 1073741824", "Bytes of one append; a larger event goes alone."),
    key("Settings:HeldEventsMax", "8192", "1 to 10000000", "Events that arrived and are not settled; when full, reading pauses."),
    key("Settings:HeldBytesMax", "67108864", "1024 to 68719476736", "Bytes of the same."),
    key("Settings:BlockedEventsMax", "4096", "1 to 10000000", "Events that wait behind failing ones; when full, the stream with the most is given up: its failing event is parked early."),
    key("Settings:BlockedWaitMax", "00:00:05", "TimeSpan, 1 ms to 1 day", "How long an event must have been failing before that."),
    key("Settings:MissingWaitMax", "00:00:30", "TimeSpan, 1 ms to 1 day", "How long an event waits for those before it to appear at the destination, before it is parked."),
    key("Settings:AfterParked", "park", "park, go-on", "What happens to the later events of a stream when one was parked. With the version check they cannot be written without it."),
    key("Settings:ParkedStreamsMax", "100000", "1 to 10000000", "Streams with a parked event that are remembered; when full, the oldest is forgotten and finds out by itself."),
    key("Settings:ParkedStreamsMemory", "00:01:00", "TimeSpan, 1 ms to 1 day", "For how long; then one event of the stream is tried again."),
    key("Settings:RenewAfter", "00:00:20", "TimeSpan, 0 to 1 day", "After how long an event that waits is handed back to its group and asked for again: keep it below the group's message timeout; 0 is never."),
    key("Settings:RedeliveryWaitMax", "00:01:00", "TimeSpan, 1 ms to 1 day", "How long it is waited for then."),
    key("Settings:SuspendAfter", "00:00:10", "TimeSpan, 0 to 1 day", "How long the destination may be away before a group is left, so that its events do not use up their retries; 0 is for ever."),
    key("Settings:ReopenDelay", "00:00:00.1", "TimeSpan, 1 ms to 1 day", "The first pause before a lost source is opened again; each next one is twice as long."),
    key("Settings:ReopenDelayMax", "00:00:05", "TimeSpan, 1 ms to 1 day", "The longest such pause."),
    key("Settings:WriteTimeout", "00:00:10", "TimeSpan, 0.1 second to 1 day", "How long one append, or another request to a store, may take (`defaultDeadline` in a connection string wins); then its outcome is found out."),
    key("Settings:RetryDelay", "00:00:00.05", "TimeSpan, 1 ms to 1 hour", "The first pause before an event is tried again; each next one is twice as long."),
    key("Settings:RetryDelayMax", "00:00:05", "TimeSpan, 1 ms to 1 hour", "The longest such pause."),
    key("Settings:RetryAttemptsMax", "10", "0 to 1000000", "How often one event is tried again before it is parked. A destination that is not reachable does not count."),
    key("Settings:ParkedMax", "10000", "0 to 10000000", "Parked events; one more stops the subscription with an error."),
    key("Settings:ParkDirectory", "parked", "a path", "The directory of parked events."),
    key("Settings:Checkpoint:Store", "file", "file, destination", "Where catch-ups keep their position: files, or streams at the destination as Ditto of 2018."),
    key("Settings:Checkpoint:Directory", "checkpoints", "a path", "The directory of the files."),
    key("Settings:Checkpoint:Interval", "00:00:05", "TimeSpan, 10 ms to 1 hour", "The longest time between two checkpoints while events come."),
    key("Settings:Checkpoint:EventsMax", "1000", "1 to 100000000", "Saves one earlier after so many events."),
    key("Settings:LookBackMax", "4096", "1 to 10000000", "With `SkipVersionCheck`: ids of a destination stream that are read to find what was written before."),
    key("Settings:KnownIdsMax", "500000", "1 to 1000000000", "Such ids of all streams together that are kept; when full, streams are forgotten and read again."),
    key("Settings:Client:ConnectTimeout", "00:00:05", "TimeSpan, 1 ms to 1 day", "How long one attempt to connect to an event store may take. For the keys in parentheses of the next ones, a connection string wins."),
    key("Settings:Client:KeepAliveInterval", "00:00:10", "the same", "How often an idle connection is probed (`keepAliveInterval`)."),
    key("Settings:Client:KeepAliveTimeout", "00:00:10", "the same", "How long the answer may take (`keepAliveTimeout`): both together are the time after which a frozen server is noticed."),
    key("Settings:Client:DiscoverAttemptsMax", "10", "1 to 1000000", "How often a node is looked for before a request fails (`maxDiscoverAttempts`)."),
    key("Settings:Client:DiscoveryInterval", "00:00:00.1", "TimeSpan, 1 ms to 1 day", "The pause between (`discoveryInterval`)."),
    key("Settings:Client:GossipTimeout", "00:00:05", "the same", "How long a node may take to say who is in the cluster (`gossipTimeout`)."),
    key("Settings:Client:MessageBytesMax", "33554432", "65536 to 1073741824", "The largest message that is taken from a server."),
    key("Settings:Client:StreamWindowBytes", "2097152", "65535 to 1073741824", "What a server may send ahead on one stream."),
    key("Settings:Client:ConnectionWindowBytes", "16777216", "65535 to 1073741824", "What it may send ahead on one connection."),
    key("Settings:Client:FilterWindowMax", "32", "1 to 100000", "Events that the server looks at for one page of a filtered `$all`."),
    key("Settings:Client:FilterCheckpointWindows", "32", "1 to 100000", "After how many such pages it reports how far it is."),
    key("Settings:Client:GroupAnswersMax", "256", "1 to 1000000", "Answers to a group that wait for its connection; when full, the next one waits."),
    key("Settings:RunOnce", "false", "true, false", "Ends when everything that was there at the start is replicated."),
    key("Settings:DryRun", "false", "true, false", "Only shows what would be written: settles nothing, saves nothing. For catch-ups."),
    key("Settings:StopTimeout", "00:00:10", "TimeSpan, 1 second to 1 hour", "How long a subscription may take to stop."),
    key("Metrics:Host", "+", "`+` or an IP address", "The address that is listened on; `+` is every one."),
    key("Health:Enabled", "as Metrics:Enabled", "true, false", "Serves `/health/live`, `/health/ready` and `/status` on the metrics' port."),
    key("Health:StallTime", "00:01:00", "TimeSpan, 1 second to 1 day", "How long a subscription may be behind without moving before it is not ready."),
];

/// The page's table.
pub fn markdown_table() -> String {
    let mut table = String::from("| Key | Default | Takes | What it does |\n|---|---|---|---|\n");
    for key in KEYS {
        let default =
            if key.default.is_empty() { String::new() } else { format!("`{}`", key.default) };
        table += &format!("| `{}` | {default} | {} | {} |\n", key.key, key.expected, key.about);
    }
    table
}
