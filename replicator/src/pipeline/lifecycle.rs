//! Consequences of a lost source, an unreachable sink and a saved checkpoint; the end.

use std::mem;

use super::checkpoint::Next;
use super::core::{Out, Phase, Pipeline};
use super::sink_state::SinkState;
use super::source_link::{Loss, SourceState};
use super::timers::Timer;
use super::{Effect, Generation, Note, Now};
use crate::sink::Outcome;
use crate::source::Position;

impl Pipeline {
    pub(super) fn open(&mut self, out: &mut Out) {
        if self.phase != Phase::Running {
            return;
        }
        let generation = self.source.open();
        out.effects.push(Effect::Open(generation, self.watermark.delivered().cloned()));
    }

    pub(super) fn opened(&mut self, now: Now, generation: Generation, out: &mut Out) {
        if self.source.opened(now.at, generation) {
            out.note(Note::SourceUp);
        }
    }

    pub(super) fn went_back(&mut self, generation: Generation, position: Option<Position>) {
        if self.source.state() == SourceState::Opening(generation) {
            self.watermark.rewind(position);
            self.checkpoint.rewind();
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
        let loss = self.source.open_failed(generation, is_final);
        self.closed(now, loss, reason, out);
    }

    pub(super) fn source_lost(
        &mut self,
        now: Now,
        generation: Generation,
        reason: String,
        is_final: bool,
        out: &mut Out,
    ) {
        let loss = self.source.lost(now.at, generation, is_final);
        if loss != Loss::Stale {
            out.effects.push(Effect::Close);
            self.forget_deliveries();
        }
        self.closed(now, loss, reason, out);
    }

    fn closed(&mut self, now: Now, loss: Loss, reason: String, out: &mut Out) {
        match loss {
            Loss::Stale => {}
            Loss::Final => {
                self.phase = Phase::Ended;
                out.effects.push(Effect::Fail(reason));
            }
            Loss::Again(failures) => {
                let delay = self.settings.reopen_delay_of(failures, now.jitter);
                self.timers.set(now.at + delay, Timer::Reopen);
                out.note(Note::SourceDown { reason, delay });
            }
        }
    }

    pub(super) fn reopen(&mut self, out: &mut Out) {
        if self.source.state() == SourceState::Closed {
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
        for key in self.streams.keys() {
            self.streams.unblock(&key);
            if let Some(queue) = self.streams.get_mut(&key) {
                for item in mem::take(&mut queue.waiting) {
                    self.watermark.done(item.seq);
                }
            }
            self.streams.refresh(&key);
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
        if self.sink.is_up() {
            out.note(Note::SinkDown(reason));
        }
        let delay = |attempts| self.settings.retry_delay_of(attempts, now.jitter);
        let until = self.sink.failed(now.at, delay);
        self.timers.set(until, Timer::Sink);
    }

    fn sink_answered(&mut self, out: &mut Out) {
        if !self.sink.is_up() {
            self.sink = SinkState::Up;
            out.note(Note::SinkUp);
        }
        if self.source.state() == SourceState::Suspended {
            self.open(out);
        }
    }

    pub(super) fn look_at_sink(&mut self, now: Now, out: &mut Out) {
        let SinkState::Down { since, until, .. } = self.sink else { return };
        if until > now.at || self.phase != Phase::Running {
            return;
        }
        let is_long = self.settings.suspend_after.is_some_and(|after| since + after <= now.at);
        if is_long && self.source.is_open() && self.settings.source_settles {
            out.effects.push(Effect::Close);
            self.forget_deliveries();
            self.source.suspend();
        }
        if self.writes.is_empty() && !self.streams.has_ready() {
            out.effects.push(Effect::Probe);
        }
    }

    pub(super) fn probed(&mut self, now: Now, result: Result<(), String>, out: &mut Out) {
        match result {
            Ok(()) => self.sink_answered(out),
            Err(reason) => self.sink_failed(now, reason, out),
        }
    }

    /// Saves the checkpoint when a save is due.
    pub(super) fn keep_checkpoint(&mut self, now: Now, out: &mut Out) {
        if self.settings.source_settles {
            return;
        }
        let is_last = self.phase == Phase::Draining && self.is_idle();
        let count = self.settings.checkpoint_event_count;
        match self.checkpoint.next(&self.watermark, count, is_last) {
            Next::Nothing => {}
            Next::SetTimer => {
                self.timers.set(now.at + self.settings.checkpoint_interval, Timer::Checkpoint);
            }
            Next::Save(position) => out.effects.push(Effect::SaveCheckpoint(position)),
        }
    }

    pub(super) fn checkpoint_saved(&mut self, now: Now, result: Result<(), String>, out: &mut Out) {
        match result {
            Ok(()) => {
                if let Some(position) = self.checkpoint.saved() {
                    out.note(Note::Checkpoint(position));
                }
            }
            Err(reason) => {
                let failures = self.checkpoint.failed();
                let delay = self.settings.retry_delay_of(failures, now.jitter);
                self.timers.set(now.at + delay, Timer::Checkpoint);
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
        let may_write = self.sink.is_up() && self.streams.has_ready();
        self.writes.is_empty() && self.parking.is_empty() && !may_write
    }

    pub(super) fn is_drained(&self) -> bool {
        let position = self.watermark.position();
        self.phase == Phase::Draining
            && self.is_idle()
            && (self.settings.source_settles || self.checkpoint.is_settled(position))
    }
}
