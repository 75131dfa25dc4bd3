//! Decides which members are probed, and when missed probes mean that a member is unreachable.
//!
//! ```text
//!   trusted --`probe_misses_max` missed in a row--> suspected --one answer--> trusted
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use crate::NodeId;

/// Limits, from the node's settings.
#[derive(Debug, Clone)]
pub struct DetectorSettings {
    /// Time between two probes of one neighbour.
    pub probe_interval: Duration,
    /// Number of missed probes in a row after which a neighbour is suspected.
    pub probe_misses_max: u32,
    /// Limit of the number of neighbours.
    pub probe_neighbours_max: usize,
    /// Time in which missed probes of a new neighbour do not count.
    pub probe_grace: Duration,
}

/// A fact for the detector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// All members of the place that are not dead, and the members among them that are probed in
    /// addition to the neighbours.
    Members(Vec<NodeId>, BTreeSet<NodeId>),
    /// True when the probe was answered.
    Probed(NodeId, bool),
    /// Time has passed.
    Tick,
}

/// A request of the detector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Probe; answered by `Probed`.
    Probe(NodeId),
    /// The neighbour has answered for the first time, or again after it was suspected.
    Reached(NodeId),
    /// The neighbour is suspected now (true), or not any more (false).
    Suspect(NodeId, bool),
}

#[derive(Debug)]
struct Neighbour {
    since: Instant,
    probe_at: Instant,
    probing: bool,
    is_reached: bool,
    misses: u32,
}

/// The failure detector of one node.
#[derive(Debug)]
pub struct FailureDetector {
    me: NodeId,
    settings: DetectorSettings,
    neighbours: BTreeMap<NodeId, Neighbour>,
}

impl FailureDetector {
    /// A detector without neighbours.
    pub fn new(me: NodeId, settings: DetectorSettings) -> Self {
        Self { me, settings, neighbours: BTreeMap::new() }
    }

    /// Advances by one input.
    pub fn step(&mut self, now: Instant, input: Input) -> Vec<Effect> {
        let effects = match input {
            Input::Members(members, wanted) => self.members(now, members, &wanted),
            Input::Probed(node, answered) => self.probed(now, node, answered),
            Input::Tick => self.tick(now),
        };
        self.check();
        effects
    }

    /// Asserts the invariants, in release builds too: a member gives way by the word of a detector.
    pub fn check(&self) {
        assert!(!self.neighbours.contains_key(&self.me), "a node is its own neighbour");
        for (id, neighbour) in &self.neighbours {
            assert!(
                !neighbour.is_reached || neighbour.misses < self.settings.probe_misses_max,
                "`{id}` is suspected, and counts as reached"
            );
        }
    }

    fn members(
        &mut self,
        now: Instant,
        mut members: Vec<NodeId>,
        wanted: &BTreeSet<NodeId>,
    ) -> Vec<Effect> {
        members.retain(|member| *member != self.me);
        members.sort();
        // the ring begins after this node
        let start = members.partition_point(|member| *member < self.me);
        members.rotate_left(start);
        let rest = members.split_off(members.len().min(self.settings.probe_neighbours_max));
        members.extend(rest.into_iter().filter(|member| wanted.contains(member)));
        let gone: Vec<NodeId> =
            self.neighbours.keys().filter(|id| !members.contains(id)).cloned().collect();
        let mut effects = Vec::new();
        for id in gone {
            let neighbour = self.neighbours.remove(&id).expect("listed above");
            if neighbour.misses >= self.settings.probe_misses_max {
                effects.push(Effect::Suspect(id, false));
            }
        }
        for id in members {
            let new = Neighbour {
                since: now,
                probe_at: now,
                probing: false,
                is_reached: false,
                misses: 0,
            };
            self.neighbours.entry(id).or_insert(new);
        }
        effects
    }

    fn probed(&mut self, now: Instant, node: NodeId, answered: bool) -> Vec<Effect> {
        let Some(neighbour) = self.neighbours.get_mut(&node) else { return Vec::new() };
        neighbour.probing = false;
        let max = self.settings.probe_misses_max;
        if answered {
            let was_suspected = neighbour.misses >= max;
            neighbour.misses = 0;
            let mut effects = Vec::new();
            if was_suspected {
                effects.push(Effect::Suspect(node.clone(), false));
            }
            if !std::mem::replace(&mut neighbour.is_reached, true) {
                effects.push(Effect::Reached(node));
            }
            return effects;
        }
        if now.duration_since(neighbour.since) < self.settings.probe_grace {
            return Vec::new();
        }
        neighbour.misses = neighbour.misses.saturating_add(1);
        if neighbour.misses != max {
            return Vec::new();
        }
        neighbour.is_reached = false;
        vec![Effect::Suspect(node, true)]
    }

    fn tick(&mut self, now: Instant) -> Vec<Effect> {
        let mut effects = Vec::new();
        for (id, neighbour) in &mut self.neighbours {
            if !neighbour.probing && now >= neighbour.probe_at {
                neighbour.probing = true;
                neighbour.probe_at = now + self.settings.probe_interval;
                effects.push(Effect::Probe(id.clone()));
            }
        }
        effects
    }
}
