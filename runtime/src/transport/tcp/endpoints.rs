//! The far ends of the connections of a transport: wanted, refused, connected.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use antiphon_base::text::foreign;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::{Error, NodeId, Result};

/// The far end of the connections to one node. `turn` is held by the connection that reports to the
/// handler, so that reports never overlap.
#[derive(Default)]
pub(super) struct Endpoint {
    pub(super) turn: Arc<tokio::sync::Mutex<()>>,
    /// The place that the greeting of the newest connection has named.
    place: Mutex<Option<Arc<str>>>,
    current: Mutex<Option<Current>>,
    /// True when this node asked for the connection: the other node is a member.
    wanted: AtomicBool,
    /// True when the node has ended: a connection that is just being made must not outlive it.
    retired: AtomicBool,
}

/// The current connection to a node.
pub(super) struct Current {
    pub(super) frames: mpsc::Sender<Bytes>,
    pub(super) close: watch::Sender<bool>,
    /// Bytes of the frames that wait for the writer.
    pub(super) queued: Arc<AtomicUsize>,
}

/// The queue of frames to a node.
pub(super) struct Outgoing {
    pub(super) frames: mpsc::Sender<Bytes>,
    /// Bytes of the frames that wait for the writer.
    pub(super) queued: Arc<AtomicUsize>,
}

impl Endpoint {
    /// Notes that the other node is a member.
    pub(super) fn want(&self) {
        self.wanted.store(true, Ordering::Release);
    }

    pub(super) fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Acquire)
    }

    /// Closes the current connection.
    pub(super) fn close(&self) {
        if let Some(current) = &*self.lock() {
            current.close.send_replace(true);
        }
    }

    /// Closes the current connection, and each later one.
    pub(super) fn retire(&self) {
        let current = self.lock();
        self.retired.store(true, Ordering::Release);
        if let Some(current) = &*current {
            current.close.send_replace(true);
        }
    }

    /// Sets the current connection. Returns whether it may begin.
    pub(super) fn set(&self, connection: Current) -> bool {
        let mut current = self.lock();
        if self.retired.load(Ordering::Acquire) {
            return false;
        }
        *current = Some(connection);
        true
    }

    pub(super) fn clear(&self) {
        *self.lock() = None;
    }

    pub(super) fn outgoing(&self) -> Option<Outgoing> {
        let current = self.lock();
        let Current { frames, queued, .. } = current.as_ref()?;
        Some(Outgoing { frames: frames.clone(), queued: queued.clone() })
    }

    /// Returns whether there is a connection.
    pub(super) fn is_connected(&self) -> bool {
        self.lock().is_some()
    }

    fn lock(&self) -> parking_lot::MutexGuard<'_, Option<Current>> {
        self.current.lock()
    }
}

/// The node of a connection, forgotten at its end if it is not wanted.
pub(super) struct Known<'a> {
    pub(super) endpoints: &'a Mutex<Endpoints>,
    pub(super) id: &'a NodeId,
    pub(super) endpoint: &'a Arc<Endpoint>,
}

impl Drop for Known<'_> {
    fn drop(&mut self) {
        self.endpoints.lock().forget(self.id, self.endpoint);
    }
}

/// Limit of the nodes that are remembered as refused; beyond, some are forgotten.
const REFUSED_MAX: usize = 4096;

/// The far ends of all connections.
#[derive(Default)]
pub(super) struct Endpoints {
    pub(super) all: BTreeMap<NodeId, Arc<Endpoint>>,
    /// The tasks that keep up the connections which this node dials, with their addresses.
    pub(super) dialing: BTreeMap<NodeId, (String, JoinHandle<()>)>,
    /// The nodes that this node asked for. Others are forgotten when their connection ends.
    pub(super) wanted: BTreeSet<NodeId>,
    /// The places of the nodes that are members.
    pub(super) places: BTreeMap<NodeId, Arc<str>>,
    /// The disconnected nodes, refused until they are wanted again.
    pub(super) refused: BTreeSet<NodeId>,
    /// The reason why the last attempt to connect failed, for nodes that are wanted and not
    /// connected.
    pub(super) failures: BTreeMap<NodeId, String>,
    pub(super) has_stopped: bool,
}

impl Endpoints {
    pub(super) fn of(&mut self, id: &NodeId) -> Arc<Endpoint> {
        let endpoint = self.all.entry(id.clone()).or_default().clone();
        if self.wanted.contains(id) {
            endpoint.want();
        }
        endpoint
    }

    pub(super) fn refuse(&mut self, id: &NodeId) {
        self.wanted.remove(id);
        self.places.remove(id);
        self.failures.remove(id);
        self.refused.insert(id.clone());
        if self.refused.len() > REFUSED_MAX {
            self.refused.pop_first();
        }
    }

    /// Notes why there is no connection to a node. Any stranger can claim the id of a node, so
    /// nothing is noted about a node that is connected or not wanted.
    pub(super) fn failed(&mut self, id: &NodeId, why: &Error) {
        let is_connected = self.all.get(id).is_some_and(|endpoint| endpoint.is_connected());
        if self.wanted.contains(id) && !is_connected {
            self.failures.insert(id.clone(), why.to_string());
        }
    }

    /// Checks that a node whose greeting names this place may be connected.
    ///
    /// # Errors
    /// `Rejected` when the node is no member any more, or a member of another place.
    pub(super) fn may_connect(&self, id: &NodeId, place: &str) -> Result<()> {
        if self.has_stopped || self.refused.contains(id) {
            return Err(Error::rejected(format!("`{id}` is no member any more")));
        }
        match self.places.get(id).filter(|expected| ***expected != *place) {
            None => Ok(()),
            Some(expected) => Err(Error::rejected(format!(
                "`{id}` is a member of place `{expected}`, and this node says that its place is `{}`",
                foreign(place)
            ))),
        }
    }

    /// Notes that a connection to a node begins, whose greeting names this place.
    pub(super) fn connected(&mut self, id: &NodeId, place: String) -> Arc<Endpoint> {
        self.failures.remove(id);
        let endpoint = self.of(id);
        *endpoint.place.lock() = Some(place.into());
        endpoint
    }

    /// Notes the place whose member a node is, and ends a connection of another place, also one
    /// that is just being made.
    pub(super) fn expect_place(&mut self, id: &NodeId, place: &Arc<str>) {
        self.places.insert(id.clone(), place.clone());
        let Some(known) = self.all.get_mut(id) else { return };
        if known.place.lock().as_ref().is_none_or(|named| named == place) {
            return;
        }
        tracing::warn!(%id, %place, "a connection ends: the node is a member of this place, and has named another one");
        // the next connection reports after the end of this one
        let next = Endpoint { turn: known.turn.clone(), ..Endpoint::default() };
        std::mem::replace(known, Arc::new(next)).retire();
    }

    /// The place that the greeting of the connection to a node has named.
    pub(super) fn place_of(&self, id: &NodeId) -> Option<Arc<str>> {
        let endpoint = self.all.get(id)?;
        if !endpoint.is_connected() {
            return None;
        }
        endpoint.place.lock().clone()
    }

    /// The reason why there is no connection to a node.
    pub(super) fn trouble(&self, id: &NodeId) -> Option<String> {
        self.failures.get(id).cloned()
    }

    /// Lets go of a node that is not wanted, when the caller is the last to hold it.
    pub(super) fn forget(&mut self, id: &NodeId, endpoint: &Arc<Endpoint>) {
        let is_known = self.all.get(id).is_some_and(|known| Arc::ptr_eq(known, endpoint));
        // this map and the caller: a connection that waits for its turn would be a third
        if is_known && !self.wanted.contains(id) && Arc::strong_count(endpoint) == 2 {
            self.all.remove(id);
        }
    }
}
