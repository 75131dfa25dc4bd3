//! Opening, losing and reopening the source; the unreachable sink; the checkpoint; the end.
//!
//! ```text
//!          Start            Opened               SourceLost
//!   Idle ---------> Opening -------> Open ----------------------> Closed
//!                      ^  OpenFailed: Closed  \  sink away too long  | delay over
//!                      |                       +----> Suspended      |
//!                      +------ sink is back ------------+            |
//!                      +---------------------------------------------+
//! ```

use std::mem;
use std::time::Duration;

use tokio::time::Instant;

use super::core::{Out, Pipeline, Timer};
use super::{Effect, Generation, Note, Now};
use crate::sink::Outcome;
use crate::source::Position;

/// Time open after which a source counts as sound. A later refusal is treated as temporary.
const SOUND_AFTER: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Running,
    Draining,
    Ended,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SourceState {
    Idle,
    Opening(Generation),
    Open(Generation),
    Closed,
    /// Closed because the sink is unreachable: redeliveries would only use up the retries of the
    /// messages.
    Suspended,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SinkState {
    Up,
    Down { since: Instant, until: Instant, attempts: u32 },
}

#[derive(Debug, Default)]
pub(super) struct Checkpoint {
    pub(super) saved: Option<Position>,
    pub(super) saving: Option<Position>,
    pub(super) is_due: bool,
    pub(super) is_timer_set: bool,
    pub(super) done_count: u64,
    pub(super) failures: u32,
}

impl Pipeline {
    pub(super) fn open(&mut self, out: &mut Out) {
        if self.phase != Phase::Running {
            return;
        }
        self.next_generation += 1;
        let generation = Generation(self.next_generation);
        self.source = SourceState::Opening(generation);
        out.effects.push(Effect::Open(generation, self.watermark.delivered().cloned()));
    }

    pub(super) fn opened(&mut self, now: Now, generation: Generation, out: &mut Out) {
        if self.source == SourceState::Opening(generation) {
            self.source = SourceState::Open(generation);
            self.source_opened = Some(now.at);
            out.note(Note::SourceUp);
        }
    }

    pub(super) fn open_failed(
        &mut self,
        now: Now,
        generation: Generation,
        reason: String,
        is_final: bool,
        out: &mut Out,
    ) {
        if self.source != SourceState::Opening(generation) {
            return;
        }
        // at the start a wrong setting must be reported; later a missing group may come back
        if is_final && !self.source_was_sound {
            self.phase = Phase::Ended;
            out.effects.push(Effect::Fail(reason));
            return;
        }
        self.close(now, reason, out);
    }

    pub(super) fn source_lost(
        &mut self,
        now: Now,
        generation: Generation,
        reason: String,
        is_final: bool,
        out: &mut Out,
    ) {
        if self.source != SourceState::Open(generation) {
            return;
        }
        out.effects.push(Effect::Close);
        self.forget_deliveries();
        // some errors show only after opening
        let opened = self.source_opened.take();
        self.source_was_sound |= opened.is_some_and(|at| at + SOUND_AFTER <= now.at);
        if is_final && !self.source_was_sound {
            self.phase = Phase::Ended;
            out.effects.push(Effect::Fail(reason));
            return;
        }
        self.close(now, reason, out);
    }

    /// A delivery shows that the source is sound.
    pub(super) fn source_is_sound(&mut self) {
        self.source_failures = 0;
        self.source_was_sound = true;
    }

    fn close(&mut self, now: Now, reason: String, out: &mut Out) {
        self.source = SourceState::Closed;
        self.source_failures += 1;
        let delay = self.settings.reopen_delay_of(self.source_failures, now.jitter);
        self.set_timer(now.at + delay, Timer::Reopen);
        out.note(Note::SourceDown { reason, delay });
    }

    pub(super) fn reopen(&mut self, out: &mut Out) {
        if self.source == SourceState::Closed {
            self.open(out);
        }
    }

    /// Forgets waiting events of a lost source that settles: it delivers all unsettled events
    /// again, perhaps to another consumer.
    fn forget_deliveries(&mut self) {
        if !self.settings.source_settles {
            return;
        }
        for write in self.writes.values_mut() {
            write.items.iter_mut().for_each(|item| item.envelope.token = None);
        }
        for parked in self.parking.values_mut() {
            parked.item.envelope.token = None;
        }
        let keys: Vec<_> = self.streams.keys().cloned().collect();
        for key in keys {
            self.unblock(&key);
            if let Some(queue) = self.streams.get_mut(&key) {
                for item in mem::take(&mut queue.waiting) {
                    self.watermark.done(item.seq);
                }
            }
            self.refresh(&key);
        }
    }

    pub(super) fn learn_about_sink(&mut self, now: Now, outcomes: &[Outcome], out: &mut Out) {
        let away = outcomes.iter().find_map(|outcome| match outcome {
            Outcome::Unavailable(reason) => Some(reason.clone()),
            Outcome::Written(_)
            | Outcome::Duplicate
            | Outcome::Dropped
            | Outcome::Conflict(_)
            | Outcome::Retryable(_)
            | Outcome::Rejected(_)
            | Outcome::Untried => None,
        });
        match away {
            Some(reason) => self.sink_failed(now, reason, out),
            None => self.sink_answered(out),
        }
    }

    fn sink_failed(&mut self, now: Now, reason: String, out: &mut Out) {
        let (since, attempts) = match self.sink {
            SinkState::Up => {
                out.note(Note::SinkDown(reason));
                (now.at, 1)
            }
            SinkState::Down { since, attempts, .. } => (since, attempts.saturating_add(1)),
        };
        let until = now.at + self.settings.retry_delay_of(attempts, now.jitter);
        self.sink = SinkState::Down { since, until, attempts };
        self.set_timer(until, Timer::Sink);
    }

    fn sink_answered(&mut self, out: &mut Out) {
        if self.sink != SinkState::Up {
            self.sink = SinkState::Up;
            out.note(Note::SinkUp);
        }
        if self.source == SourceState::Suspended {
            self.open(out);
        }
    }

    pub(super) fn look_at_sink(&mut self, now: Now, out: &mut Out) {
        let SinkState::Down { since, until, .. } = self.sink else { return };
        if until > now.at || self.phase != Phase::Running {
            return;
        }
        let is_long = self.settings.suspend_after.is_some_and(|after| since + after <= now.at);
        let is_open = matches!(self.source, SourceState::Open(_));
        if is_long && is_open && self.settings.source_settles {
            out.effects.push(Effect::Close);
            self.forget_deliveries();
            self.source = SourceState::Suspended;
        }
        let has_waiting = self.lanes.iter().any(|lane| !lane.ready.is_empty());
        if self.writes.is_empty() && !has_waiting {
            out.effects.push(Effect::Probe);
        }
    }

    pub(super) fn probed(&mut self, now: Now, result: Result<(), String>, out: &mut Out) {
        match result {
            Ok(()) => self.sink_answered(out),
            Err(reason) => self.sink_failed(now, reason, out),
        }
    }

    /// Saves the checkpoint when a save is due. Only one save is in progress at a time.
    pub(super) fn keep_checkpoint(&mut self, now: Now, out: &mut Out) {
        if self.settings.source_settles || self.checkpoint.saving.is_some() {
            return;
        }
        let position = self.watermark.position();
        if position == self.checkpoint.saved.as_ref() {
            return;
        }
        let Some(position) = position.cloned() else { return };
        let is_many = self.checkpoint.done_count >= self.settings.checkpoint_event_count;
        let is_last = self.phase == Phase::Draining && self.is_idle();
        if !(self.checkpoint.is_due || is_many || is_last) {
            if !self.checkpoint.is_timer_set {
                self.checkpoint.is_timer_set = true;
                self.set_timer(now.at + self.settings.checkpoint_interval, Timer::Checkpoint);
            }
            return;
        }
        if let Some(saved) = &self.checkpoint.saved {
            assert!(!position.is_before(saved), "the checkpoint went from {saved} to {position}");
        }
        self.checkpoint.is_due = false;
        self.checkpoint.is_timer_set = false;
        self.checkpoint.done_count = 0;
        self.checkpoint.saving = Some(position.clone());
        out.effects.push(Effect::SaveCheckpoint(position));
    }

    pub(super) fn checkpoint_saved(&mut self, now: Now, result: Result<(), String>, out: &mut Out) {
        let position = self.checkpoint.saving.take();
        match result {
            Ok(()) => {
                self.checkpoint.failures = 0;
                if let Some(position) = position {
                    self.checkpoint.saved = Some(position.clone());
                    out.note(Note::Checkpoint(position));
                }
            }
            Err(reason) => {
                self.checkpoint.failures += 1;
                let delay = self.settings.retry_delay_of(self.checkpoint.failures, now.jitter);
                self.checkpoint.is_timer_set = true;
                self.set_timer(now.at + delay, Timer::Checkpoint);
                out.note(Note::CheckpointFailed(reason));
            }
        }
    }

    pub(super) fn drain(&mut self) {
        if self.phase == Phase::Running {
            self.phase = Phase::Draining;
        }
    }

    /// True when no write and no parking is in progress, and no write could start.
    fn is_idle(&self) -> bool {
        let is_away = self.sink != SinkState::Up;
        let has_ready = self.lanes.iter().any(|lane| !lane.ready.is_empty());
        self.writes.is_empty() && self.parking.is_empty() && (is_away || !has_ready)
    }

    pub(super) fn is_drained(&self) -> bool {
        self.phase == Phase::Draining
            && self.is_idle()
            && self.checkpoint.saving.is_none()
            && (self.settings.source_settles
                || self.checkpoint.failures > 0
                || self.watermark.position() == self.checkpoint.saved.as_ref())
    }
}
