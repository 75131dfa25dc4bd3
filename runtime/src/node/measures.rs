//! The metrics of a node's driver.

use crate::membership::{MemberState, Membership};
use crate::metrics::{IntCounterVec, IntGauge, IntGaugeVec, Metrics};

pub(super) struct DriverMetrics {
    members: IntGaugeVec,
    cuts: IntGauge,
    pub(super) changes: IntCounterVec,
    pub(super) probes_missed: IntCounterVec,
    pub(super) live: IntGauge,
    pub(super) token: IntGauge,
    pub(super) lacking: IntGauge,
}

impl DriverMetrics {
    pub(super) fn new(metrics: &Metrics) -> Self {
        Self {
            members: metrics.gauges_of("antiphon_members"),
            cuts: metrics.gauge_of("antiphon_members_unreachable"),
            changes: metrics.counters_of("antiphon_member_changes_total"),
            probes_missed: metrics.counters_of("antiphon_probes_missed_total"),
            live: metrics.gauge_of("antiphon_node_live"),
            token: metrics.gauge_of("antiphon_lease_token"),
            lacking: metrics.gauge_of("antiphon_lease_types_lacking"),
        }
    }

    pub(super) fn count(&self, members: &Membership) {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        for state in
            [MemberState::Joining, MemberState::Up, MemberState::Leaving, MemberState::Dead]
        {
            let count = members.all().filter(|member| member.state == state).count();
            let label = format!("{state:?}").to_lowercase();
            self.members.with_label_values(&[label.as_str()]).set(number(count));
        }
        self.cuts.set(number(members.unreachable().count()));
    }
}
