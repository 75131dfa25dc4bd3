//! The settings of one subscription's pipeline, made from the configuration.

use super::{Config, SubscriptionKind, SubscriptionSettings};
use crate::pipeline::{Parking, PipelineSettings};

impl Config {
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

    #[test]
    fn the_defaults_of_both_are_the_same_and_pass_the_checks_of_the_pipeline() {
        let config = Config::default();
        let catch_up =
            SubscriptionSettings { kind: SubscriptionKind::All, ..SubscriptionSettings::default() };

        let pipeline = config.pipeline(&catch_up, false);
        assert_eq!(pipeline, PipelineSettings::default());

        let group = config.pipeline(&SubscriptionSettings::default(), true);
        group.validate().unwrap();
        assert!(group.source_settles && group.mixes_streams && group.parking == Parking::Source);
        assert_eq!(group.renew_after, Some(std::time::Duration::from_secs(20)));
    }
}
