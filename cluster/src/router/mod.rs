//! Routers: one of the actors under a key, or all of them, gets a message.
//!
//! - `choice`: decides which one.

mod choice;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use antiphon_base::guard;
use antiphon_runtime::metrics::IntCounterVec;
use antiphon_runtime::{Node, NodeId};
use parking_lot::Mutex;
use ractor::rpc::CallResult;
use ractor::{ActorRef, ActorStatus, Message, MessagingErr, RpcReplyPort};
use tokio::sync::watch;

use crate::receptionist::{Change, Present};
use crate::{Receptionist, ServiceKey, ToolError};

/// The fate of a broadcast.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Broadcast {
    /// Actors that have the message in their mailbox, or on the way to it.
    pub reached: usize,
    /// Actors that had ended, or are out of reach.
    pub ended: usize,
}

/// A router to the actors under a key of the receptionist, as this node knows them.
///
/// An actor that has ended is skipped, and the next one gets the message. A message to an actor
/// of another node may be lost on the way; a call tells that by its time limit.
///
/// ```
/// use std::time::Duration;
///
/// use antiphon_cluster::{Router, ServiceKey, ToolError};
/// use antiphon_runtime::Node;
/// use ractor::{Message, RpcReplyPort};
///
/// enum Resize { Picture(u64, RpcReplyPort<u64>) }
/// impl Message for Resize {}
///
/// async fn resize(node: &Node, picture: u64) -> Result<u64, ToolError> {
///     let resizers = ServiceKey::<Resize>::new("resizers")?;
///     let router = Router::new(node, &resizers)?.prefer_local();
///     router.call(Duration::from_secs(1), |reply| Resize::Picture(picture, reply)).await
/// }
/// ```
pub struct Router<M> {
    key: ServiceKey<M>,
    present: watch::Receiver<Change>,
    node: NodeId,
    prefers_local: bool,
    next: AtomicUsize,
    identities: Mutex<(u64, Arc<[u64]>)>,
    failed: IntCounterVec,
}

/// The choice for one message.
enum By {
    Turn,
    Hash(u64),
}

impl<M: Message> Router<M> {
    /// A router over the actors under `key`.
    ///
    /// # Errors
    /// As [`Receptionist::subscribe`].
    pub fn new(node: &Node, key: &ServiceKey<M>) -> Result<Self, ToolError> {
        let receptionist = Receptionist::of(node);
        Ok(Self {
            key: key.clone(),
            present: receptionist.watch(&key.service())?,
            node: receptionist.node().clone(),
            prefers_local: false,
            next: AtomicUsize::new(0),
            identities: Mutex::new((u64::MAX, Arc::default())),
            failed: node.metrics().counters_of("antiphon_router_failed_total"),
        })
    }

    /// Takes actors of this node first: the turns go over them while there is one. The consistent
    /// hash and broadcasts go over all actors nevertheless.
    #[must_use]
    pub fn prefer_local(mut self) -> Self {
        self.prefers_local = true;
        self
    }

    /// Number of actors that this node knows now.
    pub fn actors(&self) -> usize {
        self.present.borrow().actors.len()
    }

    /// Sends a message to the next actor in turn. Returns the actor.
    ///
    /// # Errors
    /// [`ToolError::Nobody`] when no actor is there, or all that are there have ended.
    pub fn send(&self, message: M) -> Result<ActorRef<M>, ToolError> {
        self.offer(&By::Turn, message)
    }

    /// Sends a message to the actor that has `hash_key`: the same actor for the same key from all
    /// nodes, as long as the group stays the same. When an actor goes, only its keys move. An actor
    /// that is started anew is another actor.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub fn send_by(&self, hash_key: &str, message: M) -> Result<ActorRef<M>, ToolError> {
        self.offer(&By::Hash(choice::hash(hash_key.as_bytes())), message)
    }

    /// Sends a message to all actors.
    ///
    /// # Errors
    /// [`ToolError::Nobody`] when no actor is there.
    pub fn broadcast(&self, message: M) -> Result<Broadcast, ToolError>
    where
        M: Clone,
    {
        let actors = self.present.borrow().actors.clone();
        let mut sent = Broadcast::default();
        for found in actors.iter() {
            let copy = guard::call("clone of a message", &self.key, || message.clone());
            let Ok(copy) = copy else { continue };
            let actor = ActorRef::<M>::from(found.actor.clone());
            match actor.send_message(copy) {
                Ok(()) => sent.reached += 1,
                Err(_) => sent.ended += 1,
            }
        }
        if sent.reached == 0 { Err(self.nobody()) } else { Ok(sent) }
    }

    /// Calls the next actor in turn, and waits for its answer for `limit` at most.
    ///
    /// Cancellation: dropping the future gives the answer up; the message has been sent.
    ///
    /// # Errors
    /// As [`Self::send`]; [`ToolError::Timeout`]; [`ToolError::Ended`] when the actor has dropped
    /// the call, or ended meanwhile.
    pub async fn call<R: Send + 'static>(
        &self,
        limit: Duration,
        message: impl FnOnce(RpcReplyPort<R>) -> M,
    ) -> Result<R, ToolError> {
        let actor = self.choose(&By::Turn)?;
        self.answer(call(&self.key, &actor, limit, message).await)
    }

    /// Calls the actor that has `hash_key`, as [`Self::send_by`] and [`Self::call`] say.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub async fn call_by<R: Send + 'static>(
        &self,
        hash_key: &str,
        limit: Duration,
        message: impl FnOnce(RpcReplyPort<R>) -> M,
    ) -> Result<R, ToolError> {
        let actor = self.choose(&By::Hash(choice::hash(hash_key.as_bytes())))?;
        self.answer(call(&self.key, &actor, limit, message).await)
    }

    fn answer<R>(&self, answer: Result<R, ToolError>) -> Result<R, ToolError> {
        answer.inspect_err(|error| {
            let reason = match error {
                ToolError::Timeout { .. } => "timeout",
                ToolError::Key { .. }
                | ToolError::OtherType { .. }
                | ToolError::Full { .. }
                | ToolError::Nobody { .. }
                | ToolError::Ended { .. }
                | ToolError::InUse { .. }
                | ToolError::Leaving { .. } => "ended",
            };
            self.failed.with_label_values(&[reason]).inc();
        })
    }

    fn nobody(&self) -> ToolError {
        self.failed.with_label_values(&["nobody"]).inc();
        ToolError::Nobody { key: self.key.to_string() }
    }

    /// The actor for a message, which has not ended as far as this node knows.
    fn choose(&self, by: &By) -> Result<ActorRef<M>, ToolError> {
        let (present, order) = self.order(by);
        let is_there = |at: &usize| present[*at].actor.get_status() < ActorStatus::Stopping;
        let chosen = match order {
            Order::Turns(order) => order.into_iter().find(is_there),
            Order::Hash(identities, key) => choice::best(&identities, key, |at| !is_there(&at)),
        };
        let chosen = chosen.map(|at| present[at].actor.clone().into());
        chosen.ok_or_else(|| self.nobody())
    }

    fn offer(&self, by: &By, mut message: M) -> Result<ActorRef<M>, ToolError> {
        // each refusal ends an actor: no more tries than actors
        for _ in 0..=self.actors() {
            let actor = self.choose(by)?;
            match actor.send_message(message) {
                Ok(()) => return Ok(actor),
                Err(MessagingErr::SendErr(back)) => message = back,
                Err(MessagingErr::ChannelClosed | MessagingErr::InvalidActorType) => break,
            }
        }
        Err(self.nobody())
    }

    fn order(&self, by: &By) -> (Present, Order) {
        let change = self.present.borrow().clone();
        let order = match by {
            By::Hash(key) => Order::Hash(self.identities(&change), *key),
            By::Turn => {
                let turn = self.next.fetch_add(1, Ordering::Relaxed);
                Order::Turns(self.turns(&change.actors, turn))
            }
        };
        (change.actors, order)
    }

    /// The positions in the order of turns; with the local ones first, if they are preferred.
    fn turns(&self, present: &Present, turn: usize) -> Vec<usize> {
        if !self.prefers_local {
            return choice::in_turn(present.len(), turn).collect();
        }
        let is_local = |at: &usize| present[*at].node == self.node;
        let (local, others): (Vec<usize>, Vec<usize>) = (0..present.len()).partition(is_local);
        let local_turns = choice::in_turn(local.len(), turn).map(|at| local[at]);
        let other_turns = choice::in_turn(others.len(), turn).map(|at| others[at]);
        local_turns.chain(other_turns).collect()
    }

    /// The hashes of the actors' identities; computed once for each change of the group.
    fn identities(&self, change: &Change) -> Arc<[u64]> {
        let mut known = self.identities.lock();
        if known.0 != change.number {
            let identity = |found: &crate::receptionist::Found| {
                choice::hash(format!("{} {} {}", found.node, found.rank, found.pid).as_bytes())
            };
            *known = (change.number, change.actors.iter().map(identity).collect());
        }
        known.1.clone()
    }
}

/// The candidates for a message.
enum Order {
    Turns(Vec<usize>),
    Hash(Arc<[u64]>, u64),
}

/// Calls an actor with a time limit.
pub(crate) async fn call<M: Message, R: Send + 'static>(
    key: &ServiceKey<M>,
    actor: &ActorRef<M>,
    limit: Duration,
    message: impl FnOnce(RpcReplyPort<R>) -> M,
) -> Result<R, ToolError> {
    match actor.call(message, Some(limit)).await {
        Ok(CallResult::Success(answer)) => Ok(answer),
        Ok(CallResult::Timeout) => Err(ToolError::Timeout { key: key.to_string(), limit }),
        Ok(CallResult::SenderError) | Err(_) => Err(ToolError::Ended { key: key.to_string() }),
    }
}
