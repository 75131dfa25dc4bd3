//! The own row: its state, and its renewals.

use antiphon_base::backoff::Retry;
use antiphon_persistence::store::RowVersion;
use tokio::time::Instant;

use super::ends::End;
use super::row::MemberRow;
use super::settings::MembershipSettings;
use super::situation::Situation;
use super::step::{Effect, Outcome, Purpose};
use super::turns::Turns;
use super::view::MemberState;
use crate::NodeId;

/// The own row as it is to be, and its renewals.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) row: MemberRow,
    version: RowVersion,
    renewing_since: Option<Instant>,
    /// Start of the last renewal that was stored.
    pub(super) renewed: Instant,
    renewals: Turns,
    pub(super) retry: Retry,
}

impl Own {
    /// A row that was written at `now`.
    pub(super) fn new(
        now: Instant,
        settings: &MembershipSettings,
        row: MemberRow,
        version: RowVersion,
    ) -> Self {
        Self {
            row,
            version,
            renewing_since: None,
            renewed: now,
            renewals: Turns::new(now, settings.renew_interval),
            retry: Retry::default(),
        }
    }

    /// Wants a renewal at once: the row has changed.
    pub(super) fn want_renewal(&mut self) {
        self.renewals.want();
    }

    pub(super) fn become_state(&mut self, state: MemberState, effects: &mut Vec<Effect>) {
        if state > self.row.state {
            self.row.state = state;
            self.renewals.want();
            effects.push(Effect::Publish);
        }
    }

    /// Renews the row, or writes its end, when that is due.
    pub(super) fn renew(
        &mut self,
        situation: &Situation,
        end: &End,
        words: Vec<NodeId>,
        effects: &mut Vec<Effect>,
    ) {
        let now = situation.now;
        if self.renewing_since.is_some() || !self.renewals.is_due(now) {
            return;
        }
        self.renewing_since = Some(now);
        self.renewals.begin(now);
        self.row.unreachable = words;
        let mut row = self.row.clone();
        row.renewals += 1;
        let mut purpose = Purpose::Renew;
        if end.is_sealed() {
            (row.state, row.sealed, row.ended_micros) =
                (MemberState::Dead, true, situation.wall.as_micros());
            row.ended_why = end.why().unwrap_or("it has left").into();
            purpose = Purpose::End;
        }
        let (id, row) = (situation.me.clone(), Some(Box::new(row)));
        effects.push(Effect::Change(id, purpose, self.version, row));
    }

    /// Takes the end of a change of the own row. Returns true when the row was renewed in its turn.
    pub(super) fn changed(
        &mut self,
        situation: &Situation,
        end: &mut End,
        (purpose, outcome): (Purpose, Outcome),
        effects: &mut Vec<Effect>,
    ) -> bool {
        let Some(began) = self.renewing_since.take() else { return false };
        let was_due = self.renewals.end();
        match outcome {
            Outcome::Applied(version) => {
                self.version = version;
                self.row.renewals += 1;
                self.renewed = began;
                self.retry.reset();
                // a renewal that was under way when the end came says that this node lives
                if purpose == Purpose::End {
                    end.written(effects);
                }
                return was_due;
            }
            Outcome::Failed => {}
            // the renewal of unknown outcome was stored after all; at the end, others may have
            // declared this node dead and not sealed it yet
            Outcome::Conflict(Some((version, row)))
                if row.state != MemberState::Dead || (end.is_going() && !row.sealed) =>
            {
                self.version = version;
                self.row.renewals = self.row.renewals.max(row.renewals);
                self.retry_later(situation);
            }
            Outcome::Conflict(row) => {
                end.fence(situation, row.as_ref().map(|(_, row)| row), effects);
            }
        }
        false
    }

    fn retry_later(&mut self, situation: &Situation) {
        // the first try is at once, since most often one is enough
        if self.retry.is_due(situation.now) {
            self.renewals.want();
        }
        self.retry.failed(situation.now, situation.settings.backoff(), &situation.me);
    }

    /// Asserts the invariants. The right to answer and to write lasts from `renewed`.
    pub(super) fn check(&self, now: Instant) {
        assert!(self.renewed <= now, "the own row was renewed at a time that has not come");
        assert!(
            self.renewing_since.is_none_or(|since| self.renewed <= since && since <= now),
            "the renewal that is under way began before the last one, or has not begun"
        );
        assert!(
            !self.row.sealed && self.row.state != MemberState::Dead,
            "a row that says dead or sealed is kept as that of a node that decides"
        );
    }
}
