//! The values that all parts of an entity's engine share.

use std::sync::Arc;

use super::Generation;
use crate::entity::surroundings::Surroundings;
use crate::entity::{EntityCounters, EntitySettings, EventSourced};
use crate::identity::{ReplicaId, ReplicationId};
use crate::shape::ShapeBook;
use crate::store::Limits;

/// The values that all parts of an entity's engine share. Only `generation` changes in its life.
pub(super) struct Shared<E: EventSourced> {
    pub(super) behaviour: Arc<E>,
    pub(super) id: ReplicationId,
    pub(super) surroundings: Arc<Surroundings>,
    pub(super) settings: Arc<EntitySettings>,
    pub(super) counters: Arc<EntityCounters>,
    pub(super) generation: Generation,
    /// The limits of the journal.
    pub(super) limits: Limits,
    /// The shapes that the place has; `None`: no kind of event is refused.
    pub(super) shapes: Option<ShapeBook>,
}

impl<E: EventSourced> Shared<E> {
    /// All replicas, this one too, sorted.
    pub(super) fn replicas(&self) -> &[ReplicaId] {
        &self.surroundings.kin.replicas
    }

    /// Returns whether the replica is the one that this engine runs.
    pub(super) fn is_own(&self, replica: &ReplicaId) -> bool {
        replica == self.id.replica_id()
    }
}
