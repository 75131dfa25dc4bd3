//! Opening, losing and reopening the source.
//!
//! ```text
//!          Start            Opened               SourceLost
//!   Idle ---------> Opening -------> Open ----------------------> Closed
//!                      ^  OpenFailed: Closed  \  sink away too long  | delay over
//!                      |                       +----> Suspended      |
//!                      +------ sink is back ------------+            |
//!                      +---------------------------------------------+
//! ```

use std::time::Duration;

use tokio::time::Instant;

use super::Generation;

/// Time open after which a source counts as sound. A later refusal is treated as temporary.
const SOUND_AFTER: Duration = Duration::from_secs(5);

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

/// The source as the pipeline knows it.
#[derive(Debug)]
pub(super) struct SourceLink {
    state: SourceState,
    /// Number of failures in a row to keep the source open.
    failures: u32,
    /// True once the source has delivered, or has stayed open for a while. Its settings are right
    /// then, so it is opened again after any error.
    was_sound: bool,
    opened: Option<Instant>,
    generations: u64,
}

/// The consequence of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loss {
    /// None: the failure is that of an earlier opening.
    Stale,
    /// The subscription cannot continue. A wrong setting is reported at the start; later a missing
    /// group may come back.
    Final,
    /// The source is opened again, after this number of failures in a row.
    Again(u32),
}

impl SourceLink {
    pub(super) fn new() -> Self {
        let state = SourceState::Idle;
        Self { state, failures: 0, was_sound: false, opened: None, generations: 0 }
    }

    pub(super) fn state(&self) -> SourceState {
        self.state
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.state, SourceState::Open(_))
    }

    pub(super) fn open(&mut self) -> Generation {
        self.generations += 1;
        let generation = Generation(self.generations);
        self.state = SourceState::Opening(generation);
        generation
    }

    /// Returns false when the opening is an earlier one.
    pub(super) fn opened(&mut self, now: Instant, generation: Generation) -> bool {
        let is_current = self.state == SourceState::Opening(generation);
        if is_current {
            self.state = SourceState::Open(generation);
            self.opened = Some(now);
        }
        is_current
    }

    pub(super) fn open_failed(&mut self, generation: Generation, is_final: bool) -> Loss {
        if self.state != SourceState::Opening(generation) {
            return Loss::Stale;
        }
        self.close(is_final)
    }

    pub(super) fn lost(&mut self, now: Instant, generation: Generation, is_final: bool) -> Loss {
        if self.state != SourceState::Open(generation) {
            return Loss::Stale;
        }
        // some errors show only after opening
        let opened = self.opened.take();
        self.was_sound |= opened.is_some_and(|at| at + SOUND_AFTER <= now);
        self.close(is_final)
    }

    fn close(&mut self, is_final: bool) -> Loss {
        self.state = SourceState::Closed;
        if is_final && !self.was_sound {
            return Loss::Final;
        }
        self.failures += 1;
        Loss::Again(self.failures)
    }

    /// A delivery shows that the source is sound.
    pub(super) fn has_delivered(&mut self) {
        self.failures = 0;
        self.was_sound = true;
    }

    pub(super) fn suspend(&mut self) {
        self.state = SourceState::Suspended;
    }
}
