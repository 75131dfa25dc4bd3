//! Destructors of application values that panic: each panic is logged and has no other effect.

#![expect(clippy::wildcard_enum_match_arm, reason = "a test looks at what it is about")]

use std::collections::VecDeque;
use std::sync::Arc;

use antiphon_base::time::{Clock, SystemClock, Timestamp};
use serde::{Deserialize, Serialize};

use super::world::{nowhere, replica_id, unavailable};
use crate::entity::engine::{Action, Engine, Input, Now, Queued};
use crate::entity::{CommandContext, Effect, EntitySettings, EventContext, EventSourced};
use crate::event::{SequenceNr, StoredEvent};
use crate::identity::ReplicationId;
use crate::reply::{PendingReply, ReplyError, ReplyTo, reply_channel};
use crate::store::Snapshot;

/// A command that is dropped unhandled.
struct Bomb(#[expect(dead_code, reason = "dropped with the bomb")] ReplyTo<u64>);

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("the test wants it");
    }
}

enum Command {
    Bomb(Bomb),
    Store(Vec<Event>, ReplyTo<u64>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
enum Kind {
    #[default]
    Counted,
    /// `on_event` panics at an event of this kind.
    Poison,
}

/// An event whose destructor panics if the event was made here, and not if it was read back.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Event {
    kind: Kind,
    #[serde(skip)]
    is_armed: bool,
}

impl Drop for Event {
    fn drop(&mut self) {
        assert!(!self.is_armed, "the test wants it");
    }
}

fn armed() -> Event {
    Event { kind: Kind::Counted, is_armed: true }
}

/// A state whose destructor panics for the default value.
#[derive(Debug, Default, Serialize, Deserialize)]
struct State(u64);

impl Drop for State {
    fn drop(&mut self) {
        assert!(self.0 > 0, "the test wants it");
    }
}

struct Bombs;

impl EventSourced for Bombs {
    type Command = Command;
    type Event = Event;
    type State = State;

    fn on_command(&self, _: &CommandContext, _: &State, command: Command) -> Effect<Self> {
        match command {
            Command::Store(events, reply_to) => {
                Effect::persist_all(events).then_reply(reply_to, |state: &State| state.0)
            }
            Command::Bomb(bomb) => {
                std::mem::forget(bomb);
                Effect::unhandled()
            }
        }
    }

    fn on_event(&self, _: &EventContext, state: &mut State, event: &Event) {
        assert!(event.kind != Kind::Poison, "the test wants it");
        state.0 += 1;
    }

    fn snapshot_when(&self, _: &State, _: &Event, _: SequenceNr) -> bool {
        true
    }
}

/// An engine whose I/O happens at once, but for reads of other replicas.
struct Driver {
    engine: Engine<Bombs>,
    journal: Vec<StoredEvent>,
    snapshot: Option<Snapshot>,
    held: Vec<Action<Bombs>>,
}

impl Driver {
    fn new(settings: EntitySettings, snapshot: Option<Snapshot>) -> Self {
        let replicas = Arc::new([replica_id("A"), replica_id("B")]);
        let id = ReplicationId::new("bombs", "b-1", replica_id("A")).unwrap();
        let settings = Arc::new(EntitySettings { pull_at_start: false, ..settings });
        let surroundings = nowhere::<Bombs>(id, replicas, Arc::default());
        let engine = Engine::new(Arc::new(Bombs), surroundings, settings);
        Self { engine, journal: Vec::new(), snapshot, held: Vec::new() }
    }

    fn start(settings: EntitySettings) -> Self {
        let mut driver = Self::new(settings, None);
        driver.feed(Input::Start);
        driver
    }

    fn feed(&mut self, input: Input<Bombs>) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let now = Now { instant: SystemClock.now(), wall: Timestamp::from_micros(1) };
            for action in self.engine.step(now, input) {
                inputs.extend(self.run(action));
            }
        }
    }

    fn run(&mut self, action: Action<Bombs>) -> Option<Input<Bombs>> {
        match action {
            Action::RequestPermit(generation) => Some(Input::PermitGranted(generation)),
            Action::LoadSnapshot(generation, _) => {
                Some(Input::SnapshotLoaded(generation, Ok(self.snapshot.clone().map(Box::new))))
            }
            Action::Replay(generation, first) => {
                let events = self.journal.iter().filter(|event| event.sequence_nr >= first);
                let events: Vec<_> = events.cloned().collect();
                Some(Input::Replayed(generation, Ok(events.into())))
            }
            Action::FindHighest(generation) => {
                let highest = self.snapshot.as_ref().map_or(SequenceNr::ZERO, |s| s.sequence_nr);
                Some(Input::HighestFound(generation, Ok(highest)))
            }
            Action::Append(generation, append, _) => {
                self.journal.extend(append.events);
                Some(Input::Appended(generation, Ok(())))
            }
            Action::SaveSnapshot(generation, snapshot) => {
                let (number, metadata) = (snapshot.sequence_nr, snapshot.metadata.clone());
                self.snapshot = Some(*snapshot);
                Some(Input::SnapshotSaved(generation, number, Ok(metadata)))
            }
            Action::Release(releases) => {
                releases.into_iter().for_each(crate::entity::engine::Release::release);
                None
            }
            other => {
                self.held.push(other);
                None
            }
        }
    }

    fn bomb(&mut self) -> PendingReply<u64> {
        let (reply_to, reply) = reply_channel();
        self.feed(Input::Command(Queued::unlimited(Command::Bomb(Bomb(reply_to)))));
        reply
    }

    fn store(&mut self, events: Vec<Event>) -> Result<u64, ReplyError> {
        let (reply_to, reply) = reply_channel();
        self.feed(Input::Command(Queued::unlimited(Command::Store(events, reply_to))));
        reply.now()
    }
}

#[test]
fn commands_that_are_refused_in_doubt_are_dropped_one_by_one() {
    let mut driver = Driver::start(EntitySettings::default());
    driver.feed(Input::Doubted(vec![replica_id("B")]));
    let (first, second) = (driver.bomb(), driver.bomb());
    let pull = driver.held.iter().find_map(|action| match action {
        Action::Pull(generation, replica, _) => Some((*generation, replica.clone())),
        _ => None,
    });
    let (generation, replica) = pull.expect("B is asked");
    driver.feed(Input::Pulled(generation, replica, Err(unavailable())));
    for reply in [first, second] {
        assert!(matches!(reply.now(), Err(ReplyError::Unavailable(_))));
    }
}

#[test]
fn an_engine_that_is_dropped_tells_each_asker_that_nobody_handles_its_command() {
    let mut driver = Driver::new(EntitySettings::default(), None);
    let (first, second) = (driver.bomb(), driver.bomb());
    drop(driver);
    for reply in [first, second] {
        assert!(matches!(reply.now(), Err(ReplyError::NotHere(_))));
    }
}

#[test]
fn a_command_of_a_future_that_ended_too_late_is_refused() {
    let mut driver = Driver::start(EntitySettings::default());
    let (reply_to, reply) = reply_channel();
    driver.feed(Input::AsynchronousDone(99, Ok(Command::Bomb(Bomb(reply_to)))));
    let error = reply.now().unwrap_err();
    assert!(matches!(error, ReplyError::Stopped(_)), "its future has run: {error}");
    assert_eq!(driver.store(vec![Event::default()]), Ok(1));
}

#[test]
fn the_state_that_a_snapshot_replaces_is_dropped_in_its_guarded_place() {
    let mut driver = Driver::start(EntitySettings::default());
    assert_eq!(driver.store(vec![Event::default()]), Ok(1));
    let snapshot = driver.snapshot.take();
    assert!(snapshot.is_some());

    let mut driver = Driver::new(EntitySettings::default(), snapshot);
    driver.feed(Input::Start);
    assert_eq!(driver.store(vec![Event::default()]), Ok(2));
}

#[test]
fn an_event_that_was_applied_is_dropped_in_its_guarded_place() {
    let mut driver = Driver::start(EntitySettings::default());
    assert_eq!(driver.store(vec![armed(), armed()]), Ok(2));
}

#[test]
fn the_events_of_a_command_that_fails_are_dropped_one_by_one() {
    let settings = EntitySettings { command_events_max: 3, ..EntitySettings::default() };
    let mut driver = Driver::start(settings);
    let too_many = driver.store(vec![armed(), armed(), armed(), armed()]);
    assert!(matches!(too_many, Err(ReplyError::Rejected(_))), "{too_many:?}");

    let poison = Event { kind: Kind::Poison, is_armed: true };
    let failed = driver.store(vec![poison, armed(), armed()]);
    assert!(matches!(failed, Err(ReplyError::Failed(_))), "{failed:?}");
    assert_eq!(driver.store(vec![Event::default()]), Ok(1));
}
