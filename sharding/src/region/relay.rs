//! Finds a relay for each home to which this node is not connected. A pure core.
//!
//! ```text
//!   connected <---- the link is back ----+
//!       |                                |
//!       +-- no connection --> asked -- "connected" --> via a relay
//!                              ^  |                       |
//!                              |  +--- after `interval` --+--- it could not pass one on: forgotten
//!                              +------------------------------+
//! ```
//!
//! A command goes to a relay only after the relay has said that it is connected to the home. Until
//! then the command waits, as without relays. The relay hands the command to the home itself, or
//! says that nothing was done (`wire::hops`).
//!
//! Invariant: the relay to a home is another node than the home.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use antiphon_runtime::NodeId;
use tokio::time::Instant;

/// A fact for the relays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Input {
    /// The homes that cannot be reached now and are not dead.
    Look(BTreeSet<NodeId>),
    /// The members' answer about a home: the node that is connected to it, if one is.
    Found(NodeId, Option<NodeId>),
    /// The relay (second) could not pass on a command to the home (first).
    Lost(NodeId, NodeId),
}

/// A request of the relays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Effect {
    /// Ask other members about the home; answered by `Found`.
    Ask(NodeId),
    /// The home has a relay now: the commands that wait for it can go.
    Go(NodeId),
}

#[derive(Debug)]
struct Entry {
    asked_at: Instant,
    via: Option<NodeId>,
}

/// The relays to homes to which this node is not connected.
#[derive(Debug)]
pub(super) struct Relays {
    interval: Duration,
    homes: BTreeMap<NodeId, Entry>,
}

impl Relays {
    /// Without homes. Each home is asked about once in each `interval`.
    pub(super) fn new(interval: Duration) -> Self {
        Self { interval, homes: BTreeMap::new() }
    }

    /// The relay to a home, if one is known.
    pub(super) fn via(&self, home: &NodeId) -> Option<&NodeId> {
        self.homes.get(home)?.via.as_ref()
    }

    /// Advances the relays by one input.
    pub(super) fn step(&mut self, now: Instant, input: Input) -> Vec<Effect> {
        let effects = match input {
            Input::Look(unreachable) => self.look(now, unreachable),
            Input::Found(home, via) => self.found(home, via),
            Input::Lost(home, relay) => self.lost(&home, &relay),
        };
        self.check();
        effects
    }

    fn look(&mut self, now: Instant, unreachable: BTreeSet<NodeId>) -> Vec<Effect> {
        self.homes.retain(|home, _| unreachable.contains(home));
        let mut effects = Vec::new();
        for home in unreachable {
            match self.homes.get_mut(&home) {
                Some(entry) if now < entry.asked_at + self.interval => continue,
                Some(entry) => entry.asked_at = now,
                None => {
                    self.homes.insert(home.clone(), Entry { asked_at: now, via: None });
                }
            }
            effects.push(Effect::Ask(home));
        }
        effects
    }

    fn found(&mut self, home: NodeId, via: Option<NodeId>) -> Vec<Effect> {
        // a late answer: the home can be reached again, or is dead
        let Some(entry) = self.homes.get_mut(&home) else { return Vec::new() };
        let is_new = entry.via.is_none() && via.is_some();
        entry.via = via;
        if is_new { vec![Effect::Go(home)] } else { Vec::new() }
    }

    fn lost(&mut self, home: &NodeId, relay: &NodeId) -> Vec<Effect> {
        if let Some(entry) = self.homes.get_mut(home)
            && entry.via.as_ref() == Some(relay)
        {
            entry.via = None;
        }
        Vec::new()
    }

    fn check(&self) {
        for (home, entry) in &self.homes {
            assert!(entry.via.as_ref() != Some(home), "`{home}` is the relay to itself");
        }
    }
}

#[cfg(test)]
mod tests {
    use antiphon_base::time::{Clock, SystemClock};

    use super::*;

    const INTERVAL: Duration = Duration::from_millis(500);

    fn id(name: &str) -> NodeId {
        NodeId::new(name, 1).unwrap()
    }

    fn look(names: &[&str]) -> Input {
        Input::Look(names.iter().map(|name| id(name)).collect())
    }

    fn found(via: Option<&str>) -> Input {
        Input::Found(id("b"), via.map(id))
    }

    fn ask(name: &str) -> Effect {
        Effect::Ask(id(name))
    }

    #[test]
    fn a_home_without_a_connection_is_asked_about_once_each_interval() {
        let (mut relays, t0) = (Relays::new(INTERVAL), SystemClock.now());
        assert_eq!(relays.step(t0, look(&["b"])), [ask("b")]);
        assert_eq!(relays.step(t0, look(&["b", "c"])), [ask("c")]);
        assert_eq!(relays.step(t0 + INTERVAL, look(&["b", "c"])), [ask("b"), ask("c")]);
        assert_eq!(relays.via(&id("b")), None);
    }

    #[test]
    fn a_relay_is_used_until_it_fails_or_the_link_is_back() {
        let (mut relays, t0) = (Relays::new(INTERVAL), SystemClock.now());
        relays.step(t0, look(&["b"]));
        let go = [Effect::Go(id("b"))];
        assert_eq!(relays.step(t0, found(Some("r"))), go, "what waits can go");
        assert_eq!(relays.step(t0, found(Some("r"))), []);
        assert_eq!(relays.via(&id("b")), Some(&id("r")));
        relays.step(t0, Input::Lost(id("b"), id("other")));
        assert_eq!(relays.via(&id("b")), Some(&id("r")));
        relays.step(t0, Input::Lost(id("b"), id("r")));
        assert_eq!(relays.via(&id("b")), None);

        relays.step(t0, found(Some("r")));
        assert_eq!(relays.step(t0, look(&[])), []);
        assert_eq!(relays.via(&id("b")), None);
        assert_eq!(relays.step(t0, found(Some("r"))), [], "a late answer");
        assert!(relays.homes.is_empty());
    }

    #[test]
    #[should_panic(expected = "is the relay to itself")]
    fn a_home_that_is_its_own_relay_is_a_bug() {
        let (mut relays, t0) = (Relays::new(INTERVAL), SystemClock.now());
        relays.step(t0, look(&["b"]));
        relays.step(t0, found(Some("b")));
    }
}
