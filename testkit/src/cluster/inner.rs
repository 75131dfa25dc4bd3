//! The nodes of a test cluster, and the things that happen to them as time passes.

use std::collections::BTreeMap;
use std::sync::Arc;

use antiphon_base::time::{Clock, SystemClock};
use antiphon_base::{Error, Result};
use antiphon_runtime::NodeId;
use tokio::time::Instant;

use super::links::Links;
use super::plan::Plan;
use crate::harness::cluster::{Cluster, Running};
use crate::kinds::Kinds;

/// The nodes of a test cluster.
pub(crate) struct Inner {
    pub(crate) cluster: Cluster<Kinds>,
    pub(crate) links: Links,
    /// The faults of the stores, by place.
    pub(crate) plans: Vec<Arc<Plan>>,
    /// Frozen nodes, and the end of each freeze.
    frozen: BTreeMap<String, Instant>,
}

impl Inner {
    pub(crate) fn new(cluster: Cluster<Kinds>, plans: Vec<Arc<Plan>>) -> Self {
        Self { cluster, links: Links::default(), plans, frozen: BTreeMap::new() }
    }

    /// Takes the nodes that have started, restarts those that were declared dead, as a supervisor
    /// does, and ends the freezes whose time is over.
    pub(crate) fn keep_up(&mut self) {
        self.cluster.collect();
        self.cluster.restart_fenced();
        let now = SystemClock.now();
        self.frozen.retain(|_, until| *until > now);
        self.apply_links();
    }

    pub(crate) fn apply_links(&mut self) {
        let ids = |member: &crate::harness::cluster::Member<Kinds>| {
            member.id.clone().map(|id| (member.name.clone(), id))
        };
        let nodes: BTreeMap<String, NodeId> = self.cluster.members.iter().filter_map(ids).collect();
        self.links.apply(&self.cluster.network, &nodes, self.frozen.keys().cloned());
    }

    /// The number of a node.
    pub(crate) fn index(&self, node: &str) -> Result<usize> {
        let found = self.cluster.members.iter().position(|member| member.name == node);
        found.ok_or_else(|| {
            let known: Vec<&str> =
                self.cluster.members.iter().map(|member| &*member.name).collect();
            Error::rejected(format!("node `{node}`: expected one of {known:?}"))
        })
    }

    /// The number of a place.
    pub(crate) fn place(&self, place: &str) -> Result<usize> {
        let found = self.cluster.places.iter().position(|(name, _)| name == place);
        found.ok_or_else(|| {
            let known: Vec<&str> = self.cluster.places.iter().map(|(name, _)| &**name).collect();
            Error::rejected(format!("place `{place}`: expected one of {known:?}"))
        })
    }

    /// A node that runs.
    pub(crate) fn running(&self, node: &str) -> Result<&Running<Kinds>> {
        let member = &self.cluster.members[self.index(node)?];
        member.running.as_ref().ok_or_else(|| {
            Error::rejected(format!(
                "node `{node}`: expected a node that runs, actual one that was killed or is starting: call `restart`, and wait for it"
            ))
        })
    }

    /// The names of the nodes of a place.
    pub(crate) fn nodes_of(&self, place: &str) -> Result<Vec<String>> {
        let place = self.place(place)?;
        let of_place = self.cluster.members.iter().filter(|member| member.place == place);
        Ok(of_place.map(|member| member.name.clone()).collect())
    }

    /// Freezes a node until this time.
    pub(crate) fn freeze(&mut self, node: &str, until: Instant) -> Result<()> {
        for stores in &self.running(node)?.stores {
            stores.stand_still(until);
        }
        self.frozen.insert(node.to_owned(), until);
        self.apply_links();
        Ok(())
    }

    /// Ends the freeze of a node.
    pub(crate) fn thaw(&mut self, node: &str) -> Result<()> {
        for stores in &self.running(node)?.stores {
            stores.go_on();
        }
        self.frozen.remove(node);
        self.apply_links();
        Ok(())
    }

    /// Kills a node that runs.
    pub(crate) fn kill(&mut self, node: &str) -> Result<()> {
        self.running(node)?;
        let index = self.index(node)?;
        self.frozen.remove(node);
        self.cluster.crash(index);
        Ok(())
    }

    /// The reason why the cluster is not ready: a node that does not run, or a type without homes.
    pub(crate) fn not_ready(&self) -> Option<String> {
        let down = self.cluster.members.iter().find(|member| member.running.is_none());
        if let Some(member) = down {
            return Some(format!("node `{}` does not run", member.name));
        }
        self.cluster.running().find_map(|(member, running)| {
            let late = running.sharding.iter().find(|kind| !kind.is_ready())?;
            Some(format!("`{}` is not ready at `{}`", late.entity_type(), member.name))
        })
    }
}
