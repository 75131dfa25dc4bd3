//! The parts of an engine that can be seen from outside.

use super::Engine;
use super::phase::Phase;
use super::running::Running;
use crate::entity::EventSourced;
use crate::event::SequenceNr;
use crate::identity::ReplicaId;
use crate::store::SetReminder;

impl<E: EventSourced> Engine<E> {
    /// The state, while the entity is at work. For tests.
    pub fn state(&self) -> Option<&E::State> {
        self.phase.running().map(Running::state)
    }

    /// The reminders that are set; `None` while not at work.
    pub fn reminders(&self) -> Option<Vec<SetReminder>> {
        self.phase.running().map(Running::reminders)
    }

    /// The version of the newest state, while the entity is at work. For tests.
    pub fn seen(&self) -> Option<&crate::version::VersionVector> {
        self.phase.running().map(Running::seen)
    }

    /// Returns whether the entity has not stopped.
    pub fn is_at_work(&self) -> bool {
        !matches!(self.phase, Phase::Stopped)
    }

    /// Returns whether the entity is at work, that is, has recovered.
    pub fn is_running(&self) -> bool {
        self.phase.running().is_some()
    }

    /// Returns whether the entity has no event, no command waits and no timer runs, so that it need
    /// not run; `None` while it is not at work.
    pub fn is_empty(&self) -> Option<bool> {
        let running = self.phase.running()?;
        let is_idle = self.inbox.has_nothing() && !running.has_timers() && !running.has_beside();
        Some(running.newest() == SequenceNr::ZERO && is_idle)
    }

    /// The doubted replicas. The shell asks the host now and then whether they still are.
    pub fn doubts(&self) -> &[ReplicaId] {
        self.doubted.replicas()
    }
}
