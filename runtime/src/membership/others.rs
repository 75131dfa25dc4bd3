//! The rules about the other members: learn their rows, declare the silent and the condemned dead,
//! seal, clean.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use antiphon_base::backoff::Retry;
use antiphon_persistence::store::RowVersion;
use tokio::time::Instant;

use super::row::{MemberRow, Versioned};
use super::situation::Situation;
use super::step::{Effect, Outcome, Purpose};
use super::view::MemberState;
use crate::NodeId;

/// A member as this node knows it.
#[derive(Debug)]
pub(super) struct Known {
    version: RowVersion,
    pub(super) row: MemberRow,
    /// Time when its number of renewals was last seen to change.
    pub(super) seen_at: Instant,
    /// Reads of the table since `seen_at`, each in its turn. They are counted besides the time, so
    /// that a node that was frozen, or could not read, does not take the others for silent.
    silent_scans: u32,
    /// Renewals of this node's own row since `seen_at`, each in its turn. While the store accepts
    /// no write of any node, no member is silent.
    own_renewals: u32,
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

    /// True when the row was not renewed for `renew_timeout`, while this node could read and write.
    fn is_silent(&self, situation: &Situation) -> bool {
        let settings = &situation.settings;
        let times =
            |interval: Duration| settings.renew_timeout.as_millis() / interval.as_millis().max(1);
        situation.now.saturating_duration_since(self.seen_at) >= settings.renew_timeout
            && u128::from(self.silent_scans) > times(settings.scan_interval)
            && u128::from(self.own_renewals) >= times(settings.renew_interval)
    }

    /// True when its writer may be sealed now.
    fn may_be_sealed(&self, situation: &Situation) -> bool {
        self.row.state == MemberState::Dead
            && situation.now.duration_since(self.seen_at) >= situation.settings.seal_after()
    }
}

/// The rows of the table as this node knows them; its own row is among them.
#[derive(Debug, Default)]
pub(super) struct Others {
    known: BTreeMap<NodeId, Known>,
}

impl Others {
    pub(super) fn get(&self, id: &NodeId) -> Option<&Known> {
        self.known.get(id)
    }

    /// The rows of all members except `me`.
    pub(super) fn rows<'a>(&'a self, me: &'a NodeId) -> impl Iterator<Item = &'a MemberRow> {
        self.known.values().map(|known| &known.row).filter(move |row| row.id != *me)
    }

    /// The rows of the other members that renew their rows and are not condemned.
    pub(super) fn sound<'a>(
        &'a self,
        situation: &'a Situation,
    ) -> impl Iterator<Item = &'a MemberRow> {
        let is_sound = |known: &&Known| {
            known.row.id != situation.me
                && !known.is_silent(situation)
                && !situation.is_condemned(&known.row.id)
        };
        self.known.values().filter(is_sound).map(|known| &known.row)
    }

    /// Takes the rows of a read of the table; `was_due` when the read was done in its turn.
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

    /// Counts a renewal of the own row that was done in its turn.
    pub(super) fn own_renewal(&mut self) {
        for known in self.known.values_mut() {
            known.own_renewals = known.own_renewals.saturating_add(1);
        }
    }

    /// Declares the condemned and the silent members dead.
    pub(super) fn declare(&mut self, situation: &Situation, effects: &mut Vec<Effect>) {
        let Situation { now, me, settings, verdicts, .. } = situation;
        for (id, known) in &mut self.known {
            let may = id != me
                && known.row.state != MemberState::Dead
                && !known.changing
                && known.retry.is_due(*now);
            if !may {
                continue;
            }
            let verdict = verdicts.as_ref().and_then(|verdicts| verdicts.about(id));
            let why = if let Some(verdict) = verdict {
                format!("by `{}`: {}", verdict.by, verdict.why)
            } else if known.is_silent(situation) {
                let limit = settings.renew_timeout;
                format!(
                    "by `{me}`: its row was not renewed for {limit:?} (`renew_timeout`): it was frozen, or cut from the store"
                )
            } else {
                continue;
            };
            let row = MemberRow { state: MemberState::Dead, ended_why: why, ..known.row.clone() };
            known.changing = true;
            let (id, row) = (id.clone(), Some(Box::new(row)));
            effects.push(Effect::Change(id, Purpose::Declare, known.version, row));
        }
    }

    /// Seals the writers of the dead.
    pub(super) fn seal(&mut self, situation: &Situation, effects: &mut Vec<Effect>) {
        for (id, known) in &mut self.known {
            let is_due = !known.row.sealed
                && !known.sealing
                && !known.changing
                && known.retry.is_due(situation.now)
                && known.may_be_sealed(situation);
            if is_due && *id != situation.me {
                known.sealing = true;
                effects.push(Effect::Seal(id.clone()));
            }
        }
    }

    /// Takes the end of a seal.
    pub(super) fn seal_done(
        &mut self,
        situation: &Situation,
        id: &NodeId,
        done: bool,
        effects: &mut Vec<Effect>,
    ) {
        let Some(known) = self.known.get_mut(id) else { return };
        known.sealing = false;
        if !done {
            known.retry.failed(situation.now, situation.settings.backoff(), &situation.me);
            return;
        }
        if known.changing {
            return;
        }
        let mut row = known.row.clone();
        (row.sealed, row.ended_micros) = (true, situation.wall.as_micros());
        known.changing = true;
        let change =
            Effect::Change(id.clone(), Purpose::Sealed, known.version, Some(Box::new(row)));
        effects.push(change);
    }

    /// Deletes the rows of members that are dead for long, the oldest first. Clocks that differ
    /// change the moment, which does no harm: the members are sealed.
    pub(super) fn clean(&mut self, situation: &Situation, effects: &mut Vec<Effect>) {
        let Situation { now, wall, settings, .. } = situation;
        let mut ended: Vec<(u64, NodeId)> = self
            .known
            .values()
            .filter(|known| known.row.sealed && !known.changing && known.retry.is_due(*now))
            .map(|known| (known.row.ended_micros, known.row.id.clone()))
            .collect();
        ended.sort();
        let surplus = ended.len().saturating_sub(settings.dead_rows_max);
        let retention = u64::try_from(settings.dead_retention.as_micros()).unwrap_or(u64::MAX);
        for (index, (micros, id)) in ended.into_iter().enumerate() {
            let is_old = micros.saturating_add(retention) <= wall.as_micros();
            if index < surplus || is_old {
                let known = self.known.get_mut(&id).expect("listed above");
                known.changing = true;
                effects.push(Effect::Change(id, Purpose::Clean, known.version, None));
            }
        }
    }

    /// Takes the end of a change of another member's row. Returns true when the table must be read
    /// at once.
    pub(super) fn changed(
        &mut self,
        situation: &Situation,
        id: &NodeId,
        purpose: Purpose,
        outcome: Outcome,
        effects: &mut Vec<Effect>,
    ) -> bool {
        let Some(known) = self.known.get_mut(id) else { return false };
        let mut must_read = false;
        match outcome {
            Outcome::Applied(_) if purpose == Purpose::Clean => drop(self.known.remove(id)),
            Outcome::Conflict(None) => drop(self.known.remove(id)),
            Outcome::Conflict(Some((version, row))) => {
                known.changing = false;
                known.learn(situation.now, version, row);
            }
            // not at once: more calls do not help a store that refuses
            Outcome::Failed => {
                known.changing = false;
                known.retry.failed(situation.now, situation.settings.backoff(), &situation.me);
            }
            // the new row is read; until then nothing else is changed in it
            Outcome::Applied(_) => must_read = true,
        }
        effects.push(Effect::Publish);
        must_read
    }

    /// Asserts the invariants.
    pub(super) fn check(&self) {
        for (id, known) in &self.known {
            assert!(*id == known.row.id, "the row of `{}` is kept as that of `{id}`", known.row.id);
        }
    }
}
