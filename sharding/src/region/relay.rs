//! Finds a relay for each home to which this node is not connected.
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

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use antiphon_persistence::entity::EventSourced;
use antiphon_runtime::{MemberState, NodeId};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::shared::Region;
use crate::wire::{ReachAnswer, SHARDING, Wire};

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
    pub(super) fn new(interval: Duration) -> Self {
        Self { interval, homes: BTreeMap::new() }
    }

    /// Takes the homes that cannot be reached now. Returns the homes to ask about: new homes, and
    /// each home again after `interval`.
    fn look(&mut self, now: Instant, unreachable: BTreeSet<NodeId>) -> Vec<NodeId> {
        self.homes.retain(|home, _| unreachable.contains(home));
        let mut due = Vec::new();
        for home in unreachable {
            match self.homes.get_mut(&home) {
                Some(entry) if now < entry.asked_at + self.interval => {}
                Some(entry) => {
                    entry.asked_at = now;
                    due.push(home);
                }
                None => {
                    self.homes.insert(home.clone(), Entry { asked_at: now, via: None });
                    due.push(home);
                }
            }
        }
        due
    }

    /// Takes the members' answer about a home. Returns true when there is a relay now and was none
    /// before.
    fn found(&mut self, home: &NodeId, via: Option<NodeId>) -> bool {
        let Some(entry) = self.homes.get_mut(home) else { return false };
        let is_new = entry.via.is_none() && via.is_some();
        entry.via = via;
        is_new
    }

    /// Forgets a relay that could not pass a command on.
    fn lost(&mut self, home: &NodeId, relay: &NodeId) {
        if let Some(entry) = self.homes.get_mut(home)
            && entry.via.as_ref() == Some(relay)
        {
            entry.via = None;
        }
    }

    fn via(&self, home: &NodeId) -> Option<&NodeId> {
        self.homes.get(home)?.via.as_ref()
    }
}

impl<E: EventSourced> Region<E>
where
    E::Command: Serialize + DeserializeOwned,
{
    /// The relay to a home to which this node is not connected; `None` when this node is not
    /// connected to a relay either.
    pub(super) fn relay_to(&self, home: &NodeId) -> Option<NodeId> {
        let via = self.relays().via(home).cloned();
        via.filter(|relay| self.parts.node.gate().is_connected(relay))
    }

    pub(super) fn relay_lost(&self, home: &NodeId, relay: &NodeId) {
        self.relays().lost(home, relay);
    }

    /// Asks other members about the homes that cannot be reached and are not dead.
    pub(super) fn look_for_relays(&self) {
        let gate = self.parts.node.gate();
        let members = self.parts.node.members().borrow().clone();
        let remotes = (0..self.slots.len()).filter_map(|i| self.slot(i).route.remote().cloned());
        let unreachable: BTreeSet<NodeId> = remotes
            .filter(|home| !gate.is_connected(home))
            .filter(|home| members.get(home).is_some_and(|m| m.state != MemberState::Dead))
            .collect();
        let due = self.relays().look(self.parts.node.clock().now(), unreachable);
        for home in due {
            let me = self.parts.node.id();
            let mut candidates: Vec<(bool, NodeId)> = members
                .all()
                .filter(|member| member.state != MemberState::Dead)
                .filter(|member| member.id != home && member.id != *me)
                .filter(|member| gate.is_connected(&member.id))
                // a node of the home's own place is most likely connected to it
                .map(|member| {
                    let same = members.get(&home).is_some_and(|home| home.place == member.place);
                    (!same, member.id.clone())
                })
                .collect();
            candidates.sort();
            candidates.truncate(self.parts.settings.relay_candidates_max);
            self.ask_relays(home, candidates.into_iter().map(|(_, id)| id).collect());
        }
    }

    fn ask_relays(&self, home: NodeId, candidates: Vec<NodeId>) {
        let entity_type = self.parts.entity_type.clone();
        let message = Wire::AskReach { entity_type, node: home.clone() }.encode();
        let timeout = self.parts.settings.relay_interval;
        let gate = self.parts.node.gate();
        let asked: Vec<_> = candidates
            .into_iter()
            .map(|node| (gate.ask(&node, SHARDING, message.clone(), timeout), node))
            .collect();
        let region = self.this.clone();
        self.parts.node.spawn("ask relays", async move {
            let mut via = None;
            for (answer, node) in asked {
                let answer = answer.await.ok().map(|answer| ReachAnswer::decode(&answer));
                if matches!(answer, Some(Ok(ReachAnswer::Connected))) {
                    via = Some(node);
                    break;
                }
            }
            let Some(region) = region.upgrade() else { return };
            let relay = via.clone();
            let is_new = region.relays().found(&home, via);
            if is_new {
                tracing::info!(%home, ?relay, "commands go through another node");
                (0..region.slots.len()).for_each(|index| region.tick_route(index));
            }
        });
    }

    /// Answers whether this node is connected to another one.
    pub(crate) fn reach_asked(&self, node: &NodeId, responder: antiphon_runtime::Responder) {
        let is_connected = self.parts.node.gate().is_connected(node);
        let answer = if is_connected { ReachAnswer::Connected } else { ReachAnswer::NotConnected };
        responder.reply(answer.encode());
    }

    fn relays(&self) -> parking_lot::MutexGuard<'_, Relays> {
        self.relays.lock()
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

    fn homes(names: &[&str]) -> BTreeSet<NodeId> {
        names.iter().map(|name| id(name)).collect()
    }

    #[test]
    fn a_home_without_a_connection_is_asked_about_once_each_interval() {
        let (mut relays, t0) = (Relays::new(INTERVAL), SystemClock.now());
        assert_eq!(relays.look(t0, homes(&["b"])), [id("b")]);
        assert_eq!(relays.look(t0, homes(&["b", "c"])), [id("c")]);
        assert_eq!(relays.look(t0 + INTERVAL, homes(&["b", "c"])), [id("b"), id("c")]);
        assert_eq!(relays.via(&id("b")), None);
    }

    #[test]
    fn a_relay_is_used_until_it_fails_or_the_link_is_back() {
        let (mut relays, t0) = (Relays::new(INTERVAL), SystemClock.now());
        relays.look(t0, homes(&["b"]));
        assert!(relays.found(&id("b"), Some(id("r"))), "what waits can go");
        assert!(!relays.found(&id("b"), Some(id("r"))));
        assert_eq!(relays.via(&id("b")), Some(&id("r")));
        relays.lost(&id("b"), &id("other"));
        assert_eq!(relays.via(&id("b")), Some(&id("r")));
        relays.lost(&id("b"), &id("r"));
        assert_eq!(relays.via(&id("b")), None);

        relays.found(&id("b"), Some(id("r")));
        assert_eq!(relays.look(t0, homes(&[])), []);
        assert_eq!(relays.via(&id("b")), None);
        assert!(!relays.found(&id("b"), Some(id("r"))), "a late answer");
        assert!(relays.homes.is_empty());
    }
}
