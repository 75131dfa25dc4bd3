//! A region: puts its ideas together, starts and ticks them, and ends them with the node.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use antiphon_base::guard;
use antiphon_persistence::entity::{EntityRuntime, EventSourced};
use antiphon_runtime::node::NODE_LEFT;
use antiphon_runtime::{Member, NodeId, ShutdownPhase};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::direct::DirectReplication;
use super::doubts::Doubts;
use super::following::Following;
use super::homes::KnownHomes;
use super::incoming::Incoming;
use super::parts::RegionParts;
use super::relay_search::RelaySearch;
use super::reminding::Reminding;
use super::route::Input;
use super::routing::Routing;
use super::status::Status;
use crate::coordinator::CoordinatorHandle;
use crate::shard;

/// Time between two looks at the shards of a node that leaves.
const DRAIN_INTERVAL: Duration = Duration::from_millis(20);

/// The region of one entity type on one node.
pub(crate) struct Region<E: EventSourced> {
    pub(super) parts: Arc<RegionParts>,
    pub(super) coordinator: Option<CoordinatorHandle>,
    pub(super) relays: Arc<RelaySearch>,
    pub(super) doubts: Arc<Doubts>,
    pub(super) routing: Arc<Routing<E>>,
    pub(super) homes: Arc<KnownHomes<E>>,
    pub(super) incoming: Incoming<E>,
    pub(super) direct: DirectReplication<E>,
    pub(super) reminding: Arc<Reminding<E>>,
    pub(super) status: Status<E>,
}

/// Ends the listeners of a type when it is dropped: at the end of the node.
struct CloseListeners<E: EventSourced>(EntityRuntime<E>);

impl<E: EventSourced> Drop for CloseListeners<E> {
    fn drop(&mut self) {
        self.0.close_listeners();
    }
}

impl<E: EventSourced> Region<E>
where
    E::Command: Serialize + DeserializeOwned,
{
    /// A region that has not started. `coordinator` is there when the node hosts a replica.
    pub(crate) fn new(
        parts: Arc<RegionParts>,
        coordinator: Option<CoordinatorHandle>,
    ) -> Arc<Self> {
        let relays = Arc::new(RelaySearch::new(parts.clone()));
        let doubts = Arc::new(Doubts::new(parts.clone()));
        let following = Following::new(parts.clone(), doubts.clone());
        let routing = Routing::new(parts.clone(), relays.clone(), following);
        Arc::new(Self {
            coordinator,
            relays,
            doubts,
            homes: KnownHomes::new(parts.clone(), routing.clone()),
            incoming: Incoming::new(parts.clone(), routing.clone()),
            direct: DirectReplication::new(parts.clone(), routing.clone()),
            reminding: Reminding::new(parts.clone(), routing.clone()),
            status: Status::new(parts.clone(), routing.clone()),
            routing,
            parts,
        })
    }

    pub(crate) fn parts(&self) -> &RegionParts {
        &self.parts
    }

    pub(crate) fn routing(&self) -> &Routing<E> {
        &self.routing
    }

    pub(crate) fn status(&self) -> &Status<E> {
        &self.status
    }

    /// The runtime of the entities of this node; `None`: this node has proxies only.
    pub(crate) fn entities(&self) -> Option<&EntityRuntime<E>> {
        self.routing.hosting().entities()
    }

    /// Sets the runtime of the entities of this node. Without one, this node has proxies only.
    pub(crate) fn set_entities(&self, entities: EntityRuntime<E>) {
        let closing = CloseListeners(entities.clone());
        self.parts.node.spawn("listeners", async move {
            let _closing = closing;
            std::future::pending::<()>().await;
        });
        self.routing.hosting().set_entities(entities);
    }

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
                let now = region.parts.now();
                if is_news || ask_at.is_none_or(|at| now >= at) || region.homes.lacks_a_place() {
                    ask_at = Some(now + ask);
                    region.homes.ask();
                }
                region.tick();
            }
        });
        self.reminding.start();
        self.end_with_node();
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
                let entity_type = region.parts.layout.entity_type();
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

    /// Kills all shards of this node, and stops the coordinator. A shard with a broken invariant
    /// does not keep the others alive.
    fn fence(&self) {
        for index in self.routing.slots().indexes() {
            let shard = self.parts.layout.shard(index);
            let fence = || self.routing.route(index, Input::Fenced);
            let _ = guard::call("the fence of a shard", &shard, fence);
        }
        self.stop_coordinator();
    }

    /// Stops the coordinator of this node, if it has one.
    pub(crate) fn stop_coordinator(&self) {
        if let Some(coordinator) = &self.coordinator {
            coordinator.stop();
        }
    }

    /// Waits until the coordinator has moved all shards away. Stops those that no other member can
    /// take: none is up, or none has their role. After a quarter of the time for this phase it
    /// stops those that the coordinator leaves here: it may have another table of replicas, and
    /// find no node for them. No shard begins here afterwards, whatever homes are told.
    async fn drain(self: Arc<Self>) {
        let me = self.parts.node.id().clone();
        let slots = self.routing.slots();
        let patience = self.parts.node.settings().shutdown_timeouts.drain_shards / 4;
        let (began, mut is_over) = (self.parts.now(), false);
        loop {
            let hosted: Vec<usize> =
                slots.indexes().filter(|index| slots.is_hosting(*index)).collect();
            if hosted.is_empty() {
                if is_over {
                    return;
                }
                is_over = true;
                slots.indexes().for_each(|index| self.routing.route(index, Input::StopHere));
                continue;
            }
            let members = self.parts.node.members().borrow().clone();
            for index in hosted {
                let replica = self.parts.layout.shard(index).replica;
                let can_take =
                    |member: &Member| member.id != me && self.parts.layout.fits(&replica, member);
                let is_left_here =
                    self.parts.now() - began >= patience && slots.lock(index).route.is_here();
                if is_left_here || !members.up_in(self.parts.node.place()).any(can_take) {
                    self.routing.route(index, Input::StopHere);
                }
            }
            tokio::time::sleep(DRAIN_INTERVAL).await;
        }
    }

    fn tick(&self) {
        let mut hosted = 0;
        for index in self.routing.slots().indexes() {
            self.routing.tick_route(index);
            let mut slot = self.routing.slots().lock(index);
            hosted += u32::from(slot.route.is_hosting());
            if slot.route.is_here() {
                self.routing.passivate_empty(index, &mut slot);
            }
            // a shard that drains ticks too: its entities have a time limit
            if slot.route.is_hosting() {
                self.routing.step_shard(index, &mut slot, shard::Input::Tick);
            }
        }
        self.routing.ways().look();
        self.look_for_relays();
        self.reminding.tick();
        self.parts.node.report_hosted(self.parts.layout.entity_type(), hosted);
        self.status.tick();
    }

    fn look_for_relays(&self) {
        let slots = self.routing.slots();
        let remote = |index: usize| slots.lock(index).route.remote().cloned();
        let homes: BTreeSet<NodeId> = slots.indexes().filter_map(remote).collect();
        let routing = Arc::downgrade(&self.routing);
        self.relays.look(homes, move || {
            if let Some(routing) = routing.upgrade() {
                routing.slots().indexes().for_each(|index| routing.tick_route(index));
            }
        });
    }
}
