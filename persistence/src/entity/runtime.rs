//! Starts the entities of one type at one node.

use std::fmt::Display;
use std::sync::{Arc, OnceLock};

use ractor::ActorRuntime;
use tokio::sync::{OnceCell, Semaphore};

use super::actor::{Arguments, EntityActor};
use super::engine::Input;
use super::mailbox::{Mailbox, Receiving};
use super::message::EntityMessage;
use super::parts::{EntityParts, Inner, LateShapes};
use super::{
    EntityCounters, EntityHandle, EntitySettings, EventListener, EventSourced, Extensions, Writes,
};
use crate::identity::{ReplicaId, ReplicationId};
use crate::shape::ShapeBook;
use crate::{Error, Result};

/// Starts the entities of one type at one node. Cheap to clone.
///
/// ```
/// use std::collections::BTreeMap;
/// use std::sync::Arc;
///
/// use antiphon_base::time::SystemClock;
/// use antiphon_persistence::entity::{EntityParts, EntityRuntime, EntitySettings, StandaloneHost};
/// use antiphon_persistence::identity::{ReplicaId, ReplicationId};
/// use antiphon_persistence::memory::MemoryStores;
/// use antiphon_persistence::store::WriterId;
/// # use antiphon_persistence::entity::{CommandContext, Effect, EventContext, EventSourced};
/// # use antiphon_persistence::reply::ReplyTo;
/// # struct Counter;
/// # impl EventSourced for Counter {
/// #     type Command = (i64, ReplyTo<i64>);
/// #     type Event = i64;
/// #     type State = i64;
/// #     fn on_command(
/// #         &self, _: &CommandContext, _: &i64, (delta, to): Self::Command,
/// #     ) -> Effect<Self> {
/// #         Effect::persist(delta).then_reply(to, |sum| *sum)
/// #     }
/// #     fn on_event(&self, _: &EventContext, sum: &mut i64, delta: &i64) { *sum += delta; }
/// # }
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
/// # runtime.block_on(async {
///
/// let stores = MemoryStores::new().stores();
/// let writer = WriterId::new("node@1")?;
/// stores.journal.open_writer(&writer).await?;
/// let parts = EntityParts {
///     journal: stores.journal,
///     snapshots: stores.snapshots,
///     reminders: stores.reminders,
///     writer,
///     peers: BTreeMap::new(),
///     clock: Arc::new(SystemClock),
///     host: Arc::new(StandaloneHost),
///     coordination: None,
/// };
/// let (replicas, settings) = ([ReplicaId::empty()], EntitySettings::default());
/// let counters = EntityRuntime::new(replicas, |_: &ReplicationId| Counter, settings, parts)?;
/// let counter = counters.spawn(ReplicationId::parse("counter|c-1")?)?;
/// assert_eq!(counter.ask(|reply_to| (2, reply_to)).await, Ok(2));
/// # Ok::<(), antiphon_persistence::Error>(())
/// # }).unwrap();
/// ```
pub struct EntityRuntime<E: EventSourced> {
    inner: Arc<Inner<E>>,
}

impl<E: EventSourced> Clone for EntityRuntime<E> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

impl<E: EventSourced> EntityRuntime<E> {
    /// A runtime for entities with these replicas. `factory` makes the behaviour of an entity, in
    /// the entity's own task.
    ///
    /// # Errors
    /// `Rejected` when a setting is wrong, there is no replica, or a replica is named twice.
    pub fn new(
        replicas: impl IntoIterator<Item = ReplicaId>,
        factory: impl Fn(&ReplicationId) -> E + Send + Sync + 'static,
        settings: EntitySettings,
        parts: EntityParts,
    ) -> Result<Self> {
        Self::try_new(replicas, move |id: &ReplicationId| Ok(factory(id)), settings, parts)
    }

    /// The same with a factory that may fail. After a failure, the commands that wait get `Failed`
    /// with the reason, and the next command starts the entity anew.
    ///
    /// # Errors
    /// `Rejected` when a setting is wrong, there is no replica, or a replica is named twice.
    pub fn try_new(
        replicas: impl IntoIterator<Item = ReplicaId>,
        factory: impl Fn(&ReplicationId) -> Result<E> + Send + Sync + 'static,
        settings: EntitySettings,
        parts: EntityParts,
    ) -> Result<Self> {
        settings.validate()?;
        let mut replicas: Vec<ReplicaId> = replicas.into_iter().collect();
        replicas.sort();
        if replicas.is_empty() {
            return Err(Error::rejected("`replicas`: expected at least one, actual none"));
        }
        if let Some(twice) = replicas.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(Error::rejected(format!(
                "`replicas`: expected each replica once, actual `{}` twice",
                twice[0]
            )));
        }
        let permits = Arc::new(Semaphore::new(settings.recoveries_max));
        Ok(Self {
            inner: Arc::new(Inner {
                parts,
                settings: Arc::new(settings),
                counters: Arc::default(),
                permits,
                shapes: OnceCell::new(),
                late_shapes: OnceLock::new(),
                kin: OnceLock::new(),
                replicas: replicas.into(),
                factory: Arc::new(factory),
            }),
        })
    }

    /// Records the shape of each kind of event, and of the state, before its first value is stored.
    /// A second call changes nothing.
    #[must_use]
    pub fn with_shapes(self, shapes: ShapeBook) -> Self {
        let _ = self.inner.shapes.set(shapes);
        self
    }

    /// Makes the shapes from the first behaviour that the factory makes: no entity recovers before
    /// `compare` has accepted them. An entity that `compare` refuses is not started, and its
    /// commands get `Failed` with the reason; the next command compares again.
    #[must_use]
    pub fn with_late_shapes(self, compare: LateShapes) -> Self {
        let _ = self.inner.late_shapes.set(compare);
        self
    }

    /// Gives the handlers of all entities these values
    /// ([`CommandContext::extension`](super::CommandContext::extension)). A call after the first
    /// entity was started, or a second call, changes nothing.
    #[must_use]
    pub fn with_extensions(self, extensions: Extensions) -> Self {
        let _ = self.inner.kin.set(self.inner.new_kin(extensions));
        self
    }

    /// Listens to the events that the entities of this runtime make durable from now on. Values for
    /// the handlers ([`Self::with_extensions`]) are set before.
    pub fn listen(&self) -> EventListener<E> {
        EventListener::new(&self.inner)
    }

    /// Ends all listeners, and those to come: no more events become durable here.
    pub fn close_listeners(&self) {
        self.inner.kin().listeners.close();
    }

    /// The counters of all entities of this runtime.
    pub fn counters(&self) -> &Arc<EntityCounters> {
        &self.inner.counters
    }

    /// All replicas, sorted.
    pub fn replicas(&self) -> &Arc<[ReplicaId]> {
        &self.inner.replicas
    }

    /// Starts an entity; it recovers by itself. No other entity with that id may run at this place:
    /// the journal would fence one of the two.
    ///
    /// # Errors
    /// `Rejected` when the replica is not a replica of the runtime; `Bug` when the actor cannot be
    /// started.
    pub fn spawn(&self, id: ReplicationId) -> Result<EntityHandle<E>> {
        self.start(id, None)
    }

    /// The same for an entity of a shard, whose appends are counted in `writes`.
    ///
    /// # Errors
    /// See [`EntityRuntime::spawn`].
    pub fn spawn_in(&self, id: ReplicationId, writes: Arc<Writes>) -> Result<EntityHandle<E>> {
        self.start(id, Some(writes))
    }

    fn start(&self, id: ReplicationId, shard: Option<Arc<Writes>>) -> Result<EntityHandle<E>> {
        if !self.inner.replicas.contains(id.replica_id()) {
            return Err(Error::rejected(format!(
                "replica `{}` of `{id}`: expected one of {:?}",
                id.replica_id(),
                self.inner.replicas.iter().map(ReplicaId::as_str).collect::<Vec<_>>()
            )));
        }
        let inner = self.inner.clone();
        let (mailbox_max, counters) = (inner.settings.mailbox_max, inner.counters.clone());
        let writes = Writes::of_entity(shard);
        let arrivals_max = inner.settings.arrivals_max;
        let doubts = inner.parts.host.doubts(&id);
        let mailbox = Arc::<Mailbox<E::Command>>::default();
        let arguments = Arguments {
            id,
            mailbox: Receiving::new(mailbox.clone()),
            writes: writes.clone(),
            runtime: inner,
        };
        let failed =
            |error: &dyn Display| Error::bug(format!("the entity's actor cannot start: {error}"));
        let (actor, _started) = ActorRuntime::spawn_instant(None, EntityActor::new(), arguments)
            .map_err(|error| failed(&error))?;
        let handle = EntityHandle { actor, mailbox, mailbox_max, arrivals_max, writes, counters };
        let doubted = (!doubts.is_empty()).then_some(Input::Doubted(doubts));
        for input in doubted.into_iter().chain([Input::Start]) {
            let sent = handle.actor.send_message(EntityMessage::Input(Box::new(input)));
            sent.map_err(|error| failed(&error))?;
        }
        Ok(handle)
    }
}
