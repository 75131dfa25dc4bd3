//! Plain actors of a node, seen by the other members.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use antiphon_base::{Error, Result};
use antiphon_runtime::{Node, NodeId, ShutdownPhase};
use parking_lot::Mutex;
use ractor::rpc::CallResult;
use ractor::{ActorCell, ActorId, ActorRef, Message, MessagingErr, RpcReplyPort};
use tokio::sync::{mpsc, oneshot, watch};

use crate::metrics::SessionMetrics;
use crate::sessions::{FACTS_MAX, Fact, Known, PURPOSE, Shell, ShellParts};
use crate::settings::ActorSettings;

/// The node whose actors this process has: ractor's registry and groups are those of the process.
static OWNER: Mutex<Option<NodeId>> = Mutex::new(None);

/// The sessions of a node with the other members, over which plain actors reach each other.
///
/// A ractor actor whose messages are [`ractor_cluster::RactorClusterMessage`]s is visible at all
/// members: its references in `ractor::pg` groups work from every node, as if it were there. At
/// each member it costs about 11 KB, so let workers be reached through a few actors. Cheap to
/// clone; all clones are the same sessions.
///
/// - A member that is killed, or cut off, leaves all groups when its connection breaks; one that is
///   frozen, after `probe_misses_max` missed probes; one that says goodbye, when its shards have
///   moved; what the receptionist has of it, topics and singletons included, at once. Its
///   references are dead for ever then: take them from the group again.
/// - Messages are delivered at most once, in the order of each sender and receiver while a session
///   lasts.
/// - A remote reference must not be stopped: that ends the session with its node, which begins anew
///   at once, with new references. Send a message that asks the actor to end.
/// - `ractor::registry` knows the names of local actors only.
/// - Mailboxes have no bound: who calls waits for the answer, who casts has to be moderate.
///
/// ```no_run
/// use antiphon_cluster::Actors;
/// use antiphon_runtime::Node;
/// use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, pg};
/// use ractor_cluster::RactorClusterMessage;
/// use std::time::Duration;
///
/// #[derive(RactorClusterMessage)]
/// enum Work {
///     #[rpc]
///     Square(u64, RpcReplyPort<u64>),
/// }
///
/// struct Worker;
///
/// impl Actor for Worker {
///     type Msg = Work;
///     type State = ();
///     type Arguments = ();
///
///     async fn pre_start(&self, _: ActorRef<Work>, (): ()) -> Result<(), ActorProcessingErr> {
///         Ok(())
///     }
///
///     async fn handle(
///         &self,
///         _: ActorRef<Work>,
///         work: Work,
///         (): &mut (),
///     ) -> Result<(), ActorProcessingErr> {
///         let Work::Square(number, reply) = work;
///         Ok(reply.send(number * number)?)
///     }
/// }
///
/// # async fn on(node: Node) -> antiphon_base::Result<()> {
/// let actors = Actors::of(&node)?;
/// // at each node: a worker that all nodes see
/// let (worker, _) = Actor::spawn(None, Worker, ()).await.expect("a worker");
/// pg::join("workers".into(), vec![worker.get_cell()]);
/// // at any node: the workers of all nodes
/// for worker in pg::get_members(&"workers".into()) {
///     let worker: ActorRef<Work> = worker.into();
///     let square = actors.call(&worker, |reply| Work::Square(3, reply), Duration::from_secs(1));
///     assert_eq!(square.await?, 9);
/// }
/// # Ok::<(), antiphon_base::Error>(())
/// # }
/// ```
#[derive(Clone)]
pub struct Actors {
    inner: Arc<Inner>,
}

struct Inner {
    node: Node,
    metrics: SessionMetrics,
    known: Arc<Known>,
}

/// The right to the actors of this process, given back at its end.
struct Claim;

impl Claim {
    fn of(node: &NodeId) -> Result<Self> {
        let mut owner = OWNER.lock();
        if let Some(owner) = &*owner {
            return Err(Error::rejected(format!(
                "plain actors of `{node}`: this process has those of `{owner}` already, and ractor's registry is the process's: expected one such node in a process"
            )));
        }
        *owner = Some(node.clone());
        Ok(Self)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        *OWNER.lock() = None;
    }
}

/// The sessions of a node, once they were started.
#[derive(Default)]
struct Slot(Mutex<Option<Actors>>);

fn slot(node: &Node) -> Arc<Slot> {
    node.extension(Arc::<Slot>::default)
}

/// Ends all sessions at the goodbye of the node.
async fn say_goodbye(facts: mpsc::Sender<Fact>) {
    let (done, ended) = oneshot::channel();
    if facts.send(Fact::Goodbye(done)).await.is_ok() {
        let _ = ended.await;
    }
}

impl Actors {
    /// The sessions of a node: those that [`Self::start`] has started, or new ones with the default
    /// of each setting.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn of(node: &Node) -> Result<Self> {
        let slot = slot(node);
        let mut slot = slot.0.lock();
        if let Some(actors) = &*slot {
            return Ok(actors.clone());
        }
        Ok(slot.insert(Self::begin(node, ActorSettings::default())?).clone())
    }

    /// Opens sessions with all members, and keeps them until the node ends. At the goodbye of the
    /// node they end after its shards have moved, so that entities can tell actors until then. With
    /// `enabled = false`, there are none, and only local actors are seen.
    ///
    /// # Errors
    /// `Rejected` when a setting is wrong, the node has sessions already, another node of the
    /// process has, or the transport has no streams, as that in memory of tests and simulations.
    pub fn start(node: &Node, settings: ActorSettings) -> Result<Self> {
        let slot = slot(node);
        let mut slot = slot.0.lock();
        if slot.is_some() {
            return Err(Error::rejected(format!(
                "plain actors of `{}`: they were started already: start them before the first use",
                node.id()
            )));
        }
        Ok(slot.insert(Self::begin(node, settings)?).clone())
    }

    fn begin(node: &Node, settings: ActorSettings) -> Result<Self> {
        settings.validate()?;
        settings.tools.clone().install(node)?;
        let metrics = SessionMetrics::new(node.metrics());
        let known = Arc::new(Known::default());
        let inner = Inner { node: node.clone(), metrics: metrics.clone(), known: known.clone() };
        let actors = Self { inner: Arc::new(inner) };
        if !settings.enabled {
            return Ok(actors);
        }
        // a transport without streams is refused before anything begins
        node.gate().accept_streams(PURPOSE, None)?;
        let claim = Claim::of(node.id())?;
        let (facts, received) = mpsc::channel(FACTS_MAX);
        let tell = facts.clone();
        let taken = Arc::new(move |stream| drop(tell.try_send(Fact::Taken(stream))));
        node.gate().accept_streams(PURPOSE, Some(taken))?;
        let goodbye = facts.clone();
        node.on_shutdown(
            ShutdownPhase::LeaveTable,
            "sessions of plain actors",
            Box::new(move || Box::pin(say_goodbye(goodbye))),
        );
        let parts = ShellParts { node: node.clone(), settings, metrics, known };
        node.spawn("sessions of plain actors", async move {
            let _claim = claim;
            Shell::run(parts, (facts, received)).await;
        });
        Ok(actors)
    }

    /// The node.
    pub fn node(&self) -> &Node {
        &self.inner.node
    }

    /// The members with which a session is in step: each knows the actors and groups of the other.
    /// Sorted by id; the number of a session is another one each time.
    pub fn sessions(&self) -> watch::Receiver<Arc<BTreeMap<NodeId, u64>>> {
        self.inner.known.ready.subscribe()
    }

    /// The member on which an actor lives: this node for a local one. `None` when the session with
    /// it has ended.
    pub fn node_of(&self, actor: ActorId) -> Option<NodeId> {
        match actor {
            ActorId::Local(_) => Some(self.inner.node.id().clone()),
            ActorId::Remote { node_id, .. } => {
                self.inner.known.numbers.read().get(&node_id).cloned()
            }
        }
    }

    /// Calls an actor, here or on another node, and waits for its answer for at most `limit`.
    ///
    /// Cancellation: dropping the future gives the answer up; the message still arrives.
    ///
    /// # Errors
    /// `Timeout` when no answer came within `limit`, or the actor or the session with its node
    /// ended meanwhile: the outcome is unknown. `Unavailable` when the actor had ended before, and
    /// `Rejected` when it does not take this type of message: nothing was sent.
    pub async fn call<M: Message, R: Send + 'static>(
        &self,
        actor: &ActorRef<M>,
        message: impl FnOnce(RpcReplyPort<R>) -> M,
        limit: Duration,
    ) -> Result<R> {
        let failed = |reason| self.inner.metrics.calls_failed.with_label_values(&[reason]).inc();
        match actor.call(message, Some(limit)).await {
            Ok(CallResult::Success(answer)) => Ok(answer),
            Ok(CallResult::Timeout) => {
                failed("timeout");
                let actor = self.name_of(&actor.get_cell());
                Err(Error::timeout(format!("{actor} has not answered within {limit:?}")))
            }
            Ok(CallResult::SenderError) => {
                failed("ended");
                let actor = self.name_of(&actor.get_cell());
                Err(Error::timeout(format!(
                    "{actor}, or the session with its node, has ended before it answered, or it dropped the call"
                )))
            }
            Err(MessagingErr::InvalidActorType) => {
                failed("not_sent");
                let actor = self.name_of(&actor.get_cell());
                Err(Error::rejected(format!("{actor} does not take this type of message")))
            }
            Err(MessagingErr::SendErr(_) | MessagingErr::ChannelClosed) => {
                failed("not_sent");
                let actor = self.name_of(&actor.get_cell());
                Err(Error::unavailable(format!(
                    "{actor} has ended, or the session with its node has: take a new reference"
                )))
            }
        }
    }

    fn name_of(&self, actor: &ActorCell) -> String {
        let id = actor.get_id();
        match (actor.get_name(), self.node_of(id)) {
            (Some(name), _) => format!("actor `{name}`"),
            (None, Some(node)) => format!("actor {} of `{node}`", id.pid()),
            (None, None) => format!("actor {} of a member that is gone", id.pid()),
        }
    }
}
