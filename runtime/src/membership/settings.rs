//! The limits of membership.

use std::time::Duration;

use antiphon_base::backoff::Backoff;

/// Limits, from the node's settings.
#[derive(Debug, Clone)]
pub struct MembershipSettings {
    /// Time between two renewals.
    pub renew_interval: Duration,
    /// Time for which a row counts as renewed.
    pub renew_timeout: Duration,
    /// Time between two reads of the table.
    pub scan_interval: Duration,
    /// Number of members that put a node out by saying that they cannot reach it, although the node
    /// reaches them.
    pub votes_required: usize,
    /// Time for which a cut may last before one of its ends gives way.
    pub cut_timeout: Duration,
    /// The same time when a third member reaches both ends.
    pub bridged_cut_timeout: Duration,
    /// Time in which a node that joins must have reached everybody; then it gives up.
    pub join_timeout: Duration,
    /// Longest wait before a failed operation is tried again.
    pub retry_delay_max: Duration,
    /// Time for which a dead row is kept.
    pub dead_retention: Duration,
    /// Limit of the number of dead rows that are kept.
    pub dead_rows_max: usize,
}

impl MembershipSettings {
    /// The waits before a failed operation is tried again.
    pub(super) fn backoff(&self) -> Backoff {
        Backoff::up_to(self.retry_delay_max)
    }

    /// Time after which the writer of a node may be sealed that has not renewed its row: the node
    /// has stopped to answer `renew_timeout` after its last renewal, and the tenth is for clocks
    /// that run at different speeds.
    pub(crate) fn seal_after(&self) -> Duration {
        self.renew_timeout + self.renew_timeout / 10
    }
}
