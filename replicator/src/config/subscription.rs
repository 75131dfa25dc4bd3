//! Settings of one subscription: its source, its way of reading, and its start.

use std::time::Duration;

use super::journal::JournalSettings;
use super::problems::Problems;
use super::reader::{Choice, Reader, choice};

choice! {
    /// The way in which a subscription reads.
    SubscriptionKind {
        /// A persistent subscription group, whose position the server keeps; Ditto's way and the
        /// default.
        Group = "group",
        /// A catch-up on one stream, links resolved.
        Stream = "stream",
        /// A catch-up on the category `StreamName`: `customer` reads `$ce-customer`.
        Category = "category",
        /// A catch-up on `$all`, filtered at the server.
        All = "all",
        /// The entities of one type in an Antiphon journal.
        Journal = "journal",
    }
}

choice! {
    /// The way in which a group that is created here hands events to its consumers.
    ConsumerStrategy {
        /// A stream stays with one consumer as long as possible.
        Pinned = "Pinned",
        /// Each next event goes to the next consumer.
        RoundRobin = "RoundRobin",
        /// All events go to one consumer, until it is gone.
        DispatchToSingle = "DispatchToSingle",
    }
}

choice! {
    /// The part of an event that a filter at the server looks at.
    ServerFilterBy {
        /// The stream's name.
        Stream = "stream",
        /// The event type.
        Type = "type",
    }
}

/// The start of a reader without a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StartFrom {
    /// At the first event.
    #[default]
    Start,
    /// After the last event that exists at that time.
    End,
    /// At this event number of the subscribed stream, inclusive.
    Revision(u64),
}

/// Settings of a group that is created when it is missing; used only with `CreateGroup`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupSettings {
    /// True when the group is created.
    pub create: bool,
    /// The start of the group.
    pub start_from: StartFrom,
    /// The way in which the group hands out events.
    pub strategy: ConsumerStrategy,
    /// Time without an answer after which the server delivers an event again.
    pub message_timeout: Duration,
    /// Repeated deliveries of an event before the server parks it.
    pub max_retry_count: u32,
    /// Interval at which the server stores the group's position.
    pub checkpoint_after: Duration,
}

impl Default for GroupSettings {
    fn default() -> Self {
        Self {
            create: false,
            start_from: StartFrom::Start,
            strategy: ConsumerStrategy::Pinned,
            message_timeout: Duration::from_secs(30),
            max_retry_count: 10,
            checkpoint_after: Duration::from_secs(10),
        }
    }
}

/// A filter that the server applies to `$all`. Without prefixes and regex, only `exclude_system`
/// applies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerFilterSettings {
    /// The part of an event that is compared.
    pub by: ServerFilterBy,
    /// Passes names that start with one of these prefixes.
    pub prefixes: Vec<String>,
    /// Passes names that match; the dialect is the server's (.NET), so it is not checked here.
    pub regex: Option<String>,
    /// Passes no system events, when there are neither prefixes nor a regex.
    pub exclude_system: bool,
}

impl Default for ServerFilterSettings {
    fn default() -> Self {
        Self { by: ServerFilterBy::Stream, prefixes: Vec::new(), regex: None, exclude_system: true }
    }
}

/// A subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriptionSettings {
    /// The way in which the subscription reads.
    pub kind: SubscriptionKind,
    /// The stream or category; empty for `$all` and a journal.
    pub stream_name: String,
    /// The group; empty for everything but a group.
    pub group_name: String,
    /// Settings for the creation of the group.
    pub group: GroupSettings,
    /// The start of a catch-up without a checkpoint.
    pub start_from: StartFrom,
    /// The server's filter of `$all`.
    pub filter: ServerFilterSettings,
    /// The journal's SQLite file.
    pub journal_path: Option<String>,
    /// The kind of the journal, and the settings of a Cassandra.
    pub journal: JournalSettings,
    /// The type of the journal's entities that are read.
    pub journal_entity_type: Option<String>,
    /// The replica of these entities; empty is the replica of entities without replicas.
    pub journal_replica: String,
    /// Pause before the journal is asked again when nothing is new.
    pub journal_poll_interval: Duration,
    /// Entities in one page of the journal's feed.
    pub journal_changes_max: u32,
    /// The name of the checkpoint, and the label `group` where there is no group; none makes a name
    /// from kind and stream.
    pub name: Option<String>,
}

impl Default for SubscriptionSettings {
    fn default() -> Self {
        Self {
            kind: SubscriptionKind::Group,
            stream_name: String::new(),
            group_name: String::new(),
            group: GroupSettings::default(),
            start_from: StartFrom::Start,
            filter: ServerFilterSettings::default(),
            journal_path: None,
            journal: JournalSettings::default(),
            journal_entity_type: None,
            journal_replica: String::new(),
            journal_poll_interval: Duration::from_millis(200),
            journal_changes_max: 256,
            name: None,
        }
    }
}

impl SubscriptionSettings {
    /// The stream that is read: `$ce-customer` for the category `customer`, `$all` for all,
    /// `journal:` and the entity type for a journal.
    pub fn subscribed_stream(&self) -> String {
        match self.kind {
            SubscriptionKind::Group | SubscriptionKind::Stream => self.stream_name.clone(),
            SubscriptionKind::Category if self.stream_name.starts_with("$ce-") => {
                self.stream_name.clone()
            }
            SubscriptionKind::Category => format!("$ce-{}", self.stream_name),
            SubscriptionKind::All => "$all".to_owned(),
            SubscriptionKind::Journal => {
                format!("journal:{}", self.journal_entity_type.as_deref().unwrap_or_default())
            }
        }
    }

    /// The name of the checkpoint and of the parked events: `Name`, or stream and group, or the
    /// stream.
    pub fn display_name(&self) -> String {
        let by_kind = || match self.kind {
            SubscriptionKind::Group => format!("{}::{}", self.stream_name, self.group_name),
            SubscriptionKind::Stream
            | SubscriptionKind::Category
            | SubscriptionKind::All
            | SubscriptionKind::Journal => self.subscribed_stream(),
        };
        self.name.clone().unwrap_or_else(by_kind)
    }

    pub(super) fn read(reader: &Reader<'_>, key: &str) -> Self {
        let at = |name: &str| format!("{key}:{name}");
        let default = Self::default();
        let group = GroupSettings::default();
        let filter = ServerFilterSettings::default();
        Self {
            kind: reader.choice(&at("Kind"), default.kind),
            stream_name: reader.text(&at("StreamName"), ""),
            group_name: reader.text(&at("GroupName"), ""),
            group: GroupSettings {
                create: reader.flag(&at("CreateGroup"), group.create),
                start_from: start_from(reader, &at("GroupStartFrom")),
                strategy: reader.choice(&at("GroupConsumerStrategy"), group.strategy),
                message_timeout: reader.span(&at("GroupMessageTimeout"), group.message_timeout),
                max_retry_count: reader.number(&at("GroupRetryCountMax"), group.max_retry_count),
                checkpoint_after: reader.span(&at("GroupCheckpointAfter"), group.checkpoint_after),
            },
            start_from: start_from(reader, &at("StartFrom")),
            filter: ServerFilterSettings {
                by: reader.choice(&at("FilterBy"), filter.by),
                prefixes: reader.texts(&at("FilterPrefixes")),
                regex: reader.optional(&at("FilterRegex")),
                exclude_system: reader.flag(&at("FilterExcludeSystem"), filter.exclude_system),
            },
            journal_path: reader.optional(&at("JournalPath")),
            journal: JournalSettings::read(reader, &at("Journal")),
            journal_entity_type: reader.optional(&at("JournalEntityType")),
            journal_replica: reader.text(&at("JournalReplica"), ""),
            journal_poll_interval: reader
                .span(&at("JournalPollInterval"), default.journal_poll_interval),
            journal_changes_max: reader
                .number(&at("JournalChangesMax"), default.journal_changes_max),
            name: reader.optional(&at("Name")),
        }
    }

    pub(super) fn check(&self, key: &str, problems: &mut Problems) {
        let at = |name: &str| format!("{key}:{name}");
        let kind = self.kind.word();
        let is_group = self.kind == SubscriptionKind::Group;
        let is_journal = self.kind == SubscriptionKind::Journal;
        let has_stream = !is_journal && self.kind != SubscriptionKind::All;
        if has_stream {
            problems.required(
                &at("StreamName"),
                &self.stream_name,
                "the name of a stream at the source",
            );
        }
        if is_group {
            let hint = "the name of a persistent subscription group; for a catch-up without one set `Kind`";
            problems.required(&at("GroupName"), &self.group_name, hint);
        } else if !self.group_name.is_empty() {
            let expected = format!("none, because `{}` is `{kind}`", at("Kind"));
            problems.expected(&at("GroupName"), &self.group_name, &expected);
        }
        if is_journal {
            self.journal.check(&at("Journal"), self.journal_path.as_deref(), problems);
            let entity_type = self.journal_entity_type.as_deref().unwrap_or_default();
            problems.required(&at("JournalEntityType"), entity_type, "a type of entities");
        }
        if self.kind == SubscriptionKind::All && matches!(self.start_from, StartFrom::Revision(_)) {
            problems.push(format!(
                "`{}`: expected `start` or `end`, because `$all` has no event numbers",
                at("StartFrom")
            ));
        }
        if self.filter.regex.is_some() && !self.filter.prefixes.is_empty() {
            problems.push(format!(
                "`{}`: expected none, because `{}` is given and the server takes one of them",
                at("FilterRegex"),
                at("FilterPrefixes")
            ));
        }
        let (day, second) = (Duration::from_secs(86_400), Duration::from_secs(1));
        problems.span(&at("GroupMessageTimeout"), self.group.message_timeout, second, day);
        problems.span(&at("GroupCheckpointAfter"), self.group.checkpoint_after, second, day);
        let poll = self.journal_poll_interval;
        problems.span(&at("JournalPollInterval"), poll, Duration::from_millis(1), day);
        problems.number(&at("JournalChangesMax"), self.journal_changes_max.into(), 1, 100_000);
        problems.number(&at("GroupRetryCountMax"), self.group.max_retry_count.into(), 0, 1_000_000);
    }
}

fn start_from(reader: &Reader<'_>, key: &str) -> StartFrom {
    let parse = |text: &str| match text.trim().to_ascii_lowercase().as_str() {
        "start" => Some(StartFrom::Start),
        "end" => Some(StartFrom::End),
        number => number.parse().ok().map(StartFrom::Revision),
    };
    reader.value(key, "start", "`start`, `end` or an event number", parse).unwrap_or_default()
}
