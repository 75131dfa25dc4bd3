//! The parts of an engine that can be seen from outside.

use super::Engine;
use super::phase::Phase;
use super::running::Running;
use crate::entity::EventSourced;
use crate::event::SequenceNr;
use crate::identity::ReplicaId;
use crate::store::{DoneRequest, SetReminder, Snapshot};

impl<E: EventSourced> Engine<E> {
    /// The state, while the entity is at work. For tests.
    pub fn state(&self) -> Option<&E::State> {
        self.phase.running().map(Running::state)
    }

    /// The reminders that are set; `None` while not at work.
    pub fn reminders(&self) -> Option<Vec<SetReminder>> {
        self.phase.running().map(Running::reminders)
    }

    /// The requests that were done and are remembered; `None` while not at work. For tests.
    pub fn requests(&self) -> Option<Vec<DoneRequest>> {
        self.phase.running().map(Running::requests)
    }

    /// The version of the newest state, while the entity is at work. For tests.
    pub fn seen(&self) -> Option<&crate::version::VersionVector> {
        self.phase.running().map(Running::seen)
    }

    /// The snapshot of the newest state, as the engine would have it stored; `None` while not at
    /// work. For tests.
    ///
    /// # Errors
    /// The reason why the state could not be read again.
    pub fn snapshot(&mut self) -> Option<Result<Snapshot, String>> {
        match &mut self.phase {
            Phase::Running(running) => Some(running.snapshot(&self.shared)),
            Phase::Permit | Phase::Recovering(_) | Phase::Backoff { .. } | Phase::Stopped => None,
        }
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

    /// Returns whether a replica is doubted. The shell asks the host now and then whether it still
    /// is.
    pub fn is_in_doubt(&self) -> bool {
        !self.doubted.is_empty()
    }

    /// The doubted replicas.
    pub fn doubts(&self) -> Vec<ReplicaId> {
        self.doubted.replicas()
    }

    /// Takes the replicas that the host doubts now. Returns the ones that it has doubted and does
    /// not doubt any more: for each an [`Input::Vouched`](super::Input::Vouched) is due.
    pub fn compare_doubts(&mut self, of_host: &[ReplicaId]) -> Vec<ReplicaId> {
        self.doubted.compare(of_host)
    }
}
