//! The state that a stream gives, read without an actor and without a store: for test kits.

use std::collections::VecDeque;
use std::sync::Arc;

use antiphon_base::time::{Clock, SystemClock, Timestamp};

use super::engine::{Action, Engine, Input, Now};
use super::surroundings::{Address, Kin, Surroundings};
use super::{EntitySettings, EventSourced, Extensions};
use crate::event::{SequenceNr, StoredEvent};
use crate::identity::{ReplicaId, ReplicationId};
use crate::store::Snapshot;
use crate::{Error, Result};

/// A replica of an entity after the recovery from its snapshot and the events of its stream, as a
/// node recovers it. It takes no commands.
///
/// ```
/// # use antiphon_persistence::entity::{CommandContext, Effect, EventContext, EventSourced};
/// use antiphon_persistence::entity::Replayed;
/// use antiphon_persistence::identity::{ReplicaId, ReplicationId};
///
/// # struct Counter;
/// # impl EventSourced for Counter {
/// #     type Command = i64;
/// #     type Event = i64;
/// #     type State = i64;
/// #     fn on_command(&self, _: &CommandContext, _: &i64, delta: i64) -> Effect<Self> {
/// #         Effect::persist(delta)
/// #     }
/// #     fn on_event(&self, _: &EventContext, sum: &mut i64, delta: &i64) { *sum += delta; }
/// # }
/// let place = ReplicaId::new("DC-A")?;
/// let id = ReplicationId::new("counter", "c-1", place.clone())?;
/// let counter = Replayed::from_stream(Counter, &id, &[place], None, Vec::new())?;
/// assert_eq!(*counter.state(), 0, "a stream without events");
/// # Ok::<(), antiphon_persistence::Error>(())
/// ```
pub struct Replayed<E: EventSourced> {
    engine: Engine<E>,
}

impl<E: EventSourced> Replayed<E> {
    /// Recovers from a snapshot, if there is one, and the events of the stream, in their order;
    /// events up to the snapshot are passed over. The behaviour is told of the recovery by its
    /// signals.
    ///
    /// # Errors
    /// `Corrupt` when recovery fails: an event cannot be read or applied, or the numbers have a
    /// hole. The log has the reason.
    pub fn from_stream(
        behaviour: E,
        id: &ReplicationId,
        replicas: &[ReplicaId],
        snapshot: Option<Snapshot>,
        events: Vec<StoredEvent>,
    ) -> Result<Self> {
        let settings = EntitySettings { snapshot_every: 0, ..EntitySettings::default() };
        let replicas: Arc<[ReplicaId]> = replicas.into();
        let kin = Kin::of::<E>(replicas, Extensions::default(), &settings, Arc::default());
        // a behaviour that tells itself something in a signal is not heard
        let address = Address::Queue(Arc::default());
        let surroundings = Surroundings::new(id.clone(), kin, address);
        let engine = Engine::new(Arc::new(behaviour), surroundings, Arc::new(settings));
        let mut replayed = Self { engine };
        replayed.recover(snapshot, &events);
        if replayed.engine.state().is_none() {
            let count = events.len();
            return Err(Error::corrupt(format!(
                "the stream of `{id}`: expected {count} events that can be replayed; the log has the reason"
            )));
        }
        Ok(replayed)
    }

    /// The state after the last event.
    pub fn state(&self) -> &E::State {
        self.engine.state().expect("recovery was complete")
    }

    fn recover(&mut self, snapshot: Option<Snapshot>, events: &[StoredEvent]) {
        let instant = SystemClock.now();
        let mut snapshot = snapshot.map(Box::new);
        let mut inputs = VecDeque::from([Input::Start]);
        while let Some(input) = inputs.pop_front() {
            let now = Now { instant, wall: Timestamp::from_micros(1) };
            for action in self.engine.step(now, input) {
                inputs.extend(answer(action, &mut snapshot, events));
            }
        }
    }
}

/// The result of a read that a recovery asks for. `None` for work that comes after it, or after its
/// failure.
fn answer<E: EventSourced>(
    action: Action<E>,
    snapshot: &mut Option<Box<Snapshot>>,
    events: &[StoredEvent],
) -> Option<Input<E>> {
    match action {
        Action::RequestPermit(generation) => Some(Input::PermitGranted(generation)),
        Action::LoadSnapshot(generation, _) => {
            Some(Input::SnapshotLoaded(generation, Ok(snapshot.take())))
        }
        Action::FindHighest(generation) => {
            let highest = events.last().map_or(SequenceNr::ZERO, |event| event.sequence_nr);
            Some(Input::HighestFound(generation, Ok(highest)))
        }
        Action::Replay(generation, first) => {
            let rest = events.iter().filter(|event| event.sequence_nr >= first);
            let rest: Vec<_> = rest.cloned().collect();
            Some(Input::Replayed(generation, Ok(rest.into())))
        }
        Action::VoidSnapshots(generation, _) => Some(Input::SnapshotsVoided(generation, Ok(()))),
        Action::ReleasePermit
        | Action::Append(..)
        | Action::Pull(..)
        | Action::SaveSnapshot(..)
        | Action::DeleteSnapshots(..)
        | Action::DeleteEvents(..)
        | Action::Release(_)
        | Action::Publish(_)
        | Action::Received(_)
        | Action::CaughtUp(..)
        | Action::Held(..)
        | Action::FindReminder(..)
        | Action::ReadReactions(..)
        | Action::ChangeReminders(_)
        | Action::AskSkip(..)
        | Action::Durable(_)
        | Action::RunAsynchronous(..)
        | Action::RunBeside(..)
        | Action::DropAsynchronous
        | Action::WakeAfter(_)
        | Action::WakeForTimers(_)
        | Action::GoOn
        | Action::Passivate
        | Action::WentBack
        | Action::Forked(_)
        | Action::Reclaimed
        | Action::Fenced(_)
        | Action::Stopped(_) => None,
    }
}
