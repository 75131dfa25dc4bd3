//! The trait that an application implements for an entity, and the effects of its commands.

use std::fmt::Debug;
use std::future::Future;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::asynchronous::{CommandFuture, OnFailure};
use super::then::{ThenReply, ThenRun, Thens};
use super::timer::Order;
use super::{AsynchronousFailure, CommandContext, EventContext, EventType, reading};
use crate::Result;
use crate::codec::CodecId;
use crate::event::{Payload, SequenceNr};
use crate::identity::ReplicationId;
use crate::reply::ReplyTo;

/// A notice to an entity about its recovery or its snapshots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signal {
    /// Recovery is complete: the state follows from the journal, and commands come next.
    RecoveryCompleted,
    /// A snapshot up to this number was stored.
    SnapshotSaved(SequenceNr),
    /// A snapshot could not be stored, or could not have been read again. The entity goes on
    /// without the snapshot, and nothing is deleted for it.
    SnapshotFailed(String),
}

/// The behaviour of an entity: how commands become events, and events become state.
///
/// Both functions are plain and must not block. `on_event` must depend on nothing but its
/// arguments, since it runs again at every recovery and at every replica. With more than one
/// replica, events of other replicas come between the own events, and may be
/// [concurrent](EventContext::concurrent) to them. The state must then be the same for every causal
/// order of the events; otherwise the entity decides by the flag and by [`crate::crdt`] types.
///
/// ```
/// use antiphon_persistence::entity::{CommandContext, Effect, EventContext, EventSourced};
/// use antiphon_persistence::reply::ReplyTo;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Debug, Serialize, Deserialize)]
/// enum Command { Add { delta: i64, reply_to: ReplyTo<i64> } }
/// #[derive(Debug, Serialize, Deserialize)]
/// enum Event { Added { delta: i64 } }
/// struct Counter;
///
/// impl EventSourced for Counter {
///     type Command = Command;
///     type Event = Event;
///     type State = i64;
///
///     fn on_command(&self, _: &CommandContext, _: &i64, command: Command) -> Effect<Self> {
///         let Command::Add { delta, reply_to } = command;
///         Effect::persist(Event::Added { delta }).then_reply(reply_to, |value| *value)
///     }
///
///     fn on_event(&self, _: &EventContext, value: &mut i64, event: &Event) {
///         let Event::Added { delta } = event;
///         *value += delta;
///     }
/// }
///
/// use antiphon_persistence::entity::testkit::EntityTest;
///
/// let mut counter = EntityTest::new(Counter, "counter|c-1");
/// assert_eq!(counter.ask(|reply_to| Command::Add { delta: 3, reply_to }), Ok(3));
/// assert_eq!(*counter.state(), 3);
/// ```
///
/// A second version of an event, with the adapter that carries the first one forward:
///
/// ```
/// use std::sync::Arc;
///
/// use antiphon_persistence::codec::CodecId;
/// use antiphon_persistence::entity::{EventSourced, EventType, UnknownVersion};
/// use antiphon_persistence::event::Payload;
/// use antiphon_persistence::{Error, Result};
/// # use antiphon_persistence::entity::{CommandContext, Effect, EventContext};
/// # use serde::{Deserialize, Serialize};
///
/// /// Version 1 was the amount alone, in euros.
/// #[derive(Debug, PartialEq, Serialize, Deserialize)]
/// struct Paid { cents: u64 }
/// struct Account;
///
/// impl EventSourced for Account {
///     # type Command = u64;
///     # type State = u64;
///     type Event = Paid;
///     # fn on_command(&self, _: &CommandContext, _: &u64, cents: u64) -> Effect<Self> {
///     #     Effect::persist(Paid { cents })
///     # }
///     # fn on_event(&self, _: &EventContext, sum: &mut u64, paid: &Paid) { *sum += paid.cents; }
///
///     fn event_type(&self, _: &Paid) -> EventType {
///         EventType { manifest: "paid".into(), version: 2 }
///     }
///
///     fn from_journal(&self, payload: &Payload) -> Result<Vec<Paid>> {
///         let codec = CodecId::from_stored(payload.codec)?;
///         match (&*payload.manifest, payload.version) {
///             ("paid", 1) => Ok(vec![Paid { cents: 100 * codec.decode::<u64>(&payload.bytes)? }]),
///             ("paid", 2) => Ok(vec![codec.decode(&payload.bytes)?]),
///             (manifest, version) => Err(Error::corrupt("unknown").with_source(
///                 UnknownVersion { manifest: manifest.to_owned(), version })),
///         }
///     }
/// }
///
/// let bytes = CodecId::Bincode.encode(&7_u64)?.into();
/// let old = Payload { codec: CodecId::Bincode as u8, manifest: "paid".into(), version: 1, bytes };
/// assert_eq!(Account.from_journal(&old)?, [Paid { cents: 700 }]);
/// antiphon_persistence::entity::testkit::check_event(&Account, &Paid { cents: 5 }).unwrap();
/// # Ok::<(), Error>(())
/// ```
pub trait EventSourced: Sized + Send + Sync + 'static {
    /// A request to the entity.
    type Command: Send + 'static;
    /// A fact that a command has caused.
    type Event: Serialize + DeserializeOwned + Send + Sync + Debug + 'static;
    /// The state that follows from the events. Its default is the state before the first event,
    /// unless [`Self::initial_state`] says otherwise.
    type State: Default + Serialize + DeserializeOwned + Send + Sync + 'static;

    /// Decides what a command does, against the newest state. A panic here fails only the command.
    fn on_command(
        &self,
        context: &CommandContext,
        state: &Self::State,
        command: Self::Command,
    ) -> Effect<Self>;

    /// Applies an event. A panic here fails the command that made the event; an event of another
    /// replica is held back and tried again later. In both cases the entity finishes the work that
    /// is under way, forgets its state and reads it again from its journal.
    fn on_event(&self, context: &EventContext, state: &mut Self::State, event: &Self::Event);

    /// The state before the first event: the default of the type, unless the behaviour makes
    /// another one. Called at each start of the entity, before its snapshot and its events are
    /// read. A snapshot replaces the state.
    ///
    /// The state is not stored, so it must follow from the id (and from constants) alone: a state
    /// that changes from one release to the next changes the past of entities that have no
    /// snapshot. The id has the replica, too: a state that depends on the replica id differs
    /// between replicas.
    ///
    /// A panic here is an entity that cannot start: its commands get an error with the reason, and
    /// it is started again after a wait, see `docs/user-code.md`.
    ///
    /// ```
    /// use antiphon_persistence::entity::testkit::EntityTest;
    /// use antiphon_persistence::identity::ReplicationId;
    /// # use antiphon_persistence::entity::{CommandContext, Effect, EventContext, EventSourced};
    ///
    /// /// The rooms of a house, by its name.
    /// struct House;
    /// # impl EventSourced for House {
    /// #     type Command = String;
    /// #     type Event = String;
    /// #     type State = Vec<String>;
    /// #     fn on_command(&self, _: &CommandContext, _: &Vec<String>, room: String)
    /// #     -> Effect<Self> {
    /// #         Effect::persist(room)
    /// #     }
    /// #     fn on_event(&self, _: &EventContext, rooms: &mut Vec<String>, room: &String) {
    /// #         rooms.push(room.clone());
    /// #     }
    ///     fn initial_state(&self, id: &ReplicationId) -> Vec<String> {
    ///         vec![format!("hall of {}", id.entity_id())]
    ///     }
    /// # }
    ///
    /// let mut house = EntityTest::new(House, "house|Usher");
    /// house.tell("vault".to_owned());
    /// assert_eq!(house.state(), &["hall of Usher", "vault"]);
    /// ```
    fn initial_state(&self, _id: &ReplicationId) -> Self::State {
        Self::State::default()
    }

    /// The codec that writes events. A stored event names its codec, so another one can be chosen
    /// at any time.
    ///
    /// Each event is read back, through [`Self::from_journal`], before it is stored. If the result
    /// differs from the event, its command fails with `Rejected`. bincode can read neither types
    /// that ask the bytes for their type (`untagged`, `tag`, `flatten`, `serde_json::Value`) nor
    /// fields that are sometimes left out (`skip_serializing_if`): choose CBOR or JSON for them.
    fn event_codec(&self) -> CodecId {
        CodecId::Bincode
    }

    /// The stored kind of an event, for [`Self::from_journal`]. With bincode, every change to the
    /// form of events needs another version, except variants that are added at the end.
    fn event_type(&self, _event: &Self::Event) -> EventType {
        EventType::only()
    }

    /// Reads a stored event as zero or more events of today: the place to carry old versions
    /// forward. An event that today's code writes must be read as itself.
    ///
    /// Without an implementation, an event is read only if today's code would store it under the
    /// same manifest and version, or, with CBOR and JSON, under a higher version.
    ///
    /// # Errors
    /// `Corrupt` when the payload cannot be understood, from [`super::UnknownVersion`] when its
    /// kind is not known. An event of another replica is then held back and tried again later. An
    /// event that is already in this replica's journal stops the entity with an error in the log.
    #[expect(
        clippy::wrong_self_convention,
        reason = "the field's word; the adapter may be configured"
    )]
    fn from_journal(&self, payload: &Payload) -> Result<Vec<Self::Event>> {
        Ok(vec![reading::event(payload, |event| self.event_type(event))?])
    }

    /// The codec that writes snapshots. A state that would be read back as another value is not
    /// stored, see [`Signal::SnapshotFailed`].
    fn snapshot_codec(&self) -> CodecId {
        CodecId::Bincode
    }

    /// The version of the state's type, stored with each snapshot. Every change to the form of the
    /// state needs another version.
    fn snapshot_version(&self) -> u16 {
        1
    }

    /// Reads the state of a snapshot: the place to carry old versions forward. After an error, an
    /// older snapshot, or the events, are read instead. If the events were deleted
    /// (`delete_events`), the entity stops, and its commands fail with the numbers that are
    /// missing.
    ///
    /// Without an implementation, only [`Self::snapshot_version`] is read.
    ///
    /// ```
    /// use antiphon_persistence::Result;
    /// use antiphon_persistence::codec::CodecId;
    /// use antiphon_persistence::event::Payload;
    /// # use antiphon_persistence::entity::{CommandContext, Effect, EventContext, EventSourced};
    ///
    /// struct Account;
    /// # impl EventSourced for Account {
    /// #     type Command = u64;
    /// #     type Event = u64;
    /// #     type State = u64;
    /// #     fn on_command(&self, _: &CommandContext, _: &u64, cents: u64) -> Effect<Self> {
    /// #         Effect::persist(cents)
    /// #     }
    /// #     fn on_event(&self, _: &EventContext, sum: &mut u64, cents: &u64) { *sum += cents; }
    ///     fn snapshot_version(&self) -> u16 {
    ///         2
    ///     }
    ///
    ///     fn from_snapshot(&self, payload: &Payload) -> Result<u64> {
    ///         let number: u64 = CodecId::from_stored(payload.codec)?.decode(&payload.bytes)?;
    ///         // version 1 had euros
    ///         Ok(if payload.version == 1 { 100 * number } else { number })
    ///     }
    /// # }
    ///
    /// let (codec, bytes) = (CodecId::Bincode, CodecId::Bincode.encode(&7_u64)?.into());
    /// let old = Payload { codec: codec as u8, manifest: "".into(), version: 1, bytes };
    /// assert_eq!(Account.from_snapshot(&old)?, 700);
    /// # Ok::<(), antiphon_persistence::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Corrupt` when the payload cannot be understood, from [`super::UnknownVersion`] when its
    /// version is not known.
    #[expect(
        clippy::wrong_self_convention,
        reason = "the field's word; the adapter may be configured"
    )]
    fn from_snapshot(&self, payload: &Payload) -> Result<Self::State> {
        reading::state(payload, self.snapshot_version())
    }

    /// Returns whether to store a snapshot after this event, besides the snapshots by count
    /// (`snapshot_every`). Called after each event, also of other replicas, but not during replay.
    /// A panic here means no.
    ///
    /// ```
    /// # use antiphon_persistence::entity::{CommandContext, Effect, EventContext, EventSourced};
    /// use antiphon_persistence::event::SequenceNr;
    ///
    /// struct Ledger;
    /// # impl EventSourced for Ledger {
    /// #     type Command = i64;
    /// #     type Event = i64;
    /// #     type State = i64;
    /// #     fn on_command(&self, _: &CommandContext, _: &i64, delta: i64) -> Effect<Self> {
    /// #         Effect::persist(delta)
    /// #     }
    /// #     fn on_event(&self, _: &EventContext, sum: &mut i64, delta: &i64) { *sum += delta; }
    ///     // the end of a month: the entries before are seldom asked for
    ///     fn snapshot_when(&self, sum: &i64, _: &i64, _: SequenceNr) -> bool {
    ///         *sum == 0
    ///     }
    /// # }
    ///
    /// assert!(Ledger.snapshot_when(&0, &-5, SequenceNr::new(12)));
    /// assert!(!Ledger.snapshot_when(&5, &5, SequenceNr::new(13)));
    /// ```
    fn snapshot_when(&self, _state: &Self::State, _event: &Self::Event, _nr: SequenceNr) -> bool {
        false
    }

    /// Receives a signal. A panic here is logged and changes nothing.
    ///
    /// ```
    /// use std::sync::atomic::{AtomicBool, Ordering};
    ///
    /// use antiphon_persistence::entity::Signal;
    /// # use antiphon_persistence::entity::testkit::EntityTest;
    /// # use antiphon_persistence::entity::{CommandContext, Effect, EventContext, EventSourced};
    ///
    /// static READY: AtomicBool = AtomicBool::new(false);
    /// struct Counter;
    /// # impl EventSourced for Counter {
    /// #     type Command = i64;
    /// #     type Event = i64;
    /// #     type State = i64;
    /// #     fn on_command(&self, _: &CommandContext, _: &i64, delta: i64) -> Effect<Self> {
    /// #         Effect::persist(delta)
    /// #     }
    /// #     fn on_event(&self, _: &EventContext, sum: &mut i64, delta: &i64) { *sum += delta; }
    ///     fn on_signal(&self, _: &CommandContext, _: &i64, signal: &Signal) {
    ///         if *signal == Signal::RecoveryCompleted {
    ///             READY.store(true, Ordering::Relaxed);
    ///         }
    ///     }
    /// # }
    ///
    /// EntityTest::new(Counter, "counter|c-1").tell(1);
    /// assert!(READY.load(Ordering::Relaxed));
    /// ```
    fn on_signal(&self, _context: &CommandContext, _state: &Self::State, _signal: &Signal) {}
}

/// The part of an effect that decides about storing.
pub(super) enum Kind<E: EventSourced> {
    Persist(Vec<E::Event>),
    None,
    Unhandled,
    Stash(E::Command),
    Asynchronous(CommandFuture<E::Command>, Option<OnFailure<E::Command>>),
}

/// The effect of a command: made by one of the first functions, refined by the functions `then_*`.
///
/// Everything visible outside (replies, side effects, futures) happens only when all events that
/// the command could have seen are durable, including the events of earlier commands. If these
/// cannot be stored, nothing visible happens and askers get an error.
#[must_use = "an effect does nothing unless the handler returns it"]
pub struct Effect<E: EventSourced> {
    pub(super) kind: Kind<E>,
    pub(super) then: Thens<E::State>,
    pub(super) stop: bool,
    pub(super) unstash: bool,
    pub(super) timers: Vec<Order<E::Command>>,
}

impl<E: EventSourced> Effect<E> {
    fn of(kind: Kind<E>) -> Self {
        Self { kind, then: Vec::new(), stop: false, unstash: false, timers: Vec::new() }
    }

    /// Stores one event and applies it.
    ///
    /// ```
    /// # use antiphon_persistence::entity::testkit::EntityTest;
    /// # use antiphon_persistence::entity::{CommandContext, Effect, EventContext, EventSourced};
    /// # use antiphon_persistence::reply::ReplyTo;
    /// # struct Notes;
    /// # impl EventSourced for Notes {
    /// #     type Command = &'static str;
    /// #     type Event = String;
    /// #     type State = Vec<String>;
    /// #     fn on_event(&self, _: &EventContext, list: &mut Vec<String>, text: &String) {
    /// #         list.push(text.clone());
    /// #     }
    /// #     fn on_command(
    /// #         &self, _: &CommandContext, _: &Vec<String>, command: &'static str,
    /// #     ) -> Effect<Self> {
    /// Effect::persist(command.to_owned())
    /// #     }
    /// # }
    ///
    /// let mut notes = EntityTest::new(Notes, "notes|n-1");
    /// notes.tell("milk");
    /// assert_eq!(notes.new_events(), ["milk"]);
    /// ```
    pub fn persist(event: E::Event) -> Self {
        Self::of(Kind::Persist(vec![event]))
    }

    /// Stores events together or not at all in this place's journal, and in the same order in every
    /// other replica's journal; at most `command_events_max`.
    ///
    /// ```
    /// # use antiphon_persistence::entity::testkit::EntityTest;
    /// # use antiphon_persistence::entity::{CommandContext, Effect, EventContext, EventSourced};
    /// # use antiphon_persistence::reply::ReplyTo;
    /// # struct Notes;
    /// # impl EventSourced for Notes {
    /// #     type Command = &'static str;
    /// #     type Event = String;
    /// #     type State = Vec<String>;
    /// #     fn on_event(&self, _: &EventContext, list: &mut Vec<String>, text: &String) {
    /// #         list.push(text.clone());
    /// #     }
    /// #     fn on_command(
    /// #         &self, _: &CommandContext, _: &Vec<String>, command: &'static str,
    /// #     ) -> Effect<Self> {
    /// Effect::persist_all(command.split(' ').map(str::to_owned))
    /// #     }
    /// # }
    ///
    /// let mut notes = EntityTest::new(Notes, "notes|n-1");
    /// notes.tell("milk bread");
    /// assert_eq!(notes.new_events(), ["milk", "bread"]);
    /// ```
    pub fn persist_all(events: impl IntoIterator<Item = E::Event>) -> Self {
        Self::of(Kind::Persist(events.into_iter().collect()))
    }

    /// Stores nothing.
    ///
    /// ```
    /// # use antiphon_persistence::entity::testkit::EntityTest;
    /// # use antiphon_persistence::entity::{CommandContext, Effect, EventContext, EventSourced};
    /// # use antiphon_persistence::reply::ReplyTo;
    /// # struct Notes;
    /// # impl EventSourced for Notes {
    /// #     type Command = &'static str;
    /// #     type Event = String;
    /// #     type State = Vec<String>;
    /// #     fn on_event(&self, _: &EventContext, list: &mut Vec<String>, text: &String) {
    /// #         list.push(text.clone());
    /// #     }
    /// #     fn on_command(
    /// #         &self, _: &CommandContext, list: &Vec<String>, command: &'static str,
    /// #     ) -> Effect<Self> {
    /// if list.iter().any(|text| text == command) {
    ///     return Effect::none();
    /// }
    /// Effect::persist(command.to_owned())
    /// #     }
    /// # }
    ///
    /// let mut notes = EntityTest::new(Notes, "notes|n-1");
    /// notes.tell("milk");
    /// notes.tell("milk");
    /// assert_eq!(notes.new_events(), ["milk"]);
    /// ```
    pub fn none() -> Self {
        Self::of(Kind::None)
    }

    /// Stores nothing and answers.
    ///
    /// ```
    /// # use antiphon_persistence::entity::testkit::EntityTest;
    /// # use antiphon_persistence::entity::{CommandContext, Effect, EventContext, EventSourced};
    /// # use antiphon_persistence::reply::ReplyTo;
    /// # struct Notes;
    /// # impl EventSourced for Notes {
    /// #     type Command = ReplyTo<usize>;
    /// #     type Event = String;
    /// #     type State = Vec<String>;
    /// #     fn on_event(&self, _: &EventContext, list: &mut Vec<String>, text: &String) {
    /// #         list.push(text.clone());
    /// #     }
    /// #     fn on_command(
    /// #         &self, _: &CommandContext, list: &Vec<String>, command: ReplyTo<usize>,
    /// #     ) -> Effect<Self> {
    /// Effect::reply(command, list.len())
    /// #     }
    /// # }
    ///
    /// let mut notes = EntityTest::new(Notes, "notes|n-1").given(["milk".to_owned()]);
    /// assert_eq!(notes.ask(|reply_to| reply_to), Ok(1));
    /// assert!(notes.new_events().is_empty());
    /// ```
    pub fn reply<R: Serialize + Send + 'static>(reply_to: ReplyTo<R>, value: R) -> Self {
        Self::none().then_reply(reply_to, |_| value)
    }

    /// Drops the command: it is not for this entity, or not now. The command is counted and logged;
    /// its asker gets `NoReply`.
    ///
    /// ```
    /// # use antiphon_persistence::entity::testkit::EntityTest;
    /// # use antiphon_persistence::entity::{CommandContext, Effect, EventContext, EventSourced};
    /// # use antiphon_persistence::reply::ReplyTo;
    /// # struct Notes;
    /// # impl EventSourced for Notes {
    /// #     type Command = ReplyTo<usize>;
    /// #     type Event = String;
    /// #     type State = Vec<String>;
    /// #     fn on_event(&self, _: &EventContext, list: &mut Vec<String>, text: &String) {
    /// #         list.push(text.clone());
    /// #     }
    /// #     fn on_command(
    /// #         &self, _: &CommandContext, _: &Vec<String>, _command: ReplyTo<usize>,
    /// #     ) -> Effect<Self> {
    /// Effect::unhandled()
    /// #     }
    /// # }
    ///
    /// use antiphon_persistence::reply::ReplyError;
    ///
    /// let mut notes = EntityTest::new(Notes, "notes|n-1");
    /// assert_eq!(notes.ask(|reply_to| reply_to), Err(ReplyError::NoReply));
    /// ```
    pub fn unhandled() -> Self {
        Self::of(Kind::Unhandled)
    }

    /// Keeps the command for later, until [`Self::then_unstash_all`]; at most `stash_max`. A
    /// stashed command leaves its room in the mailbox (`mailbox_max`) to others. Not to be combined
    /// with `then_reply` and `then_run`: these are not run, and an asker that waits for an answer
    /// from them gets `Unanswered`.
    ///
    /// ```
    /// # use antiphon_persistence::entity::testkit::EntityTest;
    /// # use antiphon_persistence::entity::{CommandContext, Effect, EventContext, EventSourced};
    /// # use antiphon_persistence::reply::ReplyTo;
    /// # struct Notes;
    /// # impl EventSourced for Notes {
    /// #     type Command = &'static str;
    /// #     type Event = String;
    /// #     type State = Vec<String>;
    /// #     fn on_event(&self, _: &EventContext, list: &mut Vec<String>, text: &String) {
    /// #         list.push(text.clone());
    /// #     }
    /// #     fn on_command(
    /// #         &self, _: &CommandContext, list: &Vec<String>, command: &'static str,
    /// #     ) -> Effect<Self> {
    /// match command {
    ///     "open" => Effect::persist("open".to_owned()).then_unstash_all(),
    ///     _ if list.is_empty() => Effect::stash(command),
    ///     text => Effect::persist(text.to_owned()),
    /// }
    /// #     }
    /// # }
    ///
    /// let mut notes = EntityTest::new(Notes, "notes|n-1");
    /// notes.tell("milk");
    /// assert!(notes.new_events().is_empty(), "it waits");
    /// notes.tell("open");
    /// assert_eq!(notes.new_events(), ["open", "milk"]);
    /// ```
    pub fn stash(command: E::Command) -> Self {
        Self::of(Kind::Stash(command))
    }

    /// Runs a future and handles the command that it yields before all others. Other commands wait;
    /// events of other replicas do not. If the entity stops or restarts meanwhile, the future is
    /// dropped. If the future panics, or has not ended after `asynchronous_timeout`, it is dropped
    /// and counted, its askers get an error, and the entity goes on; [`Self::asynchronous_or`]
    /// tells the entity of such a failure. Not to be combined with `then_reply` and `then_run`, as
    /// [`Self::stash`]: the command that the future yields has its own.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use antiphon_persistence::entity::{CommandContext, Effect, EntityParts, EntityRuntime};
    /// # use antiphon_persistence::entity::{EntitySettings, EventContext, EventSourced};
    /// # use antiphon_persistence::entity::StandaloneHost;
    /// # use antiphon_persistence::identity::{ReplicaId, ReplicationId};
    /// # use antiphon_persistence::memory::MemoryStores;
    /// # use antiphon_persistence::reply::ReplyTo;
    /// # use antiphon_persistence::store::WriterId;
    /// # use antiphon_base::time::SystemClock;
    /// # async fn look_up(city: &'static str) -> u32 { city.len() as u32 }
    /// enum Command {
    ///     Ship { city: &'static str, reply_to: ReplyTo<u32> },
    ///     Price { price: u32, reply_to: ReplyTo<u32> },
    /// }
    /// # struct Parcel;
    /// # impl EventSourced for Parcel {
    /// #     type Command = Command;
    /// #     type Event = u32;
    /// #     type State = u32;
    /// #     fn on_event(&self, _: &EventContext, sum: &mut u32, price: &u32) { *sum += price; }
    /// #     fn on_command(&self, _: &CommandContext, _: &u32, command: Command) -> Effect<Self> {
    /// match command {
    ///     Command::Ship { city, reply_to } => Effect::asynchronous(async move {
    ///         Command::Price { price: look_up(city).await, reply_to }
    ///     }),
    ///     Command::Price { price, reply_to } => {
    ///         Effect::persist(price).then_reply(reply_to, |sum| *sum)
    ///     }
    /// }
    /// #     }
    /// # }
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    /// # runtime.block_on(async {
    /// # let stores = MemoryStores::new().stores();
    /// # let writer = WriterId::new("node@1").unwrap();
    /// # stores.journal.open_writer(&writer).await.unwrap();
    /// # let parts = EntityParts {
    /// #     journal: stores.journal,
    /// #     snapshots: stores.snapshots,
    /// #     writer,
    /// #     peers: Default::default(),
    /// #     clock: Arc::new(SystemClock),
    /// #     host: Arc::new(StandaloneHost),
    /// #     coordination: None,
    /// # };
    /// # let replicas = [ReplicaId::empty()];
    /// # let settings = EntitySettings::default();
    /// # let entities = EntityRuntime::new(replicas, |_: &_| Parcel, settings, parts).unwrap();
    /// # let parcel = entities.spawn(ReplicationId::parse("parcel|p-1").unwrap()).unwrap();
    /// let price = parcel.ask(|reply_to| Command::Ship { city: "Bern", reply_to }).await;
    /// assert_eq!(price, Ok(4));
    /// # });
    /// ```
    pub fn asynchronous(future: impl Future<Output = E::Command> + Send + 'static) -> Self {
        Self::of(Kind::Asynchronous(Box::pin(future), None))
    }

    /// The same; `failed` makes a command of a failure of the future. The entity handles that
    /// command instead of the future's command.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use antiphon_persistence::entity::{CommandContext, Effect, EntityParts, EntityRuntime};
    /// # use antiphon_persistence::entity::{EntitySettings, EventContext, EventSourced};
    /// # use antiphon_persistence::entity::StandaloneHost;
    /// # use antiphon_persistence::identity::{ReplicaId, ReplicationId};
    /// # use antiphon_persistence::memory::MemoryStores;
    /// # use antiphon_persistence::reply::ReplyTo;
    /// # use antiphon_persistence::store::WriterId;
    /// # use antiphon_base::time::SystemClock;
    /// # async fn look_up(city: &'static str) -> u32 { panic!("no such city: {city}") }
    /// #[derive(Debug)]
    /// enum Command {
    ///     Ship { city: &'static str },
    ///     Price(u32),
    ///     NoPrice,
    ///     Sum(ReplyTo<u32>),
    /// }
    /// # struct Parcel;
    /// # impl EventSourced for Parcel {
    /// #     type Command = Command;
    /// #     type Event = u32;
    /// #     type State = u32;
    /// #     fn on_event(&self, _: &EventContext, sum: &mut u32, price: &u32) { *sum += price; }
    /// #     fn on_command(&self, _: &CommandContext, _: &u32, command: Command) -> Effect<Self> {
    /// match command {
    ///     Command::Ship { city } => Effect::asynchronous_or(
    ///         async move { Command::Price(look_up(city).await) },
    ///         |_failure| Command::NoPrice,
    ///     ),
    ///     Command::Price(price) => Effect::persist(price),
    ///     Command::NoPrice => Effect::persist(99),
    ///     Command::Sum(reply_to) => Effect::none().then_reply(reply_to, |sum| *sum),
    /// }
    /// #     }
    /// # }
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    /// # runtime.block_on(async {
    /// # let stores = MemoryStores::new().stores();
    /// # let writer = WriterId::new("node@1").unwrap();
    /// # stores.journal.open_writer(&writer).await.unwrap();
    /// # let parts = EntityParts {
    /// #     journal: stores.journal,
    /// #     snapshots: stores.snapshots,
    /// #     writer,
    /// #     peers: Default::default(),
    /// #     clock: Arc::new(SystemClock),
    /// #     host: Arc::new(StandaloneHost),
    /// #     coordination: None,
    /// # };
    /// # let replicas = [ReplicaId::empty()];
    /// # let settings = EntitySettings::default();
    /// # let entities = EntityRuntime::new(replicas, |_: &_| Parcel, settings, parts).unwrap();
    /// # let parcel = entities.spawn(ReplicationId::parse("parcel|p-1").unwrap()).unwrap();
    /// parcel.try_tell(Command::Ship { city: "Atlantis" }).unwrap();
    /// assert_eq!(parcel.ask(Command::Sum).await, Ok(99));
    /// # });
    /// ```
    pub fn asynchronous_or(
        future: impl Future<Output = E::Command> + Send + 'static,
        failed: impl FnOnce(AsynchronousFailure) -> E::Command + Send + 'static,
    ) -> Self {
        Self::of(Kind::Asynchronous(Box::pin(future), Some(Box::new(failed))))
    }

    /// Answers with a value taken from the state after the events.
    ///
    /// ```
    /// # use antiphon_persistence::entity::testkit::EntityTest;
    /// # use antiphon_persistence::entity::{CommandContext, Effect, EventContext, EventSourced};
    /// # use antiphon_persistence::reply::ReplyTo;
    /// # struct Notes;
    /// # impl EventSourced for Notes {
    /// #     type Command = (String, ReplyTo<usize>);
    /// #     type Event = String;
    /// #     type State = Vec<String>;
    /// #     fn on_event(&self, _: &EventContext, list: &mut Vec<String>, text: &String) {
    /// #         list.push(text.clone());
    /// #     }
    /// #     fn on_command(
    /// #         &self, _: &CommandContext, _: &Vec<String>, command: (String, ReplyTo<usize>),
    /// #     ) -> Effect<Self> {
    /// let (text, reply_to) = command;
    /// Effect::persist(text).then_reply(reply_to, Vec::len)
    /// #     }
    /// # }
    ///
    /// let mut notes = EntityTest::new(Notes, "notes|n-1");
    /// assert_eq!(notes.ask(|reply_to| ("milk".to_owned(), reply_to)), Ok(1));
    /// ```
    pub fn then_reply<R, F>(mut self, reply_to: ReplyTo<R>, value: F) -> Self
    where
        R: Serialize + Send + 'static,
        F: FnOnce(&E::State) -> R + Send + 'static,
    {
        self.then.push(Box::new(ThenReply { reply_to, value }));
        self
    }

    /// Runs a side effect, at most once: not again at recovery. `read` takes the input of `run`
    /// from the state after the events, and `run` runs when the events are durable.
    ///
    /// ```
    /// # use antiphon_persistence::entity::testkit::EntityTest;
    /// # use antiphon_persistence::entity::{CommandContext, Effect, EventContext, EventSourced};
    /// # use antiphon_persistence::reply::ReplyTo;
    /// use std::sync::mpsc;
    ///
    /// struct Notes(mpsc::Sender<usize>);
    /// # impl EventSourced for Notes {
    /// #     type Command = &'static str;
    /// #     type Event = String;
    /// #     type State = Vec<String>;
    /// #     fn on_event(&self, _: &EventContext, list: &mut Vec<String>, text: &String) {
    /// #         list.push(text.clone());
    /// #     }
    /// #     fn on_command(
    /// #         &self, _: &CommandContext, _: &Vec<String>, command: &'static str,
    /// #     ) -> Effect<Self> {
    /// let outbox = self.0.clone();
    /// Effect::persist(command.to_owned())
    ///     .then_run(Vec::len, move |count| outbox.send(count).unwrap())
    /// #     }
    /// # }
    ///
    /// let (sender, mails) = mpsc::channel();
    /// let mut notes = EntityTest::new(Notes(sender), "notes|n-1");
    /// notes.tell("milk");
    /// assert_eq!(mails.try_recv(), Ok(1));
    /// notes.restart();
    /// assert!(mails.try_recv().is_err(), "not again at recovery");
    /// ```
    pub fn then_run<T, F, G>(mut self, read: F, run: G) -> Self
    where
        T: Send + 'static,
        F: FnOnce(&E::State) -> T + Send + 'static,
        G: FnOnce(T) + Send + 'static,
    {
        self.then.push(Box::new(ThenRun { read, run }));
        self
    }

    /// Stops the entity after the effect. The next command starts it again.
    ///
    /// ```
    /// # use antiphon_persistence::entity::testkit::EntityTest;
    /// # use antiphon_persistence::entity::{CommandContext, Effect, EventContext, EventSourced};
    /// # use antiphon_persistence::reply::ReplyTo;
    /// # struct Notes;
    /// # impl EventSourced for Notes {
    /// #     type Command = &'static str;
    /// #     type Event = String;
    /// #     type State = Vec<String>;
    /// #     fn on_event(&self, _: &EventContext, list: &mut Vec<String>, text: &String) {
    /// #         list.push(text.clone());
    /// #     }
    /// #     fn on_command(
    /// #         &self, _: &CommandContext, _: &Vec<String>, command: &'static str,
    /// #     ) -> Effect<Self> {
    /// Effect::persist(command.to_owned()).then_stop()
    /// #     }
    /// # }
    ///
    /// let mut notes = EntityTest::new(Notes, "notes|n-1");
    /// notes.tell("milk");
    /// assert_eq!(notes.new_events(), ["milk"]);
    /// notes.restart();
    /// assert_eq!(notes.state(), &["milk"]);
    /// ```
    pub fn then_stop(mut self) -> Self {
        self.stop = true;
        self
    }

    /// Handles all stashed commands next, oldest first. With [`Self::stash`], the command itself
    /// stays in the stash, and commands that are stashed again come behind it.
    ///
    /// ```
    /// # use antiphon_persistence::entity::testkit::EntityTest;
    /// # use antiphon_persistence::entity::{CommandContext, Effect, EventContext, EventSourced};
    /// # use antiphon_persistence::reply::ReplyTo;
    /// # struct Notes;
    /// # impl EventSourced for Notes {
    /// #     type Command = &'static str;
    /// #     type Event = String;
    /// #     type State = Vec<String>;
    /// #     fn on_event(&self, _: &EventContext, list: &mut Vec<String>, text: &String) {
    /// #         list.push(text.clone());
    /// #     }
    /// #     fn on_command(
    /// #         &self, _: &CommandContext, list: &Vec<String>, command: &'static str,
    /// #     ) -> Effect<Self> {
    /// // a note waits until the list is long enough to be worth a read
    /// if list.len() < 1 && command != "first" {
    ///     return Effect::stash(command);
    /// }
    /// Effect::persist(command.to_owned()).then_unstash_all()
    /// #     }
    /// # }
    ///
    /// let mut notes = EntityTest::new(Notes, "notes|n-1");
    /// notes.tell("second");
    /// notes.tell("third");
    /// notes.tell("first");
    /// assert_eq!(notes.new_events(), ["first", "second", "third"]);
    /// ```
    pub fn then_unstash_all(mut self) -> Self {
        self.unstash = true;
        self
    }
}
