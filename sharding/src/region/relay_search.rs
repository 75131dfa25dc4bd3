//! Asks other members whether they are connected to the homes that this node cannot reach, and
//! answers the same question. The rules are in `relay`.

use std::collections::BTreeSet;
use std::sync::Arc;

use antiphon_runtime::{MemberState, NodeId, Responder};
use parking_lot::Mutex;

use super::parts::RegionParts;
use super::relay::{Effect, Input, Relays};
use crate::wire::{ReachAnswer, SHARDING, Wire};

/// The search for relays.
pub(super) struct RelaySearch {
    parts: Arc<RegionParts>,
    relays: Mutex<Relays>,
}

impl RelaySearch {
    pub(super) fn new(parts: Arc<RegionParts>) -> Self {
        let relays = Mutex::new(Relays::new(parts.settings.relay_interval));
        Self { parts, relays }
    }

    /// Returns whether commands for the node can go now, directly or through a relay.
    pub(super) fn reaches(&self, node: &NodeId) -> bool {
        self.parts.node.gate().is_connected(node) || self.relay_to(node).is_some()
    }

    /// The relay to a home to which this node is not connected; `None` when this node is not
    /// connected to a relay either.
    pub(super) fn relay_to(&self, home: &NodeId) -> Option<NodeId> {
        let via = self.relays.lock().via(home).cloned();
        via.filter(|relay| self.parts.node.gate().is_connected(relay))
    }

    /// Notes that the relay could not pass on a command.
    pub(super) fn lost(&self, home: &NodeId, relay: &NodeId) {
        self.step(Input::Lost(home.clone(), relay.clone()));
    }

    fn step(&self, input: Input) -> Vec<Effect> {
        self.relays.lock().step(self.parts.now(), input)
    }

    /// Asks other members about those of the homes that cannot be reached and are not dead. Calls
    /// `go` when a home has a relay that had none.
    pub(super) fn look(
        self: &Arc<Self>,
        homes: BTreeSet<NodeId>,
        go: impl Fn() + Clone + Send + 'static,
    ) {
        let gate = self.parts.node.gate();
        let members = self.parts.node.members().borrow().clone();
        let is_sought = |home: &NodeId| {
            !gate.is_connected(home)
                && members.get(home).is_some_and(|member| member.state != MemberState::Dead)
        };
        let sought = homes.into_iter().filter(is_sought).collect();
        for effect in self.step(Input::Look(sought)) {
            match effect {
                Effect::Ask(home) => self.ask(home, go.clone()),
                Effect::Go(_) => go(),
            }
        }
    }

    /// The members to ask about a home: at most `relay_candidates_max`, those of the home's own
    /// place first, since they are most likely connected to it.
    fn candidates(&self, home: &NodeId) -> Vec<NodeId> {
        let gate = self.parts.node.gate();
        let members = self.parts.node.members().borrow().clone();
        let me = self.parts.node.id();
        let mut candidates: Vec<(bool, NodeId)> = members
            .all()
            .filter(|member| member.state != MemberState::Dead)
            .filter(|member| member.id != *home && member.id != *me)
            .filter(|member| gate.is_connected(&member.id))
            .map(|member| {
                let same = members.get(home).is_some_and(|home| home.place == member.place);
                (!same, member.id.clone())
            })
            .collect();
        candidates.sort();
        candidates.truncate(self.parts.settings.relay_candidates_max);
        candidates.into_iter().map(|(_, id)| id).collect()
    }

    fn ask(self: &Arc<Self>, home: NodeId, go: impl Fn() + Send + 'static) {
        let entity_type = self.parts.layout.entity_type().clone();
        let message = Wire::AskReach { entity_type, node: home.clone() }.encode();
        let timeout = self.parts.settings.relay_interval;
        let gate = self.parts.node.gate();
        let asked: Vec<_> = self
            .candidates(&home)
            .into_iter()
            .map(|node| (gate.ask(&node, SHARDING, message.clone(), timeout), node))
            .collect();
        let this = Arc::downgrade(self);
        self.parts.node.spawn("ask relays", async move {
            let mut via = None;
            for (answer, node) in asked {
                let answer = answer.await.ok().map(|answer| ReachAnswer::decode(&answer));
                if matches!(answer, Some(Ok(ReachAnswer::Connected))) {
                    via = Some(node);
                    break;
                }
            }
            let Some(this) = this.upgrade() else { return };
            let relay = via.clone();
            if !this.step(Input::Found(home.clone(), via)).is_empty() {
                tracing::info!(%home, ?relay, "commands go through another node");
                go();
            }
        });
    }

    /// Answers whether this node is connected to another one.
    pub(super) fn asked(&self, node: &NodeId, responder: Responder) {
        let is_connected = self.parts.node.gate().is_connected(node);
        let answer = if is_connected { ReachAnswer::Connected } else { ReachAnswer::NotConnected };
        responder.reply(answer.encode());
    }
}
