//! The messages of newcomers: nodes that are connected, and in no membership table that this node
//! has read. A node that has just joined sends before this node has read its row.
//!
//! ```text
//!                    +-- its row was read --> handed over, in order
//!   a message waits -+
//!                    +-- `newcomer_timeout` --> refused, with all that wait behind it
//! ```
//!
//! One task hands over the messages of all newcomers that have become members, one message at a
//! time. The next message of such a node hands over those that wait before it by itself
//! ([`Newcomers::take_over`]): a node that sends without a pause would fill its room otherwise.
//!
//! Invariants: the messages of one node are handed over in the order in which they came, also those
//! that come while earlier ones are handed over; at most `messages_max` messages with at most
//! `bytes_max` bytes wait, and at most half of each from one node.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use antiphon_runtime::NodeId;
use tokio::time::Instant;

use super::Refusal;

/// Limits of the messages of newcomers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NewcomerSettings {
    pub(super) timeout: Duration,
    pub(super) messages_max: usize,
    pub(super) bytes_max: usize,
}

/// A fact for the newcomers.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Input<T> {
    /// A message of a newcomer, with the number of its bytes.
    Arrived(NodeId, usize, T),
    /// Time has passed.
    Tick,
}

/// A request of the newcomers.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Effect<T> {
    /// Read the membership tables.
    Look,
    /// Refuse the message.
    Refuse(NodeId, T, Refusal),
}

#[derive(Debug)]
struct Waiting<T> {
    /// The time of the first message, which the others wait behind.
    since: Instant,
    bytes: usize,
    messages: VecDeque<(usize, T)>,
    /// True when the node's next message is to hand over those that wait.
    is_left: bool,
}

/// The messages of newcomers at one node.
#[derive(Debug)]
pub(super) struct Newcomers<T> {
    settings: NewcomerSettings,
    nodes: BTreeMap<NodeId, Waiting<T>>,
    /// The node whose message the task is just handing over.
    handing: Option<NodeId>,
    messages: usize,
    bytes: usize,
}

impl<T> Newcomers<T> {
    pub(super) fn new(settings: NewcomerSettings) -> Self {
        Self { settings, nodes: BTreeMap::new(), handing: None, messages: 0, bytes: 0 }
    }

    /// The number of nodes whose messages wait, or are just handed over.
    pub(super) fn count(&self) -> usize {
        self.nodes.len()
    }

    /// Advances by one input.
    pub(super) fn step(&mut self, now: Instant, input: Input<T>) -> Vec<Effect<T>> {
        let effects = match input {
            Input::Arrived(from, bytes, message) => self.arrived(now, from, bytes, message),
            Input::Tick => self.tick(now),
        };
        self.check();
        effects
    }

    fn arrived(&mut self, now: Instant, from: NodeId, bytes: usize, message: T) -> Vec<Effect<T>> {
        let NewcomerSettings { messages_max, bytes_max, .. } = self.settings;
        let (of_it, bytes_of_it) =
            self.nodes.get(&from).map_or((0, 0), |it| (it.messages.len(), it.bytes));
        let is_room = self.messages < messages_max
            && of_it < messages_max.div_ceil(2)
            && self.bytes + bytes <= bytes_max
            && bytes_of_it + bytes <= bytes_max.div_ceil(2);
        if !is_room {
            return vec![Effect::Look, Effect::Refuse(from, message, Refusal::NewcomersFull)];
        }
        let new = || Waiting { since: now, bytes: 0, messages: VecDeque::new(), is_left: false };
        let it = self.nodes.entry(from).or_insert_with(new);
        it.messages.push_back((bytes, message));
        it.bytes += bytes;
        self.messages += 1;
        self.bytes += bytes;
        vec![Effect::Look]
    }

    fn tick(&mut self, now: Instant) -> Vec<Effect<T>> {
        let timeout = self.settings.timeout;
        let is_late = |it: &Waiting<T>| {
            now.duration_since(it.since) >= timeout && !it.messages.is_empty() && !it.is_left
        };
        let late = self.nodes.iter().filter(|(_, it)| is_late(it)).map(|(from, _)| from.clone());
        let mut effects = Vec::new();
        for from in late.collect::<Vec<_>>() {
            let it = self.nodes.remove(&from).expect("just seen");
            self.messages -= it.messages.len();
            self.bytes -= it.bytes;
            let refuse = |(_, message)| Effect::Refuse(from.clone(), message, Refusal::NoMember);
            effects.extend(it.messages.into_iter().map(refuse));
        }
        self.nodes.values_mut().for_each(|it| it.is_left = false);
        if !self.nodes.is_empty() {
            effects.push(Effect::Look);
        }
        effects
    }

    /// Takes out the next message of a node that is a member by now, with its place. The caller
    /// hands it over before it calls this again. Until this has returned `None` or a message of
    /// another node, later messages of the node wait.
    pub(super) fn next<P>(
        &mut self,
        place_of: impl Fn(&NodeId) -> Option<P>,
    ) -> Option<(NodeId, P, T)> {
        self.handing = None;
        // all messages of such a node were handed over
        self.nodes.retain(|_, it| !it.messages.is_empty());
        let mut nodes = self.nodes.iter_mut().filter(|(_, it)| !it.is_left);
        let (from, place, it) = nodes.find_map(|(from, it)| Some((from, place_of(from)?, it)))?;
        let (bytes, message) = it.messages.pop_front().expect("those without a message are gone");
        it.bytes -= bytes;
        self.messages -= 1;
        self.bytes -= bytes;
        let next = (from.clone(), place, message);
        self.handing = Some(from.clone());
        self.check();
        Some(next)
    }

    /// Takes out all messages of a node that is a member by now, for a caller who hands them over
    /// before its own message of that node. `None` while the task hands one over: the caller's
    /// message must wait, and the one after it takes over.
    pub(super) fn take_over(&mut self, from: &NodeId) -> Option<Vec<T>> {
        if self.handing.as_ref() == Some(from) {
            if let Some(it) = self.nodes.get_mut(from) {
                it.is_left = true;
            }
            return None;
        }
        let Some(it) = self.nodes.remove(from) else { return Some(Vec::new()) };
        self.messages -= it.messages.len();
        self.bytes -= it.bytes;
        self.check();
        Some(it.messages.into_iter().map(|(_, message)| message).collect())
    }

    /// Panics when an invariant is broken.
    fn check(&self) {
        let of_all = |of: fn(&Waiting<T>) -> usize| self.nodes.values().map(of).sum::<usize>();
        assert_eq!(of_all(|it| it.messages.len()), self.messages, "messages are counted wrong");
        assert_eq!(of_all(|it| it.bytes), self.bytes, "bytes are counted wrong");
        assert!(self.messages <= self.settings.messages_max, "too many messages wait");
        assert!(self.bytes <= self.settings.bytes_max, "too many bytes wait");
    }
}

#[cfg(test)]
mod tests {
    use antiphon_base::time::{Clock, SystemClock};

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(2);

    fn newcomers() -> (Newcomers<u32>, Instant) {
        let settings = NewcomerSettings { timeout: TIMEOUT, messages_max: 4, bytes_max: 100 };
        (Newcomers::new(settings), SystemClock.now())
    }

    fn id(name: &str) -> NodeId {
        NodeId::new(name, 1).unwrap()
    }

    fn arrived(name: &str, bytes: usize, message: u32) -> Input<u32> {
        Input::Arrived(id(name), bytes, message)
    }

    fn full(name: &str, message: u32) -> [Effect<u32>; 2] {
        [Effect::Look, Effect::Refuse(id(name), message, Refusal::NewcomersFull)]
    }

    #[test]
    fn the_messages_of_a_node_that_becomes_a_member_are_handed_over_in_order() {
        let (mut newcomers, t0) = newcomers();
        assert_eq!(newcomers.step(t0, arrived("b", 1, 1)), [Effect::Look]);
        newcomers.step(t0, arrived("b", 1, 2));
        newcomers.step(t0, arrived("c", 1, 3));
        assert_eq!(newcomers.next(|_| None::<&str>), None);
        let is_b = |node: &NodeId| (*node == id("b")).then_some("B");
        assert_eq!(newcomers.next(is_b), Some((id("b"), "B", 1)));
        assert_eq!(newcomers.next(is_b), Some((id("b"), "B", 2)));
        assert!(newcomers.nodes.contains_key(&id("b")), "the second message is just handed over");
        newcomers.step(t0, arrived("b", 1, 4));
        assert_eq!(newcomers.next(is_b), Some((id("b"), "B", 4)));
        assert_eq!(newcomers.next(is_b), None);
        assert!(!newcomers.nodes.contains_key(&id("b")));
        assert_eq!(newcomers.count(), 1, "c still waits");
    }

    #[test]
    fn the_next_message_of_a_member_takes_over_those_that_wait_before_it() {
        let (mut newcomers, t0) = newcomers();
        newcomers.step(t0, arrived("b", 10, 1));
        newcomers.step(t0, arrived("b", 10, 2));
        newcomers.step(t0, arrived("c", 10, 3));
        assert_eq!(newcomers.next(|_| Some("B")), Some((id("b"), "B", 1)));
        assert_eq!(newcomers.take_over(&id("b")), None, "the first message is just handed over");
        assert_eq!(newcomers.next(|_| Some("B")), Some((id("c"), "B", 3)), "b is left to itself");
        assert_eq!(newcomers.take_over(&id("b")), Some(vec![2]));
        assert!(!newcomers.nodes.contains_key(&id("b")));
        assert_eq!(newcomers.take_over(&id("b")), Some(vec![]));

        newcomers.step(t0, arrived("d", 10, 4));
        newcomers.step(t0, arrived("d", 10, 5));
        assert_eq!(newcomers.next(|_| Some("B")), Some((id("d"), "B", 4)));
        assert_eq!(newcomers.take_over(&id("d")), None);
        assert_eq!(newcomers.next(|_| Some("B")), None);
        newcomers.step(t0, Input::Tick);
        assert_eq!(newcomers.next(|_| Some("B")), Some((id("d"), "B", 5)), "no message came");
    }

    #[test]
    fn a_node_that_does_not_become_a_member_in_time_is_refused() {
        let (mut newcomers, t0) = newcomers();
        newcomers.step(t0, arrived("b", 1, 1));
        newcomers.step(t0 + TIMEOUT / 2, arrived("b", 1, 2));
        newcomers.step(t0 + TIMEOUT / 2, arrived("c", 1, 3));
        assert_eq!(newcomers.step(t0 + TIMEOUT / 2, Input::Tick), [Effect::Look]);
        let refused = |name, message| Effect::Refuse(id(name), message, Refusal::NoMember);
        let of_b = [refused("b", 1), refused("b", 2), Effect::Look];
        assert_eq!(newcomers.step(t0 + TIMEOUT, Input::Tick), of_b);
        assert_eq!(newcomers.step(t0 + TIMEOUT * 2, Input::Tick), [refused("c", 3)]);
        assert_eq!(newcomers.step(t0 + TIMEOUT * 2, Input::Tick), []);
    }

    #[test]
    fn messages_and_bytes_have_a_limit_and_one_node_gets_half() {
        let (mut newcomers, t0) = newcomers();
        for message in 0..2 {
            assert_eq!(newcomers.step(t0, arrived("b", 10, message)), [Effect::Look]);
        }
        assert_eq!(newcomers.step(t0, arrived("b", 10, 2)), full("b", 2));
        assert_eq!(newcomers.step(t0, arrived("c", 51, 3)), full("c", 3));
        assert_eq!(newcomers.step(t0, arrived("c", 50, 4)), [Effect::Look]);
        assert_eq!(newcomers.step(t0, arrived("d", 31, 5)), full("d", 5));
        assert_eq!(newcomers.step(t0, arrived("d", 30, 6)), [Effect::Look]);
        assert_eq!(newcomers.step(t0, arrived("e", 0, 7)), full("e", 7));
        assert_eq!(newcomers.next(|_| Some("B")), Some((id("b"), "B", 0)));
        assert_eq!(newcomers.step(t0, arrived("e", 10, 8)), [Effect::Look]);
    }
}
