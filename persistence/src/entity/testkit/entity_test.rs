//! One replica of an entity under test: what it begins with, and what can be seen of it.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt::Debug;
use std::sync::Arc;

use antiphon_base::time::Timestamp;
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::clock::ManualClock;
use super::codec::{self, Encoding};
use super::did::Did;
use super::futures::Futures;
use super::store::Store;
use super::watch::{Outgoing, Watch};
use super::watched::Watched;
use crate::codec::STATE_BYTES_MAX;
use crate::entity::engine::{Engine, proof};
use crate::entity::{EntitySettings, EventSourced, Extensions, HeldEvent, Signal};
use crate::event::{EventMeta, Labels, Metadata, SequenceNr, StoredEvent};
use crate::identity::{ReplicaId, ReplicationId};
use crate::store::{Limits, Snapshot};
use crate::version::VersionVector;

/// Commands of an entity to itself, which wait for their turn.
pub(super) type OwnCommands = Arc<Mutex<VecDeque<Box<dyn Any + Send>>>>;

/// A single replica of an entity with its own journal in memory; everything happens at once, on the
/// thread of the test, and time stands still. See [the tutorial](super).
pub struct EntityTest<E: EventSourced> {
    /// `None`: the entity is not in memory.
    pub(super) engine: Option<Engine<Watched<E>>>,
    pub(super) behaviour: Arc<E>,
    pub(super) id: ReplicationId,
    pub(super) replicas: Arc<[ReplicaId]>,
    pub(super) settings: Arc<EntitySettings>,
    pub(super) limits: Limits,
    pub(super) extensions: Extensions,
    pub(super) own: OwnCommands,
    pub(super) store: Store,
    pub(super) clock: ManualClock,
    pub(super) futures: Futures<E>,
    pub(super) watch: Watch,
    /// `None`: commands are not encoded.
    pub(super) encoding: Option<Encoding<E::Command>>,
    pub(super) checks: Checks,
    /// The number of events of the state that was checked last.
    pub(super) checked: u64,
    pub(super) is_rehearsal: bool,
    pub(super) metadata: Metadata,
    /// The first event of another replica that could not be applied, as the engine told last.
    pub(super) held: Option<HeldEvent>,
    /// The reason why the entity has failed for good.
    pub(super) failure: Option<String>,
    /// The number of the newest event that the test has given.
    given: SequenceNr,
}

/// The values that are read back in a test.
#[derive(Debug, Clone, Copy)]
pub(super) struct Checks {
    pub(super) events: bool,
    pub(super) states: bool,
    pub(super) answers: bool,
}

impl<E: EventSourced> EntityTest<E> {
    /// A new entity; `id` is `type|entity` or `type|entity|replica`. Each command goes through the
    /// codec, as between two nodes.
    ///
    /// # Panics
    /// Panics when `id` is not a replication id.
    ///
    /// ```
    /// # use antiphon_persistence::entity::{CommandContext, Effect, Effects, EventContext};
    /// # use antiphon_persistence::entity::EventSourced;
    /// # struct Counter;
    /// # impl EventSourced for Counter {
    /// #     type Command = i64;
    /// #     type Event = i64;
    /// #     type State = i64;
    /// #     fn on_command(&self, _: &CommandContext, _: &i64, delta: i64) -> Effect<Self> {
    /// #         self.persist(delta)
    /// #     }
    /// #     fn on_event(&self, _: &EventContext, sum: &mut i64, delta: &i64) { *sum += delta; }
    /// # }
    /// use antiphon_persistence::entity::testkit::EntityTest;
    ///
    /// let mut counter = EntityTest::new(Counter, "counter|c-1|DC-A");
    /// counter.tell(5);
    /// assert_eq!(counter.state(), &5);
    /// ```
    #[track_caller]
    pub fn new(behaviour: E, id: &str) -> Self
    where
        E::Command: Serialize + DeserializeOwned + Debug,
    {
        let mut test = Self::local(behaviour, id);
        test.encoding = Some(codec::between_nodes::<E::Command>);
        test
    }

    /// A new entity whose commands stay within one node: they are not encoded. Events and states
    /// still are.
    ///
    /// # Panics
    /// Panics when `id` is not a replication id.
    ///
    /// ```
    /// # use antiphon_persistence::entity::{CommandContext, Effect, Effects, EventContext};
    /// # use antiphon_persistence::entity::EventSourced;
    /// # struct Notes;
    /// # impl EventSourced for Notes {
    /// #     type Command = &'static str;
    /// #     type Event = String;
    /// #     type State = Vec<String>;
    /// #     fn on_event(&self, _: &EventContext, list: &mut Vec<String>, text: &String) {
    /// #         list.push(text.clone());
    /// #     }
    /// #     fn on_command(
    /// #         &self, _: &CommandContext, _: &Vec<String>, text: &'static str,
    /// #     ) -> Effect<Self> {
    /// #         self.persist(text.to_owned())
    /// #     }
    /// # }
    /// use antiphon_persistence::entity::testkit::EntityTest;
    ///
    /// // a command of this entity is a `&'static str`, which cannot be read from bytes
    /// let mut notes = EntityTest::local(Notes, "notes|n-1");
    /// notes.tell("milk");
    /// assert_eq!(notes.new_events(), ["milk"]);
    /// ```
    #[track_caller]
    pub fn local(behaviour: E, id: &str) -> Self {
        let id = parse(id);
        let replicas = Arc::new([id.replica_id().clone()]);
        Self::of(Arc::new(behaviour), id, replicas)
    }

    /// One of these replicas.
    pub(super) fn of(behaviour: Arc<E>, id: ReplicationId, replicas: Arc<[ReplicaId]>) -> Self {
        let watch = Watch::default();
        // the test delivers events; nothing is read from journals
        let settings = EntitySettings { pull_at_start: false, ..EntitySettings::default() };
        Self {
            engine: None,
            behaviour,
            store: Store::new(id.persistence_id()),
            id,
            replicas,
            settings: Arc::new(settings),
            limits: Limits::default(),
            extensions: Extensions::default().with(Outgoing::of(&watch)),
            own: OwnCommands::default(),
            clock: ManualClock::new(),
            futures: Futures::new(),
            watch,
            encoding: None,
            checks: Checks { events: true, states: true, answers: true },
            checked: 0,
            is_rehearsal: false,
            metadata: Metadata::new(),
            held: None,
            failure: None,
            given: SequenceNr::ZERO,
        }
    }

    #[track_caller]
    fn assert_new(&self, what: &str) {
        assert!(
            self.engine.is_none() && self.clock.is_new(),
            "`{what}` of `{}`: call it before the first command, and before anything that starts the entity",
            self.id
        );
    }

    /// Sets the limits of the entity, for example `snapshot_every`.
    ///
    /// # Panics
    /// Panics when the entity has started, or a value is out of its range.
    ///
    /// ```
    /// # use antiphon_persistence::entity::{CommandContext, Effect, Effects, EventContext};
    /// # use antiphon_persistence::entity::EventSourced;
    /// # struct Counter;
    /// # impl EventSourced for Counter {
    /// #     type Command = i64;
    /// #     type Event = i64;
    /// #     type State = i64;
    /// #     fn on_command(&self, _: &CommandContext, _: &i64, delta: i64) -> Effect<Self> {
    /// #         self.persist(delta)
    /// #     }
    /// #     fn on_event(&self, _: &EventContext, sum: &mut i64, delta: &i64) { *sum += delta; }
    /// # }
    /// use antiphon_persistence::entity::testkit::EntityTest;
    /// use antiphon_persistence::entity::{EntitySettings, Signal};
    /// use antiphon_persistence::event::SequenceNr;
    ///
    /// let settings = EntitySettings { snapshot_every: 2, ..EntitySettings::default() };
    /// let mut counter = EntityTest::new(Counter, "counter|c-1").with_settings(settings);
    /// counter.tell(1);
    /// counter.tell(1);
    /// assert_eq!(counter.signals(), [Signal::SnapshotSaved(SequenceNr::new(2))]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn with_settings(mut self, settings: EntitySettings) -> Self {
        self.assert_new("with_settings");
        if let Err(error) = settings.validate() {
            panic!("`with_settings` of `{}`: {error}", self.id);
        }
        self.settings = Arc::new(EntitySettings { pull_at_start: false, ..settings });
        self
    }

    /// Gives the handlers a value of the application, as the provider's `with_extension` does.
    ///
    /// # Panics
    /// Panics when the entity has started.
    ///
    /// ```
    /// # use antiphon_persistence::entity::{CommandContext, Effect, Effects, EventContext};
    /// # use antiphon_persistence::entity::EventSourced;
    /// use antiphon_persistence::entity::testkit::EntityTest;
    ///
    /// struct Step(i64);
    /// # struct Counter;
    /// # impl EventSourced for Counter {
    /// #     type Command = ();
    /// #     type Event = i64;
    /// #     type State = i64;
    /// #     fn on_event(&self, _: &EventContext, sum: &mut i64, delta: &i64) { *sum += delta; }
    ///     fn on_command(&self, context: &CommandContext, _: &i64, (): ()) -> Effect<Self> {
    ///         self.persist(context.extension::<Step>().map_or(1, |step| step.0))
    ///     }
    /// # }
    ///
    /// let mut counter = EntityTest::new(Counter, "counter|c-1").with_extension(Step(7));
    /// counter.tell(());
    /// assert_eq!(counter.state(), &7);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn with_extension<T: Send + Sync + 'static>(mut self, value: T) -> Self {
        self.assert_new("with_extension");
        self.extensions = self.extensions.with(value);
        self
    }

    /// The value of this type that the handlers reach, if there is one.
    pub fn extension<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.extensions.get()
    }

    /// Leaves out the check of states: the entity never has a snapshot.
    ///
    /// ```
    /// # use antiphon_persistence::entity::{CommandContext, Effect, Effects, EventContext};
    /// # use antiphon_persistence::entity::EventSourced;
    /// use antiphon_persistence::entity::testkit::EntityTest;
    /// use serde::{Deserialize, Serialize};
    ///
    /// #[derive(Default, Serialize, Deserialize)]
    /// struct Search {
    ///     words: Vec<String>,
    ///     // bincode cannot read a field that is left out: CBOR or JSON could
    ///     #[serde(skip_serializing_if = "Vec::is_empty")]
    ///     found: Vec<u32>,
    /// }
    /// # struct Words;
    /// # impl EventSourced for Words {
    /// #     type Command = String;
    /// #     type Event = String;
    /// #     type State = Search;
    /// #     fn on_command(&self, _: &CommandContext, _: &Search, word: String) -> Effect<Self> {
    /// #         self.persist(word)
    /// #     }
    /// #     fn on_event(&self, _: &EventContext, search: &mut Search, word: &String) {
    /// #         search.words.push(word.clone());
    /// #     }
    /// # }
    ///
    /// let mut words = EntityTest::new(Words, "words|w-1").without_snapshots();
    /// words.tell("tree".to_owned());
    /// assert_eq!(words.state().words, ["tree"]);
    /// ```
    #[must_use]
    pub fn without_snapshots(mut self) -> Self {
        self.checks.states = false;
        self
    }

    /// Leaves out the checks that events, states and answers are read back as the same values. The
    /// engine still refuses events that could not be read again.
    #[must_use]
    pub fn without_codec_checks(mut self) -> Self {
        self.checks = Checks { events: false, states: false, answers: false };
        self
    }

    /// Puts events into the journal, before anything else.
    ///
    /// # Panics
    /// Panics when the entity has started, an event could not be read again, or its tags are too
    /// many.
    #[must_use]
    #[track_caller]
    pub fn given(self, events: impl IntoIterator<Item = E::Event>) -> Self {
        self.given_with_metadata(&Metadata::new(), events)
    }

    /// The same for events with this metadata. Events that were given before come first.
    ///
    /// # Panics
    /// As [`Self::given`].
    ///
    /// ```
    /// # use antiphon_persistence::entity::{CommandContext, Effect, Effects, EventContext};
    /// # use antiphon_persistence::entity::EventSourced;
    /// use antiphon_persistence::entity::testkit::EntityTest;
    /// use antiphon_persistence::event::Metadata;
    ///
    /// # struct Log;
    /// # impl EventSourced for Log {
    /// #     type Command = String;
    /// #     type Event = String;
    /// #     type State = Vec<String>;
    /// #     fn on_command(&self, _: &CommandContext, _: &Vec<String>, text: String)
    /// #     -> Effect<Self> {
    /// #         self.persist(text)
    /// #     }
    ///     fn on_event(&self, context: &EventContext, lines: &mut Vec<String>, text: &String) {
    ///         let user = context.metadata().get("user").unwrap_or("somebody");
    ///         lines.push(format!("{user}: {text}"));
    ///     }
    /// # }
    ///
    /// let anna = Metadata::new().with("user", "anna")?;
    /// let log = EntityTest::new(Log, "log|l-1").given(["begun".to_owned()]);
    /// let mut log = log.given_with_metadata(&anna, ["ended".to_owned()]);
    /// assert_eq!(log.state(), &["somebody: begun", "anna: ended"]);
    /// # Ok::<(), antiphon_persistence::Error>(())
    /// ```
    #[must_use]
    #[track_caller]
    pub fn given_with_metadata(
        mut self,
        metadata: &Metadata,
        events: impl IntoIterator<Item = E::Event>,
    ) -> Self {
        self.assert_new("given");
        let metadata = codec::metadata(metadata);
        for event in events {
            if let Some(fault) = codec::event_fault(&*self.behaviour, &event) {
                assert!(!self.checks.events, "`given` of `{}`: {fault}", self.id);
            }
            let payload = proof::prove_event(&*self.behaviour, &event);
            let payload = payload.unwrap_or_else(|why| panic!("`given` of `{}`: {why}", self.id));
            let labels = Labels::new(metadata.clone(), self.behaviour.tags(&event));
            let labels = labels.unwrap_or_else(|why| panic!("`given` of `{}`: {why}", self.id));
            let number = self.highest().next();
            let mut version = VersionVector::new();
            version.set(self.id.replica_id(), number.value());
            self.store.events.push(StoredEvent {
                sequence_nr: number,
                meta: EventMeta {
                    origin: self.id.replica_id().clone(),
                    version,
                    source_seq: number,
                    concurrent: false,
                    timestamp: Timestamp::from_micros(number.value()),
                    labels,
                },
                payload,
            });
        }
        self.given = self.highest();
        self
    }

    /// Begins with a snapshot of this state, which counts as the state after one event. Events that
    /// are given come after it.
    ///
    /// # Panics
    /// Panics when the entity has started, has events, or the state could not be read again.
    ///
    /// ```
    /// # use antiphon_persistence::entity::{CommandContext, Effect, Effects, EventContext};
    /// # use antiphon_persistence::entity::EventSourced;
    /// # struct Counter;
    /// # impl EventSourced for Counter {
    /// #     type Command = i64;
    /// #     type Event = i64;
    /// #     type State = i64;
    /// #     fn on_command(&self, _: &CommandContext, _: &i64, delta: i64) -> Effect<Self> {
    /// #         self.persist(delta)
    /// #     }
    /// #     fn on_event(&self, _: &EventContext, sum: &mut i64, delta: &i64) { *sum += delta; }
    /// # }
    /// use antiphon_persistence::entity::testkit::EntityTest;
    ///
    /// let mut counter = EntityTest::new(Counter, "counter|c-1").given_state(&40).given([2]);
    /// assert_eq!(counter.state(), &42);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn given_state(mut self, state: &E::State) -> Self {
        self.assert_new("given_state");
        let first = SequenceNr::new(1);
        assert!(
            self.highest() == SequenceNr::ZERO,
            "`given_state` of `{}`: call it once, before `given`",
            self.id
        );
        let payload = proof::prove_state(&*self.behaviour, state, STATE_BYTES_MAX);
        let payload = payload.unwrap_or_else(|why| panic!("`given_state` of `{}`: {why}", self.id));
        let mut version = VersionVector::new();
        version.set(self.id.replica_id(), first.value());
        self.store.save(&Snapshot {
            sequence_nr: first,
            version,
            positions: Default::default(),
            timestamp: Timestamp::from_micros(first.value()),
            state: payload,
            reminders: Vec::new(),
            metadata: Metadata::new(),
            requests: Vec::new(),
        });
        self.store.delete_events(first);
        self.given = first;
        self
    }

    /// Sends the next commands with this metadata.
    #[must_use]
    pub fn with_metadata(mut self, metadata: Metadata) -> Self {
        self.set_metadata(&metadata);
        self
    }

    /// The same in the middle of a test.
    ///
    /// ```
    /// # use antiphon_persistence::entity::{CommandContext, Effect, Effects, EventContext};
    /// # use antiphon_persistence::entity::EventSourced;
    /// # struct Counter;
    /// # impl EventSourced for Counter {
    /// #     type Command = i64;
    /// #     type Event = i64;
    /// #     type State = i64;
    /// #     fn on_command(&self, _: &CommandContext, _: &i64, delta: i64) -> Effect<Self> {
    /// #         self.persist(delta)
    /// #     }
    /// #     fn on_event(&self, _: &EventContext, sum: &mut i64, delta: &i64) { *sum += delta; }
    /// # }
    /// use antiphon_persistence::entity::testkit::EntityTest;
    /// use antiphon_persistence::event::Metadata;
    ///
    /// let mut counter = EntityTest::new(Counter, "counter|c-1");
    /// counter.set_metadata(&Metadata::new().with("user", "anna")?);
    /// counter.tell(1);
    /// counter.set_metadata(&Metadata::new());
    /// counter.tell(2);
    /// let users: Vec<_> = counter.new_labels();
    /// assert_eq!(users[0].metadata().get("user"), Some("anna"));
    /// assert_eq!(users[1].metadata().get("user"), None);
    /// # Ok::<(), antiphon_persistence::Error>(())
    /// ```
    pub fn set_metadata(&mut self, metadata: &Metadata) {
        self.metadata = codec::metadata(metadata);
    }

    /// The newest state. An entity that is not in memory is started.
    ///
    /// # Panics
    /// Panics when the entity has failed.
    #[track_caller]
    pub fn state(&mut self) -> &E::State {
        let why = self.failure.clone();
        let id = self.id.clone();
        self.start();
        self.engine.as_ref().and_then(Engine::state).unwrap_or_else(|| {
            let why = why.as_deref().unwrap_or("it has failed, and waits to start again: `pass`");
            panic!("`{id}` has no state: {why}")
        })
    }

    /// Returns whether the entity is in memory.
    pub fn is_in_memory(&self) -> bool {
        self.engine.is_some()
    }

    /// The events that were stored since [`Self::given`], own ones and those of other replicas.
    ///
    /// # Panics
    /// Panics when the behaviour cannot read one of them.
    #[track_caller]
    pub fn new_events(&self) -> Vec<E::Event> {
        self.store.from(self.given.next()).iter().flat_map(|event| self.read(event)).collect()
    }

    /// The events of today that a stored event is.
    #[track_caller]
    pub(super) fn read(&self, event: &StoredEvent) -> Vec<E::Event> {
        self.behaviour.from_journal(&event.payload).unwrap_or_else(|error| {
            panic!(
                "`from_journal` cannot read event {} of `{}`: {error}",
                event.sequence_nr, self.id
            )
        })
    }

    /// The metadata and tags of the events stored since [`Self::given`].
    pub fn new_labels(&self) -> Vec<Labels> {
        let events = self.store.from(self.given.next());
        events.into_iter().map(|event| event.meta.labels).collect()
    }

    /// The things that the entity did since the last input of the test, in their order. An input is
    /// each call that gives the entity something to do: a command, time, an event of another
    /// replica, the end of a future.
    pub fn effects(&self) -> Vec<Did> {
        self.watch.effects()
    }

    /// The signals that the behaviour got since the last input of the test.
    pub fn signals(&self) -> Vec<Signal> {
        self.watch.signals()
    }
}

/// The id of an entity under test.
#[track_caller]
pub(super) fn parse(id: &str) -> ReplicationId {
    ReplicationId::parse(id).unwrap_or_else(|error| {
        panic!("the id of a test: expected `type|entity` or `type|entity|replica`: {error}")
    })
}
