//! Decides which of the accepted connections stay: room for those that still greet, for members,
//! and for greeted nodes that are no members (strangers).
//!
//! ```text
//!            Accepted              Greeted, a member
//!   (new) -----------> greeting ----------------------> member
//!                         |                              ^  | Unwanted
//!                         | Greeted, no member    Wanted |  v
//!                         +---------------------------> stranger
//! ```
//!
//! The newest connection is let in, and the oldest of the address with the most connections gives
//! way: whoever opens connections without end displaces his own. Addresses of members come last.
//!
//! Invariants:
//! - at most `greeting_max` connections greet, and at most `greeting_address_max` of one address;
//! - at most `connections_max` nodes are connected, of which at most `strangers_max` are strangers;
//! - at most `streams_max` streams are open, of members only, and one of each member and purpose;
//! - no stranger takes the place of a member, and no strange address that of a known one.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::refusal::Reason;
use super::settings::TcpSettings;
use crate::NodeId;
use crate::origin::Origin;

/// Most connections that a check looks at one by one.
const CHECKED_MAX: usize = 64;

/// A fact about the accepted connections. The number of a connection is higher than those of all
/// connections before it.
#[derive(Debug, Clone)]
pub(super) enum Input {
    /// A connection was accepted.
    Accepted(u64, Origin),
    /// The other side of a connection has proved to be that node.
    Greeted(u64, NodeId),
    /// The other side of a connection has proved to be that node, and opens a stream of this
    /// purpose, which is no connection of its link.
    Streams(u64, NodeId, String),
    /// A connection has ended.
    Ended(u64),
    /// The node is a member, with its address if it is known.
    Wanted(NodeId, Option<Origin>),
    /// The node is no member any more; the caller closes its connection and its streams.
    Unwanted(NodeId),
    /// The process has no file descriptor left.
    NoDescriptor,
}

/// The connection with this number must be closed now. It is not counted any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Close(pub(super) u64, pub(super) Reason);

/// The number of accepted connections that greet, and of those of strangers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) greeting: usize,
    pub(super) strangers: usize,
}

/// The accepted connections of a node.
#[derive(Debug)]
pub(super) struct Admission {
    greeting_max: usize,
    greeting_address_max: usize,
    connections_max: usize,
    strangers_max: usize,
    streams_max: usize,
    /// The nodes that this node wants to be connected with, and their last known addresses.
    wanted: BTreeMap<NodeId, Option<Origin>>,
    greeting: Crowd,
    /// At most one connection of each node.
    greeted: BTreeMap<u64, NodeId>,
    strangers: Crowd,
    streams: BTreeMap<(NodeId, String), u64>,
}

impl Admission {
    pub(super) fn new(settings: &TcpSettings) -> Self {
        Self {
            greeting_max: settings.greeting_max,
            greeting_address_max: settings.greeting_address_max,
            connections_max: settings.connections_max,
            strangers_max: settings.strangers_max,
            streams_max: settings.streams_max,
            wanted: BTreeMap::new(),
            greeting: Crowd::default(),
            greeted: BTreeMap::new(),
            strangers: Crowd::default(),
            streams: BTreeMap::new(),
        }
    }

    pub(super) fn counts(&self) -> Counts {
        Counts { greeting: self.greeting.len(), strangers: self.strangers.len() }
    }

    /// Takes a fact. Returns the connection that must be closed for it, which may be the new one.
    pub(super) fn step(&mut self, input: Input) -> Option<Close> {
        let closed = match input {
            Input::Accepted(number, origin) => self.accepted(number, origin),
            Input::Greeted(number, node) => self.greeted(number, node),
            Input::Streams(number, node, purpose) => self.streams(number, node, purpose),
            Input::Ended(number) => {
                self.end(number);
                None
            }
            Input::Wanted(node, origin) => {
                self.want(node, origin);
                None
            }
            Input::Unwanted(node) => {
                self.wanted.remove(&node);
                if let Some(number) = self.of_node(&node) {
                    self.end(number);
                }
                self.streams.retain(|(of, _), _| *of != node);
                None
            }
            Input::NoDescriptor => {
                let known = self.known();
                let strange = self.greeting.oldest_of_most(|origin| !known.contains(&origin));
                let oldest = strange.or_else(|| self.greeting.oldest_of_most(|_| true));
                oldest.map(|number| Close(number, Reason::NoDescriptor))
            }
        };
        if let Some(Close(number, _)) = closed {
            self.end(number);
        }
        if cfg!(debug_assertions) {
            self.check();
        }
        closed
    }

    fn accepted(&mut self, number: u64, origin: Origin) -> Option<Close> {
        if self.greeting.of(origin) >= self.greeting_address_max {
            let oldest = self.greeting.oldest(origin)?;
            self.greeting.insert(number, origin);
            return Some(Close(oldest, Reason::AddressFull));
        }
        if self.greeting.len() < self.greeting_max {
            self.greeting.insert(number, origin);
            return None;
        }
        let known = self.known();
        let is_strange = |origin: Origin| !known.contains(&origin);
        let mut oldest = self.greeting.oldest_of_most(is_strange);
        if oldest.is_none() && known.contains(&origin) {
            oldest = self.greeting.oldest_of_most(|_| true);
        }
        let Some(oldest) = oldest else { return Some(Close(number, Reason::GreetingFull)) };
        self.greeting.insert(number, origin);
        Some(Close(oldest, Reason::GreetingFull))
    }

    fn greeted(&mut self, number: u64, node: NodeId) -> Option<Close> {
        // a connection that was closed meanwhile stays closed
        let origin = self.greeting.remove(number)?;
        let place = self.wanted.get_mut(&node);
        let is_member = place.is_some();
        if let Some(address) = place {
            *address = Some(origin);
        }
        let before = self.of_node(&node);
        let close = if let Some(before) = before {
            Some(Close(before, Reason::Replaced))
        } else if !is_member && self.strangers.len() >= self.strangers_max {
            let oldest = self.strangers.oldest_of_most(|_| true);
            Some(Close(oldest.unwrap_or(number), Reason::StrangersFull))
        } else if self.greeted.len() >= self.connections_max {
            let oldest = self.strangers.oldest_of_most(|_| true);
            Some(Close(oldest.unwrap_or(number), Reason::ConnectionsFull))
        } else {
            None
        };
        if let Some(Close(closed, _)) = close {
            self.end(closed);
        }
        if close.is_none_or(|Close(closed, _)| closed != number) {
            if !is_member {
                self.strangers.insert(number, origin);
            }
            self.greeted.insert(number, node);
        }
        close
    }

    fn streams(&mut self, number: u64, node: NodeId, purpose: String) -> Option<Close> {
        let origin = self.greeting.remove(number)?;
        let Some(address) = self.wanted.get_mut(&node) else {
            return Some(Close(number, Reason::NoMember));
        };
        *address = Some(origin);
        let key = (node, purpose);
        if self.streams.len() >= self.streams_max && !self.streams.contains_key(&key) {
            return Some(Close(number, Reason::StreamsFull));
        }
        let before = self.streams.insert(key, number);
        before.map(|before| Close(before, Reason::Replaced))
    }

    fn want(&mut self, node: NodeId, origin: Option<Origin>) {
        if let Some(number) = self.of_node(&node) {
            self.strangers.remove(number);
        }
        let known = self.wanted.entry(node).or_default();
        *known = origin.or(*known);
    }

    fn end(&mut self, number: u64) {
        self.greeting.remove(number);
        self.strangers.remove(number);
        self.greeted.remove(&number);
        self.streams.retain(|_, stream| *stream != number);
    }

    /// The connection of a node, if there is one.
    fn of_node(&self, node: &NodeId) -> Option<u64> {
        let found = self.greeted.iter().find(|(_, greeted)| *greeted == node);
        found.map(|(number, _)| *number)
    }

    /// The addresses of members.
    fn known(&self) -> BTreeSet<Origin> {
        self.wanted.values().flatten().copied().collect()
    }

    fn check(&self) {
        assert!(self.greeting.len() <= self.greeting_max, "too many connections greet");
        assert!(self.greeted.len() <= self.connections_max, "too many connections");
        assert!(self.streams.len() <= self.streams_max, "too many streams");
        // a look at each of thousands, at each step, would be the load that it guards against
        if self.greeting.len() + self.greeted.len() > CHECKED_MAX {
            return;
        }
        self.greeting.check(self.greeting_address_max);
        self.strangers.check(self.strangers_max);
        let nodes: BTreeSet<&NodeId> = self.greeted.values().collect();
        assert_eq!(nodes.len(), self.greeted.len(), "a node with two connections");
        for (number, node) in &self.greeted {
            let is_stranger = self.strangers.numbers.contains_key(number);
            let is_member = self.wanted.contains_key(node);
            assert_ne!(is_stranger, is_member, "`{node}`: a member, or a stranger");
            assert!(!self.greeting.numbers.contains_key(number), "`{node}` greets still");
        }
        for ((node, purpose), number) in &self.streams {
            assert!(self.wanted.contains_key(node), "`{node}`: a stream of a stranger");
            let greets = self.greeting.numbers.contains_key(number);
            let is_link = self.greeted.contains_key(number);
            assert!(!greets && !is_link, "`{node}`: the stream for {purpose} is no stream");
        }
    }
}

/// Connections by their addresses.
#[derive(Debug, Default)]
struct Crowd {
    numbers: BTreeMap<u64, Origin>,
    by_origin: BTreeMap<Origin, BTreeSet<u64>>,
}

impl Crowd {
    fn len(&self) -> usize {
        self.numbers.len()
    }

    fn of(&self, origin: Origin) -> usize {
        self.by_origin.get(&origin).map_or(0, BTreeSet::len)
    }

    fn oldest(&self, origin: Origin) -> Option<u64> {
        self.by_origin.get(&origin)?.first().copied()
    }

    /// The oldest connection of the address with the most connections, among the addresses that
    /// `may` takes.
    fn oldest_of_most(&self, may: impl Fn(Origin) -> bool) -> Option<u64> {
        let taken = self.by_origin.iter().filter(|(origin, _)| may(**origin));
        let most = taken.max_by_key(|(_, numbers)| (numbers.len(), Reverse(numbers.first())));
        most.and_then(|(_, numbers)| numbers.first().copied())
    }

    fn insert(&mut self, number: u64, origin: Origin) {
        self.numbers.insert(number, origin);
        self.by_origin.entry(origin).or_default().insert(number);
    }

    fn remove(&mut self, number: u64) -> Option<Origin> {
        let origin = self.numbers.remove(&number)?;
        if let Some(numbers) = self.by_origin.get_mut(&origin) {
            numbers.remove(&number);
            if numbers.is_empty() {
                self.by_origin.remove(&origin);
            }
        }
        Some(origin)
    }

    fn check(&self, address_max: usize) {
        let counted: usize = self.by_origin.values().map(BTreeSet::len).sum();
        assert_eq!(counted, self.numbers.len(), "a connection without its address");
        let is_over = self.by_origin.values().any(|numbers| numbers.len() > address_max);
        assert!(!is_over, "too many connections of an address");
    }
}

#[cfg(test)]
mod tests;
