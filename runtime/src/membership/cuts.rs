//! The rules about cuts: the age of each.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::settings::MembershipSettings;
use super::verdict::Pair;

/// A pair of members that cannot reach each other.
#[derive(Debug)]
struct Cut {
    /// The time when the cut was first seen, then the older one of the last renewals of its ends.
    until: Instant,
    /// Time for which the cut has lasted while both ends renewed their rows.
    age: Duration,
}

impl Cut {
    fn new(now: Instant) -> Self {
        Self { until: now, age: Duration::ZERO }
    }

    /// Counts the time until both ends have renewed their rows, the last of them at `renewed`.
    ///
    /// A member that has died renews nothing, so its cuts do not grow older: no member gives way
    /// to a dead one. The time between two renewals counts at most as one renewal and one read of
    /// the table; the rest is time without the store. After `renew_timeout` without the store the
    /// age begins anew, since connections need a moment to come back, too.
    fn grow(&mut self, now: Instant, renewed: Instant, settings: &MembershipSettings) {
        let passed = renewed.saturating_duration_since(self.until);
        if passed >= settings.renew_timeout {
            *self = Self::new(now);
        } else {
            self.age += passed.min(settings.renew_interval + settings.scan_interval);
            self.until = self.until.max(renewed);
        }
    }
}

/// The cuts that a node knows of.
#[derive(Debug, Default)]
pub(super) struct Cuts {
    cuts: BTreeMap<Pair, Cut>,
}

impl Cuts {
    pub(super) fn is_empty(&self) -> bool {
        self.cuts.is_empty()
    }

    /// Follows the cuts of the table as it was just read. `renewed_by_both` is the
    /// time until which both ends have renewed their rows.
    pub(super) fn follow(
        &mut self,
        now: Instant,
        cuts: BTreeSet<Pair>,
        renewed_by_both: impl Fn(&Pair) -> Option<Instant>,
        settings: &MembershipSettings,
    ) {
        self.cuts.retain(|pair, _| cuts.contains(pair));
        for pair in cuts {
            let renewed = renewed_by_both(&pair);
            let cut = self.cuts.entry(pair).or_insert_with(|| Cut::new(now));
            if let Some(renewed) = renewed {
                cut.grow(now, renewed, settings);
            }
        }
    }

    /// The age of each cut.
    pub(super) fn ages(&self) -> BTreeMap<Pair, Duration> {
        self.cuts.iter().map(|(pair, cut)| (pair.clone(), cut.age)).collect()
    }

    /// Asserts the invariants.
    pub(super) fn check(&self) {
        for (a, b) in self.cuts.keys() {
            assert!(a < b, "the cut of `{a}` and `{b}` is kept in the wrong order");
        }
    }
}
