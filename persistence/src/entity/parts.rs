//! The components that entities are built from, and the values that the entities of a type share.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};

use antiphon_base::guard;
use antiphon_base::text::foreign;
use antiphon_base::time::Clock;
use tokio::sync::{OnceCell, Semaphore};

use super::engine::Engine;
use super::surroundings::{Address, Kin, Surroundings};
use super::{EntityCounters, EntityHost, EntitySettings, EventSourced, Extensions};
use crate::Result;
use crate::event::StoredEvent;
use crate::identity::{ReplicaId, ReplicationId};
use crate::shape::{Kinds, ShapeBook, kinds};
use crate::store::{Coordination, Journal, ReminderStore, SnapshotStore, WriterId};

/// The components that entities are built from.
#[derive(Clone)]
pub struct EntityParts {
    /// The journal of this place.
    pub journal: Arc<dyn Journal>,
    /// The snapshots of this place.
    pub snapshots: Arc<dyn SnapshotStore>,
    /// The index of the reminders of this place.
    pub reminders: Arc<dyn ReminderStore>,
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

/// Makes the behaviour of an entity.
pub(super) type Factory<E> = Arc<dyn Fn(&ReplicationId) -> Result<E> + Send + Sync>;

/// Compares the kinds that a behaviour stores with the stored shapes of the places, when an entity
/// starts.
pub type LateShapes =
    Arc<dyn Fn(Kinds) -> Pin<Box<dyn Future<Output = Result<ShapeBook>> + Send>> + Send + Sync>;

/// The values that the entities of one type at one node share.
pub(super) struct Inner<E: EventSourced> {
    pub(super) parts: EntityParts,
    pub(super) settings: Arc<EntitySettings>,
    pub(super) counters: Arc<EntityCounters>,
    pub(super) permits: Arc<Semaphore>,
    pub(super) shapes: OnceCell<ShapeBook>,
    pub(super) late_shapes: OnceLock<LateShapes>,
    pub(super) replicas: Arc<[ReplicaId]>,
    pub(super) factory: Factory<E>,
    /// The values that the contexts of all entities share; made before the first entity.
    pub(super) kin: OnceLock<Arc<Kin>>,
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

    pub(super) fn kin(&self) -> &Arc<Kin> {
        self.kin.get_or_init(|| self.new_kin(Extensions::default()))
    }

    pub(super) fn new_kin(&self, extensions: Extensions) -> Arc<Kin> {
        let (replicas, counters) = (self.replicas.clone(), self.counters.clone());
        Kin::of::<E>(replicas, extensions, self.settings.mailbox_max, counters)
    }

    /// The engine of an entity, with the behaviour that the application makes.
    ///
    /// # Errors
    /// The reason why the application could not make the behaviour, or how its types differ from
    /// the stored shapes.
    pub(super) async fn engine(
        &self,
        id: &ReplicationId,
        address: Address,
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
        let surroundings = Surroundings::new(id.clone(), self.kin().clone(), address);
        Ok(Engine::new(behaviour, surroundings, self.settings.clone())
            .with_limits(self.parts.journal.limits())
            .with_shapes(self.shapes.get().cloned()))
    }

    /// Compares the shapes once, if [`EntityRuntime::with_late_shapes`] asked for it.
    async fn compare_shapes(&self, behaviour: &Arc<E>) -> Result<()> {
        let Some(compare) = self.late_shapes.get() else { return Ok(()) };
        self.shapes.get_or_try_init(|| compare(kinds(behaviour))).await.map(drop)
    }
}
