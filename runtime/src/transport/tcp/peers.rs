//! The peers of a transport: who is wanted, who is refused, who is connected.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::{Error, NodeId};

/// One peer. `turn` is held by the connection that reports to the handler, so that reports never overlap.
#[derive(Default)]
pub(super) struct Peer {
    pub(super) turn: Arc<tokio::sync::Mutex<()>>,
    current: Mutex<Option<Current>>,
    /// A connection that was just being made must not outlive the end of the peer.
    retired: AtomicBool,
}

struct Current {
    frames: mpsc::Sender<Bytes>,
    close: watch::Sender<bool>,
}

impl Peer {
    /// Closes the connection that is there.
    pub(super) fn close(&self) {
        if let Some(current) = &*self.lock() {
            current.close.send_replace(true);
        }
    }

    /// Closes the connection that is there, and each that is still to come.
    pub(super) fn retire(&self) {
        let current = self.lock();
        self.retired.store(true, Ordering::Release);
        if let Some(current) = &*current {
            current.close.send_replace(true);
        }
    }

    /// Returns whether the connection may begin.
    pub(super) fn set(&self, frames: mpsc::Sender<Bytes>, close: watch::Sender<bool>) -> bool {
        let mut current = self.lock();
        if self.retired.load(Ordering::Acquire) {
            return false;
        }
        *current = Some(Current { frames, close });
        true
    }

    pub(super) fn clear(&self) {
        *self.lock() = None;
    }

    pub(super) fn frames(&self) -> Option<mpsc::Sender<Bytes>> {
        self.lock().as_ref().map(|current| current.frames.clone())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Current>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Most peers that are remembered as refused; over it some are forgotten.
const REFUSED_MAX: usize = 4096;

/// All peers.
#[derive(Default)]
pub(super) struct Peers {
    pub(super) peers: BTreeMap<NodeId, Arc<Peer>>,
    /// The tasks that keep up the connections which this node dials, with their addresses.
    pub(super) dialing: BTreeMap<NodeId, (String, JoinHandle<()>)>,
    /// Those that this node asked for. Others are forgotten when their connection ends.
    pub(super) wanted: BTreeSet<NodeId>,
    /// Disconnected, and to be refused until they are wanted again.
    pub(super) refused: BTreeSet<NodeId>,
    /// Why the last attempt to connect failed, for those that are wanted and not connected.
    pub(super) failures: BTreeMap<NodeId, String>,
    pub(super) has_stopped: bool,
}

impl Peers {
    pub(super) fn peer(&mut self, id: &NodeId) -> Arc<Peer> {
        self.peers.entry(id.clone()).or_default().clone()
    }

    pub(super) fn refuse(&mut self, id: &NodeId) {
        self.wanted.remove(id);
        self.failures.remove(id);
        self.refused.insert(id.clone());
        if self.refused.len() > REFUSED_MAX {
            self.refused.pop_first();
        }
    }

    /// Notes why there is no connection to a peer. Anybody can say that they are that peer, so that
    /// nothing is noted about one that is connected or that nobody asked for.
    pub(super) fn failed(&mut self, id: &NodeId, why: &Error) {
        let is_connected = self.peers.get(id).is_some_and(|peer| peer.frames().is_some());
        if self.wanted.contains(id) && !is_connected {
            self.failures.insert(id.clone(), why.to_string());
        }
    }

    /// A connection to a peer begins.
    pub(super) fn connected(&mut self, id: &NodeId) {
        self.failures.remove(id);
    }

    /// Why there is no connection to a peer.
    pub(super) fn trouble(&self, id: &NodeId) -> Option<String> {
        self.failures.get(id).cloned()
    }

    /// Lets go of a peer that nobody asked for, when `peer` is the last to hold it.
    pub(super) fn forget(&mut self, id: &NodeId, peer: &Arc<Peer>) {
        let is_known = self.peers.get(id).is_some_and(|known| Arc::ptr_eq(known, peer));
        // this map and the caller: a connection that waits for its turn would be a third
        if is_known && !self.wanted.contains(id) && Arc::strong_count(peer) == 2 {
            self.peers.remove(id);
        }
    }
}
