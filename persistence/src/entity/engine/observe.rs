//! The parts of an engine that can be seen from outside.

use super::Engine;
use super::core::Phase;
use super::running::Running;
use crate::entity::{EntityCounters, EventSourced};
use crate::event::SequenceNr;

impl<E: EventSourced> Engine<E> {
    /// The state, while the entity is at work. For tests.
    pub fn state(&self) -> Option<&E::State> {
        self.running().map(Running::state)
    }

    /// The version of the newest state, while the entity is at work. For tests.
    pub fn seen(&self) -> Option<&crate::version::VersionVector> {
        self.running().map(Running::seen)
    }

    /// Returns whether the entity has not stopped.
    pub fn is_at_work(&self) -> bool {
        !matches!(self.phase, Phase::Stopped)
    }

    /// Returns whether the entity is at work, that is, has recovered.
    pub fn is_running(&self) -> bool {
        self.running().is_some()
    }

    /// Returns whether the entity has no event and no command waits, so that it need not run;
    /// `None` while it is not at work.
    pub fn is_empty(&self) -> Option<bool> {
        let running = self.running()?;
        let nothing_waits = self.inbox.is_empty() && self.stash.is_empty();
        Some(running.newest == SequenceNr::ZERO && nothing_waits)
    }

    fn running(&self) -> Option<&Running<E>> {
        if let Phase::Running(running) = &self.phase { Some(running) } else { None }
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping
    }

    pub(super) fn counters(&self) -> &EntityCounters {
        &self.shared.counters
    }
}
