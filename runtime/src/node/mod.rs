//! A running node.
//!
//! - `cluster_row`, `peer_stores`: check that the own store and the stores of other places are the
//!   right ones;
//! - `start`: checks the store, waits out an earlier incarnation, joins the table;
//! - `driver`: the task that steps membership, failure detector and lease, and does their I/O;
//! - `faults`: keeps the last reason of failed store calls, and limits their log lines;
//! - `continuity`: finds out whether the journal is the newest one of the place;
//! - `reach`: the other places that are cut off, and since when;
//! - `leave`: the phases of a graceful end.

mod cluster_row;
mod continuity;
mod driver;
mod faults;
mod hosted;
mod leave;
mod liveness;
mod measures;
mod parts;
mod peer_stores;
mod places;
mod reach;
mod settings;
mod shutdown;
mod start;
mod tasks;

use std::any::{Any, TypeId};
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use antiphon_base::time::Clock;
use antiphon_persistence::store::{Stores, WriterId};
pub use cluster_row::{CLUSTER_ROW, check_cluster_row};
pub use continuity::{
    Accepted, Continuity, Doubt, DoubtKind, Previous, SessionRow, accept_loss, session,
};
pub use liveness::Liveness;
use parking_lot::Mutex;
pub use parts::{NodeParts, PeerPlace};
pub use reach::{PlaceReach, PlaceState};
pub use settings::{NodeSettings, ShutdownTimeouts};
pub use shutdown::{ShutdownPhase, ShutdownTask};
use tokio::sync::{mpsc, watch};

use crate::gate::Gate;
use crate::lease::LeaseState;
use crate::membership::Membership;
use crate::metrics::Metrics;
use crate::{NodeId, Result};

/// The reason of [`Node::fenced`] after a graceful end.
pub const NODE_LEFT: &str = "the node has left";

type Extensions = BTreeMap<TypeId, Arc<dyn Any + Send + Sync>>;

struct Inner {
    id: NodeId,
    settings: NodeSettings,
    parts: NodeParts,
    peers: BTreeMap<Arc<str>, Stores>,
    checked_peers: Vec<peer_stores::PeerStores>,
    writer: WriterId,
    gate: Gate,
    members: watch::Receiver<Arc<Membership>>,
    leases: watch::Receiver<LeaseState>,
    continuity: watch::Receiver<Arc<Continuity>>,
    suspicions: mpsc::Sender<()>,
    liveness: Arc<liveness::LivenessCell>,
    control: mpsc::Sender<driver::Control>,
    hosted: Arc<hosted::HostedCell>,
    tasks: tasks::Tasks,
    runtime: tokio::runtime::Handle,
    shutdown: Mutex<Vec<(ShutdownPhase, &'static str, ShutdownTask)>>,
    crash: Mutex<Vec<Box<dyn FnOnce() + Send>>>,
    extensions: Mutex<Extensions>,
    leaving: AtomicBool,
    reach: Mutex<reach::Reach>,
    faults: Arc<faults::Faults>,
}

/// A running node. Cheap to clone; all clones are the same node.
#[derive(Clone)]
pub struct Node {
    inner: Arc<Inner>,
}

impl Node {
    /// Joins the members table of its place, opens its journal writer and connects to the nodes of
    /// all places. The node is up when this returns: every member of its place has answered it.
    /// Dropping the call before that ends the node.
    ///
    /// An earlier incarnation of the same name that is still in the table is watched for
    /// `renew_timeout` and a tenth, and then sealed.
    ///
    /// # Errors
    /// `Rejected` when a setting is wrong, a live node has the same name, or the store belongs to
    /// another cluster; `Unavailable` when the store, or a member of the place, could not be
    /// reached within `join_timeout`: this incarnation is over, and another one may try.
    pub async fn start(settings: NodeSettings, parts: NodeParts) -> Result<Self> {
        start::start(settings, parts).await
    }

    /// The node id of this incarnation.
    pub fn id(&self) -> &NodeId {
        &self.inner.id
    }

    /// The place of the node.
    pub fn place(&self) -> &str {
        &self.inner.settings.place
    }

    /// The roles of the node.
    pub fn roles(&self) -> &[String] {
        &self.inner.settings.roles
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
        let refused = |peer: &peer_stores::PeerStores| Some((peer.place(), peer.refusal()?));
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

    /// Reports the number of shards of an entity type that this node hosts. By the sum, the members
    /// of a place decide which of two members that are cut from each other stays.
    pub fn report_hosted(&self, entity_type: &Arc<str>, shards: u32) {
        self.inner.hosted.set(entity_type, shards);
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

    /// Leaves the cluster: announces it first ([`Self::is_leaving`]), works on for
    /// `shutdown_timeouts.announce`, and then runs all phases in order.
    ///
    /// # Errors
    /// `Timeout`, naming the tasks that did not end in time. The node has left nevertheless.
    pub async fn leave(&self) -> Result<()> {
        leave::leave(self).await
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

    fn end(&self) {
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

#[cfg(test)]
mod tests;
