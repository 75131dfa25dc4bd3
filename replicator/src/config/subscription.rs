//! Settings of one subscription: its source, its way of reading, and its start.

use std::time::Duration;

use antiphon_eventstore::{ConsumerStrategy, GroupSettings, ReadFrom};
use antiphon_persistence::identity::ReplicaId;

use super::choice::{choice, words};
use super::journal::{JournalKeys, JournalSettings};
use super::kinds::{DAY, Kind, MILLISECOND, SECOND, flag, number, optional, span, text, word};
use super::table::{Sub, Texts, section, settings};
use crate::Result;

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

words! {
    ConsumerStrategy {
        Pinned = "Pinned",
        RoundRobin = "RoundRobin",
        DispatchToSingle = "DispatchToSingle",
        PinnedByCorrelation = "PinnedByCorrelation"
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

/// The start of a reader without a position: the first event, the end, or an event number of the
/// subscribed stream.
pub type StartFrom = ReadFrom<u64>;

fn start() -> Kind<StartFrom> {
    Kind::new(
        ("start, end, a number", "`start`, `end` or an event number"),
        |text| match text.trim().to_ascii_lowercase().as_str() {
            "start" => Some(StartFrom::Start),
            "end" => Some(StartFrom::End),
            number => number.parse().ok().map(StartFrom::At),
        },
        |value| match value {
            StartFrom::Start => "start".to_owned(),
            StartFrom::End => "end".to_owned(),
            StartFrom::At(revision) => revision.to_string(),
        },
        |_| None,
    )
}

/// A group as Ditto makes it: a stream stays with one consumer as long as possible.
fn group() -> GroupSettings {
    GroupSettings {
        resolve_links: true,
        from: ReadFrom::Start,
        strategy: ConsumerStrategy::Pinned,
        checkpoint_after: SECOND * 10,
        ..GroupSettings::default()
    }
}

section! {
    GroupSettings {
        /// The start of a group that is created.
        from, "GroupStartFrom", start();
        /// The way in which a group that is created hands out events.
        strategy, "GroupConsumerStrategy", word();
        /// Time without an answer after which a group that is created delivers an event again.
        message_timeout, "GroupMessageTimeout", span(SECOND, DAY);
        /// Repeated deliveries of an event before a group that is created parks it.
        max_retry_count, "GroupRetryCountMax", number(0, 1_000_000);
        /// Interval at which the server stores the position of a group that is created.
        checkpoint_after, "GroupCheckpointAfter", span(SECOND, DAY);
    }
}

settings! {
    /// A filter that the server applies to `$all`. Without prefixes and regex, only
    /// `exclude_system` applies.
    ServerFilterSettings {
        /// The part of an event that the server's filter of `$all` compares.
        by: ServerFilterBy = ServerFilterBy::Stream, "FilterBy", word();
        /// Passes names that start with one of these prefixes.
        prefixes: Vec<String> = Vec::new(), "FilterPrefixes", Texts("a text");
        /// Passes names that match; not together with prefixes. The dialect is the server's, so it
        /// is not checked here.
        regex: Option<String> = None, "FilterRegex", optional(text("a .NET regex"));
        /// Passes no system events, when there are neither prefixes nor a regex.
        exclude_system: bool = true, "FilterExcludeSystem", flag();
    }
}

settings! {
    /// A subscription.
    SubscriptionSettings {
        /// The stream that is read, such as `$ce-customer`; with `Kind=category` the category. Not
        /// for `all` and `journal`, otherwise required.
        stream_name: String = String::new(), "StreamName", text("a stream");
        /// The persistent subscription group. Required for `Kind=group`, only there.
        group_name: String = String::new(), "GroupName", text("a group");
        /// The way in which the subscription reads: a persistent group as Ditto; a catch-up on a
        /// stream, a category or `$all`; an Antiphon journal.
        kind: SubscriptionKind = SubscriptionKind::Group, "Kind", word();
        /// The name of the checkpoint and of the parked events, and the label `group` where there
        /// is no group; without it, a name made from stream and group.
        name: Option<String> = None, "Name", optional(text("a text"));
        /// Creates the group when it is missing.
        create_group: bool = false, "CreateGroup", flag();
        /// Settings for the creation of the group.
        group: GroupSettings = group(), "", Sub;
        /// The start of a catch-up without a checkpoint.
        start_from: StartFrom = StartFrom::Start, "StartFrom", start();
        /// The server's filter of `$all`.
        filter: ServerFilterSettings = ServerFilterSettings::default(), "", Sub;
        /// The SQLite file of a journal.
        journal_path: Option<String> = None, "JournalPath", optional(text("a path"));
        /// The journal that is read.
        journal: JournalSettings = JournalSettings::default(), "Journal", JournalKeys;
        /// The type of the journal's entities that are read. Required for `Kind=journal`.
        journal_entity_type: Option<String> = None, "JournalEntityType", optional(text("a type"));
        /// The replica of these entities; without it, the replica of entities without replicas.
        journal_replica: String = String::new(), "JournalReplica", text("a replica");
        /// Pause before the journal is asked again when nothing is new.
        journal_poll_interval: Duration = MILLISECOND * 200, "JournalPollInterval",
            span(MILLISECOND, DAY);
        /// Entities in one page of the journal's feed.
        journal_changes_max: usize = 256, "JournalChangesMax", number(1, 100_000);
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

    /// The replica of a journal's entities that is read.
    ///
    /// # Errors
    /// `Rejected` when its name is not allowed.
    pub fn replica(&self) -> Result<ReplicaId> {
        match self.journal_replica.as_str() {
            "" => Ok(ReplicaId::empty()),
            name => ReplicaId::new(name),
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
}
