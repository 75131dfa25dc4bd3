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
}

impl DriverMetrics {
    pub(super) fn new(metrics: &Metrics) -> Self {
        Self {
            members: metrics.gauges("antiphon_members", "Members of all places", &["state"]),
            cuts: metrics.gauge(
                "antiphon_members_unreachable",
                "Pairs of members of the place of which the first cannot reach the second",
            ),
            changes: metrics.counters(
                "antiphon_member_changes_total",
                "Changes of rows of the members table",
                &["purpose", "outcome"],
            ),
            probes_missed: metrics.counters(
                "antiphon_probes_missed_total",
                "Probes that were not answered",
                &["node"],
            ),
            live: metrics.gauge("antiphon_node_live", "Whether this node may answer"),
            token: metrics.gauge("antiphon_lease_token", "Token of the lease, if held"),
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
