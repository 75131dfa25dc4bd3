//! The rules about broken links: the age of a broken link, and the verdict about one of its ends.

use std::time::Duration;

use tokio::time::Instant;

use super::core::{Effect, MembershipCore, MembershipSettings};
use super::verdict::{Pair, Patience, Verdict};
use crate::NodeId;

/// A broken link.
#[derive(Debug)]
pub(super) struct Cut {
    /// The time when the cut was first seen, then the older one of the last renewals of its ends.
    until: Instant,
    /// Time for which the link was broken while both ends renewed their rows.
    age: Duration,
}

impl Cut {
    fn new(now: Instant) -> Self {
        Self { until: now, age: Duration::ZERO }
    }

    /// Counts the time until both ends have renewed their rows, the last of them at `renewed`.
    ///
    /// A member that has died renews nothing, so its links do not grow older: no member gives way
    /// to a dead one. The time between two renewals counts at most as one renewal and one read of
    /// the table; the rest is time without the store. After `renew_timeout` without the store the
    /// age begins anew, since links need a moment to come back, too.
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

impl MembershipCore {
    /// The time until which both ends have renewed their rows.
    fn renewed_by_both(&self, (a, b): &Pair) -> Option<Instant> {
        let renewed = |id: &NodeId| {
            if *id == self.me { Some(self.renewed) } else { Some(self.known.get(id)?.seen_at) }
        };
        Some(renewed(a)?.min(renewed(b)?))
    }

    /// Follows the links that are broken by the table as it was just read.
    fn follow_cuts(&mut self, now: Instant) {
        let broken = self.with_links(|links| links.broken());
        self.cuts.retain(|pair, _| broken.contains(pair));
        for pair in broken {
            let renewed = self.renewed_by_both(&pair);
            let cut = self.cuts.entry(pair).or_insert_with(|| Cut::new(now));
            if let Some(renewed) = renewed {
                cut.grow(now, renewed, &self.settings);
            }
        }
    }

    /// Judges the broken links, by the table as it was just read.
    pub(super) fn judge(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        self.follow_cuts(now);
        let Some(verdicts) = &self.verdicts else { return };
        if self.cuts.is_empty() || !self.own.has_joined() || self.is_condemned(&self.me) {
            return;
        }
        let ages = self.cuts.iter().map(|(pair, cut)| (pair.clone(), cut.age)).collect();
        let limits = Patience {
            votes_required: self.settings.votes_required,
            cut_timeout: self.settings.cut_timeout,
            bridged_cut_timeout: self.settings.bridged_cut_timeout,
        };
        let holder = verdicts.holder.as_ref();
        let judged = self.with_links(|links| links.who_gives_way(&ages, holder, &limits));
        let Some((id, from)) = judged else { return };
        if id != self.me && !from.contains(&self.me) {
            return;
        }
        let from: Vec<String> = from.iter().map(|other| format!("`{other}`")).collect();
        let why = format!(
            "it and {} cannot reach each other, and the one gives way that does not hold the coordinator lease, hosts less, or is younger",
            from.join(", ")
        );
        let verdict = Verdict { id, by: self.me.clone(), why };
        effects.push(Effect::Condemn(verdict, verdicts.version));
    }
}
