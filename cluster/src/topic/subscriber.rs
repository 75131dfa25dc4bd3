//! The bounded queue of one subscriber of a topic.
//!
//! A permit stands for each message that waits. It goes with the message and comes back when the
//! message is dropped. So the mailbox of an actor has a bound, although ractor's mailboxes have
//! none.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use antiphon_base::guard;
use ractor::{ActorRef, Message};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// A message of a topic at one subscriber. Its room in the subscriber's queue is free again when
/// it is dropped.
#[derive(Debug)]
pub struct Publication<M> {
    /// The message.
    pub message: M,
    /// Number of messages that were dropped for this subscriber since its last one, because it had
    /// no room.
    pub missed: u64,
    _room: Room,
}

impl<M> Deref for Publication<M> {
    type Target = M;

    fn deref(&self) -> &M {
        &self.message
    }
}

/// The right to wait, which ends when it is dropped.
#[derive(Debug)]
struct Room {
    _permit: OwnedSemaphorePermit,
}

/// The fate of a message at a subscriber.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delivery {
    Taken,
    NoRoom,
    Ended,
}

type Give<M> = Arc<dyn Fn(Publication<M>) -> bool + Send + Sync>;

/// A subscriber.
pub(super) struct Subscriber<M> {
    room: Arc<Semaphore>,
    missed: Arc<AtomicU64>,
    /// Takes a message; false when the subscriber has ended.
    give: Give<M>,
}

impl<M> Clone for Subscriber<M> {
    fn clone(&self) -> Self {
        let Self { room, missed, give } = self;
        Self { room: room.clone(), missed: missed.clone(), give: give.clone() }
    }
}

impl<M> Subscriber<M> {
    fn new(max: usize, give: Give<M>) -> Self {
        Self { room: Arc::new(Semaphore::new(max)), missed: Arc::default(), give }
    }

    pub(super) fn offer(&self, message: M) -> Delivery {
        let Ok(permit) = self.room.clone().try_acquire_owned() else {
            self.missed.fetch_add(1, Ordering::Relaxed);
            return Delivery::NoRoom;
        };
        let missed = self.missed.swap(0, Ordering::Relaxed);
        let publication = Publication { message, missed, _room: Room { _permit: permit } };
        if (self.give)(publication) { Delivery::Taken } else { Delivery::Ended }
    }
}

/// A subscriber whose messages a task takes.
pub(super) fn of_task<M: Send + 'static>(
    max: usize,
) -> (Subscriber<M>, mpsc::Receiver<Publication<M>>) {
    let (sender, queue) = mpsc::channel(max);
    let give = Arc::new(move |publication| sender.try_send(publication).is_ok());
    (Subscriber::new(max, give), queue)
}

/// A subscriber that is an actor.
pub(super) fn of_actor<M: Send + 'static, S: Message>(
    max: usize,
    actor: ActorRef<S>,
    to_message: impl Fn(Publication<M>) -> S + Send + Sync + 'static,
) -> Subscriber<M> {
    let give = Arc::new(move |publication| {
        let message = guard::call("topic message", &actor.get_id(), || to_message(publication));
        message.is_ok_and(|message| actor.send_message(message).is_ok())
    });
    Subscriber::new(max, give)
}

/// The messages of a topic, for one task. Dropping it ends the subscription.
pub struct TopicSubscription<M> {
    queue: mpsc::Receiver<Publication<M>>,
    cancel: Option<Box<dyn FnOnce() + Send + Sync>>,
}

impl<M> TopicSubscription<M> {
    pub(super) fn new(
        queue: mpsc::Receiver<Publication<M>>,
        cancel: Box<dyn FnOnce() + Send + Sync>,
    ) -> Self {
        Self { queue, cancel: Some(cancel) }
    }

    /// The next message; waits for one. `None` never comes while the subscription lives.
    ///
    /// Cancellation: dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Publication<M>> {
        self.queue.recv().await
    }
}

impl<M> Drop for TopicSubscription<M> {
    fn drop(&mut self) {
        if let Some(cancel) = self.cancel.take() {
            cancel();
        }
    }
}
