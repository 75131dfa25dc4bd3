//! Settings of the client of event stores, and of the sink that writes to one.

use std::time::Duration;

use antiphon_eventstore as es;

use super::problems::Problems;
use super::reader::Reader;
use super::{Config, Field};
use crate::sink::{EventStoreSinkSettings, Versions};

/// Limits of the client and of the sink `eventstore`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreSettings {
    /// Limits of the client, for source and destination; a value in a connection string wins.
    pub client: es::ClientSettings,
    /// Ids of a destination stream that are read to find events that were written before.
    pub look_back_max: u64,
    /// Ids of all streams together that are kept in memory.
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
                // set from `WriteTimeout` by [`Config::client`]
                request_timeout: client.request_timeout,
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
    /// Returns whether single events can be left out of a stream, so that later ones have other
    /// numbers at the destination.
    pub fn leaves_out_single_events(&self) -> bool {
        let settings = &self.settings;
        settings.transform.url.is_some()
            || settings.loops.enabled
            || settings.filters.iter().any(|filter| filter.field == Field::Type)
    }

    /// The limits of the clients of event stores.
    pub fn client(&self) -> es::ClientSettings {
        es::ClientSettings {
            request_timeout: self.settings.work.write_timeout,
            ..self.settings.stores.client.clone()
        }
    }

    /// The settings of the sink `eventstore`. Exact numbers need every event of a stream; where
    /// single events are left out, written events are found by their ids instead.
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Action, FilterRule, Matching};

    #[test]
    fn the_defaults_are_those_of_the_client_and_of_the_sink() {
        let config = Config::default();
        assert_eq!(config.client(), es::ClientSettings::default());
        assert_eq!(config.event_store_sink(), EventStoreSinkSettings::default());
    }

    #[test]
    fn numbers_are_kept_unless_single_events_can_be_left_out() {
        let mut config = Config::default();
        config.settings.filters.push(FilterRule {
            action: Action::Exclude,
            field: Field::Type,
            matching: Matching::Exact,
            value: "x".to_owned(),
        });
        assert_eq!(config.event_store_sink().versions, Versions::LookBack);
    }
}
