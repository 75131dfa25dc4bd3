//! A running node.

mod liveness;
mod parts;
mod settings;
mod shutdown;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use antiphon_persistence::store::{Stores, WriterId};
pub use liveness::Liveness;
pub use parts::{NodeParts, PeerPlace};
pub use settings::{NodeSettings, ShutdownTimeouts};
pub use shutdown::{ShutdownPhase, ShutdownTask};
use tokio::sync::watch;

use crate::clock::Clock;
use crate::gate::Gate;
use crate::lease::LeaseState;
use crate::membership::Membership;
use crate::metrics::Metrics;
use crate::{Error, NodeId, Result};

struct Inner {
    id: NodeId,
    settings: NodeSettings,
    parts: NodeParts,
    peers: BTreeMap<Arc<str>, Stores>,
    writer: WriterId,
    gate: Gate,
    members: watch::Receiver<Arc<Membership>>,
    leases: watch::Receiver<LeaseState>,
    liveness: watch::Receiver<Liveness>,
}

/// A running node. Cheap to clone; all clones are the same node.
#[derive(Clone)]
pub struct Node {
    inner: Arc<Inner>,
}

impl Node {
    /// Joins the members table of its place, opens its journal writer and connects to the nodes of all places.
    ///
    /// # Errors
    /// `Rejected` when a setting is wrong, a live node has the same name, or the store belongs to another cluster;
    /// `Unavailable` when the store cannot be reached.
    pub async fn start(settings: NodeSettings, _parts: NodeParts) -> Result<Self> {
        settings.validate()?;
        Err(Error::bug("the node is being built"))
    }

    /// This incarnation.
    pub fn id(&self) -> &NodeId {
        &self.inner.id
    }

    /// The place of the node.
    pub fn place(&self) -> &str {
        &self.inner.settings.place
    }

    /// What the node is for.
    pub fn roles(&self) -> &[String] {
        &self.inner.settings.roles
    }

    /// All settings.
    pub fn settings(&self) -> &NodeSettings {
        &self.inner.settings
    }

    /// Where time comes from.
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

    /// Whether this node may answer now: it has renewed its row within `renew_timeout` and was not found dead.
    /// Decided by the clock at the moment of the call; must be checked before any answer is released.
    pub fn is_live(&self) -> bool {
        *self.inner.liveness.borrow() == Liveness::Live
    }

    /// Whether this node may answer, as a value that can be waited on. It follows [`Self::is_live`] within a tick.
    pub fn liveness(&self) -> watch::Receiver<Liveness> {
        self.inner.liveness.clone()
    }

    /// Waits until this node is out for ever, and says why. The process should end then: an
    /// incarnation never comes back.
    pub fn fenced(&self) -> impl Future<Output = String> + Send + 'static {
        let mut liveness = self.inner.liveness.clone();
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

    /// The coordinator leases of all places, and whether this node holds the one of its own.
    pub fn coordinator_lease(&self) -> watch::Receiver<LeaseState> {
        self.inner.leases.clone()
    }

    /// Runs `task` in that phase of [`Self::leave`]. The tasks of one phase run at the same time.
    pub fn on_shutdown(&self, _phase: ShutdownPhase, _name: &'static str, _task: ShutdownTask) {}

    /// Runs `hook` when the node crashes ([`Self::crash`]): kill your actors there. It must not block.
    pub fn on_crash(&self, _name: &'static str, _hook: Box<dyn FnOnce() + Send>) {}

    /// Starts a task that ends with the node, however that ends.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let _ = crate::task::spawn(name, task);
    }

    /// Leaves the cluster: all phases in order.
    ///
    /// # Errors
    /// `Timeout`, naming the tasks that did not end in time. The node has left nevertheless.
    pub async fn leave(&self) -> Result<()> {
        Ok(())
    }

    /// Stops every task at once without telling anybody, as if the process had been killed. For tests.
    pub async fn crash(&self) {}
}
