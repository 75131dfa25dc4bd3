//! Settings of a persistent subscription group, and the state that the server reports of it.

use std::time::Duration;

use crate::error::{Error, Result};
use crate::event::{ALL, Position};
use crate::read::{ReadFrom, all_from, stream_from};
use crate::settings::ClientSettings;
use crate::subscribe::{Filter, filter_to_wire};
use crate::wire;
use crate::wire::persistent_subscriptions::settings::{CheckpointAfter, MessageTimeout};
use crate::wire::persistent_subscriptions::{CreateReq, Settings, create_req};

/// The distribution of events over the consumers of a group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ConsumerStrategy {
    /// As many as possible to one consumer, then to the next.
    DispatchToSingle,
    /// To each consumer in turn.
    #[default]
    RoundRobin,
    /// By the stream to which an event was written, so that a stream has one consumer.
    Pinned,
    /// By the `$correlationId` in the metadata.
    PinnedByCorrelation,
}

/// The settings of a group, with the server's own defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupSettings {
    /// True when links are resolved to their targets, as a group on `$ce-..` needs.
    pub resolve_links: bool,
    /// The start of a new group in a stream, inclusive.
    pub from: ReadFrom<u64>,
    /// The start of a new group in `$all`.
    pub from_position: ReadFrom<Position>,
    /// The filter of a new group on `$all`.
    pub filter: Filter,
    /// Number of redeliveries of a message before it is parked.
    pub max_retry_count: u32,
    /// Time for a consumer to answer. After it the message is delivered again.
    pub message_timeout: Duration,
    /// Interval at which the server stores the group's position.
    pub checkpoint_after: Duration,
    /// Smallest number of new messages for which the position is stored.
    pub min_checkpoint_count: u32,
    /// Number of new messages above which the position is stored at once.
    pub max_checkpoint_count: u32,
    /// Largest number of consumers; 0 for no limit.
    pub max_subscriber_count: u32,
    /// Number of live events held for slow consumers.
    pub live_buffer_size: u32,
    /// Number of events read at once.
    pub read_batch_size: u32,
    /// Number of past events held.
    pub history_buffer_size: u32,
    /// The distribution of events over consumers.
    pub strategy: ConsumerStrategy,
    /// True when the server measures the latency of consumers.
    pub extra_statistics: bool,
}

impl Default for GroupSettings {
    fn default() -> Self {
        Self {
            resolve_links: false,
            from: ReadFrom::End,
            from_position: ReadFrom::End,
            filter: Filter::None,
            max_retry_count: 10,
            message_timeout: Duration::from_secs(30),
            checkpoint_after: Duration::from_secs(2),
            min_checkpoint_count: 10,
            max_checkpoint_count: 1000,
            max_subscriber_count: 0,
            live_buffer_size: 500,
            read_batch_size: 20,
            history_buffer_size: 500,
            strategy: ConsumerStrategy::default(),
            extra_statistics: false,
        }
    }
}

/// The state of a group as reported by the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupInfo {
    /// The stream, or `$all`.
    pub stream: String,
    /// The group.
    pub group: String,
    /// `Live`, or another word of the server.
    pub status: String,
    /// Number of connected consumers.
    pub consumers: usize,
    /// Number of messages sent to consumers since the server started, repeated ones included.
    pub total: u64,
    /// Number of messages sent to a consumer and not answered.
    pub in_flight: u64,
    /// Number of messages to be delivered again.
    pub retrying: u64,
    /// Number of messages that are read from the stream and wait for a consumer.
    pub waiting: u64,
    /// Number of messages that are parked and not replayed.
    pub parked: u64,
    /// The start of the group: a revision, `0` also for the beginning, `-1` for the end.
    pub start_from: String,
    /// The stored position: a revision, or `C:n/P:n` in `$all`; empty before the first save.
    pub checkpoint: String,
    /// The position of the newest event known to the group, in the same form.
    pub last_known: String,
    /// True when links are resolved.
    pub resolve_links: bool,
    /// Number of redeliveries of a message before it is parked.
    pub max_retry_count: u32,
    /// Time for a consumer to answer.
    pub message_timeout: Duration,
    /// Interval at which the server stores the group's position.
    pub checkpoint_after: Duration,
    /// The server's name of the strategy.
    pub strategy: String,
}

impl GroupSettings {
    pub(crate) fn request(
        &self,
        stream: &str,
        group: &str,
        client: &ClientSettings,
    ) -> Result<CreateReq> {
        use create_req::options::What;
        let what = if stream == ALL {
            let mut all = all_from(self.from_position);
            let filtering = match filter_to_wire(self.filter.clone(), client)? {
                Some(filter) => wire::all_from::Filtering::Filter(filter),
                None => wire::all_from::Filtering::NoFilter(wire::Empty {}),
            };
            all.filtering = Some(filtering);
            What::All(all)
        } else {
            What::Stream(stream_from(stream, self.from))
        };
        // servers before 20.10 read the stream and its revision from these older fields
        let stream_old = (stream != ALL).then(|| stream.into());
        let options = create_req::Options {
            stream_old,
            group: group.to_owned(),
            settings: Some(self.to_wire()?),
            what: Some(what),
        };
        Ok(CreateReq { options: Some(options) })
    }

    fn to_wire(&self) -> Result<Settings> {
        let number = |name: &str, value: u32| {
            i32::try_from(value).map_err(|_| {
                Error::rejected(format!("`{name}`: expected at most {}, actual {value}", i32::MAX))
            })
        };
        let millis = |name: &str, value: Duration| {
            i32::try_from(value.as_millis()).map_err(|_| {
                Error::rejected(format!("`{name}`: expected at most 24 days, actual {value:?}"))
            })
        };
        let message_timeout = millis("message_timeout", self.message_timeout)?;
        let checkpoint_after = millis("checkpoint_after", self.checkpoint_after)?;
        let (strategy_old, strategy) = match self.strategy {
            ConsumerStrategy::DispatchToSingle => (0, "DispatchToSingle"),
            ConsumerStrategy::RoundRobin => (1, "RoundRobin"),
            ConsumerStrategy::Pinned => (2, "Pinned"),
            ConsumerStrategy::PinnedByCorrelation => (2, "PinnedByCorrelation"),
        };
        Ok(Settings {
            resolve_links: self.resolve_links,
            revision_old: match self.from {
                ReadFrom::Start => 0,
                ReadFrom::End => u64::MAX,
                ReadFrom::At(revision) => revision,
            },
            extra_statistics: self.extra_statistics,
            max_retry_count: number("max_retry_count", self.max_retry_count)?,
            min_checkpoint_count: number("min_checkpoint_count", self.min_checkpoint_count)?,
            max_checkpoint_count: number("max_checkpoint_count", self.max_checkpoint_count)?,
            max_subscriber_count: number("max_subscriber_count", self.max_subscriber_count)?,
            live_buffer_size: number("live_buffer_size", self.live_buffer_size)?,
            read_batch_size: number("read_batch_size", self.read_batch_size)?,
            history_buffer_size: number("history_buffer_size", self.history_buffer_size)?,
            strategy_old,
            message_timeout: Some(MessageTimeout::MessageTimeoutMs(message_timeout)),
            checkpoint_after: Some(CheckpointAfter::CheckpointAfterMs(checkpoint_after)),
            consumer_strategy: strategy.to_owned(),
        })
    }
}

impl GroupInfo {
    pub(crate) fn from_wire(info: wire::persistent_subscriptions::GroupInfo) -> Self {
        let millis = |value| Duration::from_millis(u64::try_from(value).unwrap_or_default());
        Self {
            stream: info.event_source,
            group: info.group,
            status: info.status,
            consumers: info.connections.len(),
            total: u64::try_from(info.total_items).unwrap_or_default(),
            in_flight: u64::try_from(info.in_flight_count).unwrap_or_default(),
            retrying: u64::try_from(info.retry_buffer_count).unwrap_or_default(),
            waiting: u64::try_from(info.read_buffer_count).unwrap_or_default(),
            parked: u64::try_from(info.parked_count).unwrap_or_default(),
            start_from: info.start_from,
            checkpoint: info.last_checkpointed_position,
            last_known: info.last_known_position,
            resolve_links: info.resolve_links,
            max_retry_count: u32::try_from(info.max_retry_count).unwrap_or_default(),
            message_timeout: millis(info.message_timeout_ms),
            checkpoint_after: millis(info.checkpoint_after_ms),
            strategy: info.consumer_strategy,
        }
    }
}
