//! The contexts of the handlers. The types hold the access rule: only the event handler knows where
//! an event came from.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use antiphon_base::time::Timestamp;

use super::request_note::RequestNote;
use super::surroundings::Surroundings;
use crate::crdt::{OperationContext, OperationNr};
use crate::event::{EventMeta, Metadata, RequestId, SequenceNr, Tags};
use crate::identity::{PersistenceId, ReplicaId, ReplicationId};
use crate::version::VersionVector;

/// The part of the context that both handlers have.
///
/// ```
/// # use antiphon_persistence::entity::testkit::EntityTest;
/// # use antiphon_persistence::entity::{CommandContext, Effect, EventContext, EventSourced};
/// # use antiphon_persistence::reply::ReplyTo;
/// # struct Cart;
/// # impl EventSourced for Cart {
/// #     type Command = ReplyTo<String>;
/// #     type Event = ();
/// #     type State = ();
/// #     fn on_event(&self, _: &EventContext, _: &mut (), _: &()) {}
///     fn on_command(
///         &self,
///         context: &CommandContext,
///         _: &(),
///         reply_to: ReplyTo<String>,
///     ) -> Effect<Self> {
///         let (cart, place) = (context.entity_id(), context.replica_id());
///         Effect::reply(reply_to, format!("cart {cart} in {place} has {}", context.sequence_nr()))
///     }
/// # }
///
/// let mut cart = EntityTest::new(Cart, "cart|c-1|DC-A");
/// assert_eq!(cart.ask(|reply_to| reply_to), Ok("cart c-1 in DC-A has 0".to_owned()));
/// ```
#[derive(Debug, Clone)]
pub struct ReplicationContext {
    surroundings: Arc<Surroundings>,
    current_time: Timestamp,
    sequence_nr: SequenceNr,
}

impl ReplicationContext {
    pub(super) fn new(surroundings: Arc<Surroundings>) -> Self {
        let (current_time, sequence_nr) = (Timestamp::default(), SequenceNr::ZERO);
        Self { surroundings, current_time, sequence_nr }
    }

    pub(super) fn surroundings(&self) -> &Arc<Surroundings> {
        &self.surroundings
    }

    pub(super) fn at(&mut self, time: Timestamp, sequence_nr: SequenceNr) {
        self.current_time = time;
        self.sequence_nr = sequence_nr;
    }

    /// Type, entity and replica.
    pub fn replication_id(&self) -> &ReplicationId {
        &self.surroundings.id
    }

    /// The id of the entity, the same at every replica.
    pub fn entity_id(&self) -> &str {
        self.surroundings.id.entity_id()
    }

    /// The id of this replica.
    pub fn replica_id(&self) -> &ReplicaId {
        self.surroundings.id.replica_id()
    }

    /// All replicas, this one too, sorted.
    pub fn all_replicas(&self) -> &[ReplicaId] {
        &self.surroundings.kin.replicas
    }

    /// The replica that does what must be done at one replica of this entity only, chosen from the
    /// id ([`ReplicationId::designated`]): the target of
    /// [`Reminder::at_replica`](super::Reminder::at_replica), say.
    pub fn designated(&self) -> &ReplicaId {
        let designated = self.replication_id().designated(self.all_replicas());
        designated.unwrap_or_else(|| self.replica_id())
    }

    /// Returns whether this replica is the designated one.
    ///
    /// ```
    /// # use antiphon_persistence::entity::testkit::EntityTest;
    /// # use antiphon_persistence::entity::{CommandContext, Effect, EventContext, EventSourced};
    /// # use antiphon_persistence::reply::ReplyTo;
    /// # struct Mail;
    /// # impl EventSourced for Mail {
    /// #     type Command = ReplyTo<bool>;
    /// #     type Event = ();
    /// #     type State = ();
    /// #     fn on_event(&self, _: &EventContext, _: &mut (), _: &()) {}
    ///     fn on_command(
    ///         &self,
    ///         context: &CommandContext,
    ///         _: &(),
    ///         reply_to: ReplyTo<bool>,
    ///     ) -> Effect<Self> {
    ///         // the mail leaves at one replica only
    ///         Effect::reply(reply_to, context.is_designated())
    ///     }
    /// # }
    ///
    /// let mut mail = EntityTest::new(Mail, "mail|m-1|DC-A");
    /// assert_eq!(mail.ask(|reply_to| reply_to), Ok(true), "the only replica");
    /// ```
    pub fn is_designated(&self) -> bool {
        self.designated() == self.replica_id()
    }

    /// The name of this replica's stream.
    pub fn persistence_id(&self) -> PersistenceId {
        self.surroundings.id.persistence_id()
    }

    /// In the command handler: a time that never goes back, also not across restarts or fail-over,
    /// and that is after the time of every event seen, except events of other replicas whose time
    /// was more than `time_skew_max` ahead of the time of day here. In the event handler: the time
    /// of the event, the same at every replica and at every replay.
    pub fn current_time(&self) -> Timestamp {
        self.current_time
    }

    /// In the command handler: the number of the newest event in this replica's stream. In the
    /// event handler: the number of the event in that stream.
    pub fn sequence_nr(&self) -> SequenceNr {
        self.sequence_nr
    }
}

/// The other handling of a request: two replicas have handled it without knowing of each other.
///
/// ```
/// # use antiphon_persistence::entity::testkit::EntityTest;
/// # use antiphon_persistence::entity::{CommandContext, Effect, EventContext, EventSourced};
/// # use antiphon_persistence::reply::ReplyTo;
/// use antiphon_persistence::entity::Effects;
///
/// # enum Command { Buy { reply_to: ReplyTo<u64> } }
/// # struct Order;
/// # impl EventSourced for Order {
/// #     type Command = Command;
/// #     type Event = i64;
/// #     type State = i64;
/// #     fn on_command(&self, _: &CommandContext, _: &i64, command: Command) -> Effect<Self> {
/// #         let Command::Buy { reply_to } = command;
/// #         self.persist(1).then_reply(reply_to, |count| count.unsigned_abs())
/// #     }
///     /// Counts a purchase that two places have handled once.
///     fn on_event(&self, context: &EventContext, count: &mut i64, bought: &i64) {
///         let is_second = context.done_before().is_some_and(|other| other.is_overruled);
///         *count += if is_second { 0 } else { *bought };
///     }
/// # }
/// # let mut order = EntityTest::local(Order, "order|o-1|DC-A");
/// # assert_eq!(order.ask(|reply_to| Command::Buy { reply_to }), Ok(1));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DoneBefore {
    /// The replica of the other handling.
    pub origin: ReplicaId,
    /// The time of the first event of the other handling.
    pub timestamp: Timestamp,
    /// True when the event at hand overrules the other handling: its own handling began earlier, or
    /// at the same time at a replica with a lower id. Every replica that sees both handlings within
    /// the bounds of its memory (`requests_max`, `requests_age`) lets the same one overrule the
    /// other. False in the command handler.
    pub is_overruled: bool,
}

/// The context of the command handler.
///
/// ```
/// # use antiphon_persistence::entity::testkit::EntityTest;
/// # use antiphon_persistence::entity::{CommandContext, Effect, EventContext, EventSourced};
/// # struct Log;
/// # impl EventSourced for Log {
/// #     type Command = &'static str;
/// #     type Event = String;
/// #     type State = Vec<String>;
/// #     fn on_event(&self, _: &EventContext, lines: &mut Vec<String>, line: &String) {
/// #         lines.push(line.clone());
/// #     }
///     fn on_command(
///         &self,
///         context: &CommandContext,
///         _: &Vec<String>,
///         text: &'static str,
///     ) -> Effect<Self> {
///         Effect::persist(format!("{} at {}: {text}", context.entity_id(), context.replica_id()))
///     }
/// # }
///
/// let mut log = EntityTest::local(Log, "log|l-1|DC-A");
/// log.tell("begun");
/// assert_eq!(log.state(), &["l-1 at DC-A: begun"]);
/// ```
#[derive(Debug)]
pub struct CommandContext {
    pub(super) common: ReplicationContext,
    pub(super) metadata: Metadata,
    pub(super) done_before: Option<Box<DoneBefore>>,
}

impl CommandContext {
    /// The metadata that came with the command; it is stored with each event of the command. In
    /// [`Signal::SnapshotRecovered`] and [`Signal::SnapshotSaved`] that of the snapshot, and empty
    /// in other signals. In [`snapshot_metadata`] that of the command whose events made the
    /// snapshot due, with the entries of its effect; empty if events of other replicas did.
    ///
    /// [`Signal::SnapshotRecovered`]: super::Signal::SnapshotRecovered
    /// [`Signal::SnapshotSaved`]: super::Signal::SnapshotSaved
    /// [`snapshot_metadata`]: super::EventSourced::snapshot_metadata
    ///
    /// ```
    /// # use antiphon_persistence::entity::testkit::EntityTest;
    /// # use antiphon_persistence::entity::{CommandContext, Effect, EventContext, EventSourced};
    /// # use antiphon_persistence::reply::ReplyTo;
    /// use antiphon_persistence::event::Metadata;
    ///
    /// # struct Cart;
    /// # impl EventSourced for Cart {
    /// #     type Command = ReplyTo<String>;
    /// #     type Event = ();
    /// #     type State = ();
    /// #     fn on_event(&self, _: &EventContext, _: &mut (), _: &()) {}
    ///     fn on_command(
    ///         &self,
    ///         context: &CommandContext,
    ///         _: &(),
    ///         reply_to: ReplyTo<String>,
    ///     ) -> Effect<Self> {
    ///         let id = context.metadata().get("correlation-id").unwrap_or("none");
    ///         Effect::reply(reply_to, id.to_owned())
    ///     }
    /// # }
    ///
    /// let metadata = Metadata::new().with("correlation-id", "order-7")?;
    /// let mut cart = EntityTest::new(Cart, "cart|c-1").with_metadata(metadata);
    /// assert_eq!(cart.ask(|reply_to| reply_to), Ok("order-7".to_owned()));
    /// # Ok::<(), antiphon_persistence::Error>(())
    /// ```
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The id of the request that the command is, if its client sent one (`ask_once`).
    ///
    /// ```
    /// # use antiphon_persistence::entity::testkit::EntityTest;
    /// # use antiphon_persistence::entity::{CommandContext, Effect, EventContext, EventSourced};
    /// # use antiphon_persistence::reply::ReplyTo;
    /// use antiphon_persistence::event::RequestId;
    ///
    /// # struct Cart;
    /// # impl EventSourced for Cart {
    /// #     type Command = ReplyTo<String>;
    /// #     type Event = String;
    /// #     type State = String;
    /// #     fn on_event(&self, _: &EventContext, state: &mut String, id: &String) {
    /// #         *state = id.clone();
    /// #     }
    ///     fn on_command(
    ///         &self,
    ///         context: &CommandContext,
    ///         _: &String,
    ///         reply_to: ReplyTo<String>,
    ///     ) -> Effect<Self> {
    ///         let id = context.request_id().expect("every client sends one").to_string();
    ///         Effect::<Self>::persist(id).then_reply(reply_to, |id| id.clone())
    ///     }
    /// # }
    ///
    /// let mut cart = EntityTest::new(Cart, "cart|c-1");
    /// let id = RequestId::new("checkout-7")?;
    /// for _ in 0..2 {
    ///     assert_eq!(cart.ask_once(&id, |reply_to| reply_to), Ok("checkout-7".to_owned()));
    /// }
    /// assert_eq!(cart.new_events().len(), 1);
    /// # Ok::<(), antiphon_persistence::Error>(())
    /// ```
    pub fn request_id(&self) -> Option<RequestId> {
        self.metadata.request_id()
    }

    /// The handling of the same request at another replica, whose events have arrived here after
    /// this handling began: only the command of a future can see one. An event that the command
    /// stores is one of a second handling, so this is the place to give back what the future took.
    pub fn done_before(&self) -> Option<&DoneBefore> {
        self.done_before.as_deref()
    }
}

impl Deref for CommandContext {
    type Target = ReplicationContext;

    fn deref(&self) -> &ReplicationContext {
        &self.common
    }
}

/// The context of the event handler; also says where the event came from.
///
/// The command handler has no such functions:
///
/// ```compile_fail
/// # use antiphon_persistence::entity::CommandContext;
/// fn handler(context: &CommandContext) -> bool { context.concurrent() }
/// ```
///
/// ```
/// # use antiphon_persistence::entity::testkit::EntityTest;
/// # use antiphon_persistence::entity::{CommandContext, Effect, EventContext, EventSourced};
/// # struct Log;
/// # impl EventSourced for Log {
/// #     type Command = &'static str;
/// #     type Event = String;
/// #     type State = Vec<String>;
/// #     fn on_command(
/// #         &self, _: &CommandContext, _: &Vec<String>, text: &'static str,
/// #     ) -> Effect<Self> {
/// #         Effect::persist(text.to_owned())
/// #     }
///     fn on_event(&self, context: &EventContext, lines: &mut Vec<String>, text: &String) {
///         let mark = if context.concurrent() { "?" } else { "" };
///         lines.push(format!("{}: {text}{mark}", context.origin()));
///     }
/// # }
///
/// let mut log = EntityTest::local(Log, "log|l-1|DC-A");
/// log.tell("begun");
/// assert_eq!(log.state(), &["DC-A: begun"]);
/// ```
#[derive(Debug)]
pub struct EventContext {
    pub(super) common: ReplicationContext,
    pub(super) meta: EventMeta,
    pub(super) recovery_running: bool,
    /// The numbers that operations of replicated types have taken of the stored event.
    pub(super) operations: AtomicU32,
    pub(super) done_before: Option<Box<DoneBefore>>,
}

impl Deref for EventContext {
    type Target = ReplicationContext;

    fn deref(&self) -> &ReplicationContext {
        &self.common
    }
}

impl EventContext {
    /// The replica at which the event was written first.
    pub fn origin(&self) -> &ReplicaId {
        &self.meta.origin
    }

    /// Returns whether this replica had, when the event arrived, events that its origin did not
    /// know. The same at every replay.
    pub fn concurrent(&self) -> bool {
        self.meta.concurrent
    }

    /// Per origin, the number of events that precede or equal the event.
    pub fn version(&self) -> &VersionVector {
        &self.meta.version
    }

    /// The metadata that is stored with the event, the same at every replica and at every replay.
    ///
    /// ```
    /// # use antiphon_persistence::entity::testkit::EntityTest;
    /// # use antiphon_persistence::entity::{CommandContext, Effect, EventContext, EventSourced};
    /// use antiphon_persistence::event::Metadata;
    ///
    /// # struct Log;
    /// # impl EventSourced for Log {
    /// #     type Command = &'static str;
    /// #     type Event = String;
    /// #     type State = Vec<String>;
    /// #     fn on_command(
    /// #         &self, _: &CommandContext, _: &Vec<String>, text: &'static str,
    /// #     ) -> Effect<Self> {
    /// #         Effect::persist(text.to_owned())
    /// #     }
    ///     fn on_event(&self, context: &EventContext, lines: &mut Vec<String>, text: &String) {
    ///         let user = context.metadata().get("user").unwrap_or("somebody");
    ///         lines.push(format!("{user}: {text}"));
    ///     }
    /// # }
    ///
    /// let metadata = Metadata::new().with("user", "anna")?;
    /// let mut log = EntityTest::local(Log, "log|l-1").with_metadata(metadata);
    /// log.tell("begun");
    /// assert_eq!(log.state(), &["anna: begun"]);
    /// # Ok::<(), antiphon_persistence::Error>(())
    /// ```
    pub fn metadata(&self) -> &Metadata {
        self.meta.labels.metadata()
    }

    /// The tags that are stored with the event, see [`super::EventSourced::tags`].
    ///
    /// ```
    /// # use antiphon_persistence::entity::EventContext;
    /// fn is_large(context: &EventContext) -> bool {
    ///     context.tags().contains("large")
    /// }
    /// ```
    pub fn tags(&self) -> &Tags {
        self.meta.labels.tags()
    }

    /// The id of the request whose command stored the event, if it has one. The same at every
    /// replica and at every replay.
    ///
    /// ```
    /// # use antiphon_persistence::entity::EventContext;
    /// fn name_of(context: &EventContext) -> String {
    ///     context.request_id().map_or("no request".to_owned(), |id| id.to_string())
    /// }
    /// ```
    pub fn request_id(&self) -> Option<RequestId> {
        let note = RequestNote::read(self.meta.labels.metadata());
        note.ok().flatten().map(|note| note.id)
    }

    /// The other handling of the request of this event, whose events were applied before: a client
    /// has repeated the request at another replica before the events of the first handling arrived
    /// there. The same at every replay. A state that is to count a request once undoes the other
    /// handling if this event overrules it, and leaves this event out if not; every replica ends
    /// with the same one then.
    ///
    /// ```
    /// # use antiphon_persistence::entity::EventContext;
    /// use std::collections::BTreeMap;
    ///
    /// use antiphon_persistence::event::RequestId;
    ///
    /// /// The cents that each request has paid: of two handlings of one request, one counts.
    /// fn on_paid(context: &EventContext, paid: &mut BTreeMap<RequestId, u64>, cents: u64) {
    ///     let Some(id) = context.request_id() else { return };
    ///     match context.done_before() {
    ///         Some(before) if !before.is_overruled => {}
    ///         Some(_) | None => drop(paid.insert(id, cents)),
    ///     }
    /// }
    /// ```
    pub fn done_before(&self) -> Option<&DoneBefore> {
        self.done_before.as_deref()
    }

    /// Returns whether the event is replayed from the journal.
    pub fn recovery_running(&self) -> bool {
        self.recovery_running
    }
}

/// The number of the stored event, and the count of its operations: two events that an adapter
/// makes of one stored event share the count.
impl OperationContext for EventContext {
    fn origin(&self) -> &ReplicaId {
        &self.meta.origin
    }

    fn take(&self, count: u32) -> OperationNr {
        let index = self.operations.fetch_add(count, Ordering::Relaxed);
        OperationNr { event: self.meta.origin_nr(), index }
    }
}
