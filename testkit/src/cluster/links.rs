//! The links between the nodes of a test, by the names of the nodes: they stay as the test wants
//! them when a node starts again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use antiphon_runtime::NodeId;
use antiphon_runtime::transport::memory::{Faults, MemoryNetwork};

/// A way between two nodes, from the first to the second.
type Way = (String, String);

/// The trouble of a way.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Trouble {
    pub(crate) delay: Duration,
    pub(crate) lost_per_million: u32,
}

/// The ways that a test has cut, delayed or made lossy.
#[derive(Debug, Default)]
pub(crate) struct Links {
    cuts: BTreeSet<Way>,
    troubles: BTreeMap<Way, Trouble>,
}

impl Links {
    /// Cuts the way from one node to another.
    pub(crate) fn cut(&mut self, from: &str, to: &str) {
        self.cuts.insert((from.to_owned(), to.to_owned()));
    }

    /// Changes the trouble of both ways between two nodes.
    pub(crate) fn trouble(&mut self, a: &str, b: &str, change: impl Fn(&mut Trouble)) {
        for way in [(a.to_owned(), b.to_owned()), (b.to_owned(), a.to_owned())] {
            change(self.troubles.entry(way).or_default());
        }
    }

    /// Makes all ways good again.
    pub(crate) fn heal(&mut self) {
        self.cuts.clear();
        self.troubles.values_mut().for_each(|trouble| *trouble = Trouble::default());
    }

    /// Makes both ways between two nodes good again.
    pub(crate) fn heal_between(&mut self, a: &str, b: &str) {
        self.cuts.retain(|(from, to)| !((from == a && to == b) || (from == b && to == a)));
        self.trouble(a, b, |trouble| *trouble = Trouble::default());
    }

    /// Puts the network into this state; `nodes` has the ids of the nodes by name, and `frozen`
    /// the nodes that no frame reaches.
    pub(crate) fn apply(
        &self,
        network: &MemoryNetwork,
        nodes: &BTreeMap<String, NodeId>,
        frozen: impl Iterator<Item = String>,
    ) {
        network.heal_all();
        for frozen in frozen {
            if let Some(id) = nodes.get(&frozen) {
                network.isolate(id);
            }
        }
        for (from, to) in &self.cuts {
            if let (Some(from), Some(to)) = (nodes.get(from), nodes.get(to)) {
                network.cut(from, to);
            }
        }
        for ((from, to), trouble) in &self.troubles {
            if let (Some(from), Some(to)) = (nodes.get(from), nodes.get(to)) {
                let usual = Faults::default();
                let delay = usual.delay.start().saturating_add(trouble.delay)
                    ..=usual.delay.end().saturating_add(trouble.delay);
                let drop_per_million = trouble.lost_per_million;
                network.set_faults_between(from, to, Faults { delay, drop_per_million, ..usual });
            }
        }
    }
}
