//! Faults on demand, of a server or of the network before it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::io::Connections;

/// The switches of a server's faults. Cheap to clone; outlives restarts of the server.
#[derive(Clone, Default)]
pub struct Faults {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    armed: Mutex<Armed>,
    /// A counter that grows when all streams must end.
    ended: watch::Sender<u64>,
    /// True while requests are held.
    held: watch::Sender<bool>,
    connections: Connections,
}

/// A fault that happens a number of times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    LostReply,
    LostRequest,
    Unavailable,
    RefusedAck,
}

#[derive(Debug, Clone, Default)]
struct Armed {
    counts: BTreeMap<Fault, u32>,
    delay: Duration,
    leader: Option<(String, u16)>,
    denied: BTreeSet<String>,
}

impl Faults {
    /// Writes the next `count` appends, and resets their connections before the answer.
    pub fn lose_replies(&self, count: u32) {
        self.arm(Fault::LostReply, count);
    }

    /// Does not write the next `count` appends, and resets their connections.
    pub fn lose_requests(&self, count: u32) {
        self.arm(Fault::LostRequest, count);
    }

    /// Fails the next `count` requests as unavailable. `u32::MAX` means for ever, 0 ends it.
    pub fn unavailable(&self, count: u32) {
        self.arm(Fault::Unavailable, count);
    }

    /// Delays every request by this time. Zero ends it.
    pub fn slow(&self, delay: Duration) {
        self.shared.armed.lock().delay = delay;
    }

    /// Redirects requests that need the leader to `leader`. None makes this node the leader again.
    pub fn not_leader(&self, leader: Option<(String, u16)>) {
        self.shared.armed.lock().leader = leader;
    }

    /// Ends all subscriptions, including those of groups, without an error.
    pub fn end_streams(&self) {
        self.shared.ended.send_modify(|ended| *ended += 1);
    }

    /// Delivers the next `count` acknowledged messages of groups again.
    pub fn refuse_acks(&self, count: u32) {
        self.arm(Fault::RefusedAck, count);
    }

    /// Denies every user access to this stream; `allow` undoes it.
    pub fn deny(&self, stream: &str) {
        self.shared.armed.lock().denied.insert(stream.to_owned());
    }

    /// Undoes [`Self::deny`].
    pub fn allow(&self, stream: &str) {
        self.shared.armed.lock().denied.remove(stream);
    }

    /// Breaks all connections.
    pub fn reset_connections(&self) {
        self.shared.connections.reset();
    }

    /// Holds back all answers while this is on, with open connections: a hung application.
    pub fn hold_requests(&self, on: bool) {
        self.shared.held.send_replace(on);
    }

    /// Stops all reads and writes on connections while this is on: a frozen process, or a network
    /// that drops everything.
    pub fn freeze(&self, on: bool) {
        self.shared.connections.freeze(on);
    }

    /// Ends every lasting fault.
    pub fn clear(&self) {
        *self.shared.armed.lock() = Armed::default();
        self.hold_requests(false);
        self.freeze(false);
    }

    pub(crate) fn connections(&self) -> Connections {
        self.shared.connections.clone()
    }

    pub(crate) fn ended(&self) -> watch::Receiver<u64> {
        self.shared.ended.subscribe()
    }

    pub(crate) fn held(&self) -> watch::Receiver<bool> {
        self.shared.held.subscribe()
    }

    pub(crate) fn delay(&self) -> Duration {
        self.shared.armed.lock().delay
    }

    pub(crate) fn leader(&self) -> Option<(String, u16)> {
        self.shared.armed.lock().leader.clone()
    }

    pub(crate) fn is_denied(&self, stream: &str) -> bool {
        self.shared.armed.lock().denied.contains(stream)
    }

    fn arm(&self, fault: Fault, count: u32) {
        self.shared.armed.lock().counts.insert(fault, count);
    }

    /// Uses up one fault of a kind. Returns true when there was one. `u32::MAX` never runs out.
    pub(crate) fn happens(&self, fault: Fault) -> bool {
        match self.shared.armed.lock().counts.get_mut(&fault) {
            None | Some(0) => false,
            Some(&mut u32::MAX) => true,
            Some(left) => {
                *left -= 1;
                true
            }
        }
    }
}

impl std::fmt::Debug for Faults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.shared.armed.lock().fmt(f)
    }
}
