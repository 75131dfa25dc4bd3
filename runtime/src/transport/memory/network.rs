//! The handle of a test or a simulation: makes transports and causes faults.

use std::sync::Arc;

use antiphon_base::time::{Clock, SystemClock};
use parking_lot::{Mutex, MutexGuard};

use super::faults::{Faults, NetworkStats};
use super::state::{NodeEntry, State};
use super::transport::MemoryTransport;
use crate::NodeId;

/// A network in memory. Cheap to clone; all clones are the same network.
#[derive(Clone)]
pub struct MemoryNetwork {
    state: Arc<Mutex<State>>,
}

impl MemoryNetwork {
    /// A network without nodes and, at first, with the default [`Faults`]: short delays and nothing
    /// else.
    pub fn new(seed: u64) -> Self {
        Self { state: Arc::new(Mutex::new(State::new(seed))) }
    }

    /// The transport of a node that joins the network now. Its address is the text of its id; the
    /// network ignores addresses.
    pub fn transport(&self, node: &NodeId) -> Arc<MemoryTransport> {
        self.lock().nodes.insert(node.clone(), NodeEntry::default());
        Arc::new(MemoryTransport::new(self.state.clone(), node.clone()))
    }

    /// Sets the faults between all nodes for which nothing else is set.
    pub fn set_faults(&self, faults: Faults) {
        self.lock().faults = faults;
    }

    /// Sets the faults from one node to another, one way.
    pub fn set_faults_between(&self, from: &NodeId, to: &NodeId, faults: Faults) {
        self.lock().faults_between.insert((from.clone(), to.clone()), faults);
    }

    /// Loses all frames from one node to another, one way, silently. Connections stay, and no new
    /// connection is made.
    pub fn cut(&self, from: &NodeId, to: &NodeId) {
        self.lock().cuts.insert((from.clone(), to.clone()));
    }

    /// Loses all frames between two nodes, both ways.
    pub fn cut_both(&self, a: &NodeId, b: &NodeId) {
        self.cut(a, b);
        self.cut(b, a);
    }

    /// Cuts a node off from all other nodes of the network now.
    pub fn isolate(&self, node: &NodeId) {
        let others: Vec<NodeId> = self.lock().nodes.keys().cloned().collect();
        for other in others.iter().filter(|other| *other != node) {
            self.cut_both(node, other);
        }
    }

    /// Takes back the cuts between two nodes, both ways.
    pub fn heal(&self, a: &NodeId, b: &NodeId) {
        let mut state = self.lock();
        state.cuts.remove(&(a.clone(), b.clone()));
        state.cuts.remove(&(b.clone(), a.clone()));
    }

    /// Takes back all cuts.
    pub fn heal_all(&self) {
        self.lock().cuts.clear();
    }

    /// Breaks the connection between two nodes, if there is one; both see it, and connect anew if
    /// they want to.
    pub fn break_connection(&self, a: &NodeId, b: &NodeId) {
        self.lock().disconnect(SystemClock.now(), a, b);
    }

    /// Removes a node: its peers see the connection break, as when a process is killed.
    pub fn crash(&self, node: &NodeId) {
        self.lock().remove(SystemClock.now(), node);
    }

    /// The counters since the start.
    pub fn stats(&self) -> NetworkStats {
        self.lock().stats
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}
