//! The actor of a singleton under its lease: no message is handled without the right to act.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use antiphon_persistence::store::FencingToken;
use antiphon_runtime::Node;
use ractor::message::SerializedMessage;
use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};

/// The right of a singleton's actor to act, with its fencing token. Cheap to clone.
///
/// The actor is given no message when the right has ended. Work that goes on within one message,
/// or in a task of its own, asks [`Self::is_held`] before it acts, or writes under the token: a
/// store that refuses an older token than it has seen is safe, whatever is delayed on the way.
#[derive(Clone)]
pub struct SingletonLease {
    name: Arc<str>,
    token: FencingToken,
    node: Node,
    is_over: Arc<AtomicBool>,
}

impl SingletonLease {
    pub(super) fn new(name: Arc<str>, token: u64, node: Node) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        Self { name, token: FencingToken(token), node, is_over }
    }

    /// The name of the singleton.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The node on which the actor runs.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// The fencing token. It is greater than that of every holder before, and the same for all
    /// actors that this node starts while it holds the lease.
    pub fn token(&self) -> FencingToken {
        self.token
    }

    /// Returns whether the actor may act now. The clock decides at the moment of the call, so a
    /// process that was frozen hears of its end before anything else.
    pub fn is_held(&self) -> bool {
        !self.is_over.load(Ordering::Acquire) && self.node.is_live()
    }

    pub(super) fn end(&self) {
        self.is_over.store(true, Ordering::Release);
    }
}

impl fmt::Debug for SingletonLease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SingletonLease({}, {:?})", self.name, self.token)
    }
}

/// An actor that gets nothing when its lease has ended.
pub(super) struct Held<A> {
    pub(super) actor: A,
    pub(super) lease: SingletonLease,
}

impl<A> Held<A> {
    fn check(&self) -> Result<(), ActorProcessingErr> {
        if self.lease.is_held() {
            return Ok(());
        }
        Err(format!("singleton `{}`: its lease has ended", self.lease.name).into())
    }
}

impl<A: Actor> Actor for Held<A> {
    type Msg = A::Msg;
    type State = A::State;
    type Arguments = A::Arguments;

    async fn pre_start(
        &self,
        myself: ActorRef<A::Msg>,
        arguments: A::Arguments,
    ) -> Result<A::State, ActorProcessingErr> {
        self.check()?;
        self.actor.pre_start(myself, arguments).await
    }

    async fn post_start(
        &self,
        myself: ActorRef<A::Msg>,
        state: &mut A::State,
    ) -> Result<(), ActorProcessingErr> {
        self.check()?;
        self.actor.post_start(myself, state).await
    }

    async fn post_stop(
        &self,
        myself: ActorRef<A::Msg>,
        state: &mut A::State,
    ) -> Result<(), ActorProcessingErr> {
        // an end without the right is no goodbye
        if self.check().is_ok() { self.actor.post_stop(myself, state).await } else { Ok(()) }
    }

    async fn handle(
        &self,
        myself: ActorRef<A::Msg>,
        message: A::Msg,
        state: &mut A::State,
    ) -> Result<(), ActorProcessingErr> {
        self.check()?;
        self.actor.handle(myself, message, state).await
    }

    async fn handle_serialized(
        &self,
        myself: ActorRef<A::Msg>,
        message: SerializedMessage,
        state: &mut A::State,
    ) -> Result<(), ActorProcessingErr> {
        self.check()?;
        self.actor.handle_serialized(myself, message, state).await
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<A::Msg>,
        event: SupervisionEvent,
        state: &mut A::State,
    ) -> Result<(), ActorProcessingErr> {
        self.check()?;
        self.actor.handle_supervisor_evt(myself, event, state).await
    }
}
