//! Output commit: at most one append is under way while the next one collects events. Everything
//! visible waits until every event that it could have seen is durable.

use std::collections::VecDeque;

use antiphon_base::time::Timestamp;

use super::core::{Shared, store_failure};
use super::queued::push;
use super::running::{Failure, Running};
use super::{Action, Release, proof};
use crate::entity::effect::CommandFuture;
use crate::entity::{EntityCounters, EntitySettings, EventSourced, Signal};
use crate::event::{SequenceNr, StoredEvent};
use crate::identity::ReplicaId;
use crate::reply::{Claim, ReplyError, refuse_claimed};
use crate::store::{Append, Limits, Snapshot};
use crate::version::VersionVector;
use crate::{ErrorKind, Result};

/// An action that waits until an event is durable.
pub(super) enum Due<E: EventSourced> {
    Release(Release),
    CaughtUp(ReplicaId, SequenceNr),
    /// A future, with the claim of the command that wants it.
    Asynchronous(CommandFuture<E::Command>, Claim),
    Snapshot(Box<Snapshot>),
    Passivate,
}

struct InFlight {
    last: SequenceNr,
    bytes: usize,
    /// The events of this replica, to be passed on.
    own: Vec<StoredEvent>,
    /// The times of the events of other replicas.
    others: Vec<Timestamp>,
}

/// Events that are stored together or not at all.
struct Group {
    events: Vec<StoredEvent>,
    /// The size of the events, as the store counts it.
    bytes: usize,
}

/// The events on their way to the disk, and the actions that wait for them.
pub(super) struct Persisting<E: EventSourced> {
    durable: SequenceNr,
    in_flight: Option<InFlight>,
    /// The last event of the append that failed; the failure's answer is about the events in it.
    failed: Option<SequenceNr>,
    collected: VecDeque<Group>,
    collected_count: usize,
    collected_bytes: usize,
    waiting: VecDeque<(SequenceNr, Due<E>)>,
    pub(super) snapshot_due: bool,
    snapshot_under_way: bool,
    last_snapshot: SequenceNr,
    /// The newest snapshots, oldest first, with the version that each has.
    snapshots: VecDeque<(SequenceNr, VersionVector)>,
}

impl<E: EventSourced> Persisting<E> {
    /// Begins with everything durable. `snapshot` is the newest stored one, with its version.
    pub(super) fn new(durable: SequenceNr, snapshot: Option<(SequenceNr, VersionVector)>) -> Self {
        let last_snapshot = snapshot.as_ref().map_or(SequenceNr::ZERO, |(number, _)| *number);
        Self {
            durable,
            in_flight: None,
            failed: None,
            collected: VecDeque::new(),
            collected_count: 0,
            collected_bytes: 0,
            waiting: VecDeque::new(),
            snapshot_due: false,
            snapshot_under_way: false,
            last_snapshot,
            snapshots: snapshot.into_iter().collect(),
        }
    }

    /// The number of events that are applied and not durable.
    pub(super) fn unpersisted_count(&self) -> usize {
        let in_flight = self.in_flight.as_ref().map_or(0, |append| {
            usize::try_from(append.last.value() - self.durable.value()).unwrap_or(usize::MAX)
        });
        self.collected_count + in_flight
    }

    /// Returns whether there is room for more events that are applied and not durable.
    pub(super) fn has_room(&self, settings: &EntitySettings) -> bool {
        let bytes = self.collected_bytes + self.in_flight.as_ref().map_or(0, |append| append.bytes);
        self.unpersisted_count() < settings.unpersisted_events_max
            && bytes < settings.unpersisted_bytes_max
    }

    /// Returns whether no event is on its way and no action waits.
    pub(super) fn is_settled(&self) -> bool {
        self.in_flight.is_none() && self.collected.is_empty() && self.waiting.is_empty()
    }

    pub(super) fn collect(&mut self, group: Vec<StoredEvent>) {
        if !group.is_empty() {
            let bytes = Limits::append_bytes(&group);
            self.collected_count += group.len();
            self.collected_bytes += bytes;
            push(&mut self.collected, Group { events: group, bytes });
        }
    }

    pub(super) fn defer(&mut self, needed: SequenceNr, due: Due<E>) {
        push(&mut self.waiting, (needed, due));
    }

    /// Fails the answers, each by the position of its command, and returns the `CaughtUp` actions
    /// that were not told yet.
    pub(super) fn fail(self, answer: &ReplyError) -> Vec<(ReplicaId, SequenceNr)> {
        let in_flight = self.in_flight.as_ref().map(|append| append.last);
        let error = |stored: Option<SequenceNr>| {
            let Some(last) = stored else { return answer.clone().without_effect() };
            if self.failed.is_some_and(|failed| last <= failed) {
                // the answer of the store is about its append
                return answer.clone();
            }
            if last <= in_flight.unwrap_or(self.durable) {
                // its append was under way when something else failed
                return answer.clone().with_unknown_effect();
            }
            // its events were collected, and never handed to the store
            answer.clone().without_effect()
        };
        let mut untold = Vec::new();
        for (_, due) in self.waiting {
            match due {
                Due::Release(release) => {
                    let error = error(release.stored);
                    release.fail(error);
                }
                Due::CaughtUp(replica, highest) => untold.push((replica, highest)),
                // the future has not begun
                Due::Asynchronous(future, claim) => {
                    let error = claim.truth(answer.clone().without_effect());
                    refuse_claimed(future, &claim, error);
                }
                Due::Snapshot(_) | Due::Passivate => {}
            }
        }
        untold
    }

    fn next_append(&mut self, shared: &Shared<E>) -> Option<Append> {
        if self.in_flight.is_some() || self.collected.is_empty() {
            return None;
        }
        let Group { mut events, mut bytes } = self.collected.pop_front().expect("not empty");
        while let Some(next) = self.collected.front() {
            if events.len() + next.events.len() > shared.settings.append_events_max
                || bytes + next.bytes > shared.limits.append_bytes_max
            {
                break;
            }
            let next = self.collected.pop_front().expect("just seen");
            events.extend(next.events);
            bytes += next.bytes;
        }
        self.collected_count -= events.len();
        self.collected_bytes -= bytes;
        let me = shared.id.replica_id();
        let own = if shared.replicas.len() > 1 {
            events.iter().filter(|event| event.meta.origin == *me).cloned().collect()
        } else {
            Vec::new()
        };
        let last = events.last().expect("not empty").sequence_nr;
        let others = events.iter().filter(|event| event.meta.origin != *me);
        let others = others.map(|event| event.meta.timestamp).collect();
        self.in_flight = Some(InFlight { last, bytes, own, others });
        Some(Append { persistence_id: shared.id.persistence_id(), expected: self.durable, events })
    }

    pub(super) fn check(&self, newest: SequenceNr, shared: &Shared<E>) {
        let unpersisted = self.unpersisted_count() as u64;
        assert_eq!(self.durable.plus(unpersisted), newest, "`{}`: dense numbers", shared.id);
        assert!(
            self.waiting.iter().all(|(needed, _)| *needed <= newest),
            "`{}`: something waits for an event that is not there",
            shared.id
        );
    }
}

/// The failure that follows from a failed append, for the entity and for the commands whose events
/// were in it.
fn append_failure(error: crate::Error) -> Failure {
    let is_refusal = error.kind() == ErrorKind::Rejected;
    match store_failure("appending", error) {
        // the store refuses these events only: the entity goes on without them
        Failure::Failed(reason) if is_refusal => {
            Failure::Restart { answer: ReplyError::Rejected(reason.clone()), reason }
        }
        failure @ (Failure::Restart { .. } | Failure::Fenced(_) | Failure::Failed(_)) => failure,
    }
}

impl<E: EventSourced> Running<E> {
    pub(super) fn durable(&self) -> SequenceNr {
        self.persisting.durable
    }

    pub(super) fn is_appending(&self) -> bool {
        self.persisting.in_flight.is_some()
    }

    /// Lets out the actions whose events are durable, and begins the next append.
    pub(super) fn persist(&mut self, shared: &Shared<E>, actions: &mut Vec<Action<E>>) {
        self.let_out(shared, actions);
        if let Some(append) = self.persisting.next_append(shared) {
            actions.push(Action::Append(shared.generation, append));
        }
    }

    pub(super) fn appended(
        &mut self,
        shared: &Shared<E>,
        result: Result<()>,
        actions: &mut Vec<Action<E>>,
    ) -> Result<(), Failure> {
        if let Err(error) = result {
            EntityCounters::add(&shared.counters.appends_failed, 1);
            // the append has ended: recovery need not wait for it
            self.persisting.failed = self.persisting.in_flight.take().map(|append| append.last);
            return Err(append_failure(error));
        }
        EntityCounters::add(&shared.counters.appends, 1);
        let append = self.persisting.in_flight.take().expect("an append was under way");
        self.persisting.durable = append.last;
        if !append.own.is_empty() {
            actions.push(Action::Publish(append.own));
        }
        if !append.others.is_empty() {
            actions.push(Action::Received(append.others));
        }
        Ok(())
    }

    fn let_out(&mut self, shared: &Shared<E>, actions: &mut Vec<Action<E>>) {
        let mut releases = Vec::new();
        while let Some((needed, _)) = self.persisting.waiting.front() {
            if *needed > self.persisting.durable {
                break;
            }
            let (_, due) = self.persisting.waiting.pop_front().expect("just seen");
            let action = match due {
                Due::Release(release) => {
                    releases.push(release);
                    continue;
                }
                Due::CaughtUp(replica, highest) => Action::CaughtUp(replica, highest),
                Due::Asynchronous(future, claim) => {
                    claim.act();
                    Action::RunAsynchronous(shared.generation, future)
                }
                Due::Snapshot(snapshot) => Action::SaveSnapshot(shared.generation, snapshot),
                Due::Passivate => Action::Passivate,
            };
            if !releases.is_empty() {
                actions.push(Action::Release(std::mem::take(&mut releases)));
            }
            actions.push(action);
        }
        if !releases.is_empty() {
            actions.push(Action::Release(releases));
        }
    }

    /// Takes a snapshot of the newest state, if one is due. It is stored when that state is
    /// durable.
    pub(super) fn snapshot_if_due(&mut self, shared: &Shared<E>) {
        let every = shared.settings.snapshot_every;
        let since = self.newest.value() - self.persisting.last_snapshot.value();
        let due = self.persisting.snapshot_due || (every > 0 && since >= every);
        if self.spoilt.is_some() || !due || self.persisting.snapshot_under_way {
            return;
        }
        self.persisting.snapshot_due = false;
        self.persisting.last_snapshot = self.newest;
        let state = match proof::state(shared, &self.state) {
            Ok(state) => state,
            Err(reason) => return self.snapshot_failed(shared, &reason),
        };
        let snapshot = Snapshot {
            sequence_nr: self.newest,
            version: self.delivery.seen().clone(),
            positions: self.peers.positions(),
            timestamp: self.clock.last(),
            state,
        };
        self.persisting.snapshot_under_way = true;
        self.persisting.defer(self.newest, Due::Snapshot(Box::new(snapshot)));
        self.persisting.snapshots.push_back((self.newest, self.delivery.seen().clone()));
    }

    fn snapshot_failed(&mut self, shared: &Shared<E>, reason: &str) {
        EntityCounters::add(&shared.counters.snapshots_failed, 1);
        tracing::warn!(id = %shared.id, %reason, "snapshot not stored");
        self.signal(shared, &Signal::SnapshotFailed(reason.to_owned()));
    }

    pub(super) fn snapshot_saved(
        &mut self,
        shared: &Shared<E>,
        number: SequenceNr,
        result: Result<()>,
        actions: &mut Vec<Action<E>>,
    ) {
        self.persisting.snapshot_under_way = false;
        if let Err(error) = result {
            self.persisting.snapshots.pop_back();
            return self.snapshot_failed(shared, &error.to_string());
        }
        EntityCounters::add(&shared.counters.snapshots_saved, 1);
        self.signal(shared, &Signal::SnapshotSaved(number));
        let keep = usize::try_from(shared.settings.snapshots_keep).unwrap_or(usize::MAX);
        let snapshots = &mut self.persisting.snapshots;
        while snapshots.len() > keep {
            snapshots.pop_front();
        }
        if snapshots.len() < keep {
            return;
        }
        let (oldest, version) = snapshots.front().expect("at least one is kept");
        actions.push(Action::DeleteSnapshots(SequenceNr::new(oldest.value() - 1)));
        if shared.settings.delete_events && self.peers.all_have(version) {
            actions.push(Action::DeleteEvents(*oldest));
        }
    }
}
