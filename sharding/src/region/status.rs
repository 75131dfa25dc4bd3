//! The state of a region for the operator and the application: its shards, whether it is ready, and
//! its counters.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use antiphon_persistence::entity::EventSourced;
use antiphon_persistence::identity::ReplicaId;
use antiphon_runtime::{MemberState, NodeId};
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::parts::RegionParts;
use super::readiness::Readiness;
use super::routing::Routing;
use crate::ShardId;
use crate::replication::RunningLoop;

/// Reports the state of a region.
pub(crate) struct Status<E: EventSourced> {
    parts: Arc<RegionParts>,
    routing: Arc<Routing<E>>,
    readiness: Mutex<Readiness>,
    /// The values of the entities' counters that were passed on to the metrics.
    reported: Mutex<BTreeMap<&'static str, u64>>,
}

impl<E: EventSourced> Status<E>
where
    E::Command: Serialize + DeserializeOwned,
{
    pub(super) fn new(parts: Arc<RegionParts>, routing: Arc<Routing<E>>) -> Self {
        let readiness = Mutex::new(Readiness::new(parts.settings.homeless_grace));
        Self { parts, routing, readiness, reported: Mutex::default() }
    }

    /// For `/cluster`.
    pub(super) fn json(&self) -> Value {
        let shards: Vec<Value> =
            self.routing.slots().indexes().map(|index| self.shard_json(index)).collect();
        let counters = self.routing.hosting().entities().map(|entities| {
            let values = entities.counters().values().into_iter();
            values
                .map(|(name, value)| (name.to_owned(), value.into()))
                .collect::<serde_json::Map<_, Value>>()
        });
        let homeless: Vec<String> = self.homeless().iter().map(ToString::to_string).collect();
        let replicas = self.parts.layout.replicas().iter();
        let roles: BTreeMap<&str, &str> = self
            .parts
            .layout
            .roles()
            .iter()
            .map(|(replica, role)| (replica.as_str(), role))
            .collect();
        json!({
            "homeless": homeless,
            "replicas": replicas.map(ReplicaId::as_str).collect::<Vec<_>>(),
            "roles": roles,
            "without_role": self.without_role(),
            "other_replicas": self.parts.differences(),
            "strange_replicas": self.parts.strange(),
            "shards": shards,
            "entities": counters,
        })
    }

    fn shard_json(&self, index: usize) -> Value {
        let slot = self.routing.slots().lock(index);
        let home = match slot.route.remote() {
            Some(node) => Some(node.to_string()),
            None if slot.route.is_hosting() => Some(self.parts.node.id().to_string()),
            None => None,
        };
        let mut value = json!({
            "shard": self.parts.layout.shard(index).to_string(),
            "home": home,
            "waiting": slot.route.waiting_count(),
        });
        if let Some(shard) = &slot.shard {
            let now = self.parts.now();
            let progress: Vec<_> =
                shard.loops.iter().map(|running| running.progress(now)).collect();
            value["entities"] = shard.lifecycle.entity_count().into();
            value["replication"] = json!(progress);
        }
        value
    }

    /// The reasons why no member can take the shards of a replica that needs a role, at any place.
    pub(super) fn without_role(&self) -> Vec<String> {
        let roles = self.parts.layout.roles().iter();
        roles.filter_map(|(replica, _)| self.parts.lacks_nodes(replica)).collect()
    }

    /// The faults that an operator should mend while the node is ready: a place without a
    /// coordinator for the type, replicas without nodes of their role, and members with other
    /// replicas.
    pub(super) fn warnings(&self) -> Vec<String> {
        let mut warnings: Vec<String> = self.parts.lacks_coordinator().into_iter().collect();
        warnings.extend(self.without_role());
        warnings.extend(self.parts.differences());
        warnings
    }

    /// The shards of the own place that no living member of it hosts, as far as this region knows.
    fn homeless(&self) -> Vec<ShardId> {
        self.without_home().into_iter().map(|(shard, _)| shard).collect()
    }

    /// The same shards, each with the node that is said to host it, if there is one.
    fn without_home(&self) -> Vec<(ShardId, Option<NodeId>)> {
        let place = self.parts.node.place();
        let members = self.parts.node.members().borrow().clone();
        let is_sound = |home: &NodeId| {
            let member = members.get(home);
            member.is_some_and(|it| *it.place == *place && it.state != MemberState::Dead)
        };
        let layout = &self.parts.layout;
        let without = |index: usize| {
            let shard = layout.shard(index);
            let slot = self.routing.slots().lock(index);
            let home = slot.route.remote();
            let is_homeless = **layout.place_of(&shard.replica) == *place
                && !slot.route.is_hosting()
                && !home.is_some_and(is_sound);
            is_homeless.then(|| (shard, home.cloned()))
        };
        self.routing.slots().indexes().filter_map(without).collect()
    }

    /// Updates readiness and the gauges. Returns the shards without a home that count for
    /// readiness: those of a role that no node has count only where nothing else is served, and on
    /// nodes that have the role ([`Layout::excused`](super::layout::Layout::excused)).
    fn note_homes(&self) -> Vec<(ShardId, Option<NodeId>)> {
        let mut homeless = self.without_home();
        self.parts.metrics.homeless.set(i64::try_from(homeless.len()).unwrap_or(i64::MAX));
        self.note_without_role(&homeless);
        let replicas = replicas_of(&homeless);
        let members = self.parts.node.members().borrow().clone();
        if let Some(me) = members.get(self.parts.node.id()) {
            let excused = self.parts.layout.excused(&replicas, me, &members);
            homeless.retain(|(shard, _)| !excused.contains(&shard.replica));
        }
        self.readiness.lock().step(self.parts.now(), homeless.len());
        homeless
    }

    fn note_without_role(&self, homeless: &[(ShardId, Option<NodeId>)]) {
        let layout = &self.parts.layout;
        let place = self.parts.node.place();
        let is_here = |(replica, _): &(&ReplicaId, &str)| **layout.place_of(replica) == *place;
        for (replica, _) in layout.roles().iter().filter(is_here) {
            let count = match self.parts.lacks_nodes(replica) {
                Some(_) => homeless.iter().filter(|(shard, _)| shard.replica == *replica).count(),
                None => 0,
            };
            self.parts.metrics.without_role(replica.as_str(), count);
        }
    }

    /// Returns an error while the region is not ready: a shard of the own place is without a home,
    /// or its home is at a node that is no living member. A short time without a home, as during a
    /// move, does not count; nor does a replica of a role that no node has, while the place serves
    /// another replica. An error too: the place had homes of a replica that this node lacks.
    pub(crate) fn ready(&self) -> Result<(), String> {
        let homeless = self.note_homes();
        if let Some(strange) = self.parts.strange() {
            return Err(strange);
        }
        let readiness = self.readiness.lock().clone();
        readiness.judge(self.parts.now()).map_err(|since| {
            let (count, entity_type) = (homeless.len(), self.parts.layout.entity_type());
            let (first, home) = match homeless.first() {
                Some((shard, home)) => (shard.to_string(), home.as_ref()),
                None => (String::new(), None),
            };
            let replicas = replicas_of(&homeless);
            let reason = self.parts.lacks_coordinator();
            let reason = reason
                .or_else(|| replicas.iter().find_map(|replica| self.parts.lacks_nodes(replica)));
            // a coordinator that does not know the replica gives its shards no home
            let reason = reason.or_else(|| self.parts.differences().into_iter().next());
            let reason = reason.map_or_else(String::new, |reason| format!(": {reason}"));
            let place = self.parts.node.place();
            let at = home.map_or_else(String::new, |home| {
                format!(", at `{home}`, which is no living member of `{place}`")
            });
            format!(
                "{count} shards of `{entity_type}` have no home for {:.1} s, the first is `{first}`{at}{reason}",
                since.as_secs_f64()
            )
        })
    }

    /// Updates readiness and metrics.
    pub(super) fn tick(&self) {
        self.note_homes();
        let Some(entities) = self.routing.hosting().entities() else { return };
        let mut reported = self.reported.lock();
        for (name, value) in entities.counters().values() {
            let before = reported.insert(name, value).unwrap_or(0);
            self.parts.metrics.add_entities(name, value - before);
        }
        let held = |index: usize| {
            let slot = self.routing.slots().lock(index);
            let loops = slot.shard.iter().flat_map(|shard| &shard.loops);
            loops.map(RunningLoop::held_count).sum::<usize>()
        };
        let held: usize = self.routing.slots().indexes().map(held).sum();
        self.parts.metrics.held.set(i64::try_from(held).unwrap_or(i64::MAX));
    }

    /// The shards that live on this node.
    pub(crate) fn hosted(&self) -> Vec<ShardId> {
        let slots = self.routing.slots();
        let hosted = slots.indexes().filter(|index| slots.is_hosting(*index));
        hosted.map(|index| self.parts.layout.shard(index)).collect()
    }

    /// Number of entities at work here, in all shards.
    pub(crate) fn entity_count(&self) -> usize {
        let slots = self.routing.slots();
        let count = |index: usize| {
            slots.lock(index).shard.as_ref().map_or(0, |shard| shard.lifecycle.entity_count())
        };
        slots.indexes().map(count).sum()
    }

    /// The value of one of the entities' counters.
    pub(crate) fn counter(&self, name: &str) -> u64 {
        let values = self.routing.hosting().entities().map(|entities| entities.counters().values());
        values.into_iter().flatten().find(|(other, _)| *other == name).map_or(0, |(_, value)| value)
    }
}

fn replicas_of(shards: &[(ShardId, Option<NodeId>)]) -> BTreeSet<ReplicaId> {
    shards.iter().map(|(shard, _)| shard.replica.clone()).collect()
}
