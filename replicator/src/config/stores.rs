//! What the settings mean to the client of event stores, to sources and to sinks.

use std::time::Duration;

use antiphon_eventstore as es;

use super::problems::Problems;
use super::reader::Reader;
use super::{Config, Field, ServerFilterBy, StartFrom, SubscriptionKind, SubscriptionSettings};
use crate::sink::{EventStoreSinkSettings, Versions};
use crate::source::{Start, What};

/// Matches every name that is not the server's own.
const NOT_SYSTEM: &str = r"^[^\$].*";

/// Limits of the client and of the sink `eventstore`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreSettings {
    /// The client's limits, for both sides; what a connection string says itself wins.
    pub client: es::ClientSettings,
    /// Ids of a destination stream that are read to find what was written before.
    pub look_back_max: u64,
    /// Ids of all streams together that are kept.
    pub known_ids_max: u64,
}

impl Default for StoreSettings {
    fn default() -> Self {
        let sink = EventStoreSinkSettings::default();
        Self {
            client: es::ClientSettings::default(),
            look_back_max: sink.look_back_max,
            known_ids_max: u64::try_from(sink.known_ids_max).unwrap_or(u64::MAX),
        }
    }
}

impl StoreSettings {
    pub(super) fn read(reader: &Reader<'_>) -> Self {
        let default = Self::default();
        let client = &default.client;
        let at = |name: &str| format!("Settings:Client:{name}");
        let span = |name: &str, default| reader.span(&at(name), default);
        Self {
            client: es::ClientSettings {
                request_timeout: span("RequestTimeout", client.request_timeout),
                connect_timeout: span("ConnectTimeout", client.connect_timeout),
                keep_alive_interval: span("KeepAliveInterval", client.keep_alive_interval),
                keep_alive_timeout: span("KeepAliveTimeout", client.keep_alive_timeout),
                discover_attempts_max: reader
                    .number(&at("DiscoverAttemptsMax"), client.discover_attempts_max),
                discovery_interval: span("DiscoveryInterval", client.discovery_interval),
                gossip_timeout: span("GossipTimeout", client.gossip_timeout),
                message_bytes_max: reader.number(&at("MessageBytesMax"), client.message_bytes_max),
                stream_window_bytes: reader
                    .number(&at("StreamWindowBytes"), client.stream_window_bytes),
                connection_window_bytes: reader
                    .number(&at("ConnectionWindowBytes"), client.connection_window_bytes),
                filter_window_max: reader.number(&at("FilterWindowMax"), client.filter_window_max),
                filter_checkpoint_windows: reader
                    .number(&at("FilterCheckpointWindows"), client.filter_checkpoint_windows),
                group_answers_max: reader.number(&at("GroupAnswersMax"), client.group_answers_max),
            },
            look_back_max: reader.number("Settings:LookBackMax", default.look_back_max),
            known_ids_max: reader.number("Settings:KnownIdsMax", default.known_ids_max),
        }
    }

    pub(super) fn check(&self, problems: &mut Problems) {
        let client = &self.client;
        let wide = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let giga = 1024 * 1024 * 1024;
        for (name, value, min, max) in [
            ("Client:DiscoverAttemptsMax", client.discover_attempts_max.into(), 1, 1_000_000),
            ("Client:MessageBytesMax", wide(client.message_bytes_max), 65_536, giga),
            ("Client:StreamWindowBytes", client.stream_window_bytes.into(), 65_535, giga),
            ("Client:ConnectionWindowBytes", client.connection_window_bytes.into(), 65_535, giga),
            ("Client:FilterWindowMax", client.filter_window_max.into(), 1, 100_000),
            ("Client:FilterCheckpointWindows", client.filter_checkpoint_windows.into(), 1, 100_000),
            ("Client:GroupAnswersMax", wide(client.group_answers_max), 1, 1_000_000),
            ("LookBackMax", self.look_back_max, 1, 10_000_000),
            ("KnownIdsMax", self.known_ids_max, 1, 1_000_000_000),
        ] {
            problems.number(&format!("Settings:{name}"), value, min, max);
        }
        let (milli, day) = (Duration::from_millis(1), Duration::from_secs(86_400));
        for (name, value) in [
            ("RequestTimeout", client.request_timeout),
            ("ConnectTimeout", client.connect_timeout),
            ("KeepAliveInterval", client.keep_alive_interval),
            ("KeepAliveTimeout", client.keep_alive_timeout),
            ("DiscoveryInterval", client.discovery_interval),
            ("GossipTimeout", client.gossip_timeout),
        ] {
            problems.span(&format!("Settings:Client:{name}"), value, milli, day);
        }
    }
}

impl Config {
    /// Whether single events can be left out of a stream, so that later ones have other numbers at the destination.
    pub fn leaves_out_single_events(&self) -> bool {
        let settings = &self.settings;
        settings.transform.url.is_some()
            || settings.loops.enabled
            || settings.filters.iter().any(|filter| filter.field == Field::Type)
    }

    /// The settings of the sink `eventstore`.
    pub fn event_store_sink(&self) -> EventStoreSinkSettings {
        let looks_back = self.settings.skip_version_check || self.leaves_out_single_events();
        let stores = &self.settings.stores;
        EventStoreSinkSettings {
            versions: if looks_back { Versions::LookBack } else { Versions::Exact },
            time_to_live: self.settings.time_to_live,
            look_back_max: stores.look_back_max,
            known_ids_max: usize::try_from(stores.known_ids_max).unwrap_or(usize::MAX),
        }
    }

    /// What the server lets through of `$all`: its own events only when they are wanted.
    pub fn server_filter(&self, subscription: &SubscriptionSettings) -> es::Filter {
        let settings = &self.settings;
        let wanted =
            settings.system_events || settings.copy_stream_metadata || settings.copy_deletes;
        let filter = &subscription.filter;
        let by_stream = filter.by == ServerFilterBy::Stream;
        let regex = filter
            .regex
            .clone()
            .or_else(|| (filter.exclude_system && !wanted).then(|| NOT_SYSTEM.to_owned()));
        match (by_stream, filter.prefixes.is_empty(), regex) {
            (true, false, _) => es::Filter::StreamPrefix(filter.prefixes.clone()),
            (false, false, _) => es::Filter::TypePrefix(filter.prefixes.clone()),
            (true, true, Some(regex)) => es::Filter::StreamRegex(regex),
            (false, true, Some(regex)) => es::Filter::TypeRegex(regex),
            (_, true, None) => es::Filter::None,
        }
    }

    /// What a catch-up reads, and where it starts; `None` for a group and a journal.
    pub fn catch_up(&self, subscription: &SubscriptionSettings) -> Option<(What, Start)> {
        let what = match subscription.kind {
            SubscriptionKind::Group | SubscriptionKind::Journal => return None,
            SubscriptionKind::Stream | SubscriptionKind::Category => {
                What::Stream(subscription.subscribed_stream())
            }
            SubscriptionKind::All => What::All(self.server_filter(subscription)),
        };
        let start = match subscription.start_from {
            StartFrom::Start => Start::Beginning,
            StartFrom::End => Start::End,
            StartFrom::Revision(number) => Start::Revision(number),
        };
        Some((what, start))
    }

    /// How a missing group is made; `None` when it is not.
    pub fn group_to_create(
        &self,
        subscription: &SubscriptionSettings,
    ) -> Option<es::GroupSettings> {
        let group = &subscription.group;
        let from = match group.start_from {
            StartFrom::Start => es::ReadFrom::Start,
            StartFrom::End => es::ReadFrom::End,
            StartFrom::Revision(number) => es::ReadFrom::At(number),
        };
        let from_position = match group.start_from {
            StartFrom::Start | StartFrom::Revision(_) => es::ReadFrom::Start,
            StartFrom::End => es::ReadFrom::End,
        };
        let strategy = match group.strategy {
            super::ConsumerStrategy::Pinned => es::ConsumerStrategy::Pinned,
            super::ConsumerStrategy::RoundRobin => es::ConsumerStrategy::RoundRobin,
            super::ConsumerStrategy::DispatchToSingle => es::ConsumerStrategy::DispatchToSingle,
        };
        group.create.then(|| es::GroupSettings {
            resolve_links: true,
            from,
            from_position,
            filter: self.server_filter(subscription),
            max_retry_count: group.max_retry_count,
            message_timeout: group.message_timeout,
            checkpoint_after: group.checkpoint_after,
            strategy,
            ..es::GroupSettings::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Action, FilterRule, Matching};

    fn all() -> SubscriptionSettings {
        SubscriptionSettings { kind: SubscriptionKind::All, ..SubscriptionSettings::default() }
    }

    #[test]
    fn all_is_read_without_the_events_of_the_server_unless_they_are_wanted() {
        let mut config = Config::default();
        let not_system = es::Filter::StreamRegex(NOT_SYSTEM.to_owned());
        assert_eq!(config.server_filter(&all()), not_system);

        config.settings.copy_stream_metadata = true;
        assert_eq!(config.server_filter(&all()), es::Filter::None);

        let mut prefixes = all();
        prefixes.filter.prefixes = vec!["customer-".to_owned()];
        assert_eq!(
            config.server_filter(&prefixes),
            es::Filter::StreamPrefix(vec!["customer-".to_owned()])
        );
        prefixes.filter.by = ServerFilterBy::Type;
        assert_eq!(
            config.server_filter(&prefixes),
            es::Filter::TypePrefix(vec!["customer-".to_owned()])
        );
    }

    #[test]
    fn numbers_are_kept_unless_single_events_can_be_left_out() {
        let mut config = Config::default();
        assert_eq!(config.event_store_sink(), EventStoreSinkSettings::default());

        config.settings.filters.push(FilterRule {
            action: Action::Exclude,
            field: Field::Type,
            matching: Matching::Exact,
            value: "x".to_owned(),
        });
        assert_eq!(config.event_store_sink().versions, Versions::LookBack);
    }

    #[test]
    fn a_category_is_the_stream_of_its_links_and_a_group_is_made_on_request_only() {
        let config = Config::default();
        let mut subscription = SubscriptionSettings {
            kind: SubscriptionKind::Category,
            stream_name: "customer".to_owned(),
            start_from: StartFrom::Revision(7),
            ..SubscriptionSettings::default()
        };
        let expected = (What::Stream("$ce-customer".to_owned()), Start::Revision(7));
        assert_eq!(config.catch_up(&subscription), Some(expected));
        assert_eq!(config.group_to_create(&subscription), None);

        subscription.group.create = true;
        let group = config.group_to_create(&subscription).unwrap();
        assert!(group.resolve_links);
        assert_eq!(group.strategy, es::ConsumerStrategy::Pinned);
    }
}
