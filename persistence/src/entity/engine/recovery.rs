//! Recovery: the newest snapshot that can be used, then the events after it.
//!
//! A snapshot that cannot be used is logged as an error, and an older one, or the events, are read
//! instead. Recovery ends exactly at the journal's highest number, without a hole; otherwise it
//! fails with an error that names the missing events.
//!
//! An entity whose snapshot is above the journal has lost events. If it is replicated, the other
//! replicas are asked for the events (`reclaim`); otherwise it stops. Other events will have the
//! numbers of the lost events, so snapshots above the journal are made unusable: after a whole
//! state was reached without them, and before any append. A recovery that fails leaves these
//! snapshots as they are, since a journal that is brought back may need them.

use std::collections::BTreeMap;

use antiphon_base::guard;
use antiphon_base::time::Timestamp;

use super::applied::Applied;
use super::failure::Failure;
use super::shared::Shared;
use super::{Action, Generation, Input, Now, signals};
use crate::Result;
use crate::entity::{EntityCounters, EventSourced, Signal};
use crate::event::{Metadata, SequenceNr, StoredEvent};
use crate::identity::ReplicaId;
use crate::store::{ReplayPage, Snapshot};
use crate::version::VersionVector;

/// The part of an entity that has been recovered so far.
pub(super) struct Recovery<E: EventSourced> {
    generation: Generation,
    applied: Applied<E>,
    positions: BTreeMap<ReplicaId, SequenceNr>,
    /// The snapshot that recovery began with.
    snapshot: Option<(SequenceNr, VersionVector)>,
    /// The time of that snapshot, or of the first event.
    since: Option<Timestamp>,
    /// True after an event was read: later events follow it without a hole, and the last one has
    /// the journal's highest number.
    has_replayed: bool,
    /// The reason why the newest snapshot was not used.
    passed_over: Option<String>,
    /// The journal's highest number, if a snapshot was above it.
    ends_at: Option<SequenceNr>,
    /// The snapshots above the journal.
    above: Vec<SequenceNr>,
}

/// An entity that was recovered.
pub(super) struct Recovered<E: EventSourced> {
    pub(super) applied: Applied<E>,
    /// By other replica, the number in its stream up to which the entity has seen every event.
    pub(super) positions: BTreeMap<ReplicaId, SequenceNr>,
    /// The snapshot that recovery began with, with its version.
    pub(super) snapshot: Option<(SequenceNr, VersionVector)>,
    /// The time of that snapshot, or of the first event.
    pub(super) since: Option<Timestamp>,
    /// True when the journal has lost events, as a snapshot says.
    pub(super) is_behind: bool,
}

impl<E: EventSourced> Recovered<E> {
    /// The same, if it has all events up to `ever`, which were durable in this engine. Otherwise
    /// the state is dropped, and the behaviour is told.
    ///
    /// # Errors
    /// The store has lost data.
    pub(super) fn with_all(self, shared: &Shared<E>, ever: SequenceNr) -> Result<Self, String> {
        let durable = self.applied.newest;
        if durable >= ever {
            return Ok(self);
        }
        let reason = format!(
            "journal of `{}`: expected events up to {ever}, actual {durable}: the store has lost data",
            shared.id
        );
        tracing::error!(%reason, "entity stops");
        let signal = Signal::RecoveryFailed(reason.clone());
        signals::tell_in_recovery(shared, &self.applied, &signal, Metadata::new());
        self.applied.end(shared);
        Err(reason)
    }
}

impl<E: EventSourced> Recovery<E> {
    pub(super) fn new(shared: &Shared<E>) -> Result<Self, Failure> {
        let cannot_start = |failure| {
            EntityCounters::add(&shared.counters.handler_panics, 1);
            Failure::Failed(format!("starting `{}`: {failure}", shared.id))
        };
        let applied = Applied::new(shared).map_err(cannot_start)?;
        Ok(Self {
            generation: shared.generation,
            applied,
            positions: BTreeMap::new(),
            snapshot: None,
            since: None,
            has_replayed: false,
            passed_over: None,
            ends_at: None,
            above: Vec::new(),
        })
    }

    /// Drops the application's state, under [`antiphon_base::guard`].
    pub(super) fn end(self, shared: &Shared<E>) {
        self.applied.end(shared);
    }

    /// Tells the behaviour that recovery failed.
    pub(super) fn signal_failed(&self, shared: &Shared<E>, reason: String) {
        let signal = Signal::RecoveryFailed(reason);
        signals::tell_in_recovery(shared, &self.applied, &signal, Metadata::new());
    }

    /// Takes a result of I/O of this generation. Returns whether recovery is complete.
    pub(super) fn take(
        &mut self,
        shared: &Shared<E>,
        now: Now,
        input: Input<E>,
        actions: &mut Vec<Action<E>>,
    ) -> Result<bool, Failure> {
        match input {
            Input::SnapshotLoaded(_, result) => {
                self.snapshot_loaded(shared, result, actions).map(|()| false)
            }
            Input::Replayed(_, result) => self.replayed(shared, now, result, actions),
            Input::HighestFound(_, result) => self.highest_found(shared, result, actions),
            Input::SnapshotsVoided(_, result) => {
                assert!(!self.above.is_empty(), "`{}`: no snapshot was to be voided", shared.id);
                let voided = result.map(|()| true);
                voided.map_err(|error| Failure::of_store("making a snapshot unusable", error))
            }
            input @ (Input::Appended(..)
            | Input::Pulled(..)
            | Input::SnapshotSaved(..)
            | Input::SnapshotsDeleted(..)
            | Input::EventsDeleted(..)
            | Input::Skip(..)
            | Input::ReminderFound(..)
            | Input::ReactionsRead(..)
            | Input::ReminderDue(..)
            | Input::AsynchronousDone(..)
            | Input::BesideDone(..)
            | Input::PermitGranted(_)
            | Input::Start
            | Input::Doubted(_)
            | Input::Vouched(_)
            | Input::Command(_)
            | Input::Commands(_)
            | Input::Replicated(_)
            | Input::PeerHas(_)
            | Input::Wake
            | Input::GoOn
            | Input::Stop
            | Input::Kill) => {
                panic!("`{}`: `{}` is no result for a recovery", shared.id, input.name())
            }
        }
    }

    fn snapshot_loaded(
        &mut self,
        shared: &Shared<E>,
        result: Result<Option<Box<Snapshot>>>,
        actions: &mut Vec<Action<E>>,
    ) -> Result<(), Failure> {
        let snapshot = result.map_err(|error| Failure::of_store("reading the snapshot", error))?;
        if let Some(snapshot) = snapshot {
            if self.ends_at.is_some_and(|highest| snapshot.sequence_nr > highest) {
                self.pass_over_above(snapshot.sequence_nr, actions);
                return Ok(());
            }
            match read_state(shared, &snapshot) {
                Ok(state) => {
                    let number = snapshot.sequence_nr;
                    let metadata = snapshot.metadata.clone();
                    self.adopt(shared, state, *snapshot);
                    let signal = Signal::SnapshotRecovered(number);
                    signals::tell_in_recovery(shared, &self.applied, &signal, metadata);
                }
                Err(reason) => {
                    let number = snapshot.sequence_nr;
                    tracing::error!(
                        id = %shared.id, %number, %reason,
                        "a snapshot cannot be used: an older one, or the events, are read in its place"
                    );
                    EntityCounters::add(&shared.counters.snapshots_passed_over, 1);
                    self.passed_over.get_or_insert(format!("snapshot {number}: {reason}"));
                    if number > SequenceNr::new(1) {
                        let older = SequenceNr::new(number.value() - 1);
                        actions.push(Action::LoadSnapshot(self.generation, older));
                        return Ok(());
                    }
                }
            }
        }
        actions.push(Action::Replay(self.generation, self.newest().next()));
        Ok(())
    }

    fn adopt(&mut self, shared: &Shared<E>, state: E::State, snapshot: Snapshot) {
        self.applied.adopt(shared, state, &snapshot);
        self.since = Some(snapshot.timestamp);
        self.snapshot = Some((snapshot.sequence_nr, snapshot.version));
        self.positions = snapshot.positions;
    }

    /// The number of the newest event.
    fn newest(&self) -> SequenceNr {
        self.applied.newest
    }

    /// Returns whether recovery is complete.
    fn replayed(
        &mut self,
        shared: &Shared<E>,
        now: Now,
        result: Result<ReplayPage>,
        actions: &mut Vec<Action<E>>,
    ) -> Result<bool, Failure> {
        let page = result.map_err(|error| Failure::of_store("replaying", error))?;
        if page.events.is_empty() {
            if let Some(highest) = page.highest {
                if self.has_replayed && highest < self.newest() {
                    return Err(Failure::Failed(format!(
                        "recovering `{}`: the journal ended at {} and ends at {highest} now: it went back meanwhile",
                        shared.id,
                        self.newest()
                    )));
                }
                return self.highest_found(shared, Ok(highest), actions);
            }
            if self.has_replayed {
                return self.complete(shared, actions);
            }
            // the stream is empty, or its events were deleted
            actions.push(Action::FindHighest(self.generation));
            return Ok(false);
        }
        for event in page.events {
            self.replay(shared, now, &event)?;
        }
        if page.highest == Some(self.newest()) {
            return self.complete(shared, actions);
        }
        actions.push(Action::Replay(self.generation, self.newest().next()));
        Ok(false)
    }

    /// Compares the newest number with the journal's highest one. Called when there was no event to
    /// replay. Returns whether recovery is complete.
    fn highest_found(
        &mut self,
        shared: &Shared<E>,
        result: Result<SequenceNr>,
        actions: &mut Vec<Action<E>>,
    ) -> Result<bool, Failure> {
        let highest =
            result.map_err(|error| Failure::of_store("reading the highest number", error))?;
        if self.newest() < highest {
            return Err(self.missing(shared, highest));
        }
        if self.newest() > highest {
            if shared.replicas().len() > 1 {
                self.begin_below(shared, highest, actions)?;
                return Ok(false);
            }
            return Err(Failure::Failed(format!(
                "recovering `{}`: the snapshot has the events up to {}, the journal only those up to {highest}: the journal has lost events",
                shared.id,
                self.newest()
            )));
        }
        self.complete(shared, actions)
    }

    /// Begins again with an older snapshot, or the events, because the journal went back and the
    /// snapshot did not. The other replicas are asked for the missing events before a command is
    /// taken.
    fn begin_below(
        &mut self,
        shared: &Shared<E>,
        highest: SequenceNr,
        actions: &mut Vec<Action<E>>,
    ) -> Result<(), Failure> {
        let number = self.newest();
        tracing::error!(id = %shared.id, %number, %highest, "a snapshot is newer than the journal, which has lost events: it is not used");
        EntityCounters::add(&shared.counters.snapshots_passed_over, 1);
        let why = format!("snapshot {number}: the journal ends at {highest}");
        let anew = Self { passed_over: Some(why), ends_at: Some(highest), ..Self::new(shared)? };
        std::mem::replace(self, anew).end(shared);
        self.pass_over_above(number, actions);
        Ok(())
    }

    /// Passes over a snapshot above the journal, and reads the one before it.
    fn pass_over_above(&mut self, number: SequenceNr, actions: &mut Vec<Action<E>>) {
        self.above.push(number);
        let older = SequenceNr::new(number.value().saturating_sub(1));
        actions.push(Action::LoadSnapshot(self.generation, older));
    }

    /// Ends recovery with a whole state. Returns whether recovery is complete: if not, the
    /// snapshots above the journal must be made unusable first.
    fn complete(&self, shared: &Shared<E>, actions: &mut Vec<Action<E>>) -> Result<bool, Failure> {
        self.each_event_is_named(shared)?;
        if self.above.is_empty() {
            return Ok(true);
        }
        actions.push(Action::VoidSnapshots(self.generation, self.above.clone()));
        Ok(false)
    }

    fn replay(&mut self, shared: &Shared<E>, now: Now, event: &StoredEvent) -> Result<(), Failure> {
        let expected = self.newest().next();
        if event.sequence_nr != expected {
            let last = SequenceNr::new(event.sequence_nr.value().saturating_sub(1));
            return Err(self.missing(shared, last));
        }
        if self.applied.delivery.is_duplicate(event) {
            return Err(Failure::Failed(format!(
                "recovering `{}`: event {expected} is event {} of `{}`, which was applied before: the snapshot or the stream is of another history",
                shared.id,
                event.meta.origin_nr(),
                event.meta.origin
            )));
        }
        self.has_replayed = true;
        self.since.get_or_insert(event.meta.timestamp);
        if !shared.is_own(&event.meta.origin) {
            let (origin, number) = (&event.meta.origin, event.meta.source_seq);
            match self.positions.get_mut(origin) {
                Some(position) => *position = (*position).max(number),
                None => drop(self.positions.insert(origin.clone(), number)),
            }
        }
        self.applied.replay(shared, now, event).map_err(Failure::Failed)
    }

    /// The failure because the events up to `last` are missing.
    fn missing(&self, shared: &Shared<E>, last: SequenceNr) -> Failure {
        let snapshot = match &self.passed_over {
            Some(why) => format!("and a snapshot that has them cannot be used ({why})"),
            None => "and no snapshot has them".to_owned(),
        };
        Failure::Failed(format!(
            "recovering `{}`: the events {} to {last} are not in the journal, {snapshot}",
            shared.id,
            self.newest().next()
        ))
    }

    /// Checks that the versions of the stream name as many events as it has. Otherwise it cannot
    /// take part in replication: other replicas would wait for ever, or miss events.
    fn each_event_is_named(&self, shared: &Shared<E>) -> Result<(), Failure> {
        let (named, there) = (self.applied.seen().event_count(), self.newest().value());
        if named == there {
            return Ok(());
        }
        Err(Failure::Failed(format!(
            "replaying `{}`: expected {there} events by their versions, actual {named}: the stream was changed, or written by something else",
            shared.id
        )))
    }

    /// The recovered entity, once recovery is complete.
    pub(super) fn finish(self) -> Recovered<E> {
        let Self { applied, positions, snapshot, since, ends_at, .. } = self;
        Recovered { applied, positions, snapshot, since, is_behind: ends_at.is_some() }
    }

    pub(super) fn check(&self, shared: &Shared<E>) {
        let begun_at = self.snapshot.as_ref().map_or(SequenceNr::ZERO, |(number, _)| *number);
        assert!(begun_at <= self.newest(), "`{}`: recovery is before its snapshot", shared.id);
        assert!(self.has_replayed || begun_at == self.newest(), "`{}`: nothing read", shared.id);
        assert!(self.above.is_empty() || self.ends_at.is_some(), "`{}`: above what?", shared.id);
    }
}

fn read_state<E: EventSourced>(
    shared: &Shared<E>,
    snapshot: &Snapshot,
) -> Result<E::State, String> {
    let (named, last) = (snapshot.version.event_count(), snapshot.sequence_nr.value());
    if named != last {
        return Err(format!("its version names {named} events: expected {last}"));
    }
    let read = || shared.behaviour.from_snapshot(&snapshot.state);
    match guard::call("from_snapshot", &shared.id, read) {
        Ok(state) => state.map_err(|error| error.to_string()),
        Err(failure) => {
            EntityCounters::add(&shared.counters.handler_panics, 1);
            Err(failure.to_string())
        }
    }
}
