//! The settings of other parts, made from the configuration.

use antiphon_eventstore as es;

use super::{Config, Field, ServerFilterBy, SubscriptionKind, SubscriptionSettings};
use crate::pipeline::{Parking, PipelineSettings};
use crate::sink::{EventStoreSinkSettings, Versions};

impl Config {
    /// Returns whether single events can be left out of a stream, so that later ones have other
    /// numbers at the destination.
    pub fn leaves_out_single_events(&self) -> bool {
        let settings = &self.settings;
        settings.transform.url.is_some()
            || settings.loops.enabled
            || settings.filters.iter().any(|filter| filter.field == Field::Type)
            || settings.subscriptions.iter().any(filters_by_type)
    }

    /// The limits of the clients of event stores.
    pub fn client(&self) -> es::ClientSettings {
        es::ClientSettings {
            request_timeout: self.settings.write_timeout,
            ..self.settings.stores.client.clone()
        }
    }

    /// The settings of the sink `eventstore`. Exact numbers need every event of a stream; where
    /// single events are left out, written events are found by their ids instead.
    pub fn event_store_sink(&self) -> EventStoreSinkSettings {
        let looks_back = self.settings.skip_version_check || self.leaves_out_single_events();
        EventStoreSinkSettings {
            versions: if looks_back { Versions::LookBack } else { Versions::Exact },
            time_to_live: self.settings.time_to_live,
            look_back_max: self.settings.stores.look_back_max,
            known_ids_max: self.settings.stores.known_ids_max,
        }
    }

    /// The settings of a subscription's pipeline; `mixes_streams` is the answer of its sink.
    pub fn pipeline(
        &self,
        subscription: &SubscriptionSettings,
        mixes_streams: bool,
    ) -> PipelineSettings {
        let retry = &self.settings.retry;
        // a dry run only looks at a group
        let is_group = subscription.kind == SubscriptionKind::Group && !self.settings.dry_run;
        let pipeline = PipelineSettings {
            mixes_streams,
            retry_count_max: retry.attempts_max,
            retry_delay: retry.delay,
            retry_delay_max: retry.delay_max,
            parking: if is_group { Parking::Source } else { Parking::Own },
            source_settles: is_group,
            ..self.settings.pipeline.clone()
        };
        if is_group {
            return pipeline;
        }
        PipelineSettings { renew_after: None, suspend_after: None, ..pipeline }
    }
}

/// Returns whether the server's filter of `$all` leaves out single events.
fn filters_by_type(one: &SubscriptionSettings) -> bool {
    let filter = &one.filter;
    let is_given = filter.regex.is_some() || !filter.prefixes.is_empty();
    one.kind == SubscriptionKind::All && filter.by == ServerFilterBy::Type && is_given
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::FilterRule;

    #[test]
    fn the_defaults_are_those_of_the_client_of_the_sink_and_of_the_pipeline() {
        let config = Config::default();
        assert_eq!(config.client(), es::ClientSettings::default());
        assert_eq!(config.event_store_sink(), EventStoreSinkSettings::default());

        let all = SubscriptionSettings { kind: SubscriptionKind::All, ..Default::default() };
        assert_eq!(config.pipeline(&all, false), PipelineSettings::default());
    }

    #[test]
    fn a_group_settles_at_its_source_and_passes_the_checks_of_the_pipeline() {
        let group = Config::default().pipeline(&SubscriptionSettings::default(), true);
        group.validate().unwrap();
        assert!(group.source_settles && group.mixes_streams && group.parking == Parking::Source);
        assert_eq!(group.renew_after, Some(std::time::Duration::from_secs(20)));
    }

    #[test]
    fn numbers_are_kept_unless_single_events_can_be_left_out() {
        let mut config = Config::default();
        config.settings.filters.push(FilterRule { field: Field::Type, ..Default::default() });
        assert_eq!(config.event_store_sink().versions, Versions::LookBack);
    }
}
