//! The trait that an application implements for an entity, and the effects of its commands.

use std::fmt::Debug;
use std::future::Future;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::asynchronous::{CommandFuture, OnFailure, ThenAsynchronous};
use super::reminder::ReminderOrder;
use super::then::{ThenReply, ThenRun, Thens};
use super::timer::Order;
use super::{AsynchronousFailure, CommandContext, DueReminder, EventContext, EventType, reading};
use crate::codec::{CodecId, PAYLOAD_BYTES_MAX};
use crate::event::{EventMeta, Metadata, Payload, SequenceNr, Tags};
use crate::identity::ReplicationId;
use crate::reply::ReplyTo;
use crate::shape::StoredTypes;
use crate::{Error, Result};

/// A notice to an entity about its own life: recovery, snapshots, deletions, stores and its end.
///
/// In each, the context has the number of the newest event in the state, unless the signal says
/// otherwise, and a time that no event of the state is after. A signal changes nothing: it makes no
/// effect, stores no event, and must not block. More signals can come in a later version, so a
/// `match` needs an arm for the others.
///
/// A life in memory begins with `SnapshotRecovered`, if there is a snapshot, and
/// `RecoveryCompleted`, and ends with one `PreRestart` or `PostStop`. A process that is killed
/// sends none.
///
/// ```
/// use antiphon_persistence::entity::Signal;
///
/// fn is_about_the_store(signal: &Signal) -> bool {
///     match signal {
///         Signal::PersistFailed(_) | Signal::SnapshotFailed(_) => true,
///         _ => false,
///     }
/// }
///
/// assert!(is_about_the_store(&Signal::PersistFailed("no room".into())));
/// assert!(!is_about_the_store(&Signal::PostStop));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Signal {
    /// The state of the snapshot with this number was read; the events after it come next. Comes
    /// again with another number when the snapshot turns out to be newer than the journal. The
    /// context has the metadata of the snapshot.
    SnapshotRecovered(SequenceNr),
    /// Recovery is complete: the state follows from the journal, and commands come next.
    RecoveryCompleted,
    /// Recovery failed for this reason; it is tried again after a wait, or the entity stops. The
    /// state is not whole: it has the events that were read before the failure, and an event at
    /// which `on_event` panicked may be half applied.
    RecoveryFailed(String),
    /// A snapshot up to this number was stored. The context has the metadata of the snapshot.
    SnapshotSaved(SequenceNr),
    /// A snapshot could not be stored, or could not have been read again. The entity goes on
    /// without the snapshot, and nothing is deleted for it.
    SnapshotFailed(String),
    /// Snapshots up to this number were deleted, after a newer one was stored. Does not come if the
    /// entity ends before the store has answered; the same holds for the next three signals.
    SnapshotsDeleted(SequenceNr),
    /// Old snapshots could not be deleted; that is repeated after the next snapshot.
    SnapshotsDeleteFailed(String),
    /// Events up to this number were deleted, since a snapshot has them (`delete_events`).
    EventsDeleted(SequenceNr),
    /// Events could not be deleted; that is repeated after the next snapshot.
    EventsDeleteFailed(String),
    /// An append failed for this reason, and its events may be stored or not. The entity begins
    /// again from its journal, or stops: `PreRestart` or `PostStop` comes next. The state still has
    /// the events of the append and those behind it; the context has the number of the newest event
    /// that is durable.
    PersistFailed(String),
    /// Events were refused for this reason, and are not stored. If the events of one command could
    /// not be read again or were too large, only that command fails, and the state does not have
    /// them. If the store refused an append, it is as with `PersistFailed`.
    PersistRejected(String),
    /// Events of this replica up to this number are durable, and are handed to the other replicas.
    /// The state may be ahead of them. Only for an entity with more than one replica.
    Published(SequenceNr),
    /// This life in memory ends for this reason, and the entity begins again from its journal:
    /// after a failed append, or a panic of `on_event`. In the second case the state may be
    /// half changed.
    PreRestart(String),
    /// The entity ends here: it was stopped, killed, moved, or cannot go on. After a kill it may be
    /// at work on another node already. Does not come if the entity had not recovered.
    PostStop,
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

    /// The tags of an event, by which readers choose events. They must depend on nothing but the
    /// event. Called once, before the event is stored; the tags are stored with the event, and
    /// reach every replica. A panic here, or tags beyond their bounds ([`Tags`]), refuse the
    /// command with `Rejected`, and nothing is stored.
    ///
    /// ```
    /// # use antiphon_persistence::entity::testkit::EntityTest;
    /// # use antiphon_persistence::entity::{CommandContext, Effect, EventContext, EventSourced};
    /// use antiphon_persistence::event::Tags;
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
    ///     fn tags(&self, delta: &i64) -> Tags {
    ///         if *delta > 1000 { Tags::from(["large"]) } else { Tags::none() }
    ///     }
    /// # }
    ///
    /// let mut ledger = EntityTest::new(Ledger, "ledger|l-1");
    /// ledger.tell(5);
    /// ledger.tell(5000);
    /// let labels = ledger.new_labels();
    /// assert!(labels[0].is_empty() && labels[1].tags().contains("large"));
    /// ```
    fn tags(&self, _event: &Self::Event) -> Tags {
        Tags::none()
    }

    /// The stored form of an event: exactly one payload, of any type, manifest, version and codec.
    /// The place to keep a type of its own for the journal, so that the type of the handlers may
    /// change. [`Self::from_journal`] must read the payload as this one event; that is checked
    /// before the event is stored.
    ///
    /// Without an implementation, the event itself is stored, as [`Self::event_type`] and
    /// [`Self::event_codec`] say. An implementation is free to ask these two or not.
    ///
    /// ```
    /// use antiphon_persistence::Result;
    /// use antiphon_persistence::codec::CodecId;
    /// use antiphon_persistence::entity::EventSourced;
    /// use antiphon_persistence::event::Payload;
    /// # use antiphon_persistence::entity::{CommandContext, Effect, EventContext};
    /// # use serde::{Deserialize, Serialize};
    ///
    /// /// The event of the handlers.
    /// #[derive(Debug, PartialEq, Serialize, Deserialize)]
    /// struct Paid { cents: u64, currency: String }
    /// /// The same in the journal, which outlives the type above.
    /// #[derive(Serialize, Deserialize)]
    /// struct StoredPaid { amount: String }
    ///
    /// struct Account;
    /// impl EventSourced for Account {
    ///     # type Command = u64;
    ///     # type State = u64;
    ///     # fn on_command(&self, _: &CommandContext, _: &u64, cents: u64) -> Effect<Self> {
    ///     #     Effect::persist(Paid { cents, currency: "EUR".into() })
    ///     # }
    ///     # fn on_event(&self, _: &EventContext, sum: &mut u64, paid: &Paid) {
    ///     #     *sum += paid.cents;
    ///     # }
    ///     type Event = Paid;
    ///
    ///     fn to_journal(&self, Paid { cents, currency }: &Paid) -> Result<Payload> {
    ///         let stored = StoredPaid { amount: format!("{cents} {currency}") };
    ///         Payload::encode(CodecId::Json, "paid", 1, &stored)
    ///     }
    ///
    ///     fn from_journal(&self, payload: &Payload) -> Result<Vec<Paid>> {
    ///         let StoredPaid { amount } = payload.decode()?;
    ///         let (cents, currency) = amount.split_once(' ').unwrap_or_default();
    ///         let cents = cents.parse().unwrap_or_default();
    ///         Ok(vec![Paid { cents, currency: currency.to_owned() }])
    ///     }
    /// }
    ///
    /// let paid = Paid { cents: 700, currency: "EUR".into() };
    /// assert_eq!(&*Account.to_journal(&paid)?.bytes, br#"{"amount":"700 EUR"}"#);
    /// antiphon_persistence::entity::testkit::check_event(&Account, &paid).unwrap();
    /// # Ok::<(), antiphon_persistence::Error>(())
    /// ```
    ///
    /// # Errors
    /// The reason why the event has no stored form: its command gets `Rejected`, and nothing of it
    /// is stored.
    fn to_journal(&self, event: &Self::Event) -> Result<Payload> {
        let EventType { manifest, version } = self.event_type(event);
        Payload::encode_within(self.event_codec(), manifest, version, event, PAYLOAD_BYTES_MAX)
    }

    /// The types that [`Self::to_journal`] and [`Self::to_snapshot`] store instead of the event and
    /// the state, so that a change of such a type under an unchanged version is noticed
    /// (`docs/events.md`). Without an implementation, stored types that are others than the event
    /// and the state are not compared.
    ///
    /// ```
    /// use antiphon_persistence::shape::StoredTypes;
    /// # use antiphon_persistence::entity::{CommandContext, Effect, EventContext, EventSourced};
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Serialize, Deserialize)]
    /// # struct StoredPaid { amount: String }
    /// # struct Account;
    /// # impl EventSourced for Account {
    /// #     type Command = u64;
    /// #     type Event = u64;
    /// #     type State = u64;
    /// #     fn on_command(&self, _: &CommandContext, _: &u64, cents: u64) -> Effect<Self> {
    /// #         Effect::persist(cents)
    /// #     }
    /// #     fn on_event(&self, _: &EventContext, sum: &mut u64, cents: &u64) { *sum += cents; }
    ///     fn stored_types(&self) -> StoredTypes {
    ///         StoredTypes::new().event::<StoredPaid>("paid", 1)
    ///     }
    /// # }
    /// assert!(!Account.stored_types().is_empty());
    /// ```
    fn stored_types(&self) -> StoredTypes {
        StoredTypes::new()
    }

    /// Reads a stored event as zero or more events of today: the place to carry old versions
    /// forward. An event that today's code writes must be read as itself.
    ///
    /// However many events come of it, the stored event counts once: it has one number, one place
    /// in the version vector, one set of metadata and reminders. An event that is read as none
    /// keeps its number. A reaction ([`Self::on_replicated`]) is decided for each of the events, in
    /// order.
    ///
    /// Without an implementation, an event is read only if today's code would store it under the
    /// same manifest and version, or, with CBOR and JSON, under a higher version. The result must
    /// depend on nothing but the payload: it is read anew at each start and at each replica.
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

    /// The stored form of a state, without a manifest: the place to keep a type of its own for
    /// snapshots. [`Self::from_snapshot`] must read the payload as this state; that is checked
    /// before the snapshot is stored.
    ///
    /// Without an implementation, the state itself is stored, with [`Self::snapshot_codec`] and
    /// [`Self::snapshot_version`].
    ///
    /// ```
    /// use std::collections::{BTreeMap, BTreeSet};
    ///
    /// use antiphon_persistence::Result;
    /// use antiphon_persistence::codec::CodecId;
    /// use antiphon_persistence::event::Payload;
    /// # use antiphon_persistence::entity::{CommandContext, Effect, EventContext, EventSourced};
    ///
    /// struct Tags;
    /// # impl EventSourced for Tags {
    /// #     type Command = String;
    /// #     type Event = String;
    /// #     fn on_command(&self, _: &CommandContext, _: &Index, tag: String) -> Effect<Self> {
    /// #         Effect::persist(tag)
    /// #     }
    /// #     fn on_event(&self, _: &EventContext, tags: &mut Index, tag: &String) {
    /// #         tags.entry(tag.len()).or_default().insert(tag.clone());
    /// #     }
    /// #     type State = Index;
    ///     // the index of the state is made anew from the tags alone
    ///     fn to_snapshot(&self, index: &Index) -> Result<Payload> {
    ///         let tags: Vec<&String> = index.values().flatten().collect();
    ///         Payload::encode(CodecId::Cbor, "", 1, &tags)
    ///     }
    ///
    ///     fn from_snapshot(&self, payload: &Payload) -> Result<Index> {
    ///         let mut index = Index::new();
    ///         for tag in payload.decode::<Vec<String>>()? {
    ///             index.entry(tag.len()).or_default().insert(tag);
    ///         }
    ///         Ok(index)
    ///     }
    /// # }
    ///
    /// type Index = BTreeMap<usize, BTreeSet<String>>;
    ///
    /// let index = Index::from([(3, BTreeSet::from(["new".to_owned()]))]);
    /// assert_eq!(Tags.from_snapshot(&Tags.to_snapshot(&index)?)?, index);
    /// # Ok::<(), antiphon_persistence::Error>(())
    /// ```
    ///
    /// # Errors
    /// The reason why the state has no stored form: no snapshot is stored
    /// ([`Signal::SnapshotFailed`]), and the entity goes on.
    fn to_snapshot(&self, state: &Self::State) -> Result<Payload> {
        Payload::encode(self.snapshot_codec(), "", self.snapshot_version(), state)
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

    /// The metadata of a snapshot that is about to be stored, such as the correlation id of the
    /// command that caused it: texts for operators and tools, within the bounds of [`Metadata`].
    /// The context shows it at [`Signal::SnapshotSaved`] and [`Signal::SnapshotRecovered`]; it is
    /// no part of the state. A snapshot without metadata takes no byte more.
    ///
    /// A panic here, or metadata beyond its bounds, is a snapshot that is not stored
    /// ([`Signal::SnapshotFailed`]).
    ///
    /// ```
    /// # use antiphon_persistence::entity::testkit::EntityTest;
    /// # use antiphon_persistence::entity::{CommandContext, Effect, EventContext, EventSourced};
    /// # use antiphon_persistence::event::SequenceNr;
    /// use std::sync::Mutex;
    ///
    /// use antiphon_persistence::entity::Signal;
    /// use antiphon_persistence::event::Metadata;
    ///
    /// static CLOSED_BY: Mutex<String> = Mutex::new(String::new());
    /// struct Ledger;
    /// # impl EventSourced for Ledger {
    /// #     type Command = i64;
    /// #     type Event = i64;
    /// #     type State = i64;
    /// #     fn on_command(&self, _: &CommandContext, _: &i64, delta: i64) -> Effect<Self> {
    /// #         Effect::persist(delta)
    /// #     }
    /// #     fn on_event(&self, _: &EventContext, sum: &mut i64, delta: &i64) { *sum += delta; }
    /// #     fn snapshot_when(&self, _: &i64, delta: &i64, _: SequenceNr) -> bool { *delta == 0 }
    ///     fn snapshot_metadata(&self, context: &CommandContext, _: &i64) -> Metadata {
    ///         context.metadata().clone()
    ///     }
    ///
    ///     fn on_signal(&self, context: &CommandContext, _: &i64, signal: &Signal) {
    ///         if let Signal::SnapshotSaved(_) = signal {
    ///             let user = context.metadata().get("user").unwrap_or("nobody");
    ///             *CLOSED_BY.lock().unwrap() = user.to_owned();
    ///         }
    ///     }
    /// # }
    ///
    /// let anna = Metadata::new().with("user", "anna")?;
    /// let mut ledger = EntityTest::new(Ledger, "ledger|l-1").with_metadata(anna);
    /// ledger.tell(0);
    /// assert_eq!(*CLOSED_BY.lock().unwrap(), "anna");
    /// # Ok::<(), antiphon_persistence::Error>(())
    /// ```
    fn snapshot_metadata(&self, _context: &CommandContext, _state: &Self::State) -> Metadata {
        Metadata::new()
    }

    /// Decides what a reminder does whose time has come, against the newest state, in its turn
    /// between the commands. See [`Reminder`](super::Reminder) for the times at which it fires.
    ///
    /// The reminder is over, or waits for its next time, when the effect is durable; with
    /// [`Effect::asynchronous`], when the effect of the command that the future yields is. A
    /// command that is stashed here counts as the effect, and is lost if the entity ends. After a
    /// panic here, a refused effect or a failed append the reminder fires again after a wait.
    ///
    /// Without an implementation nothing happens; that is counted (`reminders_unhandled`) and
    /// logged.
    ///
    /// ```
    /// # use antiphon_persistence::entity::testkit::EntityTest;
    /// # use antiphon_persistence::entity::{CommandContext, Effect, EventContext, EventSourced};
    /// use std::time::Duration;
    ///
    /// use antiphon_persistence::entity::{DueReminder, Effects, Reminder};
    ///
    /// const DAY: Duration = Duration::from_secs(24 * 3600);
    ///
    /// struct Account;
    /// impl EventSourced for Account {
    ///     type Command = u64;
    ///     type Event = u64;
    ///     type State = u64;
    ///     # fn on_event(&self, _: &EventContext, sum: &mut u64, cents: &u64) { *sum += cents; }
    ///
    ///     fn on_command(&self, _: &CommandContext, _: &u64, cents: u64) -> Effect<Self> {
    ///         self.persist(cents).remind("interest", Reminder::after(DAY).every(DAY))
    ///     }
    ///
    ///     fn on_reminder(
    ///         &self, _: &CommandContext, cents: &u64, reminder: &DueReminder,
    ///     ) -> Effect<Self> {
    ///         // the days on which no node was there count, too
    ///         self.persist(cents / 100 * (reminder.missed + 1))
    ///     }
    /// }
    ///
    /// let mut account = EntityTest::local(Account, "account|a-1");
    /// account.tell(1000);
    /// account.pass(DAY);
    /// assert_eq!(*account.state(), 1010);
    /// ```
    fn on_reminder(
        &self,
        _context: &CommandContext,
        _state: &Self::State,
        _reminder: &DueReminder,
    ) -> Effect<Self> {
        Effect::unhandled()
    }

    /// Returns whether this replica reacts to events of other replicas ([`Self::on_replicated`]).
    /// Called at each start of an entity with more than one replica; a panic here means no. A
    /// replica that does not react pays nothing; one that does writes and removes one more row for
    /// each append of events of others.
    fn reacts(&self, _id: &ReplicationId) -> bool {
        false
    }

    /// Decides what this replica does about an event of another replica, if it
    /// [reacts](Self::reacts): after the event is durable here, in the order of the stream, between
    /// the commands, and never in recovery. The state may be ahead of the event.
    ///
    /// Called once for each event, unless the node dies between the event and the durable effect of
    /// the reaction: then again, and behind newer events, ten seconds later or more. A reaction
    /// whose effect stores events has stored them once all the same. A panic here, or a refused
    /// effect, is counted (`reactions_failed`) and not repeated.
    ///
    /// An event that a reaction stores is an ordinary event: the other replicas may react to it.
    /// Two replicas that react to each other's reactions do so for ever, so a reaction must look at
    /// the event, or at the state, or only one designated replica reacts.
    ///
    /// ```
    /// # use antiphon_persistence::entity::{CommandContext, Effect, EventContext, EventSourced};
    /// use antiphon_persistence::entity::Effects;
    /// use antiphon_persistence::event::EventMeta;
    /// use antiphon_persistence::identity::ReplicationId;
    ///
    /// /// An auction, whose replica in DC-A names the winner once.
    /// struct Auction;
    /// impl EventSourced for Auction {
    ///     # type Command = String;
    ///     # type State = Vec<String>;
    ///     # fn on_command(&self, _: &CommandContext, _: &Vec<String>, text: String)
    ///     # -> Effect<Self> {
    ///     #     self.persist(text)
    ///     # }
    ///     # fn on_event(&self, _: &EventContext, texts: &mut Vec<String>, text: &String) {
    ///     #     texts.push(text.clone());
    ///     # }
    ///     type Event = String;
    ///
    ///     fn reacts(&self, id: &ReplicationId) -> bool {
    ///         id.replica_id().as_str() == "DC-A"
    ///     }
    ///
    ///     fn on_replicated(
    ///         &self, _: &CommandContext, texts: &Vec<String>, event: &String, _: &EventMeta,
    ///     ) -> Effect<Self> {
    ///         let is_named = texts.iter().any(|text| text.starts_with("winner"));
    ///         match event.strip_prefix("closed by ") {
    ///             Some(bidder) if !is_named => self.persist(format!("winner {bidder}")),
    ///             _ => self.none(),
    ///         }
    ///     }
    /// }
    ///
    /// assert!(Auction.reacts(&ReplicationId::parse("auction|a-1|DC-A").unwrap()));
    /// ```
    fn on_replicated(
        &self,
        _context: &CommandContext,
        _state: &Self::State,
        _event: &Self::Event,
        _meta: &EventMeta,
    ) -> Effect<Self> {
        Effect::none()
    }

    /// Receives a signal, see [`Signal`] for the moment of each. A panic here is logged and changes
    /// nothing.
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
/// A handler makes an effect with [`Effects`](super::Effects): `self.persist(event)`. The functions
/// here do the same where no behaviour is at hand. In a chain they need the name of the type as
/// soon as a closure calls a method or reads a field of the state:
/// `Effect::<Self>::persist(event)`.
///
/// Everything visible outside (replies, side effects, futures) happens only when all events that
/// the command could have seen are durable, including the events of earlier commands. If these
/// cannot be stored, nothing visible happens and askers get an error.
///
/// ```
/// # use antiphon_persistence::entity::testkit::EntityTest;
/// # use antiphon_persistence::entity::{CommandContext, Effect, EventContext, EventSourced};
/// # use antiphon_persistence::reply::ReplyTo;
/// use antiphon_persistence::entity::Effects;
///
/// enum Command {
///     Withdraw { cents: i64, reply_to: ReplyTo<Result<i64, String>> },
/// }
/// # struct Account;
/// # impl EventSourced for Account {
/// #     type Command = Command;
/// #     type Event = i64;
/// #     type State = i64;
/// #     fn on_event(&self, _: &EventContext, cents: &mut i64, change: &i64) { *cents += change; }
///     fn on_command(&self, _: &CommandContext, balance: &i64, command: Command) -> Effect<Self> {
///         let Command::Withdraw { cents, reply_to } = command;
///         if *balance - cents < -100 {
///             return self.reply(reply_to, Err("one euro of credit, no more".to_owned()));
///         }
///         self.persist(-cents).then_reply(reply_to, |balance| Ok(*balance))
///     }
/// # }
///
/// let mut account = EntityTest::local(Account, "account|a-1");
/// let mut withdraw = |cents| account.ask(|reply_to| Command::Withdraw { cents, reply_to });
/// assert_eq!(withdraw(80), Ok(Ok(-80)));
/// assert!(matches!(withdraw(80), Ok(Err(_))));
/// ```
#[must_use = "an effect does nothing unless the handler returns it"]
pub struct Effect<E: EventSourced> {
    pub(super) kind: Kind<E>,
    pub(super) then: Thens<E::State>,
    pub(super) stop: bool,
    pub(super) unstash: bool,
    /// The parts that few effects have; `None`: none of them.
    rare: Option<Box<Rare<E>>>,
}

/// The parts that few effects have, behind one pointer: every command moves its effect around.
pub(super) struct Rare<E: EventSourced> {
    pub(super) beside: Vec<ThenAsynchronous<E::State, E::Command>>,
    pub(super) metadata: Result<Metadata, Box<Error>>,
    pub(super) timers: Vec<Order<E::Command>>,
    pub(super) reminders: Vec<ReminderOrder>,
}

impl<E: EventSourced> Default for Rare<E> {
    fn default() -> Self {
        Self {
            beside: Vec::new(),
            metadata: Ok(Metadata::new()),
            timers: Vec::new(),
            reminders: Vec::new(),
        }
    }
}

impl<E: EventSourced> Effect<E> {
    fn of(kind: Kind<E>) -> Self {
        Self { kind, then: Thens::new(), stop: false, unstash: false, rare: None }
    }

    pub(super) fn rare(&mut self) -> &mut Rare<E> {
        self.rare.get_or_insert_default()
    }

    /// Takes the parts that few effects have.
    pub(super) fn take_rare(&mut self) -> Rare<E> {
        self.rare.take().map_or_else(Rare::default, |rare| *rare)
    }

    /// The same effect for a behaviour that wraps this one.
    pub(super) fn for_wrapper<W>(self) -> Effect<W>
    where
        W: EventSourced<Command = E::Command, Event = E::Event, State = E::State>,
    {
        let Self { kind, then, stop, unstash, rare } = self;
        let kind = match kind {
            Kind::Persist(events) => Kind::Persist(events),
            Kind::None => Kind::None,
            Kind::Unhandled => Kind::Unhandled,
            Kind::Stash(command) => Kind::Stash(command),
            Kind::Asynchronous(future, on_failure) => Kind::Asynchronous(future, on_failure),
        };
        let rare = rare.map(|rare| {
            let Rare { beside, metadata, timers, reminders } = *rare;
            Box::new(Rare { beside, metadata, timers, reminders })
        });
        Effect { kind, then, stop, unstash, rare }
    }

    /// The parts that few effects have, if it has any.
    pub(super) fn rare_parts(&self) -> Option<&Rare<E>> {
        self.rare.as_deref()
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
    /// let mut notes = EntityTest::local(Notes, "notes|n-1");
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
    /// let mut notes = EntityTest::local(Notes, "notes|n-1");
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
    /// let mut notes = EntityTest::local(Notes, "notes|n-1");
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
    /// let mut notes = EntityTest::local(Notes, "notes|n-1");
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
    /// tells the entity of such a failure; [`Self::then_asynchronous`] holds up no command. Not to
    /// be combined with `then_reply` and `then_run`, as
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
    /// #     reminders: stores.reminders,
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
    /// #     reminders: stores.reminders,
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
        self.then.push(Box::new(ThenReply::new(reply_to, value)));
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
    /// let mut notes = EntityTest::local(Notes(sender), "notes|n-1");
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

    /// Stores an entry of metadata with each event of this effect, besides the metadata of the
    /// command ([`CommandContext::metadata`]), whose entry under the same key it replaces. An
    /// effect without events stores none; at [`Self::stash`] and [`Self::asynchronous`] the entry
    /// is dropped, with an error in the log: the command that is handled later keeps the metadata
    /// of its own. Metadata beyond its bounds ([`Metadata`]) refuses the command with `Rejected`:
    /// nothing of the effect happens, whatever its kind, and no stop or unstash either.
    ///
    /// ```
    /// # use antiphon_persistence::entity::testkit::EntityTest;
    /// # use antiphon_persistence::entity::{CommandContext, Effect, EventContext, EventSourced};
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
    /// Effect::persist(command.to_owned()).with_metadata("via", "voice")
    /// #     }
    /// # }
    ///
    /// let mut notes = EntityTest::local(Notes, "notes|n-1");
    /// notes.tell("milk");
    /// assert_eq!(notes.new_labels()[0].metadata().get("via"), Some("voice"));
    /// ```
    pub fn with_metadata(mut self, key: impl Into<Box<str>>, value: impl Into<Box<str>>) -> Self {
        let with = |metadata: Metadata| metadata.with(key, value).map_err(Box::new);
        let rare = self.rare();
        let metadata = std::mem::replace(&mut rare.metadata, Ok(Metadata::new()));
        rare.metadata = metadata.and_then(with);
        self
    }

    /// Runs a future beside the commands: no other command waits for it. `start` makes the future
    /// from the state after the events, and the future begins when the events are durable. `made`
    /// makes a command of the future's value, or of its failure; the entity handles that command
    /// behind those that wait. A future that has not ended after `asynchronous_timeout` is dropped;
    /// at most `asynchronous_max` futures of an entity are under way.
    ///
    /// A command that waits for another entity uses this form: of entities that ask each other in
    /// [`Self::asynchronous`], one gets `Rejected` with the circle. An answer for the asker
    /// belongs into `made`, which is called in every case but one: if the entity starts again or is
    /// killed, the future is dropped, and the asker gets an error. A stop waits for the futures.
    /// Not to be combined with [`Self::stash`] and [`Self::asynchronous`].
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use antiphon_persistence::entity::{CommandContext, Effect, Effects, EntityParts};
    /// # use antiphon_persistence::entity::{EntityRuntime, EntitySettings, EventContext};
    /// # use antiphon_persistence::entity::{AsynchronousFailure, EventSourced, StandaloneHost};
    /// # use antiphon_persistence::identity::{ReplicaId, ReplicationId};
    /// # use antiphon_persistence::memory::MemoryStores;
    /// # use antiphon_persistence::reply::ReplyTo;
    /// # use antiphon_persistence::store::WriterId;
    /// # use antiphon_base::time::SystemClock;
    /// # async fn pay(cents: u32) -> u32 { cents / 100 }
    /// type Answer = ReplyTo<Result<u32, String>>;
    /// enum Command {
    ///     Order { cents: u32, reply_to: Answer },
    ///     Paid { receipt: Result<u32, AsynchronousFailure>, reply_to: Answer },
    /// }
    /// # struct Shop;
    /// # impl EventSourced for Shop {
    /// #     type Command = Command;
    /// #     type Event = u32;
    /// #     type State = u32;
    /// #     fn on_event(&self, _: &EventContext, sum: &mut u32, cents: &u32) { *sum += cents; }
    /// #     fn on_command(&self, _: &CommandContext, _: &u32, command: Command) -> Effect<Self> {
    /// match command {
    ///     Command::Order { cents, reply_to } => self.persist(cents).then_asynchronous(
    ///         |sum| pay(*sum),
    ///         |receipt| Command::Paid { receipt, reply_to },
    ///     ),
    ///     Command::Paid { receipt, reply_to } => {
    ///         self.reply(reply_to, receipt.map_err(|failure| failure.to_string()))
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
    /// #     reminders: stores.reminders,
    /// #     writer,
    /// #     peers: Default::default(),
    /// #     clock: Arc::new(SystemClock),
    /// #     host: Arc::new(StandaloneHost),
    /// #     coordination: None,
    /// # };
    /// # let replicas = [ReplicaId::empty()];
    /// # let settings = EntitySettings::default();
    /// # let entities = EntityRuntime::new(replicas, |_: &_| Shop, settings, parts).unwrap();
    /// # let shop = entities.spawn(ReplicationId::parse("shop|s-1").unwrap()).unwrap();
    /// let receipt = shop.try_ask(|reply_to| Command::Order { cents: 500, reply_to }).await;
    /// assert_eq!(receipt, Ok(5));
    /// # });
    /// ```
    pub fn then_asynchronous<T, F, Fut, G>(mut self, start: F, made: G) -> Self
    where
        T: Send + 'static,
        F: FnOnce(&E::State) -> Fut + Send + 'static,
        Fut: Future<Output = T> + Send + 'static,
        G: FnOnce(Result<T, AsynchronousFailure>) -> E::Command + Send + 'static,
    {
        self.rare().beside.push(ThenAsynchronous::new(start, made));
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
    /// let mut notes = EntityTest::local(Notes, "notes|n-1");
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
    /// let mut notes = EntityTest::local(Notes, "notes|n-1");
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
