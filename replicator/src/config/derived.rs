//! The settings of other parts, made from the configuration.

use antiphon_eventstore as es;

use super::{Config, Field, SubscriptionKind, SubscriptionSettings};
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
        let settings = &self.settings;
        let (work, retry) = (&settings.work, &settings.retry);
        let is_group = subscription.kind == SubscriptionKind::Group;
        let some = |time: std::time::Duration| (is_group && !time.is_zero()).then_some(time);
        PipelineSettings {
            lane_count: count(work.lanes),
            lane_order: work.lane_order,
            neighbours: work.when_blocked,
            lane_writes_max: count(work.lane_writes_max),
            batch_count_max: count(work.batch_events_max),
            batch_bytes_max: usize::try_from(work.batch_bytes_max).unwrap_or(usize::MAX),
            mixes_streams,
            held_count_max: count(work.held_events_max),
            blocked_count_max: count(work.blocked_events_max),
            blocked_wait_max: work.blocked_wait_max,
            retry_count_max: retry.attempts_max,
            retry_delay: retry.delay,
            retry_delay_max: retry.delay_max,
            missing_wait_max: work.missing_wait_max,
            conflict_policy: settings.conflict_policy,
            followers: work.after_parked,
            parking: if is_group { Parking::Source } else { Parking::Own },
            broken_memory: work.parked_streams_memory,
            broken_count_max: count(work.parked_streams_max),
            throttle: settings.throttle_interval,
            renew_after: some(work.renew_after),
            redelivery_wait_max: work.redelivery_wait_max,
            suspend_after: some(work.suspend_after),
            checkpoint_interval: settings.checkpoint.interval,
            checkpoint_event_count: settings.checkpoint.events_max,
            source_settles: is_group,
            reopen_delay: work.reopen_delay,
            reopen_delay_max: work.reopen_delay_max,
        }
    }
}

fn count(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
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
