//! The rules about the end of the own membership: give way, seal the own writer, be out.

use antiphon_base::backoff::Retry;
use tokio::time::Instant;

use super::row::MemberRow;
use super::situation::Situation;
use super::step::Effect;

/// The state of a node that gives way: its writer is sealed, then its row says so, and then it is
/// out.
#[derive(Debug)]
struct Retiring {
    why: String,
    since: Instant,
    sealing: bool,
}

/// The end of the own membership, as far as it has come.
#[derive(Debug, Default)]
pub(super) struct End {
    retiring: Option<Retiring>,
    /// True when the own writer is sealed, and the row must say so.
    is_sealed: bool,
    is_over: bool,
}

impl End {
    /// True when the node gives way or leaves.
    pub(super) fn is_going(&self) -> bool {
        self.retiring.is_some() || self.is_sealed
    }

    /// True when the node gives way.
    pub(super) fn is_retiring(&self) -> bool {
        self.retiring.is_some()
    }

    /// True when the own writer is sealed, and the row must say so.
    pub(super) fn is_sealed(&self) -> bool {
        self.is_sealed
    }

    /// True when the node is out for ever.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// The reason why the node gives way.
    pub(super) fn why(&self) -> Option<&str> {
        self.retiring.as_ref().map(|retiring| retiring.why.as_str())
    }

    /// Ends the node without a word.
    pub(super) fn stop(&mut self) {
        self.is_over = true;
    }

    /// Takes the seal of the own writer by the shell.
    pub(super) fn leave(&mut self) {
        self.is_sealed = true;
    }

    /// Takes the own row, which says that the node is dead, or which is gone.
    pub(super) fn fence(
        &mut self,
        situation: &Situation,
        row: Option<&MemberRow>,
        effects: &mut Vec<Effect>,
    ) {
        let me = &situation.me;
        let why = match (&self.retiring, row) {
            (Some(retiring), _) => retiring.why.clone(),
            (None, Some(row)) => format!("`{me}` was declared dead {}", row.ended_why),
            (None, None) => format!("the row of `{me}` is gone"),
        };
        self.is_over = true;
        effects.push(Effect::Fenced(why));
    }

    /// Takes the own row that was written: it says dead and sealed.
    pub(super) fn written(&mut self, effects: &mut Vec<Effect>) {
        assert!(self.is_sealed, "the own row says sealed, and the own writer is not");
        self.is_over = true;
        effects.push(match self.retiring.take() {
            Some(retiring) => Effect::Fenced(retiring.why),
            None => Effect::Ended,
        });
    }

    /// Begins to give way.
    pub(super) fn retire(&mut self, now: Instant, why: String, effects: &mut Vec<Effect>) {
        effects.push(Effect::Retire(why.clone()));
        self.retiring = Some(Retiring { why, since: now, sealing: false });
    }

    /// Goes on giving way.
    pub(super) fn retire_further(
        &mut self,
        situation: &Situation,
        retry: &Retry,
        effects: &mut Vec<Effect>,
    ) {
        let Some(retiring) = &mut self.retiring else { return };
        if situation.now.duration_since(retiring.since) >= situation.settings.renew_timeout {
            // the others seal the writer then
            let why = retiring.why.clone();
            self.is_over = true;
            effects.push(Effect::Fenced(why));
            return;
        }
        if !self.is_sealed && !retiring.sealing && retry.is_due(situation.now) {
            retiring.sealing = true;
            effects.push(Effect::Seal(situation.me.clone()));
        }
    }

    /// Takes the end of the seal of the own writer. Returns false when nobody waits for it.
    pub(super) fn sealed(&mut self, done: bool) -> bool {
        let Some(retiring) = &mut self.retiring else { return false };
        retiring.sealing = false;
        self.is_sealed |= done;
        true
    }
}
