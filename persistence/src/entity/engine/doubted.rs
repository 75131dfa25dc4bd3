//! The doubted replicas of an entity, from the first doubt to the answer of the last one, across
//! restarts. The rules of the reads are in [`super::doubts`].

use super::inbox::Inbox;
use super::phase::Phase;
use super::running::Running;
use super::shared::Shared;
use super::{Action, Now};
use crate::entity::{EntityCounters, EventSourced};
use crate::identity::ReplicaId;
use crate::reply::ReplyError;

/// A doubted replica.
#[derive(Debug)]
struct One {
    replica: ReplicaId,
    /// True when the host doubts the replica, or did. Before that the end of a doubt of the host
    /// says nothing: the entity knows of the loss, and the host does not yet.
    is_of_host: bool,
}

/// The doubted replicas, which are asked before commands are taken.
#[derive(Debug, Default)]
pub(super) struct Doubted {
    ones: Vec<One>,
}

impl Doubted {
    pub(super) fn replicas(&self) -> Vec<ReplicaId> {
        self.ones.iter().map(|one| one.replica.clone()).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ones.is_empty()
    }

    /// Adds replicas, because of the host or of an event that was found.
    pub(super) fn add(&mut self, replicas: Vec<ReplicaId>, is_of_host: bool) {
        for replica in replicas {
            match self.ones.iter_mut().find(|one| one.replica == replica) {
                Some(known) => known.is_of_host |= is_of_host,
                None => self.ones.push(One { replica, is_of_host }),
            }
        }
    }

    /// Takes the replicas that the host doubts now. Returns those that it does not doubt any more.
    pub(super) fn compare(&mut self, of_host: &[ReplicaId]) -> Vec<ReplicaId> {
        let mut over = Vec::new();
        for one in &mut self.ones {
            if of_host.contains(&one.replica) {
                one.is_of_host = true;
            } else if one.is_of_host {
                over.push(one.replica.clone());
            }
        }
        over
    }

    /// Ends the doubt because of this replica, unless it is read: the host does not doubt it any
    /// more.
    pub(super) fn vouched<E: EventSourced>(
        &mut self,
        shared: &Shared<E>,
        phase: &mut Phase<E>,
        replica: &ReplicaId,
    ) {
        // while not at work the word is not taken: the shell asks for it again
        let Phase::Running(running) = phase else { return };
        if running.vouched(replica) {
            self.ones.retain(|one| one.replica != *replica);
            if self.ones.is_empty() {
                running.forget_missing(shared);
                running.doubt_over();
            }
        }
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
        running.doubt(shared, now, &self.replicas(), actions);
    }

    /// Puts the entity in doubt, with every other replica, when one of them has events of this
    /// replica that the journal has not. Tells the host of this, once, and of a fork that was
    /// found.
    pub(super) fn find_behind<E: EventSourced>(
        &mut self,
        shared: &Shared<E>,
        now: Now,
        phase: &mut Phase<E>,
        actions: &mut Vec<Action<E>>,
    ) {
        let Phase::Running(running) = phase else { return };
        let Some(is_new) = running.found_behind(actions) else { return };
        tracing::debug!(id = %shared.id, "another replica has events of this one that the journal has not");
        if is_new {
            actions.push(Action::WentBack);
        }
        let others = shared.replicas().iter().filter(|one| !shared.is_own(one));
        self.add(others.cloned().collect(), false);
        self.ask(shared, now, running, actions);
    }

    /// Ends the doubt when all events that were read are durable. Refuses the commands that should
    /// not wait.
    pub(super) fn reclaim<E: EventSourced>(
        &mut self,
        shared: &Shared<E>,
        running: &mut Running<E>,
        (now, is_stopping): (Now, bool),
        inbox: &mut Inbox<E::Command>,
        actions: &mut Vec<Action<E>>,
    ) {
        if self.ones.is_empty() {
            return;
        }
        if running.misses_own(shared) {
            return running.read_anew(shared, now, &self.replicas(), actions);
        }
        running.forget_missing(shared);
        if running.is_reclaimed() {
            self.ones.clear();
            running.doubt_over();
            return actions.push(Action::Reclaimed);
        }
        if let Some(why) = running.refusal(now, is_stopping) {
            let (count, ended) = inbox.refuse_waiting(&ReplyError::Unavailable(why));
            running.handled(&ended, inbox);
            EntityCounters::add(&shared.counters.commands_doubted, count);
            running.refused(shared);
        }
    }

    /// Asserts that each doubted replica is there once.
    pub(super) fn check(&self) {
        for (place, One { replica, .. }) in self.ones.iter().enumerate() {
            let is_once = self.ones[..place].iter().all(|one| one.replica != *replica);
            assert!(is_once, "`{replica}` is doubted twice");
        }
    }
}
