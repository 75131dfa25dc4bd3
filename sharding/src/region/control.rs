//! Homes, ticks and the end of a region.

use std::sync::Arc;
use std::time::Duration;

use antiphon_base::text::foreign;
use antiphon_persistence::entity::EventSourced;
use antiphon_persistence::identity::ReplicaId;
use antiphon_persistence::store::Stores;
use antiphon_runtime::node::NODE_LEFT;
use antiphon_runtime::{MemberState, NodeId, ShutdownPhase};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::route;
use super::shared::Region;
use crate::coordinator::{Homes, HomesVersion, Input as CoordinatorInput, MoveId};
use crate::replication::Follower;
use crate::wire::{HomesAnswer, SHARDING, Wire};
use crate::{ShardId, shard};

impl<E: EventSourced> Region<E>
where
    E::Command: Serialize + DeserializeOwned,
{
    /// Starts the tasks of the region.
    pub(crate) fn start(self: &Arc<Self>) {
        let node = self.parts.node.clone();
        let region = Arc::downgrade(self);
        let settings = &self.parts.settings;
        let (tick, ask) = (settings.tick_interval, settings.homes_interval);
        let mut leases = node.coordinator_lease();
        let mut links = node.gate().link_changes();
        node.spawn("region", async move {
            let mut ask_at = None;
            loop {
                let is_news = tokio::select! {
                    biased;
                    changed = leases.changed() => if changed.is_ok() { true } else { return },
                    changed = links.changed() => if changed.is_ok() { true } else { return },
                    () = tokio::time::sleep(tick) => false,
                };
                let Some(region) = region.upgrade() else { return };
                let now = region.parts.node.clock().now();
                if is_news || ask_at.is_none_or(|at| now >= at) || region.knows_nothing() {
                    ask_at = Some(now + ask);
                    region.ask_homes();
                }
                region.tick();
            }
        });
        self.end_with_node();
    }

    fn knows_nothing(&self) -> bool {
        let versions = self.versions.lock();
        self.parts.places.values().any(|place| !versions.contains_key(place))
    }

    fn end_with_node(self: &Arc<Self>) {
        let node = &self.parts.node;
        let region = Arc::downgrade(self);
        node.on_crash(
            "region",
            Box::new(move || {
                if let Some(region) = region.upgrade() {
                    region.fence();
                }
            }),
        );
        let (region, fenced) = (Arc::downgrade(self), node.fenced());
        node.spawn("region fence", async move {
            let reason = fenced.await;
            if let Some(region) = region.upgrade() {
                let entity_type = &region.parts.entity_type;
                if reason == NODE_LEFT {
                    tracing::info!(%entity_type, reason, "region stops");
                } else {
                    tracing::warn!(%entity_type, reason, "region stops");
                }
                region.fence();
            }
        });
        let region = self.clone();
        node.on_shutdown(
            ShutdownPhase::DrainShards,
            "region",
            Box::new(move || Box::pin(async move { region.drain().await })),
        );
    }

    /// Kills all shards of this node, and stops the coordinator.
    fn fence(&self) {
        for index in 0..self.slots.len() {
            self.route(index, route::Input::Fenced);
        }
        if let Some(coordinator) = &self.parts.coordinator {
            coordinator.stop();
        }
    }

    /// Waits until the coordinator has moved all shards away. Stops them when no other member can
    /// take them.
    async fn drain(self: Arc<Self>) {
        let me = self.parts.node.id().clone();
        loop {
            let hosted: Vec<usize> = (0..self.slots.len())
                .filter(|index| self.slot(*index).route.is_hosting())
                .collect();
            if hosted.is_empty() {
                return;
            }
            let members = self.parts.node.members().borrow().clone();
            let is_alone = !members
                .up_in(self.parts.node.place())
                .any(|member| member.id != me && member.state == MemberState::Up);
            if is_alone {
                for index in hosted {
                    self.route(index, route::Input::StopHere);
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) fn stores_of(&self, replica: &ReplicaId) -> Stores {
        let node = &self.parts.node;
        let place = &self.parts.places[replica];
        if **place == *node.place() {
            return node.stores().clone();
        }
        node.peers()[place].clone()
    }

    /// Takes the homes of one place, if they are newer than the known ones.
    pub(crate) fn homes(&self, place: &str, homes: &Homes) {
        let mut versions = self.versions.lock();
        let known = versions.entry(place.into()).or_default();
        if homes.version <= *known {
            return;
        }
        *known = homes.version;
        // the lock stays: two maps must not be taken at the same time
        for index in 0..self.slots.len() {
            let shard = self.shard(index);
            if *self.parts.places[&shard.replica] == *place {
                let mut slot = self.slot(index);
                let home = homes.homes.get(&shard).cloned();
                self.route_in(index, &mut slot, route::Input::Home(home));
                self.tick_route_in(index, &mut slot);
            }
        }
        drop(versions);
        self.look_at_ways();
    }

    fn ask_homes(&self) {
        let leases = self.parts.node.coordinator_lease().borrow().clone();
        let mut places: Vec<&Arc<str>> = self.parts.places.values().collect();
        places.sort();
        places.dedup();
        for place in places {
            if let Some(holder) = leases.holder_of(place) {
                self.ask_holder(place.clone(), holder);
            }
        }
    }

    fn ask_holder(&self, place: Arc<str>, holder: &NodeId) {
        let versions = self.versions.lock();
        let known = versions.get(&place).copied().unwrap_or_default();
        drop(versions);
        let is_here = *place == *self.parts.node.place();
        let members = self.parts.node.members().borrow().clone();
        let is_up =
            members.get(self.parts.node.id()).is_some_and(|member| member.state == MemberState::Up);
        let message = Wire::AskHomes {
            entity_type: self.parts.entity_type.clone(),
            known,
            is_host: is_here && is_up && self.entities.get().is_some(),
        };
        let timeout = self.parts.settings.homes_interval * 2;
        let asked = self.parts.node.gate().ask(holder, SHARDING, message.encode(), timeout);
        let region = self.this.clone();
        self.parts.node.spawn("ask homes", async move {
            let (Ok(answer), Some(region)) = (asked.await, region.upgrade()) else { return };
            match HomesAnswer::decode(&answer) {
                Ok(HomesAnswer::Changed(homes)) => region.homes(&place, &homes),
                Ok(HomesAnswer::NotCoordinator | HomesAnswer::Unchanged) => {}
                Err(error) => {
                    let error = error.to_string();
                    tracing::warn!(%place, error = %foreign(&error), "homes cannot be read");
                }
            }
        });
    }

    pub(super) fn report_stopped(&self, index: usize, id: MoveId) {
        let shard = self.shard(index);
        let leases = self.parts.node.coordinator_lease().borrow().clone();
        let Some(holder) = leases.holder_of(&self.parts.places[&shard.replica]) else { return };
        let message = Wire::ShardStopped { entity_type: self.parts.entity_type.clone(), shard, id };
        // repeated at the next tick, until the coordinator has taken it
        let _ = self.parts.node.gate().tell(holder, SHARDING, message.encode());
    }

    fn tick(&self) {
        let mut hosted = 0;
        for index in 0..self.slots.len() {
            self.tick_route(index);
            let mut slot = self.slot(index);
            hosted += u32::from(slot.route.is_hosting());
            if slot.route.is_here() {
                self.passivate_empty(index, &mut slot);
            }
            // a shard that drains ticks too: its entities have a time limit
            if slot.route.is_hosting() {
                self.step_shard(index, &mut slot, shard::Input::Tick);
            }
        }
        self.note_homes();
        self.look_at_ways();
        self.look_for_relays();
        self.parts.node.report_hosted(&self.parts.entity_type, hosted);
        self.report_counters();
    }

    fn report_counters(&self) {
        let Some(entities) = self.entities.get() else { return };
        let mut reported = self.reported.lock();
        for (name, value) in entities.counters().values() {
            let before = reported.insert(name, value).unwrap_or(0);
            let labels = [&*self.parts.entity_type, name];
            self.metrics.entities.with_label_values(&labels).inc_by(value - before);
        }
        let held = |index: usize| {
            let slot = self.slot(index);
            let followers = slot.shard.iter().flat_map(|shard| &shard.followers);
            followers.map(Follower::held_count).sum::<usize>()
        };
        let held: usize = (0..self.slots.len()).map(held).sum();
        self.metrics.held.set(i64::try_from(held).unwrap_or(i64::MAX));
    }

    /// Passes a request for homes to the coordinator of this node.
    pub(crate) fn coordinator_asked(
        &self,
        from: &NodeId,
        known: HomesVersion,
        is_host: bool,
        responder: antiphon_runtime::Responder,
    ) {
        match &self.parts.coordinator {
            Some(coordinator) => coordinator.ask(from, known, is_host, responder),
            None => responder.reply(HomesAnswer::NotCoordinator.encode()),
        }
    }

    pub(crate) fn has_place(&self, place: &str) -> bool {
        self.parts.places.values().any(|known| **known == *place)
    }

    /// Counts a message of another node that is refused.
    pub(crate) fn refused(&self, reason: &str) {
        self.count(reason);
    }

    pub(crate) fn coordinator_told(&self, input: CoordinatorInput) {
        if let Some(coordinator) = &self.parts.coordinator {
            coordinator.input(input);
        }
    }

    /// For `/cluster`.
    pub(crate) fn json(&self) -> Value {
        let now = self.parts.node.clock().now();
        let mut shards = Vec::new();
        for index in 0..self.slots.len() {
            let slot = self.slot(index);
            let home = match slot.route.remote() {
                Some(node) => Some(node.to_string()),
                None if slot.route.is_hosting() => Some(self.parts.node.id().to_string()),
                None => None,
            };
            let mut value = json!({
                "shard": self.shard(index).to_string(),
                "home": home,
                "waiting": slot.route.waiting_count(),
            });
            if let Some(shard) = &slot.shard {
                let progress: Vec<_> =
                    shard.followers.iter().map(|follower| follower.progress(now)).collect();
                value["entities"] = shard.lifecycle.entity_count().into();
                value["replication"] = json!(progress);
            }
            shards.push(value);
        }
        let counters = self.entities.get().map(|entities| {
            let values = entities.counters().values().into_iter();
            values
                .map(|(name, value)| (name.to_owned(), value.into()))
                .collect::<serde_json::Map<_, Value>>()
        });
        let homeless: Vec<String> = self.homeless().iter().map(ToString::to_string).collect();
        json!({ "homeless": homeless, "replicas": self.parts.replicas.iter().map(ReplicaId::as_str).collect::<Vec<_>>(), "shards": shards, "entities": counters })
    }

    /// The shards of the own place that no living member hosts, as far as this region knows.
    fn homeless(&self) -> Vec<ShardId> {
        let place = self.parts.node.place();
        let members = self.parts.node.members().borrow().clone();
        let is_dead = |home: &NodeId| {
            members.get(home).is_none_or(|member| member.state == MemberState::Dead)
        };
        let is_homeless = |index: &usize| {
            let shard = self.shard(*index);
            let slot = self.slot(*index);
            *self.parts.places[&shard.replica] == *place
                && !slot.route.is_hosting()
                && slot.route.remote().is_none_or(is_dead)
        };
        (0..self.slots.len()).filter(is_homeless).map(|index| self.shard(index)).collect()
    }

    fn note_homes(&self) -> Vec<ShardId> {
        let homeless = self.homeless();
        let now = self.parts.node.clock().now();
        let mut readiness = self.readiness.lock();
        readiness.step(now, homeless.len(), self.parts.settings.homeless_grace);
        self.metrics.homeless.set(i64::try_from(homeless.len()).unwrap_or(i64::MAX));
        homeless
    }

    /// Returns an error while the region is not ready: a shard of the own place is without a home.
    /// A short time without a home, as during a move, does not count.
    pub(crate) fn ready(&self) -> Result<(), String> {
        let homeless = self.note_homes();
        let now = self.parts.node.clock().now();
        let readiness = self.readiness.lock().clone();
        readiness.judge(now).map_err(|since| {
            let (count, entity_type) = (homeless.len(), &self.parts.entity_type);
            let first = homeless.first().map(ToString::to_string).unwrap_or_default();
            format!(
                "{count} shards of `{entity_type}` have no home for {:.1} s, the first is `{first}`",
                since.as_secs_f64()
            )
        })
    }

    pub(crate) fn hosted(&self) -> Vec<ShardId> {
        let hosted = (0..self.slots.len()).filter(|index| self.slot(*index).route.is_hosting());
        hosted.map(|index| self.shard(index)).collect()
    }

    /// Number of entities at work here, in all shards.
    pub(crate) fn entity_count(&self) -> usize {
        let count = |index: usize| {
            self.slot(index).shard.as_ref().map_or(0, |shard| shard.lifecycle.entity_count())
        };
        (0..self.slots.len()).map(count).sum()
    }

    /// The value of one of the entities' counters.
    pub(crate) fn counter(&self, name: &str) -> u64 {
        let values = self.entities.get().map(|entities| entities.counters().values());
        values.into_iter().flatten().find(|(other, _)| *other == name).map_or(0, |(_, value)| value)
    }
}
