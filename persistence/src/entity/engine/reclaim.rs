//! Doubt about the own journal, and own events that come back from other replicas.
//!
//! A journal that was restored from a backup, or lost with its disk, has fewer events of its own
//! replica than the other replicas have. Commands on this journal would use numbers again that
//! other replicas know already, and these would drop the new events as duplicates. So an entity in
//! doubt reads the journals of the doubted replicas to their ends before it takes a command. On the
//! way it takes its own events back, through causal delivery like all others:
//!
//! ```text
//!   Doubted([B, C])          B at its end, C at its end, all of it durable
//!   ---------------> in doubt --------------------------------------------> Reclaimed
//!                      |  ^
//!                      +--+ a read fails, or `reclaim_wait` is over:
//!                           commands are refused without effect, reads go on
//! ```
//!
//! An own event that another replica has and the journal has not is the proof of a loss, on every
//! path on which it arrives. It puts the entity in doubt.
//!
//! Invariants: no command is handled while a doubted replica was not read to its end; an event that
//! was read counts when it is durable, so a restart begins the doubt anew.

use std::collections::VecDeque;

use antiphon_base::time::Timestamp;
use tokio::time::Instant;

use super::core::{Engine, Shared};
use super::queued::push;
use super::running::Running;
use super::{Action, Now, Queued};
use crate::entity::{EntityCounters, EventSourced};
use crate::event::{SequenceNr, StoredEvent};
use crate::identity::ReplicaId;
use crate::reply::ReplyError;

/// Most of the newest own events that are remembered by number and time, to find numbers that were
/// used twice.
const OWN_TIMES_MAX: usize = 64;

/// A doubted replica whose journal was not yet read to its end.
#[derive(Debug)]
struct Open {
    replica: ReplicaId,
    /// True when a read was under way when the doubt began: the next answer does not count.
    is_early: bool,
    /// The reason why the last read did not reach the end.
    failed: Option<String>,
}

/// The doubted replicas of an entity at work. Commands wait until each was read to its end.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    open: Vec<Open>,
    /// The newest number when the last doubted replica was read to its end. The doubt ends when the
    /// events up to this number are durable.
    needed: SequenceNr,
    /// The time at which commands that wait are refused.
    wait_until: Option<Instant>,
    /// True after an own event came that the journal has not.
    is_behind: bool,
    is_told: bool,
    own_times: VecDeque<(u64, Timestamp)>,
    is_forked: bool,
    /// The number of a fork that the host has not been told of.
    untold_fork: Option<u64>,
}

impl Doubts {
    pub(super) fn is_open(&self) -> bool {
        !self.open.is_empty()
    }

    pub(super) fn is_asked(&self, replica: &ReplicaId) -> bool {
        self.open.iter().any(|open| open.replica == *replica)
    }

    /// Notes that the replica's journal was read to its end.
    pub(super) fn answered(&mut self, replica: &ReplicaId, newest: SequenceNr) {
        self.needed = newest;
        self.open.retain_mut(|open| {
            let is_it = open.replica == *replica;
            let stays = !is_it || open.is_early;
            open.is_early &= !is_it;
            stays
        });
    }

    /// Notes that a read of the replica's journal begins now, so that its end counts as an answer.
    pub(super) fn asks(&mut self, replica: &ReplicaId) {
        if let Some(open) = self.open.iter_mut().find(|open| open.replica == *replica) {
            open.is_early = false;
        }
    }

    /// Notes that a read failed, or stopped before the end.
    pub(super) fn failed(&mut self, replica: &ReplicaId, reason: &str) {
        if let Some(open) = self.open.iter_mut().find(|open| open.replica == *replica) {
            open.is_early = false;
            open.failed = Some(format!("`{replica}`: {reason}"));
        }
    }

    /// Notes that an own event came that the journal has not.
    pub(super) fn found_behind(&mut self) {
        self.is_behind = true;
    }

    /// Notes an own event, whether written or read.
    pub(super) fn note_own(&mut self, number: u64, time: Timestamp) {
        if self.own_times.len() >= OWN_TIMES_MAX {
            self.own_times.pop_front();
        }
        push(&mut self.own_times, (number, time));
    }

    /// The time of the known own event with the number of `event`, if the two events differ.
    fn other_time(&self, event: &StoredEvent) -> Option<Timestamp> {
        let number = event.meta.origin_nr();
        let known = self.own_times.iter().find(|(known, _)| *known == number)?.1;
        (known != event.meta.timestamp).then_some(known)
    }
}

impl<E: EventSourced> Running<E> {
    /// Adds doubted replicas: commands wait until their journals were read to their ends.
    pub(super) fn doubt(
        &mut self,
        shared: &Shared<E>,
        now: Now,
        replicas: &[ReplicaId],
        actions: &mut Vec<Action<E>>,
    ) {
        let before = self.doubts.open.len();
        for replica in replicas {
            let is_early = self.peers.is_reading(replica);
            if replica == shared.id.replica_id() || self.doubts.is_asked(replica) {
                continue;
            }
            self.doubts.open.push(Open { replica: replica.clone(), is_early, failed: None });
        }
        if self.doubts.open.len() > before {
            let wait = shared.settings.reclaim_wait;
            self.doubts.wait_until = Some(now.instant + wait);
            self.peers.look_again();
            actions.push(Action::WakeAfter(wait));
        }
    }

    /// Ends the doubt because of this replica: the host does not doubt it any more.
    pub(super) fn vouched(&mut self, replica: &ReplicaId) {
        self.doubts.open.retain(|open| open.replica != *replica);
    }

    /// Compares an own event that comes back with the event that the journal has under its number.
    /// A different event is a fork.
    pub(super) fn compare_own(&mut self, shared: &Shared<E>, event: &StoredEvent) {
        let Some(known) = self.doubts.other_time(event) else { return };
        EntityCounters::add(&shared.counters.events_forked, 1);
        if !std::mem::replace(&mut self.doubts.is_forked, true) {
            let (id, number, other) = (&shared.id, event.meta.origin_nr(), event.meta.timestamp);
            self.doubts.untold_fork = Some(number);
            tracing::error!(%id, number, ?known, ?other, "another replica has an own event with a number that was used again after a loss was accepted: the replicas of this entity differ for ever");
        }
    }

    fn is_reclaimed(&self) -> bool {
        !self.doubts.is_open() && self.durable() >= self.doubts.needed
    }

    /// The reason why commands are refused now; `None` when they wait.
    fn refusal(&self, now: Now) -> Option<String> {
        let is_over = self.doubts.wait_until.is_some_and(|until| now.instant >= until);
        let names: Vec<&str> = self.doubts.open.iter().map(|open| open.replica.as_str()).collect();
        let failed = self.doubts.open.iter().find_map(|open| open.failed.as_ref());
        let why = match failed {
            Some(why) => why.clone(),
            None if is_over => format!("no answer from {names:?} yet"),
            None => return None,
        };
        Some(format!(
            "the journal may have gone back, and commands wait until {names:?} were asked for own events: {why}"
        ))
    }
}

impl<E: EventSourced> Engine<E> {
    /// Notes that the journal may have gone back: these replicas are asked before the next command.
    pub(super) fn doubted(
        &mut self,
        now: Now,
        replicas: Vec<ReplicaId>,
        actions: &mut Vec<Action<E>>,
    ) {
        for replica in replicas {
            if !self.doubted.contains(&replica) {
                self.doubted.push(replica);
            }
        }
        self.doubt_again(now, actions);
    }

    /// Begins the doubt anew: events that were read in doubt before a restart may not be durable.
    pub(super) fn doubt_again(&mut self, now: Now, actions: &mut Vec<Action<E>>) {
        let doubted = std::mem::take(&mut self.doubted);
        if let Some((shared, running)) = self.parts() {
            running.doubt(shared, now, &doubted, actions);
        }
        self.doubted = doubted;
    }

    pub(super) fn vouched(&mut self, replica: &ReplicaId) {
        self.doubted.retain(|doubted| doubted != replica);
        if let Some((_, running)) = self.parts() {
            running.vouched(replica);
        }
    }

    /// Puts the entity in doubt, with every other replica, when one of them has events of this
    /// replica that the journal has not. Tells the host of this, and of a fork that was found.
    pub(super) fn found_behind(&mut self, now: Now, actions: &mut Vec<Action<E>>) {
        let Some((shared, running)) = self.parts() else { return };
        actions.extend(running.doubts.untold_fork.take().map(Action::Forked));
        let is_behind =
            running.doubts.is_behind || running.peers.knows_more(shared, running.delivery.seen());
        if running.doubts.is_told || !is_behind {
            return;
        }
        running.doubts.is_told = true;
        tracing::debug!(id = %shared.id, "another replica has events of this one that the journal has not");
        let replicas: Vec<ReplicaId> = shared.replicas.iter().cloned().collect();
        actions.push(Action::WentBack);
        let own = shared.id.replica_id().clone();
        self.doubted(now, replicas.into_iter().filter(|one| *one != own).collect(), actions);
    }

    /// Ends the doubt when all events that were read are durable. Refuses the commands that should
    /// not wait.
    pub(super) fn reclaim(&mut self, now: Now, actions: &mut Vec<Action<E>>) {
        if self.doubted.is_empty() {
            return;
        }
        let stopping = self.is_stopping();
        let Some((_, running)) = self.parts() else { return };
        if running.is_reclaimed() {
            self.doubted.clear();
            return actions.push(Action::Reclaimed);
        }
        let why = match running.refusal(now) {
            Some(why) if running.doubts.is_open() => why,
            None if stopping && running.doubts.is_open() => "the entity is stopping".into(),
            Some(_) | None => return,
        };
        let waiting: VecDeque<Queued<E::Command>> = self.take_inbox();
        EntityCounters::add(&self.counters().commands_doubted, waiting.len());
        for queued in waiting {
            queued.refuse(ReplyError::Unavailable(why.clone()));
        }
    }

    /// The doubted replicas. The shell asks the host now and then whether they still are.
    pub fn doubts(&self) -> &[ReplicaId] {
        &self.doubted
    }
}
