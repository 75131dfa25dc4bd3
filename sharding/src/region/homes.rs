//! The homes of shards: asks the coordinators for them, and steps the routes when they change. Only
//! the holder of a place's lease can tell its homes (`admission`).

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use antiphon_base::text::foreign;
use antiphon_persistence::entity::EventSourced;
use antiphon_persistence::identity::ReplicaId;
use antiphon_runtime::{MemberState, NodeId};
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::parts::RegionParts;
use super::route::Input;
use super::routing::Routing;
use crate::ShardId;
use crate::coordinator::{Home, Homes, HomesVersion, MoveId};
use crate::wire::{Asker, HomesAnswer, SHARDING, Wire};

/// The knowledge of a region about homes.
pub(super) struct KnownHomes<E: EventSourced> {
    this: Weak<Self>,
    parts: Arc<RegionParts>,
    routing: Arc<Routing<E>>,
    /// Version of the newest homes that this region knows, for each place.
    versions: Mutex<BTreeMap<Arc<str>, HomesVersion>>,
    /// Shards of replicas that this region does not have, which are to leave this node.
    moving_strange: Mutex<Vec<(ShardId, MoveId)>>,
}

impl<E: EventSourced> KnownHomes<E>
where
    E::Command: Serialize + DeserializeOwned,
{
    pub(super) fn new(parts: Arc<RegionParts>, routing: Arc<Routing<E>>) -> Arc<Self> {
        let versions = Mutex::default();
        Arc::new_cyclic(|this| Self {
            this: this.clone(),
            parts,
            routing,
            versions,
            moving_strange: Mutex::default(),
        })
    }

    /// Returns whether the homes of a place are not known yet.
    pub(super) fn lacks_a_place(&self) -> bool {
        let versions = self.versions.lock();
        self.parts.layout.places().into_iter().any(|place| !versions.contains_key(place))
    }

    /// Takes the homes of one place that a node tells, if it may tell them and they are newer than
    /// the known ones.
    pub(super) fn told(&self, from: &NodeId, place: &str, homes: &Homes) {
        if self.parts.coordinators.may_tell(place, from, homes.version.token) {
            self.take(place, homes);
        }
    }

    fn take(&self, place: &str, homes: &Homes) {
        let mut versions = self.versions.lock();
        let known = versions.entry(place.into()).or_default();
        // a lease whose token is lower belongs to a place whose store went back
        let went_back = homes.version.token < known.token
            && self.parts.coordinators.is_current(place, homes.version.token);
        if homes.version <= *known && !went_back {
            return;
        }
        let is_first = *known == HomesVersion::default();
        *known = homes.version;
        if *place == *self.parts.node.place() {
            self.take_strange(is_first, homes);
        }
        let members = self.parts.node.members().borrow().clone();
        if homes.homes.values().any(|home| members.get(home.node()).is_none()) {
            // a node that has just joined: the links need its row
            self.parts.node.look_at_tables();
        }
        // the lock stays: two maps must not be taken at the same time
        for index in self.routing.slots().indexes() {
            let shard = self.parts.layout.shard(index);
            if **self.parts.layout.place_of(&shard.replica) == *place {
                let mut slot = self.routing.slots().lock(index);
                let home = homes.homes.get(&shard).filter(|home| !self.is_beyond(home)).cloned();
                self.routing.route_in(index, &mut slot, Input::Home(home));
                self.routing.tick_route_in(index, &mut slot);
            }
        }
        drop(versions);
        self.routing.ways().look();
    }

    /// Takes the homes of shards that this region does not have. Notes their replicas if they had
    /// homes before this node came: later ones are those of nodes with newer replicas.
    fn take_strange(&self, is_first: bool, homes: &Homes) {
        let layout = &self.parts.layout;
        let is_strange =
            |shard: &&ShardId| !layout.has_replica(self.parts.node.place(), &shard.replica);
        if is_first {
            let removed = &self.parts.settings.removed_replicas;
            let is_removed = |replica: &ReplicaId| removed.iter().any(|it| it == replica.as_str());
            let replicas = homes.homes.keys().filter(is_strange).map(|shard| shard.replica.clone());
            let strange = replicas.filter(|replica| !is_removed(replica)).collect();
            *self.parts.strange.lock() = strange;
            if let Some(strange) = self.parts.strange() {
                tracing::error!("{strange}");
            }
        }
        let me = self.parts.node.id();
        let mine = homes.homes.iter().filter(|(shard, _)| is_strange(shard));
        let mut moving = self.moving_strange.lock();
        *moving = mine
            .filter_map(|(shard, home)| match home {
                Home::Moving(node, id) if node == me => Some((shard.clone(), *id)),
                Home::Moving(..) | Home::At(_) => None,
            })
            .collect();
    }

    /// Reports shards that were given to this node although it does not have their replica, and
    /// that have to move: they are not here. Repeated until the coordinator has heard it.
    fn report_strange(&self) {
        let leases = self.parts.node.coordinator_lease().borrow().clone();
        let Some(holder) = leases.holder_of(self.parts.node.place()) else { return };
        for (shard, id) in self.moving_strange.lock().iter() {
            let entity_type = self.parts.layout.entity_type().clone();
            let message = Wire::ShardStopped { entity_type, shard: shard.clone(), id: *id };
            let _ = self.parts.node.gate().tell(holder, SHARDING, message.encode());
        }
    }

    /// Returns whether the shard is said to begin here, at a node that hosts no shards.
    fn is_beyond(&self, home: &Home) -> bool {
        match home {
            Home::At(node) => {
                node == self.parts.node.id() && self.routing.hosting().entities().is_none()
            }
            Home::Moving(..) => false,
        }
    }

    /// Asks the coordinator of each place for homes newer than the known ones.
    pub(super) fn ask(&self) {
        self.report_strange();
        let leases = self.parts.node.coordinator_lease().borrow().clone();
        for place in self.parts.layout.places() {
            if let Some(holder) = leases.holder_of(place) {
                self.ask_holder(place.clone(), holder);
            }
        }
    }

    fn ask_holder(&self, place: Arc<str>, holder: &NodeId) {
        let known = self.versions.lock().get(&place).copied().unwrap_or_default();
        let is_here = *place == *self.parts.node.place();
        let members = self.parts.node.members().borrow().clone();
        let is_fit = members.get(self.parts.node.id()).is_some_and(|member| {
            member.state == MemberState::Up && self.parts.layout.may_host(member)
        });
        // an earlier version of the coordinator ignores roles: it assigns shards to each host
        let is_host = is_here && is_fit && self.routing.hosting().entities().is_some();
        let asker = if is_host { Asker::Host } else { Asker::Proxy };
        let message =
            Wire::AskHomes { entity_type: self.parts.layout.entity_type().clone(), known, asker };
        let timeout = self.parts.settings.homes_interval * 2;
        let asked = self.parts.node.gate().ask(holder, SHARDING, message.encode(), timeout);
        let (this, holder) = (self.this.clone(), holder.clone());
        self.parts.node.spawn("ask homes", async move {
            let (Ok(answer), Some(this)) = (asked.await, this.upgrade()) else { return };
            match HomesAnswer::decode(&answer) {
                Ok(HomesAnswer::Changed(homes)) => this.told(&holder, &place, &homes),
                Ok(HomesAnswer::NotCoordinator | HomesAnswer::Unchanged) => {}
                Err(error) => {
                    let error = error.to_string();
                    tracing::warn!(%place, error = %foreign(&error), "homes cannot be read");
                }
            }
        });
    }
}
