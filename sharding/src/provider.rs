//! The definition of an entity type: its name, its replicas and its behaviour.

use std::collections::BTreeMap;
use std::sync::Arc;

use antiphon_base::Result;
use antiphon_persistence::entity::{EventSourced, Extensions};
use antiphon_persistence::identity::{ReplicaId, ReplicationId};

use crate::{CommandsFrom, Roles, ShardingSettings};

/// The placement of replicas on nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplicationMode {
    /// A sharding for each replica, on the nodes of its place, or on those of them that have its
    /// role.
    PerRole,
    /// A single sharding for all replicas, on all nodes of one place. The replica id tells the
    /// entities apart there.
    ReplicaQualified,
}

/// Entity id for the behaviour that is made at the start, to ask for the kinds of its events.
const EXAMPLE: &str = "example";

pub(crate) type Factory<E> = Arc<dyn Fn(&ReplicationId) -> Result<E> + Send + Sync>;

/// The definition of an entity type: its name, its replicas and its behaviour.
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
/// use antiphon_persistence::identity::{ReplicaId, ReplicationId};
/// use antiphon_sharding::{ReplicatedEntityProvider, ShardingSettings};
///
/// fn counters() -> Result<ReplicatedEntityProvider<Counter>> {
///     let replicas = [ReplicaId::new("DC-A")?, ReplicaId::new("DC-B")?];
///     let behaviour = |_: &ReplicationId| Counter;
///     let settings = ShardingSettings { entities_max: 20_000, ..ShardingSettings::default() };
///     Ok(ReplicatedEntityProvider::per_role("counter", replicas, behaviour)
///         .with_settings(settings))
/// }
/// # assert!(counters().is_ok());
/// ```
pub struct ReplicatedEntityProvider<E: EventSourced> {
    pub(crate) entity_type: Arc<str>,
    pub(crate) replicas: Vec<ReplicaId>,
    pub(crate) mode: ReplicationMode,
    pub(crate) factory: Factory<E>,
    pub(crate) settings: ShardingSettings,
    pub(crate) places: BTreeMap<ReplicaId, Arc<str>>,
    pub(crate) roles: Roles,
    /// Entity id for which the factory makes a behaviour at the start.
    pub(crate) example: Arc<str>,
    /// The values of the application that the handlers reach.
    pub(crate) extensions: Extensions,
    /// Commands go through their codec also within a node.
    pub(crate) encodes_commands: bool,
}

impl<E: EventSourced> Clone for ReplicatedEntityProvider<E> {
    fn clone(&self) -> Self {
        Self {
            entity_type: self.entity_type.clone(),
            replicas: self.replicas.clone(),
            mode: self.mode,
            factory: self.factory.clone(),
            settings: self.settings.clone(),
            places: self.places.clone(),
            roles: self.roles.clone(),
            example: self.example.clone(),
            extensions: self.extensions.clone(),
            encodes_commands: self.encodes_commands,
        }
    }
}

impl<E: EventSourced> ReplicatedEntityProvider<E> {
    /// A replica at each place, as [`Self::per_role`] has them. The host knows the places
    /// (`antiphon::app`); elsewhere, [`Self::with_replicas`] says them.
    ///
    /// ```
    /// # use antiphon_persistence::entity::{CommandContext, Effect, EventContext, EventSourced};
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
    /// use antiphon_persistence::identity::{ReplicaId, ReplicationId};
    /// use antiphon_sharding::ReplicatedEntityProvider;
    ///
    /// let counter = |_: &ReplicationId| Counter;
    /// let provider = ReplicatedEntityProvider::at_each_place("counter", counter);
    /// assert!(provider.replicas().is_empty(), "the host knows them");
    /// let provider = provider.with_replicas([ReplicaId::new("DC-A")?]);
    /// assert_eq!(provider.replicas().len(), 1);
    /// # Ok::<(), antiphon_base::Error>(())
    /// ```
    pub fn at_each_place(
        entity_type: impl AsRef<str>,
        behaviour: impl Fn(&ReplicationId) -> E + Send + Sync + 'static,
    ) -> Self {
        Self::per_role(entity_type, [], behaviour)
    }

    /// A sharding for each replica. Replica `r` runs on the nodes of the place `r` (their setting
    /// `place`), or of another place ([`Self::with_replica_place`]); with
    /// [`Self::with_replica_role`] only on those of them that have its role. The other nodes reach
    /// it through proxies. Each place has its own stores, which the replicas of the place share.
    /// `behaviour` makes the behaviour of one entity.
    pub fn per_role(
        entity_type: impl AsRef<str>,
        replicas: impl IntoIterator<Item = ReplicaId>,
        behaviour: impl Fn(&ReplicationId) -> E + Send + Sync + 'static,
    ) -> Self {
        let behaviour = move |id: &ReplicationId| Ok(behaviour(id));
        Self::new(ReplicationMode::PerRole, entity_type, replicas, behaviour)
    }

    /// Like [`Self::per_role`], with a factory that may fail, for example for an id that it does
    /// not accept. Then askers of the entity get `Failed` with the factory's reason, and the next
    /// command calls the factory again. The factory is called in the entity's own task.
    pub fn try_per_role(
        entity_type: impl AsRef<str>,
        replicas: impl IntoIterator<Item = ReplicaId>,
        behaviour: impl Fn(&ReplicationId) -> Result<E> + Send + Sync + 'static,
    ) -> Self {
        Self::new(ReplicationMode::PerRole, entity_type, replicas, behaviour)
    }

    /// A single sharding for all replicas, on all nodes of the place. The journal of the place has
    /// the streams of all replicas: an event of one reaches the others by direct replication, and
    /// through the journal loop of that journal. In a cluster with several places, each place has
    /// entities of its own then; [`Self::with_replica_place`] makes the places share them.
    pub fn replica_qualified(
        entity_type: impl AsRef<str>,
        replicas: impl IntoIterator<Item = ReplicaId>,
        behaviour: impl Fn(&ReplicationId) -> E + Send + Sync + 'static,
    ) -> Self {
        let behaviour = move |id: &ReplicationId| Ok(behaviour(id));
        Self::new(ReplicationMode::ReplicaQualified, entity_type, replicas, behaviour)
    }

    /// Like [`Self::replica_qualified`], with a factory that may fail as in [`Self::try_per_role`].
    pub fn try_replica_qualified(
        entity_type: impl AsRef<str>,
        replicas: impl IntoIterator<Item = ReplicaId>,
        behaviour: impl Fn(&ReplicationId) -> Result<E> + Send + Sync + 'static,
    ) -> Self {
        Self::new(ReplicationMode::ReplicaQualified, entity_type, replicas, behaviour)
    }

    fn new(
        mode: ReplicationMode,
        entity_type: impl AsRef<str>,
        replicas: impl IntoIterator<Item = ReplicaId>,
        behaviour: impl Fn(&ReplicationId) -> Result<E> + Send + Sync + 'static,
    ) -> Self {
        Self {
            entity_type: entity_type.as_ref().into(),
            replicas: replicas.into_iter().collect(),
            mode,
            factory: Arc::new(behaviour),
            settings: ShardingSettings::default(),
            places: BTreeMap::new(),
            roles: Roles::default(),
            example: EXAMPLE.into(),
            extensions: Extensions::default(),
            encodes_commands: cfg!(debug_assertions),
        }
    }

    /// Sets another id than `example` for the behaviour that is made at the start, to compare the
    /// shapes of its events and state with the stored shapes. If the factory refuses the id, the
    /// shapes are compared when the first entity starts: a changed type is noticed only then.
    #[must_use]
    pub fn with_example(mut self, entity_id: impl AsRef<str>) -> Self {
        self.example = entity_id.as_ref().into();
        self
    }

    /// The name of the type.
    pub fn entity_type(&self) -> &str {
        &self.entity_type
    }

    /// The replicas of each entity; empty when the host is to say them.
    pub fn replicas(&self) -> &[ReplicaId] {
        &self.replicas
    }

    /// Sets the replicas of each entity.
    #[must_use]
    pub fn with_replicas(mut self, replicas: impl IntoIterator<Item = ReplicaId>) -> Self {
        self.replicas = replicas.into_iter().collect();
        self
    }

    /// Gives the handlers of this type a value of the application, for example a client of another
    /// service. `CommandContext::extension` finds it by its type. All entities of a node share the
    /// value; a second value of the same type replaces the first.
    ///
    /// ```
    /// # use antiphon_base::Result;
    /// # use antiphon_persistence::entity::{CommandContext, Effect, EventContext, EventSourced};
    /// # use antiphon_persistence::reply::ReplyTo;
    /// # use antiphon_persistence::identity::{ReplicaId, ReplicationId};
    /// use antiphon_sharding::ReplicatedEntityProvider;
    ///
    /// struct Prices { apple: u32 }
    /// struct Shop;
    /// # impl EventSourced for Shop {
    /// #     type Command = ReplyTo<u32>;
    /// #     type Event = ();
    /// #     type State = ();
    /// #     fn on_event(&self, _: &EventContext, _: &mut (), _: &()) {}
    ///     fn on_command(
    ///         &self,
    ///         context: &CommandContext,
    ///         _: &(),
    ///         reply_to: ReplyTo<u32>,
    ///     ) -> Effect<Self> {
    ///         let prices = context.extension::<Prices>().expect("the provider has the prices");
    ///         Effect::reply(reply_to, prices.apple)
    ///     }
    /// # }
    ///
    /// fn shops() -> Result<ReplicatedEntityProvider<Shop>> {
    ///     let behaviour = |_: &ReplicationId| Shop;
    ///     Ok(ReplicatedEntityProvider::per_role("shop", [ReplicaId::new("DC-A")?], behaviour)
    ///         .with_extension(Prices { apple: 3 }))
    /// }
    /// # assert!(shops().is_ok());
    /// ```
    #[must_use]
    pub fn with_extension<T: Send + Sync + 'static>(mut self, value: T) -> Self {
        self.extensions = self.extensions.with(value);
        self
    }

    /// Sets other limits than the defaults.
    #[must_use]
    pub fn with_settings(mut self, settings: ShardingSettings) -> Self {
        self.settings = settings;
        self
    }

    /// The limits of the type.
    pub fn settings(&self) -> &ShardingSettings {
        &self.settings
    }

    /// Puts a replica on the nodes of a place with another name, for example the
    /// [empty](ReplicaId::empty) replica of a migrated entity. Several replicas may be in one
    /// place, and share its stores.
    #[must_use]
    pub fn with_replica_place(mut self, replica: ReplicaId, place: impl AsRef<str>) -> Self {
        self.places.insert(replica, place.as_ref().into());
        self
    }

    /// Puts a replica only on those nodes of its place that have a role (their setting `roles`),
    /// for example the nodes of one rack or availability zone. While no member of the place has the
    /// role, commands for the replica fail, and name the role and the place.
    ///
    /// ```
    /// # use antiphon_persistence::entity::{CommandContext, Effect, EventContext, EventSourced};
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
    /// use antiphon_persistence::identity::{ReplicaId, ReplicationId};
    /// use antiphon_sharding::ReplicatedEntityProvider;
    ///
    /// // two zones of one place with a common journal, and a place with a journal of its own
    /// let [one, two] = [ReplicaId::new("zone-1")?, ReplicaId::new("zone-2")?];
    /// let replicas = [one.clone(), two.clone(), ReplicaId::new("DC-B")?];
    /// let behaviour = |_: &ReplicationId| Counter;
    /// let provider = ReplicatedEntityProvider::per_role("counter", replicas, behaviour)
    ///     .with_replica_place(one.clone(), "DC-A")
    ///     .with_replica_role(one, "zone-1")
    ///     .with_replica_place(two.clone(), "DC-A")
    ///     .with_replica_role(two, "zone-2");
    /// # assert_eq!(provider.replicas().len(), 3);
    /// # Ok::<(), antiphon_base::Error>(())
    /// ```
    #[must_use]
    pub fn with_replica_role(mut self, replica: ReplicaId, role: impl AsRef<str>) -> Self {
        self.roles.insert(replica, role.as_ref().into());
        self
    }

    /// The place that [`Self::with_replica_place`] has set for a replica.
    pub fn replica_place(&self, replica: &ReplicaId) -> Option<&str> {
        self.places.get(replica).map(|place| &**place)
    }

    /// The role that [`Self::with_replica_role`] has set for a replica.
    pub fn replica_role(&self, replica: &ReplicaId) -> Option<&str> {
        self.roles.of(replica)
    }

    /// True: commands and their answers go through their codec also within a node, so that a value
    /// that could not go to another node is refused at once. The default is true in builds with
    /// debug assertions, and false otherwise.
    ///
    /// ```
    /// # use antiphon_persistence::entity::EventSourced;
    /// use antiphon_sharding::ReplicatedEntityProvider;
    ///
    /// fn for_tests<E: EventSourced>(
    ///     provider: ReplicatedEntityProvider<E>,
    /// ) -> ReplicatedEntityProvider<E> {
    ///     provider.with_encoded_commands(true)
    /// }
    /// ```
    #[must_use]
    pub fn with_encoded_commands(mut self, on: bool) -> Self {
        self.encodes_commands = on;
        self
    }

    /// Makes the behaviour of an entity, as a node does when the entity starts.
    ///
    /// ```
    /// # use antiphon_persistence::entity::{CommandContext, Effect, EventContext, EventSourced};
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
    /// use antiphon_persistence::identity::{ReplicaId, ReplicationId};
    /// use antiphon_sharding::ReplicatedEntityProvider;
    ///
    /// let counter = |_: &ReplicationId| Counter;
    /// let provider = ReplicatedEntityProvider::at_each_place("counter", counter);
    /// let id = ReplicationId::new("counter", "c-1", ReplicaId::new("DC-A")?)?;
    /// let _behaviour: Counter = provider.behaviour(&id)?;
    /// # Ok::<(), antiphon_base::Error>(())
    /// ```
    ///
    /// # Errors
    /// The error of a factory that refuses the id.
    pub fn behaviour(&self, id: &ReplicationId) -> Result<E> {
        (self.factory)(id)
    }

    /// Sets the nodes whose commands the entities of this type take.
    #[must_use]
    pub fn with_commands_from(mut self, nodes: CommandsFrom) -> Self {
        self.settings.commands_from = nodes;
        self
    }

    /// True: events are sent to the other replicas at once. False: the other replicas read them
    /// from this replica's journal, up to `loop_interval` later.
    #[must_use]
    pub fn with_event_publishing(mut self, on: bool) -> Self {
        self.settings.event_publishing = on;
        self
    }

    /// True: events that other replicas send at once are taken. False: they are dropped, and the
    /// journals of the other replicas are read, up to `loop_interval` later.
    #[must_use]
    pub fn with_direct_replication(mut self, on: bool) -> Self {
        self.settings.direct_replication = on;
        self
    }
}
