//! Recovery: the newest snapshot, then the events after it.

use std::collections::BTreeMap;

use super::applying::{Applier, describe};
use super::core::{Shared, store_failure};
use super::running::{Failure, Running};
use super::{Action, Generation};
use crate::Result;
use crate::codec::CodecId;
use crate::delivery::CausalDelivery;
use crate::entity::{EntityCounters, EventSourced};
use crate::event::{SequenceNr, StoredEvent};
use crate::guard;
use crate::identity::ReplicaId;
use crate::store::Snapshot;
use crate::time::HybridClock;
use crate::version::VersionVector;

/// What has been recovered so far.
pub(super) struct Recovery<E: EventSourced> {
    generation: Generation,
    state: E::State,
    applier: Applier,
    delivery: CausalDelivery,
    clock: HybridClock,
    newest: SequenceNr,
    positions: BTreeMap<ReplicaId, SequenceNr>,
    /// The snapshot that it began with.
    snapshot: Option<(SequenceNr, VersionVector)>,
}

impl<E: EventSourced> Recovery<E> {
    pub(super) fn new(shared: &Shared<E>) -> Result<Self, Failure> {
        let state = guard::call("State::default", &shared.id, E::State::default)
            .map_err(|failure| Failure::Failed(failure.to_string()))?;
        Ok(Self {
            generation: shared.generation,
            state,
            applier: Applier::new(shared),
            delivery: CausalDelivery::new(VersionVector::new(), shared.settings.waiting_events_max),
            clock: HybridClock::default(),
            newest: SequenceNr::ZERO,
            positions: BTreeMap::new(),
            snapshot: None,
        })
    }

    /// The application's state is dropped in its guarded place.
    pub(super) fn end(self, shared: &Shared<E>) {
        let _ = guard::call("Drop of a state", &shared.id, || drop(self.state));
    }

    pub(super) fn snapshot_loaded(
        &mut self,
        shared: &Shared<E>,
        result: Result<Option<Snapshot>>,
        actions: &mut Vec<Action<E>>,
    ) -> Result<(), Failure> {
        let snapshot = result.map_err(|error| store_failure("reading the snapshot", error))?;
        if let Some(snapshot) = snapshot {
            match decode_state(shared, &snapshot) {
                Ok(state) => self.adopt(shared, state, snapshot),
                Err(reason) => {
                    // the events are the truth; if they were deleted, replay finds the hole
                    tracing::warn!(id = %shared.id, %reason, "snapshot ignored, replaying instead");
                    EntityCounters::add(&shared.counters.snapshots_failed, 1);
                }
            }
        }
        actions.push(Action::Replay(self.generation, self.newest.next()));
        Ok(())
    }

    fn adopt(&mut self, shared: &Shared<E>, state: E::State, snapshot: Snapshot) {
        self.state = state;
        self.snapshot = Some((snapshot.sequence_nr, snapshot.version.clone()));
        self.newest = snapshot.sequence_nr;
        self.clock.observe(snapshot.timestamp);
        self.positions = snapshot.positions;
        self.delivery = CausalDelivery::new(snapshot.version, shared.settings.waiting_events_max);
    }

    /// Returns whether that was the last page.
    pub(super) fn replayed(
        &mut self,
        shared: &Shared<E>,
        result: Result<Vec<StoredEvent>>,
        actions: &mut Vec<Action<E>>,
    ) -> Result<bool, Failure> {
        let events = result.map_err(|error| store_failure("replaying", error))?;
        if events.is_empty() {
            return self.each_event_is_named(shared).map(|()| true);
        }
        for event in events {
            self.replay(shared, &event)?;
        }
        actions.push(Action::Replay(self.generation, self.newest.next()));
        Ok(false)
    }

    fn replay(&mut self, shared: &Shared<E>, event: &StoredEvent) -> Result<(), Failure> {
        let expected = self.newest.next();
        if event.sequence_nr != expected {
            return Err(Failure::Failed(format!(
                "replaying `{}`: expected event {expected}, actual {}: earlier ones were deleted or lost, and no readable snapshot covers them",
                shared.id, event.sequence_nr
            )));
        }
        self.newest = expected;
        self.delivery.replayed(event);
        self.clock.observe(event.meta.timestamp);
        if event.meta.origin != *shared.id.replica_id() {
            let (origin, number) = (&event.meta.origin, event.meta.source_seq);
            match self.positions.get_mut(origin) {
                Some(position) => *position = (*position).max(number),
                None => drop(self.positions.insert(origin.clone(), number)),
            }
        }
        let events = Applier::read(shared, event).map_err(Failure::Failed)?;
        self.applier
            .apply(shared, &mut self.state, event, events, true)
            .map(drop)
            .map_err(|failure| Failure::Failed(describe(shared, event, &failure.to_string())))
    }

    /// A stream whose versions name more or fewer events than it has cannot take part in replication: others would wait for ever, or miss some.
    fn each_event_is_named(&self, shared: &Shared<E>) -> Result<(), Failure> {
        let (named, there) = (self.delivery.seen().event_count(), self.newest.value());
        if named == there {
            return Ok(());
        }
        Err(Failure::Failed(format!(
            "replaying `{}`: expected {there} events by their versions, actual {named}: the stream was changed, or written by something else",
            shared.id
        )))
    }

    pub(super) fn finish(self, shared: &Shared<E>) -> Running<E> {
        let Self { state, delivery, clock, newest, positions, snapshot, .. } = self;
        Running::new(shared, state, delivery, clock, newest, positions, snapshot)
    }
}

fn decode_state<E: EventSourced>(
    shared: &Shared<E>,
    snapshot: &Snapshot,
) -> Result<E::State, String> {
    let decode = || decode_guarded(shared, snapshot);
    guard::call("Deserialize of a state", &shared.id, decode)
        .unwrap_or_else(|failure| Err(failure.to_string()))
}

fn decode_guarded<E: EventSourced>(
    shared: &Shared<E>,
    snapshot: &Snapshot,
) -> Result<E::State, String> {
    let expected = shared.behaviour.snapshot_version();
    if snapshot.state.version != expected {
        return Err(format!("snapshot of version {}: expected {expected}", snapshot.state.version));
    }
    CodecId::from_stored(snapshot.state.codec)
        .and_then(|codec| codec.decode(&snapshot.state.bytes))
        .map_err(|error| error.to_string())
}
