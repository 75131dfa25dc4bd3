//! Several replicas of one entity under test: the test says which event arrives where, and when.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::codec;
use super::entity_test::{EntityTest, parse};
use super::orders::{Arrivals, Name, Random, name};
use crate::entity::EventSourced;
use crate::entity::engine::Input;
use crate::event::StoredEvent;
use crate::identity::{ReplicaId, ReplicationId};

/// Most rounds of [`ReplicasTest::deliver_all`]: replicas may react to each other's events.
const ROUNDS_MAX: usize = 1000;
/// Most orders that are tried at one replica, unless the test says otherwise.
const ORDERS_MAX: usize = 120;

/// The replicas of one entity, each an [`EntityTest`] with a journal of its own. No event arrives
/// at another replica unless the test delivers it. See [the tutorial](super).
pub struct ReplicasTest<E: EventSourced> {
    pub(super) id: ReplicationId,
    pub(super) replicas: BTreeMap<ReplicaId, EntityTest<E>>,
    pub(super) seed: u64,
    pub(super) random: Random,
    pub(super) orders_max: usize,
}

impl<E: EventSourced> EntityTest<E> {
    /// New replicas of an entity; `id` is `type|entity`. Each command goes through the codec, as
    /// between two nodes.
    ///
    /// # Panics
    /// Panics when `id` is not such an id, when a name is no replica id, or there is none.
    ///
    /// ```
    /// # use antiphon_persistence::entity::{CommandContext, Effect, Effects, EventContext};
    /// # use antiphon_persistence::entity::EventSourced;
    /// # struct Counter;
    /// # impl EventSourced for Counter {
    /// #     type Command = i64;
    /// #     type Event = i64;
    /// #     type State = i64;
    /// #     fn on_command(&self, _: &CommandContext, _: &i64, delta: i64) -> Effect<Self> {
    /// #         self.persist(delta)
    /// #     }
    /// #     fn on_event(&self, _: &EventContext, sum: &mut i64, delta: &i64) { *sum += delta; }
    /// # }
    /// use antiphon_persistence::entity::testkit::EntityTest;
    ///
    /// let mut counter = EntityTest::replicas(Counter, "counter|c-1", ["A", "B"]);
    /// counter.at("A").tell(5);
    /// assert_eq!(counter.at("B").state(), &0, "nothing was delivered");
    /// counter.deliver("A", "B");
    /// assert_eq!(counter.at("B").state(), &5);
    /// ```
    #[track_caller]
    pub fn replicas<'a>(
        behaviour: E,
        id: &str,
        replicas: impl IntoIterator<Item = &'a str>,
    ) -> ReplicasTest<E>
    where
        E::Command: Serialize + DeserializeOwned + Debug,
    {
        Self::local_replicas(behaviour, id, replicas).with_each(|mut replica| {
            replica.encoding = Some(codec::between_nodes::<E::Command>);
            replica
        })
    }

    /// The same for an entity whose commands stay within one node: they are not encoded.
    ///
    /// # Panics
    /// As [`Self::replicas`].
    #[track_caller]
    pub fn local_replicas<'a>(
        behaviour: E,
        id: &str,
        replicas: impl IntoIterator<Item = &'a str>,
    ) -> ReplicasTest<E> {
        let id = parse(id);
        assert!(
            id.replica_id().is_empty(),
            "the id of replicas: expected `type|entity`, actual `{id}`: name the replicas apart"
        );
        let replica = |name: &str| {
            ReplicaId::new(name).unwrap_or_else(|error| panic!("a replica of `{id}`: {error}"))
        };
        let mut names: Vec<_> = replicas.into_iter().map(replica).collect();
        names.sort();
        names.dedup();
        assert!(!names.is_empty(), "the replicas of `{id}`: expected at least one name");
        let (behaviour, all): (_, Arc<[ReplicaId]>) = (Arc::new(behaviour), names.clone().into());
        let each = names.into_iter().map(|name| {
            let replica = id.with_replica(name.clone());
            (name, Self::of(behaviour.clone(), replica, all.clone()))
        });
        let replicas = each.collect();
        ReplicasTest { replicas, id, seed: 0, random: Random::new(0), orders_max: ORDERS_MAX }
    }
}

impl<E: EventSourced> ReplicasTest<E> {
    /// Changes each replica, before anything else: its settings, its extensions, its events.
    ///
    /// ```
    /// # use antiphon_persistence::entity::{CommandContext, Effect, Effects, EventContext};
    /// # use antiphon_persistence::entity::EventSourced;
    /// # struct Counter;
    /// # impl EventSourced for Counter {
    /// #     type Command = ();
    /// #     type Event = i64;
    /// #     type State = i64;
    /// #     fn on_command(&self, context: &CommandContext, _: &i64, (): ()) -> Effect<Self> {
    /// #         self.persist(*context.extension().expect("a step"))
    /// #     }
    /// #     fn on_event(&self, _: &EventContext, sum: &mut i64, delta: &i64) { *sum += delta; }
    /// # }
    /// use antiphon_persistence::entity::testkit::EntityTest;
    ///
    /// let counter = EntityTest::replicas(Counter, "counter|c-1", ["A", "B"]);
    /// let mut counter = counter.with_each(|replica| replica.with_extension(7_i64));
    /// counter.at("B").tell(());
    /// assert_eq!(counter.at("B").state(), &7);
    /// ```
    #[must_use]
    pub fn with_each(mut self, change: impl FnMut(EntityTest<E>) -> EntityTest<E>) -> Self {
        let mut change = change;
        let replicas = std::mem::take(&mut self.replicas);
        self.replicas = replicas.into_iter().map(|(name, of)| (name, change(of))).collect();
        self
    }

    /// Sets the seed of everything that is left to chance, zero otherwise. A failure names it.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        (self.seed, self.random) = (seed, Random::new(seed));
        self
    }

    /// Sets the most orders of events that are tried at each replica, 120 otherwise. Of more orders
    /// this many are chosen by the seed.
    #[must_use]
    pub fn with_orders_max(mut self, orders_max: usize) -> Self {
        self.orders_max = orders_max;
        self
    }

    /// The replica with this name, to ask it, restart it, or look at it.
    ///
    /// # Panics
    /// Panics when there is no such replica.
    #[track_caller]
    pub fn at(&mut self, name: &str) -> &mut EntityTest<E> {
        let name = self.named(name);
        self.replica(&name)
    }

    #[track_caller]
    fn named(&self, name: &str) -> ReplicaId {
        let found = self.replicas.keys().find(|replica| replica.as_str() == name);
        found.cloned().unwrap_or_else(|| {
            let names: Vec<_> = self.replicas.keys().map(ReplicaId::as_str).collect();
            panic!("`{}` has no replica {name:?}: expected one of {names:?}", self.id)
        })
    }

    /// A replica, whose clock is as far as those of the others.
    pub(super) fn replica(&mut self, name: &ReplicaId) -> &mut EntityTest<E> {
        let mut clock = self.replicas[name].clock.clone();
        self.replicas.values().for_each(|replica| clock.follow(&replica.clock));
        let replica = self.replicas.get_mut(name).expect("the replica was named");
        replica.clock.follow(&clock);
        replica
    }

    /// Lets time pass at every replica, in the order of their names, see [`EntityTest::pass`].
    #[track_caller]
    pub fn pass(&mut self, time: Duration) {
        let now = self.replicas.values().map(|replica| replica.clock.elapsed()).max();
        let end = now.unwrap_or_default() + time;
        for replica in self.replicas.values_mut() {
            replica.pass(end - replica.clock.elapsed());
        }
    }

    pub(super) fn names(&self) -> Vec<ReplicaId> {
        self.replicas.keys().cloned().collect()
    }

    /// Delivers all events that `from` has to `to`, in the order of the journal of `from`: its own
    /// ones, and those of other replicas.
    ///
    /// # Panics
    /// Panics when there is no such replica, or an event cannot be applied.
    #[track_caller]
    pub fn deliver(&mut self, from: &str, to: &str) {
        let (from, to) = (self.named(from), self.named(to));
        let seen = self.replica(&to).seen().clone();
        let events = self.replicas[&from].store.events.iter();
        let is_new = |event: &&StoredEvent| event.meta.origin_nr() > seen.get(&event.meta.origin);
        let events: Vec<_> = events.filter(is_new).cloned().collect();
        self.replica(&to).arrive(events);
    }

    /// Delivers all events to all replicas, one by one, each replica's in a causal order by chance.
    /// Events that replicas store as they react to events are delivered too.
    ///
    /// # Panics
    /// Panics when an event cannot be applied, or the replicas react to each other for ever.
    ///
    /// ```
    /// # use antiphon_persistence::entity::{CommandContext, Effect, Effects, EventContext};
    /// # use antiphon_persistence::entity::EventSourced;
    /// # struct Counter;
    /// # impl EventSourced for Counter {
    /// #     type Command = i64;
    /// #     type Event = i64;
    /// #     type State = i64;
    /// #     fn on_command(&self, _: &CommandContext, _: &i64, delta: i64) -> Effect<Self> {
    /// #         self.persist(delta)
    /// #     }
    /// #     fn on_event(&self, _: &EventContext, sum: &mut i64, delta: &i64) { *sum += delta; }
    /// # }
    /// use antiphon_persistence::entity::testkit::EntityTest;
    ///
    /// let mut counter = EntityTest::replicas(Counter, "counter|c-1", ["A", "B", "C"]);
    /// counter.at("A").tell(5);
    /// counter.at("B").tell(6);
    /// counter.deliver_all();
    /// counter.assert_converged();
    /// assert_eq!(counter.at("C").state(), &11);
    /// ```
    #[track_caller]
    pub fn deliver_all(&mut self) {
        for _ in 0..ROUNDS_MAX {
            let mut is_done = true;
            for replica in self.names() {
                let missing = self.missing(&replica);
                is_done &= missing.is_empty();
                let order = Arrivals::of(&missing).shuffled(&mut self.random);
                let events: Vec<_> = order.into_iter().map(|name| missing[name].clone()).collect();
                let to = self.replica(&replica);
                events.into_iter().for_each(|event| to.arrive(vec![event]));
            }
            if is_done {
                return;
            }
        }
        panic!(
            "the replicas of `{}` have new events after {ROUNDS_MAX} rounds: do they react to each other's reactions (`on_replicated`) for ever?",
            self.id
        );
    }

    /// The events that a replica has not.
    pub(super) fn missing(&mut self, replica: &ReplicaId) -> BTreeMap<Name, StoredEvent> {
        let seen = self.replica(replica).seen().clone();
        let mut all = self.events();
        all.retain(|(origin, number), _| *number > seen.get(origin));
        all
    }

    /// All events.
    pub(super) fn events(&self) -> BTreeMap<Name, StoredEvent> {
        let events = self.replicas.values().flat_map(|replica| &replica.store.events);
        events.map(|event| (name(event), event.clone())).collect()
    }
}

impl<E: EventSourced> EntityTest<E> {
    /// The version of the newest state.
    #[track_caller]
    pub(super) fn seen(&mut self) -> &crate::version::VersionVector {
        let _ = self.state();
        let seen = self.engine.as_ref().and_then(|engine| engine.seen());
        seen.expect("an entity with a state has a version")
    }

    /// Gives the entity events of other replicas.
    #[track_caller]
    pub(super) fn arrive(&mut self, events: Vec<StoredEvent>) {
        if events.is_empty() {
            return;
        }
        self.held = None;
        let names: Vec<_> = events.iter().map(name).collect();
        self.give(Input::Replicated(events));
        let seen = self.seen().clone();
        for (origin, number) in names {
            if seen.get(&origin) >= number {
                continue;
            }
            let panicked = self.effects().contains(&super::Did::Panicked("on_event"));
            let why = match (&self.held, panicked) {
                (Some(held), _) => held.why.clone(),
                (None, true) => "`on_event` panicked".to_owned(),
                (None, false) => {
                    "it cannot be read, or waits for an event that is not there".into()
                }
            };
            panic!(
                "event {number} of `{origin}` is not applied at `{}`: {why}; `on_event` takes every event of every replica",
                self.id
            );
        }
    }
}
