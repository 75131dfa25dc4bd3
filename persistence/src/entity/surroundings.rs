//! The things around one entity that the contexts of its handlers give access to: its names, the
//! values of its type, and the way to its own mailbox.

use std::any::{Any, TypeId, type_name};
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use ractor::ActorCell;

use super::listeners::Listeners;
use super::{EntityCounters, EntitySettings, Extensions};
use crate::identity::{ReplicaId, ReplicationId};

/// The values that the contexts of all entities of one type at one node share.
pub(crate) struct Kin {
    pub(super) replicas: Arc<[ReplicaId]>,
    pub(super) extensions: Extensions,
    pub(super) mailbox_max: usize,
    pub(super) counters: Arc<EntityCounters>,
    pub(super) listeners: Listeners,
    behaviour: (TypeId, &'static str),
}

impl Kin {
    pub(super) fn of<E: 'static>(
        replicas: Arc<[ReplicaId]>,
        extensions: Extensions,
        settings: &EntitySettings,
        counters: Arc<EntityCounters>,
    ) -> Arc<Self> {
        let behaviour = (TypeId::of::<E>(), type_name::<E>());
        let mailbox_max = settings.mailbox_max;
        let listeners = Listeners::new(settings.listener_appends_max, settings.listener_bytes_max);
        Arc::new(Self { replicas, extensions, mailbox_max, counters, listeners, behaviour })
    }

    /// The name of the behaviour's type, if it is not `E`.
    pub(super) fn other_behaviour<E: 'static>(&self) -> Option<&'static str> {
        let (behaviour, name) = self.behaviour;
        (behaviour != TypeId::of::<E>()).then_some(name)
    }
}

/// The way to an entity's own mailbox.
pub(super) enum Address {
    /// An actor, whose messages are an entity's, and the entity's `Mailbox`.
    Actor(ActorCell, Arc<dyn Any + Send + Sync>),
    /// A queue that the testkit empties; each value is a command.
    Queue(Arc<Mutex<VecDeque<Box<dyn Any + Send>>>>),
    /// Nothing: an engine by itself.
    #[cfg(test)]
    Nowhere,
}

/// The things around one entity, shared by the contexts of its handlers.
pub(crate) struct Surroundings {
    pub(super) id: ReplicationId,
    pub(super) kin: Arc<Kin>,
    pub(super) address: Address,
}

impl Surroundings {
    pub(super) fn new(id: ReplicationId, kin: Arc<Kin>, address: Address) -> Arc<Self> {
        Arc::new(Self { id, kin, address })
    }
}

impl fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Surroundings({})", self.id)
    }
}
