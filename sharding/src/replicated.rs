//! The entry point: an entity type with its replicas, on one node.

use std::any::{Any, type_name};
use std::collections::BTreeMap;
use std::sync::Arc;

use antiphon_persistence::entity::{EntityParts, EntityRuntime, EventListener, EventSourced};
use antiphon_persistence::identity::{ReplicaId, ReplicationId};
use antiphon_persistence::reply::Claim;
use antiphon_persistence::shape::ShapeBook;
use antiphon_runtime::{Error, Node, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::coordinator::{CoordinatorHandle, CoordinatorParts, CoordinatorSettings};
use crate::entity_ref::CommandPort;
use crate::entity_refs::NodeTypes;
use crate::provider::{ReplicatedEntityProvider, ReplicationMode};
use crate::region::{Host, Layout, Region, RegionParts};
use crate::registry::{References, Registry};
use crate::round_trip::as_between_nodes;
use crate::{EntityRef, Roles, RoutingPolicy, ShardId, migrated, shapes};

/// The entities of one type, as seen from one node. Cheap to clone.
///
/// ```
/// # use antiphon_base::Result;
/// # use antiphon_persistence::entity::{CommandContext, Effect, EventContext, EventSourced};
/// # use antiphon_persistence::reply::ReplyTo;
/// # #[derive(Debug, serde::Serialize, serde::Deserialize)]
/// # enum Command { Add { delta: i64, reply_to: ReplyTo<i64> } }
/// # #[derive(Debug, serde::Serialize, serde::Deserialize)]
/// # struct Added(i64);
/// # struct Counter;
/// # impl EventSourced for Counter {
/// #     type Command = Command;
/// #     type Event = Added;
/// #     type State = i64;
/// #     fn on_command(&self, _: &CommandContext, _: &i64, command: Command) -> Effect<Self> {
/// #         let Command::Add { delta, reply_to } = command;
/// #         Effect::persist(Added(delta)).then_reply(reply_to, |value| *value)
/// #     }
/// #     fn on_event(&self, _: &EventContext, value: &mut i64, event: &Added) {
/// #         *value += event.0;
/// #     }
/// # }
/// use antiphon_runtime::Node;
/// use antiphon_sharding::{ReplicatedEntityProvider, ReplicatedSharding, RoutingPolicy};
///
/// async fn add_one(node: &Node, provider: ReplicatedEntityProvider<Counter>) -> Result<i64> {
///     let counters = ReplicatedSharding::init(node, provider).await?;
///     let counter = counters.route("c-1", &RoutingPolicy::FailOver)?;
///     Ok(counter.ask(|reply_to| Command::Add { delta: 1, reply_to }).await?)
/// }
/// ```
pub struct ReplicatedSharding<E: EventSourced> {
    region: Arc<Region<E>>,
}

impl<E: EventSourced> Clone for ReplicatedSharding<E> {
    fn clone(&self) -> Self {
        Self { region: self.region.clone() }
    }
}

impl<E: EventSourced> CommandPort<E::Command> for Region<E>
where
    E::Command: Serialize + DeserializeOwned,
{
    fn index(&self, replica: &ReplicaId, entity: &str) -> Option<usize> {
        self.parts().layout.index(replica, entity)
    }

    fn tell(
        &self,
        now: Instant,
        index: usize,
        entity: &Arc<str>,
        command: E::Command,
        claim: Claim,
    ) {
        let command = if self.parts().encodes_commands {
            as_between_nodes(command, &claim)
        } else {
            Some(command)
        };
        if let Some(command) = command {
            self.routing().send_to(now, (index, entity), command, claim);
        }
    }

    fn now(&self) -> Instant {
        self.parts().node.clock().now()
    }
}

impl<E: EventSourced> References for Region<E>
where
    E::Command: Serialize + DeserializeOwned,
{
    fn command_type(&self) -> &'static str {
        type_name::<E::Command>()
    }

    fn refer(
        self: Arc<Self>,
        entity_id: &str,
        replica: &ReplicaId,
        exactly: bool,
    ) -> Result<Box<dyn Any>> {
        let has_it = exactly || self.parts().layout.is_replica(replica);
        let sharding = ReplicatedSharding { region: self };
        let reference = if has_it {
            sharding.entity_ref_for(entity_id, replica)
        } else {
            sharding.route(entity_id, &RoutingPolicy::default())
        };
        Ok(Box::new(reference?))
    }
}

impl<E: EventSourced> ReplicatedSharding<E>
where
    E::Command: Serialize + DeserializeOwned,
{
    /// Starts the type on a node, as a host of the replicas of its place and roles and as a proxy
    /// for the others. A node with `proxy_only` is a proxy for all of them. All nodes of a place
    /// should start the type with the same provider.
    ///
    /// A call that fails, or that is cancelled while it waits for the store, has started nothing;
    /// it may have stored the shapes of events. The same call can be made again.
    ///
    /// # Errors
    /// `Rejected` when a setting is wrong, the node has the type already, the node does not know
    /// the place of a replica, a role is empty or of no replica, or a place has stored events or
    /// snapshots under the same version with another shape (see [`antiphon_persistence::shape`]),
    /// or has a replica of a migrated type that the provider lacks (`docs/guide`). Errors of the
    /// place's store when its shapes cannot be read.
    pub async fn init(node: &Node, provider: ReplicatedEntityProvider<E>) -> Result<Self> {
        provider.settings.validate()?;
        // fails early when the type's name is not allowed
        ReplicationId::new(&provider.entity_type, "x", ReplicaId::empty())?;
        let shard_count = node.settings().shard_count;
        if !(1..=1024).contains(&shard_count) {
            return Err(Error::rejected(format!(
                "`shard_count`: expected 1 to 1024, actual {shard_count}"
            )));
        }
        let mut replicas = provider.replicas.clone();
        replicas.sort();
        let places = places(node, &provider)?;
        let hosted: Vec<ReplicaId> =
            replicas.iter().filter(|replica| *places[*replica] == *node.place()).cloned().collect();
        let roles = roles(&provider)?;
        let is_host = !hosted.is_empty() && !node.settings().proxy_only;
        if is_host {
            migrated::check(node, &provider).await?;
        }
        let shapes = match hosted.first().filter(|_| is_host) {
            Some(replica) => shapes::compare(node, &provider, replica).await?,
            None => None,
        };
        let count = u16::try_from(shard_count).expect("checked above");
        let entity_type = provider.entity_type.clone();
        let layout = Layout::new(entity_type, replicas.into(), places, count).with_roles(roles);
        let (settings, encodes) = (provider.settings.clone(), provider.encodes_commands);
        let parts = RegionParts::new(node.clone(), layout, settings, encodes);
        // nothing waits from here on: a cancelled call has started nothing
        let coordinator =
            if hosted.is_empty() { None } else { Some(coordinator(node, &provider, &hosted)?) };
        let region = Region::new(parts, coordinator);
        match Self::start(&region, &provider, shapes, is_host) {
            Ok(()) => Ok(Self { region }),
            Err(error) => {
                region.stop_coordinator();
                Err(error)
            }
        }
    }

    fn start(
        region: &Arc<Region<E>>,
        provider: &ReplicatedEntityProvider<E>,
        shapes: Option<ShapeBook>,
        is_host: bool,
    ) -> Result<()> {
        let node = &region.parts().node;
        let mut entities = entities(region, provider)?;
        entities = match shapes {
            Some(shapes) => entities.with_shapes(shapes),
            None => entities.with_late_shapes(shapes::late(node, &provider.entity_type)),
        };
        if is_host {
            region.set_entities(entities);
        }
        Registry::of(node).insert(&provider.entity_type, region.clone())?;
        node.report_replicas(&provider.entity_type, region.parts().layout.placed_replicas());
        region.start();
        Ok(())
    }

    /// All replicas of the type, sorted.
    pub fn replicas(&self) -> &[ReplicaId] {
        self.region.parts().layout.replicas()
    }

    /// Returns one reference for each replica of an entity.
    ///
    /// # Errors
    /// `Rejected` when the id is empty, too long, or has a forbidden character.
    pub fn entity_refs_for(
        &self,
        entity_id: impl AsRef<str>,
    ) -> Result<BTreeMap<ReplicaId, EntityRef<E::Command>>> {
        let references = self.replicas().iter().map(|replica| {
            Ok((replica.clone(), self.entity_ref_for(entity_id.as_ref(), replica)?))
        });
        references.collect()
    }

    /// Returns the reference of one replica of an entity.
    ///
    /// # Errors
    /// `Rejected` when the id is not allowed, or there is no such replica.
    pub fn entity_ref_for(
        &self,
        entity_id: impl AsRef<str>,
        replica: &ReplicaId,
    ) -> Result<EntityRef<E::Command>> {
        let layout = &self.region.parts().layout;
        if !layout.is_replica(replica) {
            return Err(Error::rejected(format!(
                "replica `{replica}` of `{}`: expected one of {:?}",
                layout.entity_type(),
                layout.replicas().iter().map(ReplicaId::as_str).collect::<Vec<_>>()
            )));
        }
        let id = ReplicationId::new(layout.entity_type(), entity_id, replica.clone())?;
        let ask_timeout = self.region.parts().settings.ask_timeout;
        Ok(EntityRef::new(id, self.region.clone(), ask_timeout))
    }

    /// Returns the reference of the replica that a policy chooses.
    ///
    /// # Errors
    /// `Rejected` when the id is not allowed.
    pub fn route(
        &self,
        entity_id: impl AsRef<str>,
        policy: &RoutingPolicy,
    ) -> Result<EntityRef<E::Command>> {
        let parts = self.region.parts();
        let is_reachable =
            |replica: &ReplicaId| self.region.routing().reaches(replica, entity_id.as_ref());
        let replica = policy.choose(parts.layout.replicas(), &parts.near, is_reachable);
        self.entity_ref_for(&entity_id, replica)
    }

    /// Listens to the events that this node makes durable from now on: those that its entities
    /// write, and those of other replicas that arrive at them. A replica at another node has a
    /// listener there. Entities never wait for a listener ([`EventListener`]).
    ///
    /// ```
    /// # use antiphon_persistence::entity::{CommandContext, Effect, EventContext, EventSourced};
    /// # use antiphon_sharding::ReplicatedSharding;
    /// use antiphon_persistence::entity::ListenError;
    ///
    /// # struct Counter;
    /// # impl EventSourced for Counter {
    /// #     type Command = i64;
    /// #     type Event = i64;
    /// #     type State = i64;
    /// #     fn on_command(&self, _: &CommandContext, _: &i64, delta: i64) -> Effect<Self> {
    /// #         Effect::persist(delta)
    /// #     }
    /// #     fn on_event(&self, _: &EventContext, sum: &mut i64, delta: &i64) { *sum += delta; }
    /// # }
    /// async fn print(counters: ReplicatedSharding<Counter>) -> antiphon_base::Result<()> {
    ///     let mut events = counters.events()?;
    ///     loop {
    ///         match events.next().await {
    ///             Ok(durable) => println!("{}: {}", durable.id, durable.event),
    ///             Err(ListenError::Ended) => return Ok(()),
    ///             Err(error) => println!("{error}"),
    ///         }
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    /// `Rejected` when this node has no replica of the type, but proxies only.
    pub fn events(&self) -> Result<EventListener<E>> {
        let entities = self.region.entities();
        let entities = entities.ok_or_else(|| {
            let entity_type = self.region.parts().layout.entity_type();
            Error::rejected(format!(
                "events of `{entity_type}`: expected a node that has a replica of the type, actual one with proxies only"
            ))
        })?;
        Ok(entities.listen())
    }

    /// Returns true once every shard of this place had a home that this node knows. Returns false
    /// again while a shard has been without a home for longer than `homeless_grace`.
    pub fn is_ready(&self) -> bool {
        self.region.status().ready().is_ok()
    }

    /// The shards that live on this node.
    pub fn hosted_shards(&self) -> Vec<ShardId> {
        self.region.status().hosted()
    }

    /// Number of entities at work on this node.
    pub fn entity_count(&self) -> usize {
        self.region.status().entity_count()
    }

    /// Value of one of the `EntityCounters` on this node; zero when no counter has that name.
    pub fn counter(&self, name: &str) -> u64 {
        self.region.status().counter(name)
    }
}

fn places<E: EventSourced>(
    node: &Node,
    provider: &ReplicatedEntityProvider<E>,
) -> Result<BTreeMap<ReplicaId, Arc<str>>> {
    let mut places = BTreeMap::new();
    for replica in &provider.replicas {
        let place: Arc<str> = match (provider.mode, provider.places.get(replica)) {
            (_, Some(place)) => place.clone(),
            (ReplicationMode::ReplicaQualified, None) => node.place().into(),
            (ReplicationMode::PerRole, None) => replica.as_str().into(),
        };
        if *place != *node.place() && !node.peers().contains_key(&place) {
            let known: Vec<&str> =
                std::iter::once(node.place()).chain(node.peers().keys().map(|p| &**p)).collect();
            return Err(Error::rejected(format!(
                "replica `{replica}` of `{}`: expected a place that this node knows ({known:?}), actual {place:?}: add it to `peers`",
                provider.entity_type
            )));
        }
        places.insert(replica.clone(), place);
    }
    Ok(places)
}

fn roles<E: EventSourced>(provider: &ReplicatedEntityProvider<E>) -> Result<Roles> {
    for (replica, role) in provider.roles.iter() {
        let entity_type = &provider.entity_type;
        if role.is_empty() {
            return Err(Error::rejected(format!(
                "role of the replica `{replica}` of `{entity_type}`: expected a text, actual an empty one"
            )));
        }
        if !provider.replicas.contains(replica) {
            return Err(Error::rejected(format!(
                "role `{role}` of `{entity_type}`: expected one of its replicas {:?}, actual `{replica}`",
                provider.replicas.iter().map(ReplicaId::as_str).collect::<Vec<_>>()
            )));
        }
    }
    Ok(provider.roles.clone())
}

fn coordinator<E: EventSourced>(
    node: &Node,
    provider: &ReplicatedEntityProvider<E>,
    hosted: &[ReplicaId],
) -> Result<CoordinatorHandle> {
    let count = u16::try_from(node.settings().shard_count).unwrap_or(u16::MAX);
    let shards = hosted
        .iter()
        .flat_map(|replica| (0..count).map(|number| ShardId { replica: replica.clone(), number }));
    let settings = &provider.settings;
    CoordinatorHandle::start(CoordinatorParts {
        node: node.clone(),
        entity_type: provider.entity_type.clone(),
        shards: shards.collect(),
        roles: provider.roles.clone(),
        settings: CoordinatorSettings {
            join_wait: settings.join_wait,
            rebalance_interval: settings.rebalance_interval,
            rebalance_moves_max: settings.rebalance_moves_max,
            retry_delay_max: node.settings().retry_delay_max,
        },
        tick_interval: settings.tick_interval,
    })
}

fn entities<E: EventSourced>(
    region: &Arc<Region<E>>,
    provider: &ReplicatedEntityProvider<E>,
) -> Result<EntityRuntime<E>>
where
    E::Command: Serialize + DeserializeOwned,
{
    let node = &region.parts().node;
    let replicas = region.parts().layout.replicas().to_vec();
    let peers = replicas
        .iter()
        .map(|replica| (replica.clone(), region.parts().stores_of(replica).journal))
        .collect();
    let factory = provider.factory.clone();
    let parts = EntityParts {
        journal: node.stores().journal.clone(),
        snapshots: node.stores().snapshots.clone(),
        reminders: node.stores().reminders.clone(),
        writer: node.writer().clone(),
        peers,
        clock: node.clock().clone(),
        host: Arc::new(Host { region: Arc::downgrade(region), node: node.clone() }),
        coordination: Some(node.stores().coordination.clone()),
    };
    let settings = provider.settings.entity.clone();
    let types = NodeTypes::of(&Registry::of(node));
    let extensions = provider.extensions.clone().with(types).with(node.clone());
    let factory = move |id: &ReplicationId| factory(id);
    let entities = EntityRuntime::try_new(replicas, factory, settings, parts)?;
    Ok(entities.with_extensions(extensions))
}
