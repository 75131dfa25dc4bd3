//! The rules about the other members: learn their rows, declare the silent and the condemned dead,
//! seal, clean.

use std::collections::BTreeSet;
use std::time::Duration;

use antiphon_base::backoff::Retry;
use antiphon_persistence::store::RowVersion;
use tokio::time::Instant;

use super::MemberState;
use super::core::{Effect, MembershipCore, Outcome, Purpose};
use super::row::{MemberRow, Versioned};
use super::verdict::Links;
use crate::NodeId;

/// A member as this node knows it.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) version: RowVersion,
    pub(super) row: MemberRow,
    /// Time when its number of renewals was last seen to change.
    pub(super) seen_at: Instant,
    /// Reads of the table since `seen_at`, each in its turn. They are counted besides the time, so
    /// that a node that was frozen, or could not read, does not take the others for silent.
    silent_scans: u32,
    /// Renewals of this node's own row since `seen_at`, each in its turn. While the store accepts
    /// no write of any node, no member is silent.
    pub(super) own_renewals: u32,
    changing: bool,
    sealing: bool,
    retry: Retry,
}

impl Known {
    fn new(now: Instant, version: RowVersion, row: MemberRow) -> Self {
        Self {
            version,
            row,
            seen_at: now,
            silent_scans: 0,
            own_renewals: 0,
            changing: false,
            sealing: false,
            retry: Retry::default(),
        }
    }

    fn learn(&mut self, now: Instant, version: RowVersion, row: MemberRow) {
        if self.row.renewals != row.renewals {
            self.seen_at = now;
            self.silent_scans = 0;
            self.own_renewals = 0;
        }
        if version > self.version {
            self.changing = false;
            self.retry.reset();
        }
        if version >= self.version {
            (self.version, self.row) = (version, row);
        }
    }
}

impl MembershipCore {
    pub(super) fn learn_all(&mut self, now: Instant, rows: Vec<Versioned>, was_due: bool) {
        let present: BTreeSet<NodeId> = rows.iter().map(|(_, row)| row.id.clone()).collect();
        self.known.retain(|id, _| present.contains(id));
        for (version, row) in rows {
            match self.known.get_mut(&row.id) {
                Some(known) => {
                    known.silent_scans = known.silent_scans.saturating_add(u32::from(was_due));
                    known.learn(now, version, row);
                }
                None => drop(self.known.insert(row.id.clone(), Known::new(now, version, row))),
            }
        }
    }

    /// True when the row was not renewed for `renew_timeout`, while this node could read and write.
    pub(super) fn is_silent(&self, known: &Known) -> bool {
        let times = |interval: Duration| {
            self.settings.renew_timeout.as_millis() / interval.as_millis().max(1)
        };
        self.now.saturating_duration_since(known.seen_at) >= self.settings.renew_timeout
            && u128::from(known.silent_scans) > times(self.settings.scan_interval)
            && u128::from(known.own_renewals) >= times(self.settings.renew_interval)
    }

    pub(super) fn is_condemned(&self, id: &NodeId) -> bool {
        self.verdicts.as_ref().is_some_and(|verdicts| verdicts.about(id).is_some())
    }

    /// The joined members that this node cannot reach. A node that is still joining has no word.
    pub(super) fn own_words(&self) -> Vec<NodeId> {
        if !self.own.has_joined() {
            return Vec::new();
        }
        let has_joined =
            |id: &&NodeId| self.known.get(*id).is_some_and(|known| known.row.has_joined());
        self.suspects.iter().filter(has_joined).cloned().collect()
    }

    pub(super) fn suspect(&mut self, id: NodeId, on: bool) {
        if on {
            self.reached.remove(&id);
            self.suspects.insert(id);
        } else {
            self.suspects.remove(&id);
        }
        if self.own_words() != self.own.unreachable {
            // others judge by this row
            self.renewals.want();
        }
    }

    /// Pairs of members of which the first says that it cannot reach the second.
    pub(super) fn words(&self) -> BTreeSet<(NodeId, NodeId)> {
        self.with_links(|links| links.words.clone())
    }

    pub(super) fn with_links<T>(&self, judge: impl FnOnce(&Links<'_>) -> T) -> T {
        let mut own = self.own.clone();
        own.unreachable = self.own_words();
        let others = self.known.values().filter(|known| {
            known.row.id != self.me
                && known.row.has_joined()
                && !self.is_silent(known)
                && !self.is_condemned(&known.row.id)
        });
        let own = own.has_joined().then_some(&own);
        judge(&Links::new(others.map(|known| &known.row).chain(own)))
    }

    /// Declares the condemned and the silent members dead.
    pub(super) fn declare(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let mut due = Vec::new();
        for (id, known) in &self.known {
            let may = *id != self.me
                && known.row.state != MemberState::Dead
                && !known.changing
                && known.retry.is_due(now);
            if !may {
                continue;
            }
            let verdict = self.verdicts.as_ref().and_then(|verdicts| verdicts.about(id));
            if let Some(verdict) = verdict {
                due.push((id.clone(), format!("by `{}`: {}", verdict.by, verdict.why)));
            } else if self.is_silent(known) {
                let limit = self.settings.renew_timeout;
                let why = format!(
                    "by `{}`: its row was not renewed for {limit:?} (`renew_timeout`): it was frozen, or cut from the store",
                    self.me
                );
                due.push((id.clone(), why));
            }
        }
        for (id, why) in due {
            let known = self.known.get_mut(&id).expect("listed above");
            let row = MemberRow { state: MemberState::Dead, ended_why: why, ..known.row.clone() };
            known.changing = true;
            let change = Effect::Change(id, Purpose::Declare, known.version, Some(Box::new(row)));
            effects.push(change);
        }
    }

    pub(super) fn seal(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let wait = self.settings.renew_timeout + self.settings.renew_timeout / 10;
        for (id, known) in &mut self.known {
            let is_due = known.row.state == MemberState::Dead
                && !known.row.sealed
                && !known.sealing
                && !known.changing
                && known.retry.is_due(now)
                && now.duration_since(known.seen_at) >= wait;
            if is_due && *id != self.me {
                known.sealing = true;
                effects.push(Effect::Seal(id.clone()));
            }
        }
    }

    pub(super) fn seal_done(
        &mut self,
        now: Instant,
        id: &NodeId,
        done: bool,
        effects: &mut Vec<Effect>,
    ) {
        let Some(known) = self.known.get_mut(id) else { return };
        known.sealing = false;
        if !done {
            known.retry.failed(now, self.settings.backoff(), &self.me);
            return;
        }
        if known.changing {
            return;
        }
        let mut row = known.row.clone();
        (row.sealed, row.ended_micros) = (true, self.wall.as_micros());
        known.changing = true;
        let change =
            Effect::Change(id.clone(), Purpose::Sealed, known.version, Some(Box::new(row)));
        effects.push(change);
    }

    /// Deletes the rows of members that are dead for long, the oldest first. Clocks that differ
    /// change the moment, which does no harm: the members are sealed.
    pub(super) fn clean(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let mut ended: Vec<(u64, NodeId)> = self
            .known
            .values()
            .filter(|known| known.row.sealed && !known.changing && known.retry.is_due(now))
            .map(|known| (known.row.ended_micros, known.row.id.clone()))
            .collect();
        ended.sort();
        let surplus = ended.len().saturating_sub(self.settings.dead_rows_max);
        let retention = u64::try_from(self.settings.dead_retention.as_micros()).unwrap_or(u64::MAX);
        for (index, (micros, id)) in ended.into_iter().enumerate() {
            let is_old = micros.saturating_add(retention) <= self.wall.as_micros();
            if index < surplus || is_old {
                let known = self.known.get_mut(&id).expect("listed above");
                known.changing = true;
                effects.push(Effect::Change(id, Purpose::Clean, known.version, None));
            }
        }
    }

    pub(super) fn other_changed(
        &mut self,
        now: Instant,
        id: &NodeId,
        purpose: Purpose,
        outcome: Outcome,
        effects: &mut Vec<Effect>,
    ) {
        let Some(known) = self.known.get_mut(id) else { return };
        match outcome {
            Outcome::Applied(_) if purpose == Purpose::Clean => drop(self.known.remove(id)),
            Outcome::Conflict(None) => drop(self.known.remove(id)),
            Outcome::Conflict(Some((version, row))) => {
                known.changing = false;
                known.learn(now, version, row);
            }
            // not at once: more calls do not help a store that refuses
            Outcome::Failed => {
                known.changing = false;
                known.retry.failed(now, self.settings.backoff(), &self.me);
            }
            // the new row is read; until then nothing else is changed in it
            Outcome::Applied(_) => self.scans.want(),
        }
        effects.push(Effect::Publish);
    }
}
