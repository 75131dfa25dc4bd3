//! The rules about the end of the own membership: give way, seal the own writer, be out.

use tokio::time::Instant;

use super::core::{Effect, MembershipCore};
use super::row::MemberRow;

/// The state of a node that gives way: its writer is sealed, then its row says so, and then it is
/// out.
#[derive(Debug)]
pub(super) struct Retiring {
    pub(super) why: String,
    since: Instant,
    sealing: bool,
}

impl MembershipCore {
    pub(super) fn is_going(&self) -> bool {
        self.retiring.is_some() || self.ending
    }

    pub(super) fn fence(&mut self, row: Option<&MemberRow>, effects: &mut Vec<Effect>) {
        let why = match (&self.retiring, row) {
            (Some(retiring), _) => retiring.why.clone(),
            (None, Some(row)) => format!("`{}` was declared dead {}", self.me, row.ended_why),
            (None, None) => format!("the row of `{}` is gone", self.me),
        };
        self.is_over = true;
        effects.push(Effect::Fenced(why));
    }

    pub(super) fn retire(&mut self, now: Instant, why: String, effects: &mut Vec<Effect>) {
        effects.push(Effect::Retire(why.clone()));
        self.retry.reset();
        self.retiring = Some(Retiring { why, since: now, sealing: false });
    }

    pub(super) fn retire_further(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let Some(retiring) = &mut self.retiring else { return };
        if now.duration_since(retiring.since) >= self.settings.renew_timeout {
            // the others seal the writer then
            let why = retiring.why.clone();
            self.is_over = true;
            effects.push(Effect::Fenced(why));
            return;
        }
        if !self.ending && !retiring.sealing && self.retry.is_due(now) {
            retiring.sealing = true;
            effects.push(Effect::Seal(self.me.clone()));
        }
    }

    pub(super) fn own_sealed(&mut self, now: Instant, done: bool) {
        let Some(retiring) = &mut self.retiring else { return };
        retiring.sealing = false;
        if done {
            self.ending = true;
            self.renewals.want();
            self.retry.reset();
        } else {
            self.retry.failed(now, self.settings.backoff(), &self.me);
        }
    }
}
