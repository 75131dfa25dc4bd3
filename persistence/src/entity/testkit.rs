//! Runs a behaviour without actors, journals or a cluster: given events, when a command, then
//! effects.
//!
//! ```
//! # use antiphon_persistence::entity::{CommandContext, Effect, EventContext, EventSourced};
//! # use antiphon_persistence::reply::ReplyTo;
//! # use serde::{Deserialize, Serialize};
//! # #[derive(Debug, Serialize, Deserialize)]
//! # enum Command { Add { delta: i64, reply_to: ReplyTo<i64> } }
//! # #[derive(Debug, PartialEq, Serialize, Deserialize)]
//! # enum Event { Added { delta: i64 } }
//! # struct Counter;
//! # impl EventSourced for Counter {
//! #     type Command = Command;
//! #     type Event = Event;
//! #     type State = i64;
//! #     fn on_command(&self, _: &CommandContext, _: &i64, command: Command) -> Effect<Self> {
//! #         let Command::Add { delta, reply_to } = command;
//! #         Effect::persist(Event::Added { delta }).then_reply(reply_to, |value| *value)
//! #     }
//! #     fn on_event(&self, _: &EventContext, value: &mut i64, event: &Event) {
//! #         let Event::Added { delta } = event;
//! #         *value += delta;
//! #     }
//! # }
//! use antiphon_persistence::entity::testkit::EntityTest;
//!
//! let mut counter =
//!     EntityTest::new(Counter, "counter|c-1|DC-A").given([Event::Added { delta: 2 }]);
//! let answer = counter.ask(|reply_to| Command::Add { delta: 3, reply_to });
//! assert_eq!(answer, Ok(5));
//! assert_eq!(counter.new_events(), [Event::Added { delta: 3 }]);
//! assert_eq!(*counter.state(), 5);
//! ```
//!
//! An application should also check that the encoded values of its types can be read again:
//! [`check_stored`], [`check_commands`] and [`check_answers`].

pub use super::check::{check_answers, check_commands, check_event, check_stored};

use std::any::Any;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use antiphon_base::time::{Clock, SystemClock, Timestamp};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::engine::{Action, Engine, Input, Now, Queued, Slot};
use super::surroundings::{Address, Kin, Surroundings};
use super::{EntitySettings, EventSourced, Extensions};
use crate::event::{EventMeta, Labels, Metadata, SequenceNr, StoredEvent};
use crate::identity::{ReplicaId, ReplicationId};
use crate::reply::{AskFailure, Claim, ReplyError, ReplyTo, reply_channel};
use crate::store::ReminderRow;
use crate::version::VersionVector;

/// The time of day at which a test begins.
const BEGIN_MICROS: u64 = 1_000_000;

/// Commands of an entity to itself, which wait for their turn.
type OwnCommands = Arc<Mutex<VecDeque<Box<dyn Any + Send>>>>;

/// A single replica of an entity with its own journal in memory; everything happens at once.
pub struct EntityTest<E: EventSourced> {
    engine: Engine<E>,
    behaviour: Arc<E>,
    id: ReplicationId,
    extensions: Extensions,
    own: OwnCommands,
    journal: Vec<StoredEvent>,
    given: usize,
    started: bool,
    time: u64,
    metadata: Metadata,
    begin: Instant,
    /// The time that has passed, see [`Self::pass`].
    elapsed: Duration,
    /// The times of the wakes that the entity waits for.
    wakes: BTreeSet<Duration>,
    /// The rows of reminders, as a store has them.
    rows: BTreeSet<ReminderRow>,
}

impl<E: EventSourced> EntityTest<E> {
    /// A new entity; `id` is `type|entity` or `type|entity|replica`.
    ///
    /// # Panics
    /// Panics when `id` is not a replication id.
    pub fn new(behaviour: E, id: &str) -> Self {
        let id = ReplicationId::parse(id).expect("a replication id");
        let behaviour = Arc::new(behaviour);
        let (extensions, own) = (Extensions::default(), OwnCommands::default());
        let engine = engine(&behaviour, &id, &extensions, &own);
        let journal = Vec::new();
        Self {
            engine,
            behaviour,
            id,
            extensions,
            own,
            journal,
            given: 0,
            started: false,
            time: 0,
            metadata: Metadata::new(),
            begin: SystemClock.now(),
            elapsed: Duration::ZERO,
            wakes: BTreeSet::new(),
            rows: BTreeSet::new(),
        }
    }

    /// Gives the handlers a value of the application, as the provider's `with_extension` does.
    ///
    /// # Panics
    /// Panics when the entity has started.
    #[must_use]
    pub fn with_extension<T: Send + Sync + 'static>(mut self, value: T) -> Self {
        assert!(!self.started, "`with_extension` comes first");
        self.extensions = self.extensions.with(value);
        self.engine = engine(&self.behaviour, &self.id, &self.extensions, &self.own);
        self
    }

    /// Puts events into the journal, before anything else.
    ///
    /// # Panics
    /// Panics when the entity has started, an event could not be read again, or its tags are too
    /// many.
    #[must_use]
    pub fn given(mut self, events: impl IntoIterator<Item = E::Event>) -> Self {
        assert!(!self.started, "`given` comes first");
        for event in events {
            let number = self.journal.len() as u64 + 1;
            let payload = super::engine::proof::prove_event(&*self.behaviour, &event);
            let mut version = VersionVector::new();
            version.set(self.id.replica_id(), number);
            self.journal.push(StoredEvent {
                sequence_nr: SequenceNr::new(number),
                meta: EventMeta {
                    origin: self.id.replica_id().clone(),
                    version,
                    source_seq: SequenceNr::new(number),
                    concurrent: false,
                    timestamp: Timestamp::from_micros(number),
                    labels: Labels::new(Metadata::new(), self.behaviour.tags(&event))
                        .expect("tags within their bounds"),
                },
                payload: payload.expect("an event that can be read again"),
            });
        }
        self.given = self.journal.len();
        self
    }

    /// Sends the next commands with this metadata.
    #[must_use]
    pub fn with_metadata(mut self, metadata: Metadata) -> Self {
        self.metadata = metadata;
        self
    }

    /// Handles a command and its consequences, with the commands that the entity tells itself.
    /// Asynchronous effects are not run.
    pub fn tell(&mut self, command: E::Command) {
        self.start();
        let claim = Claim::unlimited_with(self.metadata.clone());
        self.feed(Input::Command(Queued { command, slot: Slot::default(), claim }));
    }

    /// Handles a command and returns its answer.
    ///
    /// # Errors
    /// `NoReply` when the handler did not answer.
    pub fn ask<R>(
        &mut self,
        command: impl FnOnce(ReplyTo<R>) -> E::Command,
    ) -> Result<R, ReplyError> {
        let (reply_to, reply) = reply_channel();
        self.tell(command(reply_to));
        reply.now()
    }

    /// Handles a command and returns its answer, which is a value or a refusal of the application.
    ///
    /// # Errors
    /// `Refused` when the handler has refused; `NoAnswer` when it did not answer.
    pub fn try_ask<T, R>(
        &mut self,
        command: impl FnOnce(ReplyTo<Result<T, R>>) -> E::Command,
    ) -> Result<T, AskFailure<R>> {
        AskFailure::flatten(self.ask(command))
    }

    /// Lets time pass: timers and reminders whose time has come fire, in order, each at its time. A
    /// reminder whose handler fails fires again in the next call. Otherwise no time passes.
    ///
    /// ```
    /// # use antiphon_persistence::entity::testkit::EntityTest;
    /// # use antiphon_persistence::entity::{CommandContext, Effect, EventContext, EventSourced};
    /// use std::time::Duration;
    ///
    /// use antiphon_persistence::entity::Timer;
    ///
    /// # struct Clock;
    /// # impl EventSourced for Clock {
    /// #     type Command = bool;
    /// #     type Event = ();
    /// #     type State = u32;
    /// #     fn on_event(&self, _: &EventContext, ticks: &mut u32, (): &()) { *ticks += 1; }
    ///     fn on_command(&self, _: &CommandContext, _: &u32, is_start: bool) -> Effect<Self> {
    ///         if is_start {
    ///             let every = Timer::at_fixed_rate(Duration::from_secs(1), || false);
    ///             return Effect::none().then_start_timer("tick", every);
    ///         }
    ///         Effect::persist(())
    ///     }
    /// # }
    ///
    /// let mut clock = EntityTest::new(Clock, "clock|c-1");
    /// clock.tell(true);
    /// clock.pass(Duration::from_millis(3500));
    /// assert_eq!(*clock.state(), 3);
    /// ```
    pub fn pass(&mut self, time: Duration) {
        self.start();
        let end = self.elapsed + time;
        let mut tried = BTreeSet::new();
        loop {
            let wake = self.wakes.first().copied().filter(|wake| *wake <= end);
            let row = self.rows.iter().find(|row| !tried.contains(*row)).cloned();
            let row = row.map(|row| (self.time_of(row.due), row)).filter(|(at, _)| *at <= end);
            match (wake, row) {
                (wake, Some((at, row))) if wake.is_none_or(|wake| at < wake) => {
                    self.elapsed = at.max(self.elapsed);
                    tried.insert(row.clone());
                    self.feed(Input::ReminderDue(Box::new(row), Slot::default()));
                }
                (Some(wake), _) => {
                    self.wakes.pop_first();
                    self.elapsed = wake.max(self.elapsed);
                    self.feed(Input::Wake);
                }
                (None, _) => break,
            }
        }
        self.elapsed = end;
    }

    /// The time to pass until this time of day.
    fn time_of(&self, due: Timestamp) -> Duration {
        let passed = due.as_micros().saturating_sub(BEGIN_MICROS + self.time);
        Duration::from_micros(passed)
    }

    /// The names of the reminders that are set, sorted, with the times at which they are due next.
    ///
    /// # Panics
    /// Panics when the entity has stopped or failed.
    ///
    /// ```
    /// # use antiphon_persistence::entity::testkit::EntityTest;
    /// # use antiphon_persistence::entity::{CommandContext, Effect, EventContext, EventSourced};
    /// use antiphon_base::time::Timestamp;
    /// use antiphon_persistence::entity::{DueReminder, Effects, Reminder};
    ///
    /// # struct Notes;
    /// # impl EventSourced for Notes {
    /// #     type Command = &'static str;
    /// #     type Event = String;
    /// #     type State = Vec<String>;
    /// #     fn on_event(&self, _: &EventContext, list: &mut Vec<String>, text: &String) {
    /// #         list.push(text.clone());
    /// #     }
    ///     fn on_command(
    ///         &self, _: &CommandContext, _: &Vec<String>, text: &'static str,
    ///     ) -> Effect<Self> {
    ///         let due = Timestamp::from_micros(1 << 45);
    ///         self.persist(text.to_owned()).remind("nag", Reminder::at(due))
    ///     }
    /// #     fn on_reminder(
    /// #         &self, _: &CommandContext, _: &Vec<String>, due: &DueReminder,
    /// #     ) -> Effect<Self> {
    /// #         self.persist(due.name.to_string())
    /// #     }
    /// # }
    ///
    /// let mut notes = EntityTest::new(Notes, "notes|n-1");
    /// notes.tell("milk");
    /// assert_eq!(notes.reminders(), [("nag".into(), Timestamp::from_micros(1 << 45))]);
    /// assert!(notes.fire_reminder("nag"));
    /// assert_eq!(notes.state(), &["milk", "nag"]);
    /// assert!(!notes.fire_reminder("nag"), "it has fired");
    /// ```
    pub fn reminders(&mut self) -> Vec<(Arc<str>, Timestamp)> {
        self.start();
        let set = self.engine.reminders().expect("the entity is at work");
        set.into_iter().map(|reminder| (reminder.name, reminder.due)).collect()
    }

    /// Fires the reminder with this name. The clock goes to its time; timers and other reminders of
    /// before then fire in the next [`Self::pass`]. Returns whether there is one.
    ///
    /// # Panics
    /// Panics when the entity has stopped or failed.
    pub fn fire_reminder(&mut self, name: &str) -> bool {
        let set = self.reminders();
        let due = set.iter().find(|(set, _)| **set == *name).map(|(_, due)| *due);
        let row = self.rows.iter().find(|row| *row.name == *name && Some(row.due) == due).cloned();
        let is_set = row.is_some();
        if let Some(row) = row {
            self.elapsed = self.elapsed.max(self.time_of(row.due));
            self.feed(Input::ReminderDue(Box::new(row), Slot::default()));
        }
        is_set
    }

    /// Stops the entity and starts it again from its journal. Its timers are lost.
    pub fn restart(&mut self) {
        // what it told itself ends with it
        self.own = OwnCommands::default();
        self.wakes.clear();
        self.engine = engine(&self.behaviour, &self.id, &self.extensions, &self.own);
        self.started = false;
        self.start();
    }

    /// The newest state.
    ///
    /// # Panics
    /// Panics when the entity has stopped or failed.
    pub fn state(&mut self) -> &E::State {
        self.start();
        self.engine.state().expect("the entity is at work")
    }

    /// The events persisted since [`Self::given`].
    ///
    /// # Panics
    /// Panics when the behaviour cannot read one of them.
    pub fn new_events(&self) -> Vec<E::Event> {
        let read = |event: &StoredEvent| {
            self.behaviour.from_journal(&event.payload).expect("a readable event")
        };
        self.journal[self.given..].iter().flat_map(read).collect()
    }

    /// The metadata and tags of the events persisted since [`Self::given`].
    pub fn new_labels(&self) -> Vec<Labels> {
        self.journal[self.given..].iter().map(|event| event.meta.labels.clone()).collect()
    }

    fn start(&mut self) {
        if !self.started {
            self.started = true;
            self.feed(Input::Start);
        }
    }

    fn feed(&mut self, input: Input<E>) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            self.time += 1;
            let passed = u64::try_from(self.elapsed.as_micros()).unwrap_or(u64::MAX);
            let wall = Timestamp::from_micros(passed.saturating_add(BEGIN_MICROS + self.time));
            let now = Now { instant: self.begin + self.elapsed, wall };
            for action in self.engine.step(now, input) {
                inputs.extend(self.run(action));
            }
            let own = std::mem::take(&mut *self.own.lock()).into_iter();
            inputs.extend(own.map(|command| {
                let command = command.downcast().expect("a command of this entity");
                Input::Command(Queued::unlimited(*command))
            }));
        }
    }

    fn run(&mut self, action: Action<E>) -> Option<Input<E>> {
        match action {
            Action::RequestPermit(generation) => Some(Input::PermitGranted(generation)),
            Action::LoadSnapshot(generation, _) => {
                Some(Input::SnapshotLoaded(generation, Ok(None)))
            }
            Action::FindHighest(generation) => {
                let highest = self.journal.last().map_or(SequenceNr::ZERO, |e| e.sequence_nr);
                Some(Input::HighestFound(generation, Ok(highest)))
            }
            Action::Replay(generation, first) => {
                let events = self.journal.iter().filter(|event| event.sequence_nr >= first);
                let events: Vec<_> = events.cloned().collect();
                Some(Input::Replayed(generation, Ok(events.into())))
            }
            Action::Append(generation, append, rows) => {
                self.rows.extend(rows);
                self.journal.extend(append.events);
                Some(Input::Appended(generation, Ok(())))
            }
            Action::SaveSnapshot(generation, snapshot) => {
                Some(Input::SnapshotSaved(generation, snapshot.sequence_nr, Ok(())))
            }
            Action::FindReminder(generation, row) => {
                let is_there = self.rows.contains(&row);
                Some(Input::ReminderFound(generation, row, Ok(is_there)))
            }
            Action::ChangeReminders(changes) => {
                self.rows.extend(changes.put);
                self.rows.retain(|row| !changes.remove.contains(row));
                None
            }
            Action::Release(releases) => {
                releases.into_iter().for_each(super::engine::Release::release);
                None
            }
            Action::Passivate => Some(Input::Stop),
            Action::RunBeside(generation, number, Err(failure)) => {
                Some(Input::BesideDone(generation, number, Err(failure)))
            }
            Action::GoOn => Some(Input::GoOn),
            Action::WakeAfter(time) | Action::WakeForTimers(time) => {
                self.wakes.insert(self.elapsed + time);
                None
            }
            Action::VoidSnapshots(generation, _) => {
                Some(Input::SnapshotsVoided(generation, Ok(())))
            }
            Action::ReleasePermit
            | Action::Pull(..)
            | Action::ReadReactions(..)
            | Action::DeleteSnapshots(..)
            | Action::DeleteEvents(..)
            | Action::Publish(_)
            | Action::Durable(_)
            | Action::Received(_)
            | Action::CaughtUp(..)
            | Action::Held(..)
            | Action::AskSkip(..)
            | Action::RunAsynchronous(..)
            | Action::RunBeside(_, _, Ok(_))
            | Action::DropAsynchronous
            | Action::Fenced(_)
            | Action::WentBack
            | Action::Forked(_)
            | Action::Reclaimed
            | Action::Stopped(_) => None,
        }
    }
}

fn engine<E: EventSourced>(
    behaviour: &Arc<E>,
    id: &ReplicationId,
    extensions: &Extensions,
    own: &OwnCommands,
) -> Engine<E> {
    let settings = EntitySettings::default();
    let replicas: Arc<[ReplicaId]> = Arc::new([id.replica_id().clone()]);
    let kin = Kin::of::<E>(replicas, extensions.clone(), &settings, Arc::default());
    let surroundings = Surroundings::new(id.clone(), kin, Address::Queue(own.clone()));
    Engine::new(behaviour.clone(), surroundings, Arc::new(settings))
}
