//! The whole network as one value: nodes, connections, and frames under way.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::events::Event;
use super::{Faults, NetworkStats, SplitMix64};
use crate::NodeId;
use crate::transport::SendError;

/// Time between two attempts to connect.
const DIAL_INTERVAL: Duration = Duration::from_millis(100);

#[derive(Default)]
pub(super) struct NodeEntry {
    /// The events of the node, by time and by the order in which they were scheduled.
    pub(super) inbox: BTreeMap<(Instant, u64), Event>,
    pub(super) wake: Arc<Notify>,
    pub(super) wanted: BTreeSet<NodeId>,
    pub(super) refused: BTreeSet<NodeId>,
    /// The connections that the node knows to be up.
    pub(super) up: BTreeMap<NodeId, u64>,
    /// Time when the last event from a peer is due, so that later ones do not overtake it.
    last_due: BTreeMap<NodeId, Instant>,
}

pub(super) struct State {
    random: SplitMix64,
    pub(super) faults: Faults,
    pub(super) faults_between: BTreeMap<(NodeId, NodeId), Faults>,
    pub(super) cuts: BTreeSet<(NodeId, NodeId)>,
    pub(super) nodes: BTreeMap<NodeId, NodeEntry>,
    /// The connections by their two ends, the smaller first.
    connections: BTreeMap<(NodeId, NodeId), u64>,
    connection_count: u64,
    scheduled: u64,
    pub(super) stats: NetworkStats,
}

impl State {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            random: SplitMix64::new(seed),
            faults: Faults::default(),
            faults_between: BTreeMap::new(),
            cuts: BTreeSet::new(),
            nodes: BTreeMap::new(),
            connections: BTreeMap::new(),
            connection_count: 0,
            scheduled: 0,
            stats: NetworkStats::default(),
        }
    }

    /// Schedules an event; with `from`, it keeps its order with other events from that node.
    fn schedule(&mut self, at: &NodeId, due: Instant, from: Option<&NodeId>, event: Event) {
        self.scheduled += 1;
        let Some(node) = self.nodes.get_mut(at) else { return };
        let mut due = due;
        if let Some(from) = from {
            let last = node.last_due.entry(from.clone()).or_insert(due);
            due = due.max(*last);
            *last = due;
        }
        node.inbox.insert((due, self.scheduled), event);
        node.wake.notify_one();
    }

    fn is_cut(&self, from: &NodeId, to: &NodeId) -> bool {
        self.cuts.contains(&(from.clone(), to.clone()))
    }

    fn faults_of(&self, from: &NodeId, to: &NodeId) -> Faults {
        self.faults_between.get(&(from.clone(), to.clone())).unwrap_or(&self.faults).clone()
    }

    pub(super) fn want(&mut self, now: Instant, node: &NodeId, peer: &NodeId) {
        let Some(entry) = self.nodes.get_mut(node) else { return };
        entry.refused.remove(peer);
        if entry.wanted.insert(peer.clone()) {
            self.schedule(node, now, None, Event::Dial { peer: peer.clone() });
        }
    }

    pub(super) fn unwant(&mut self, now: Instant, node: &NodeId, peer: &NodeId) {
        if let Some(entry) = self.nodes.get_mut(node) {
            entry.wanted.remove(peer);
            entry.refused.insert(peer.clone());
        }
        self.disconnect(now, node, peer);
    }

    /// Tries to connect, and tries again later when that fails.
    pub(super) fn dial(&mut self, now: Instant, node: &NodeId, peer: &NodeId) {
        let wanted = self.nodes.get(node).is_some_and(|entry| entry.wanted.contains(peer));
        if !wanted || self.connections.contains_key(&pair(node, peer)) {
            return;
        }
        let accepts = self.nodes.get(peer).is_some_and(|entry| !entry.refused.contains(node));
        if !accepts || self.is_cut(node, peer) || self.is_cut(peer, node) {
            self.schedule(node, now + DIAL_INTERVAL, None, Event::Dial { peer: peer.clone() });
            return;
        }
        self.connection_count += 1;
        let connection = self.connection_count;
        self.connections.insert(pair(node, peer), connection);
        let delay = self.faults_of(node, peer).delay;
        let due = now + self.random.duration(&delay);
        for (at, other) in [(node, peer), (peer, node)] {
            let up = Event::Up { peer: other.clone(), connection };
            self.schedule(at, due, Some(other), up);
        }
    }

    /// Ends a connection at both ends.
    pub(super) fn disconnect(&mut self, now: Instant, node: &NodeId, peer: &NodeId) {
        let Some(connection) = self.connections.remove(&pair(node, peer)) else { return };
        for (at, other) in [(node, peer), (peer, node)] {
            // the end of a connection cannot be seen through a cut; only probes find out
            let delay = self.faults_of(other, at).delay;
            let delay = if at == node { Duration::ZERO } else { self.random.duration(&delay) };
            let down = Event::Down { peer: other.clone(), connection };
            self.schedule(at, now + delay, Some(other), down);
        }
    }

    pub(super) fn remove(&mut self, now: Instant, node: &NodeId) {
        let peers: Vec<NodeId> = self
            .connections
            .keys()
            .filter_map(|(a, b)| match node {
                _ if node == a => Some(b.clone()),
                _ if node == b => Some(a.clone()),
                _ => None,
            })
            .collect();
        for peer in peers {
            self.disconnect(now, node, &peer);
        }
        if let Some(entry) = self.nodes.remove(node) {
            entry.wake.notify_one();
        }
    }

    pub(super) fn send(
        &mut self,
        now: Instant,
        from: &NodeId,
        to: &NodeId,
        frame: Bytes,
    ) -> Result<(), SendError> {
        SendError::check_frame(&frame)?;
        let connection = self.nodes.get(from).and_then(|entry| entry.up.get(to)).copied();
        let Some(connection) = connection else {
            return Err(SendError::Unreachable(format!("`{to}` is not connected")));
        };
        self.stats.sent += 1;
        if self.is_cut(from, to) {
            self.stats.cut += 1;
            return Ok(());
        }
        let faults = self.faults_of(from, to);
        if self.random.per_million(faults.drop_per_million) {
            self.stats.dropped += 1;
            return Ok(());
        }
        let twice = self.random.per_million(faults.duplicate_per_million);
        self.stats.duplicated += u64::from(twice);
        for _ in 0..=u32::from(twice) {
            let due = now + self.random.duration(&faults.delay);
            let reordered = self.random.per_million(faults.reorder_per_million);
            self.stats.reordered += u64::from(reordered);
            let in_order = if reordered { None } else { Some(from) };
            let event = Event::Frame { peer: from.clone(), connection, frame: frame.clone() };
            self.schedule(to, due, in_order, event);
        }
        Ok(())
    }

    /// Takes the next event of the node that is due; otherwise returns when to look again.
    pub(super) fn next(&mut self, now: Instant, node: &NodeId) -> Next {
        loop {
            let Some(entry) = self.nodes.get_mut(node) else { return Next::Gone };
            let Some((&(due, order), _)) = entry.inbox.first_key_value() else {
                return Next::Idle;
            };
            if due > now {
                return Next::At(due);
            }
            let event = entry.inbox.remove(&(due, order)).expect("it was the first");
            if let Some(event) = self.admit(now, node, event) {
                return Next::Event(event);
            }
        }
    }

    /// Applies an event to the state; returns it if the node has to know of it.
    fn admit(&mut self, now: Instant, node: &NodeId, event: Event) -> Option<Event> {
        if let Event::Dial { peer } = event {
            self.dial(now, node, &peer);
            return None;
        }
        let entry = self.nodes.get_mut(node)?;
        match &event {
            Event::Up { peer, connection } => {
                entry.up.insert(peer.clone(), *connection);
            }
            Event::Down { peer, connection } => {
                if entry.up.get(peer) != Some(connection) {
                    return None;
                }
                entry.up.remove(peer);
                if entry.wanted.contains(peer) {
                    let dial = Event::Dial { peer: peer.clone() };
                    self.schedule(node, now + DIAL_INTERVAL, None, dial);
                }
            }
            Event::Frame { peer, connection, .. } => {
                if entry.up.get(peer) != Some(connection) {
                    self.stats.cut += 1;
                    return None;
                }
                self.stats.delivered += 1;
            }
            Event::Dial { .. } => {}
        }
        Some(event)
    }
}

/// The next step of a node.
pub(super) enum Next {
    /// Handle this event.
    Event(Event),
    /// Wait until this time, or until it is woken.
    At(Instant),
    /// Wait until it is woken.
    Idle,
    /// End: the node was removed.
    Gone,
}

fn pair(a: &NodeId, b: &NodeId) -> (NodeId, NodeId) {
    if a < b { (a.clone(), b.clone()) } else { (b.clone(), a.clone()) }
}
