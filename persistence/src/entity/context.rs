//! The contexts of the handlers. The types hold the access rule: only the event handler knows where
//! an event came from.

use std::ops::Deref;
use std::sync::Arc;

use antiphon_base::time::Timestamp;

use super::surroundings::Surroundings;
use crate::event::{EventMeta, Metadata, SequenceNr, Tags};
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

/// The context of the command handler.
#[derive(Debug)]
pub struct CommandContext {
    pub(super) common: ReplicationContext,
    pub(super) metadata: Metadata,
}

impl CommandContext {
    /// The metadata that came with the command; empty in `on_signal`. It is stored with each event
    /// of the command.
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
/// let mut log = EntityTest::new(Log, "log|l-1|DC-A");
/// log.tell("begun");
/// assert_eq!(log.state(), &["DC-A: begun"]);
/// ```
#[derive(Debug)]
pub struct EventContext {
    pub(super) common: ReplicationContext,
    pub(super) meta: EventMeta,
    pub(super) recovery_running: bool,
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
    /// let mut log = EntityTest::new(Log, "log|l-1").with_metadata(metadata);
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

    /// Returns whether the event is replayed from the journal.
    pub fn recovery_running(&self) -> bool {
        self.recovery_running
    }
}
