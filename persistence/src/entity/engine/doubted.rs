//! The doubted replicas of an entity, from the first doubt to the answer of the last one, across
//! restarts. The rules of the reads are in [`super::doubts`].

use super::inbox::Inbox;
use super::running::Running;
use super::shared::Shared;
use super::{Action, Now};
use crate::entity::{EntityCounters, EventSourced};
use crate::identity::ReplicaId;
use crate::reply::ReplyError;

/// The doubted replicas, which are asked before commands are taken.
#[derive(Debug, Default)]
pub(super) struct Doubted {
    replicas: Vec<ReplicaId>,
}

impl Doubted {
    pub(super) fn replicas(&self) -> &[ReplicaId] {
        &self.replicas
    }

    /// Adds replicas.
    pub(super) fn add(&mut self, replicas: Vec<ReplicaId>) {
        for replica in replicas {
            if !self.replicas.contains(&replica) {
                self.replicas.push(replica);
            }
        }
    }

    /// Ends the doubt because of this replica: the host does not doubt it any more.
    pub(super) fn vouched(&mut self, replica: &ReplicaId) {
        self.replicas.retain(|doubted| doubted != replica);
    }

    /// Asks all doubted replicas before the next command: events that were read in doubt before a
    /// restart may not be durable.
    pub(super) fn ask<E: EventSourced>(
        &self,
        shared: &Shared<E>,
        now: Now,
        running: &mut Running<E>,
        actions: &mut Vec<Action<E>>,
    ) {
        running.doubt(shared, now, &self.replicas, actions);
    }

    /// Puts the entity in doubt, with every other replica, when one of them has events of this
    /// replica that the journal has not. Tells the host of this, and of a fork that was found.
    pub(super) fn find_behind<E: EventSourced>(
        &mut self,
        shared: &Shared<E>,
        now: Now,
        running: &mut Running<E>,
        actions: &mut Vec<Action<E>>,
    ) {
        if !running.found_behind(shared, actions) {
            return;
        }
        tracing::debug!(id = %shared.id, "another replica has events of this one that the journal has not");
        actions.push(Action::WentBack);
        let others = shared.replicas().iter().filter(|one| !shared.is_own(one));
        self.add(others.cloned().collect());
        self.ask(shared, now, running, actions);
    }

    /// Ends the doubt when all events that were read are durable. Refuses the commands that should
    /// not wait.
    pub(super) fn reclaim<E: EventSourced>(
        &mut self,
        shared: &Shared<E>,
        running: &Running<E>,
        (now, is_stopping): (Now, bool),
        inbox: &mut Inbox<E::Command>,
        actions: &mut Vec<Action<E>>,
    ) {
        if self.replicas.is_empty() {
            return;
        }
        if running.is_reclaimed() {
            self.replicas.clear();
            return actions.push(Action::Reclaimed);
        }
        if let Some(why) = running.refusal(now, is_stopping) {
            let count = inbox.refuse_waiting(&ReplyError::Unavailable(why));
            EntityCounters::add(&shared.counters.commands_doubted, count);
        }
    }

    /// Asserts that each doubted replica is there once.
    pub(super) fn check(&self) {
        for (place, replica) in self.replicas.iter().enumerate() {
            assert!(!self.replicas[..place].contains(replica), "`{replica}` is doubted twice");
        }
    }
}
