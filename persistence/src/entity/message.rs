//! The messages of an entity's actor, and I/O whose result comes back as one.

use std::future::Future;

use antiphon_base::task;
use ractor::ActorRef;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;

use super::EventSourced;
use super::engine::{Generation, Input};
use crate::event::StoredEvent;

/// A message to an entity's actor.
pub(super) enum EntityMessage<E: EventSourced> {
    /// Commands wait in the mailbox.
    Commands,
    Input(Box<Input<E>>),
    /// Events of other replicas, counted in `arriving`.
    Replicated(Vec<StoredEvent>),
    Permit(Generation, OwnedSemaphorePermit),
    /// The last message. The entity is gone, and every message before this one is refused.
    End,
}

#[cfg(feature = "cluster")]
impl<E: EventSourced> ractor::Message for EntityMessage<E> {}

/// Starts I/O whose result comes back as a message.
pub(super) fn start<E: EventSourced>(
    name: &'static str,
    myself: &ActorRef<EntityMessage<E>>,
    input: impl Future<Output = Input<E>> + Send + 'static,
) -> JoinHandle<()> {
    let myself = myself.clone();
    task::spawn(name, async move {
        // an entity that is gone needs no result
        send_input(&myself, input.await);
    })
}

/// Sends an input that is no command. Returns false, and drops it, when the actor is gone.
pub(super) fn send_input<E: EventSourced>(
    actor: &ActorRef<EntityMessage<E>>,
    input: Input<E>,
) -> bool {
    actor.send_message(EntityMessage::Input(Box::new(input))).is_ok()
}
