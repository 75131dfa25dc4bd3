//! A running node: the handle that all parts of a process share.

use std::any::{Any, TypeId};
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use antiphon_base::guard::Guarded;
use antiphon_base::time::Clock;
use antiphon_persistence::store::{Stores, WriterId};
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, watch};

use super::continuity::Continuity;
use super::driver::Control;
use super::hosted::HostedCell;
use super::liveness::{Liveness, LivenessCell};
use super::parts::NodeParts;
use super::peer_stores::PeerStores;
use super::probe::PROBE;
use super::reach::{PlaceReach, Reach};
use super::settings::NodeSettings;
use super::shutdown::{ShutdownPhase, ShutdownTask};
use super::tasks::Tasks;
use crate::NodeId;
use crate::gate::Gate;
use crate::lease::LeaseState;
use crate::membership::{Membership, PlacedReplica};
use crate::metrics::Metrics;

type Extensions = BTreeMap<TypeId, Arc<dyn Any + Send + Sync>>;

pub(super) struct Inner {
    pub(super) id: NodeId,
    pub(super) settings: NodeSettings,
    pub(super) parts: NodeParts,
    pub(super) peers: BTreeMap<Arc<str>, Stores>,
    pub(super) checked_peers: Vec<PeerStores>,
    pub(super) writer: WriterId,
    pub(super) gate: Gate,
    pub(super) members: watch::Receiver<Arc<Membership>>,
    pub(super) leases: watch::Receiver<LeaseState>,
    pub(super) continuity: watch::Receiver<Arc<Continuity>>,
    pub(super) suspicions: mpsc::Sender<()>,
    pub(super) looks: Arc<Notify>,
    pub(super) liveness: Arc<LivenessCell>,
    pub(super) control: mpsc::Sender<Control>,
    pub(super) hosted: Arc<HostedCell>,
    pub(super) tasks: Tasks,
    pub(super) runtime: tokio::runtime::Handle,
    pub(super) shutdown: Mutex<Vec<(ShutdownPhase, &'static str, ShutdownTask)>>,
    pub(super) crash: Mutex<Vec<Box<dyn FnOnce() + Send>>>,
    pub(super) extensions: Mutex<Extensions>,
    pub(super) leaving: AtomicBool,
    pub(super) reach: Arc<Mutex<Reach>>,
}

/// A running node. Cheap to clone; all clones are the same node.
///
/// ```
/// use antiphon_runtime::Node;
///
/// /// The text of an own route: `shop.example:7000@3 in DC-A, drains: false`.
/// fn about(node: &Node) -> String {
///     format!("{} in {}, drains: {}", node.id(), node.place(), node.is_leaving())
/// }
/// ```
#[derive(Clone)]
pub struct Node {
    pub(super) inner: Arc<Inner>,
}

impl Node {
    /// The node id of this incarnation.
    pub fn id(&self) -> &NodeId {
        &self.inner.id
    }

    /// The place of the node.
    pub fn place(&self) -> &str {
        &self.inner.settings.place
    }

    /// All settings.
    pub fn settings(&self) -> &NodeSettings {
        &self.inner.settings
    }

    /// The clock of the node.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.inner.parts.clock
    }

    /// The stores of the node's own place.
    pub fn stores(&self) -> &Stores {
        &self.inner.parts.stores
    }

    /// The journal writer of this incarnation; it is open.
    pub fn writer(&self) -> &WriterId {
        &self.inner.writer
    }

    /// Messages to and from other nodes.
    pub fn gate(&self) -> &Gate {
        &self.inner.gate
    }

    /// Asks another node for a sign of life. Returns whether it has answered within `limit`.
    ///
    /// Cancellation: dropping the future changes nothing.
    pub async fn probe(&self, node: &NodeId, limit: Duration) -> bool {
        self.inner.gate.ask(node, PROBE, Bytes::new(), limit).await.is_ok()
    }

    /// The metrics of the node.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.inner.parts.metrics
    }

    /// The stores of the other places; they are only read.
    pub fn peers(&self) -> &BTreeMap<Arc<str>, Stores> {
        &self.inner.peers
    }

    /// The places whose journals belong elsewhere (another cluster, another place, another number
    /// of shards), with the reason. Nothing is taken from them. Empty when all is well. A journal
    /// that could not be reached until now is checked, and listed if it belongs elsewhere, at its
    /// first read.
    pub fn refused_peers(&self) -> BTreeMap<Arc<str>, Arc<str>> {
        let refused = |peer: &PeerStores| Some((peer.place(), peer.refusal()?));
        self.inner.checked_peers.iter().filter_map(refused).collect()
    }

    /// By place, the state of the links to the other places, and its begin. Empty for a moment
    /// after the start.
    pub fn reach(&self) -> BTreeMap<Arc<str>, PlaceReach> {
        self.inner.reach.lock().places()
    }

    /// Ends this incarnation for ever, for a reason that lies outside of the cluster, such as a
    /// journal that is lost: the node answers nothing any more, and [`Self::fenced`] returns with
    /// the reason. The others find out as when it is killed. Once is enough.
    pub fn fence(&self, reason: &str) {
        tracing::error!(node = %self.inner.id, reason, "this node is out");
        self.inner.liveness.fence(reason);
    }

    /// Returns whether this node is out because its place found it dead, or has no row of it any
    /// more: another incarnation may join. False while the node is not out, and after any other
    /// reason, such as a journal that is lost ([`Self::fence`]).
    pub fn was_declared_dead(&self) -> bool {
        self.inner.liveness.was_declared_dead()
    }

    /// Returns whether this node may answer now: it has renewed its row within `renew_timeout` and
    /// was not found dead. The clock decides at the moment of the call. Must be checked before any
    /// answer is released.
    pub fn is_live(&self) -> bool {
        self.inner.liveness.is_live(self.inner.parts.clock.now())
    }

    /// The right of this node to answer, as a value that can be waited on. It follows
    /// [`Self::is_live`] within a tick.
    pub fn liveness(&self) -> watch::Receiver<Liveness> {
        self.inner.liveness.subscribe()
    }

    /// Waits until this node is out for ever. Returns the reason. The process should end then: an
    /// incarnation never comes back.
    ///
    /// Cancellation: dropping the future changes nothing.
    pub fn fenced(&self) -> impl Future<Output = String> + Send + 'static {
        let mut liveness = self.inner.liveness.subscribe();
        async move {
            match liveness.wait_for(|now| matches!(now, Liveness::Fenced(_))).await.as_deref() {
                Ok(Liveness::Fenced(reason)) => reason.to_string(),
                _ => "the node was dropped".to_owned(),
            }
        }
    }

    /// The members of all places.
    pub fn members(&self) -> watch::Receiver<Arc<Membership>> {
        self.inner.members.clone()
    }

    /// The coordinator leases of all places, with the token if this node holds the lease of its own
    /// place.
    pub fn coordinator_lease(&self) -> watch::Receiver<LeaseState> {
        self.inner.leases.clone()
    }

    /// The state of the place's journal, as far as this node knows: the newest one, or in doubt.
    pub fn continuity(&self) -> watch::Receiver<Arc<Continuity>> {
        self.inner.continuity.clone()
    }

    /// Puts the place in doubt: another place has events of this one that the journal has not,
    /// although there was no evidence against the journal.
    pub fn suspect_journal(&self) {
        // a suspicion that is under way already is enough
        let _ = self.inner.suspicions.try_send(());
    }

    /// Reads the membership tables and the coordinator leases of all places soon, because a message
    /// names a node or a lease that this node does not know. However often this is called, the
    /// tables are read once in half a `scan_interval` at most.
    pub fn look_at_tables(&self) {
        self.inner.looks.notify_one();
    }

    /// Reports the number of shards of an entity type that this node hosts. By the sum, the members
    /// of a place decide which of two members that are cut from each other stays.
    pub fn report_hosted(&self, entity_type: &Arc<str>, shards: u32) {
        self.inner.hosted.set(entity_type, shards);
    }

    /// Tells the other members the replicas of an entity type, as this node has them. They see them
    /// in the member's row after its next renewal.
    pub fn report_replicas(
        &self,
        entity_type: &Arc<str>,
        replicas: BTreeMap<Arc<str>, PlacedReplica>,
    ) {
        self.inner.hosted.set_replicas(entity_type, replicas);
    }

    /// Runs `task` in that phase of [`Self::leave`]. The tasks of a phase run at the same time.
    pub fn on_shutdown(&self, phase: ShutdownPhase, name: &'static str, task: ShutdownTask) {
        let mut tasks = self.inner.shutdown.lock();
        tasks.push((phase, name, task));
    }

    /// Runs `hook` when the node crashes ([`Self::crash`]): kill your actors there. It must not
    /// block.
    pub fn on_crash(&self, _name: &'static str, hook: Box<dyn FnOnce() + Send>) {
        self.inner.crash.lock().push(hook);
    }

    /// The tokio runtime in which the node was started.
    pub fn runtime(&self) -> &tokio::runtime::Handle {
        &self.inner.runtime
    }

    /// Starts a task that ends with the node, in whatever way the node ends.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.inner.tasks.spawn(name, task);
    }

    /// Starts a task without which the node cannot go on: when it panics, the node is out.
    pub(super) fn spawn_vital(
        &self,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        let task = Guarded::new(name, self.inner.id.to_string(), Box::pin(task));
        let liveness = self.inner.liveness.clone();
        let live = self.metrics().gauge_of("antiphon_node_live");
        self.spawn(name, async move {
            if let Err(failure) = task.await {
                live.set(0);
                liveness.fence(&format!("{failure}; this is a bug, the log has its text"));
            }
        });
    }

    /// The only value of a type that belongs to this node; the first call creates it. It is dropped
    /// when the node ends.
    pub fn extension<T: Send + Sync + 'static>(&self, create: impl FnOnce() -> Arc<T>) -> Arc<T> {
        let mut extensions = self.inner.extensions.lock();
        let value = extensions.entry(TypeId::of::<T>()).or_insert_with(|| create());
        value.clone().downcast::<T>().expect("it is kept under its own type")
    }

    /// The address of the HTTP interface, if there is one.
    pub fn http_address(&self) -> Option<&str> {
        self.inner.parts.http_address.as_deref()
    }

    /// Returns whether [`Self::leave`] was called. Report it to all that send work to this node,
    /// for example with a readiness check that fails. The node still answers.
    pub fn is_leaving(&self) -> bool {
        self.inner.leaving.load(Ordering::Relaxed)
    }

    /// Stops every task at once without telling anybody, as if the process had been killed. For
    /// tests.
    pub fn crash(&self) {
        self.inner.liveness.fence("the node crashed");
        let hooks = std::mem::take(&mut *self.inner.crash.lock());
        for hook in hooks {
            hook();
        }
        self.end();
    }

    pub(super) fn end(&self) {
        self.inner.tasks.end();
        self.inner.gate.close();
        let extensions = std::mem::take(&mut *self.inner.extensions.lock());
        drop(extensions);
        self.inner.shutdown.lock().clear();
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node({})", self.inner.id)
    }
}
