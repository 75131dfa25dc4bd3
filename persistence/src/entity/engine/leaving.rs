//! Leaves the phase of an entity: to begin again from its journal, or for ever.
//!
//! An asker that waits learns the known effect of its command, which follows from the command's
//! position. The application's values are dropped one by one, under [`antiphon_base::guard`].

use super::core::{Engine, Phase};
use super::stash::Stashed;
use super::{Action, Now};
use crate::entity::{EntityCounters, EventSourced, StopReason};
use crate::reply::ReplyError;

impl<E: EventSourced> Engine<E> {
    /// Reads a state again that application code has spoilt. Every earlier command is answered and
    /// nothing is lost, so the entity begins at once.
    pub(super) fn start_over(&mut self, reason: &str, actions: &mut Vec<Action<E>>) {
        tracing::warn!(id = %self.shared.id, %reason, "entity reads its state again");
        EntityCounters::add(&self.shared.counters.restarts, 1);
        self.leave_phase(&ReplyError::Unavailable(reason.to_owned()), actions);
        self.shared.generation += 1;
        self.begin(actions);
    }

    /// Forgets everything that is not in the journal, and reads the journal again after a wait.
    pub(super) fn restart(
        &mut self,
        now: Now,
        reason: &str,
        answer: &ReplyError,
        actions: &mut Vec<Action<E>>,
    ) {
        let settings = &self.shared.settings;
        let worked = self.recovered_at.take().map(|at| now.instant.saturating_duration_since(at));
        if worked.is_some_and(|time| time >= settings.restart_max) {
            self.attempts = 0;
        }
        let wait = settings.restart_min.saturating_mul(1 << self.attempts.min(16));
        let wait = wait.min(settings.restart_max);
        tracing::warn!(id = %self.shared.id, %reason, ?wait, attempt = self.attempts + 1, "entity restarts");
        EntityCounters::add(&self.shared.counters.restarts, 1);
        self.leave_phase(answer, actions);
        self.shared.generation += 1;
        self.attempts = self.attempts.saturating_add(1);
        if self.stopping {
            return self.end(StopReason::Drained, actions);
        }
        self.phase = Phase::Backoff { until: now.instant + wait };
        actions.push(Action::WakeAfter(wait));
    }

    fn leave_phase(&mut self, answer: &ReplyError, actions: &mut Vec<Action<E>>) {
        match std::mem::replace(&mut self.phase, Phase::Stopped) {
            Phase::Permit => actions.push(Action::ReleasePermit),
            Phase::Recovering(recovery) => {
                recovery.end(&self.shared);
                actions.push(Action::ReleasePermit);
            }
            Phase::Running(running) => {
                self.append_outstanding |= running.is_appending();
                if running.has_asynchronous() {
                    actions.push(Action::DropAsynchronous);
                }
                // the journal loop, which told the news, waits for the answer
                (self.news, self.holding) = running.fail(&self.shared, answer);
            }
            Phase::Backoff { .. } | Phase::Stopped => {}
        }
    }

    pub(super) fn end(&mut self, reason: StopReason, actions: &mut Vec<Action<E>>) {
        let why = match &reason {
            StopReason::Drained | StopReason::Killed => "the entity is stopping".to_owned(),
            StopReason::Fenced(why) | StopReason::Failed(why) | StopReason::NotStarted(why) => {
                why.clone()
            }
        };
        self.leave_phase(&ReplyError::Stopped(why.clone()), actions);
        self.shared.generation += 1;
        // no handler has stored events of these commands, but a future may have made one of them
        let stashed = self.stash.drain(..).map(Stashed::unstash);
        for queued in self.inbox.drain(..).chain(stashed) {
            queued.refuse(ReplyError::NotHere(why.clone()));
        }
        actions.push(Action::Stopped(reason));
    }
}

impl<E: EventSourced> Drop for Engine<E> {
    /// Drops the application's values one by one, under [`antiphon_base::guard`]; askers learn the
    /// known effect of their commands.
    fn drop(&mut self) {
        self.end(StopReason::Killed, &mut Vec::new());
    }
}
