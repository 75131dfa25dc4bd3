//! Starts the entities of one type at one node.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, OnceLock};

use antiphon_base::guard;
use antiphon_base::text::foreign;
use antiphon_base::time::Clock;
use ractor::ActorRuntime;
use tokio::sync::{OnceCell, Semaphore};

use super::actor::{Arguments, EntityActor, EntityMessage};
use super::engine::{Engine, Input};
use super::handle::Signs;
use super::{EntityCounters, EntityHandle, EntityHost, EntitySettings, EventSourced, Writes};
use crate::event::StoredEvent;
use crate::identity::{ReplicaId, ReplicationId};
use crate::shape::{Kinds, ShapeBook, kinds};
use crate::store::{Coordination, Journal, SnapshotStore, WriterId};
use crate::{Error, Result};

/// The components that entities are built from.
#[derive(Clone)]
pub struct EntityParts {
    /// The journal of this place.
    pub journal: Arc<dyn Journal>,
    /// The snapshots of this place.
    pub snapshots: Arc<dyn SnapshotStore>,
    /// The writer of this node, opened in `journal`.
    pub writer: WriterId,
    /// The journals of the other replicas; they are only read.
    pub peers: BTreeMap<ReplicaId, Arc<dyn Journal>>,
    /// The source of time.
    pub clock: Arc<dyn Clock>,
    /// The host of the entities: the shard, or a test.
    pub host: Arc<dyn EntityHost>,
    /// The store in which an operator records events to be skipped; `None`: no event is skipped.
    pub coordination: Option<Arc<dyn Coordination>>,
}

type Factory<E> = Arc<dyn Fn(&ReplicationId) -> Result<E> + Send + Sync>;

/// Compares the kinds that a behaviour stores with the stored shapes of the places, when an entity
/// starts.
pub type LateShapes =
    Arc<dyn Fn(Kinds) -> Pin<Box<dyn Future<Output = Result<ShapeBook>> + Send>> + Send + Sync>;

pub(super) struct Inner<E: EventSourced> {
    pub(super) parts: EntityParts,
    pub(super) settings: Arc<EntitySettings>,
    pub(super) counters: Arc<EntityCounters>,
    pub(super) permits: Arc<Semaphore>,
    shapes: OnceCell<ShapeBook>,
    late_shapes: OnceLock<LateShapes>,
    replicas: Arc<[ReplicaId]>,
    factory: Factory<E>,
}

impl<E: EventSourced> Inner<E> {
    /// The book that has to record the shapes of these events; `None` when all are recorded.
    pub(super) fn shapes_of_events(&self, events: &[StoredEvent]) -> Option<ShapeBook> {
        let is_left = |shapes: &&ShapeBook| {
            events.iter().any(|event| !shapes.is_complete(event.payload.codec))
        };
        self.shapes.get().filter(is_left).cloned()
    }

    pub(super) fn shapes_of_states(&self) -> Option<ShapeBook> {
        self.shapes.get().cloned()
    }
}

/// Starts the entities of one type at one node. Cheap to clone.
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
        let (signs, writes) = (Arc::<Signs>::default(), Writes::of_entity(shard));
        let arrivals_max = inner.settings.arrivals_max;
        let doubts = inner.parts.host.doubts(&id);
        let arguments =
            Arguments { id, signs: signs.clone(), writes: writes.clone(), runtime: inner };
        let (actor, _started) = ActorRuntime::spawn_instant(None, EntityActor::new(), arguments)
            .map_err(|error| Error::bug(format!("the entity's actor cannot start: {error}")))?;
        let taken = Arc::new(AtomicUsize::new(0));
        let handle =
            EntityHandle { actor, taken, mailbox_max, signs, arrivals_max, writes, counters };
        if !doubts.is_empty() {
            let _ = handle.actor.send_message(EntityMessage::Input(Input::Doubted(doubts)));
        }
        let _ = handle.actor.send_message(EntityMessage::Input(Input::Start));
        Ok(handle)
    }
}

impl<E: EventSourced> Inner<E> {
    /// The engine of an entity, with the behaviour that the application makes.
    ///
    /// # Errors
    /// The reason why the application could not make the behaviour, or how its types differ from
    /// the stored shapes.
    pub(super) async fn engine(
        &self,
        id: &ReplicationId,
    ) -> std::result::Result<Engine<E>, String> {
        let made = guard::call("factory", id, || (self.factory)(id));
        let behaviour = match made {
            Ok(Ok(behaviour)) => Arc::new(behaviour),
            Ok(Err(error)) => {
                let why = foreign(&error.to_string()).to_string();
                tracing::error!(%id, %why, "the factory of an entity failed");
                return Err(format!("the factory of `{id}` failed: {why}"));
            }
            Err(failure) => return Err(format!("{failure} for `{id}`")),
        };
        self.compare_shapes(&behaviour).await.map_err(|error| {
            tracing::error!(%id, %error, "an entity is not started: its types are not compared");
            error.to_string()
        })?;
        Ok(Engine::new(
            behaviour,
            id.clone(),
            self.replicas.clone(),
            self.settings.clone(),
            self.counters.clone(),
        )
        .with_limits(self.parts.journal.limits())
        .with_shapes(self.shapes.get().cloned()))
    }

    /// Compares the shapes once, if [`EntityRuntime::with_late_shapes`] asked for it.
    async fn compare_shapes(&self, behaviour: &Arc<E>) -> Result<()> {
        let Some(compare) = self.late_shapes.get() else { return Ok(()) };
        self.shapes.get_or_try_init(|| compare(kinds(behaviour))).await.map(drop)
    }
}
