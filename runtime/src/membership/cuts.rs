//! The rules about broken links: how old they are, and the verdict about one of their ends.

use std::time::Duration;

use tokio::time::Instant;

use super::core::{Effect, MembershipCore};
use super::verdict::{Pair, Patience, Verdict};
use crate::NodeId;

impl MembershipCore {
    /// The age of a broken link: the time from when it was first seen until the last renewal of both its ends.
    ///
    /// A member that has died renews nothing, so its links do not age: nobody gives way to the dead. Time without the store does
    /// not count either, since nobody renews meanwhile.
    fn cut_age(&self, (a, b): &Pair, since: Instant) -> Duration {
        let renewed = |id: &NodeId| {
            if *id == self.me { Some(self.renewed) } else { Some(self.known.get(id)?.seen_at) }
        };
        let until = renewed(a).zip(renewed(b)).map(|(a, b)| a.min(b));
        until.map_or(Duration::ZERO, |until| until.saturating_duration_since(since))
    }

    /// Judges the broken links, by the table as it was just read.
    pub(super) fn judge(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let broken = self.with_links(|links| links.broken());
        self.cuts.retain(|pair, _| broken.contains(pair));
        for pair in broken {
            self.cuts.entry(pair).or_insert(now);
        }
        let Some(verdicts) = &self.verdicts else { return };
        if self.cuts.is_empty() || !self.own.has_joined() || self.is_condemned(&self.me) {
            return;
        }
        let ages = self.cuts.iter().map(|(pair, since)| (pair.clone(), self.cut_age(pair, *since)));
        let ages = ages.collect();
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
