//! The check that replicas converge: equal states in every causal order of the events, and after
//! restarts.

use std::fmt::{Debug, Write as _};

use super::entity_test::EntityTest;
use super::orders::{Arrivals, Name};
use super::replicas_test::ReplicasTest;
use crate::entity::EventSourced;
use crate::event::StoredEvent;
use crate::identity::ReplicaId;

/// Most events that a failure shows.
const SHOWN_MAX: usize = 100;

impl<E: EventSourced> ReplicasTest<E>
where
    E::State: PartialEq + Debug,
{
    /// Runs commands at replicas that do not know of each other's events, and checks that the
    /// replicas converge: before, all events are delivered; after, [`Self::deliver_in_any_order`].
    ///
    /// # Panics
    /// Panics when states differ, see [`Self::deliver_in_any_order`].
    ///
    /// ```should_panic
    /// # use antiphon_persistence::entity::{CommandContext, Effect, Effects, EventContext};
    /// # use antiphon_persistence::entity::EventSourced;
    /// use antiphon_persistence::entity::testkit::EntityTest;
    ///
    /// /// A name that follows the order of arrival: its replicas differ.
    /// struct Title;
    /// impl EventSourced for Title {
    ///     type Command = String;
    ///     type Event = String;
    ///     type State = String;
    ///     # fn on_command(&self, _: &CommandContext, _: &String, text: String) -> Effect<Self> {
    ///     #     self.persist(text)
    ///     # }
    ///     fn on_event(&self, _: &EventContext, title: &mut String, text: &String) {
    ///         title.clone_from(text);
    ///     }
    /// }
    ///
    /// let mut title = EntityTest::replicas(Title, "title|t-1", ["A", "B"]);
    /// title.concurrently(|title| {
    ///     title.at("A").tell("Trees".to_owned());
    ///     title.at("B").tell("Shrubs".to_owned());
    /// });
    /// ```
    #[track_caller]
    pub fn concurrently(&mut self, commands: impl FnOnce(&mut Self)) {
        self.deliver_all();
        commands(self);
        self.deliver_in_any_order();
    }

    /// Tries out, at each replica, all causal orders in which the missing events can arrive, or
    /// [some](Self::with_orders_max) by the seed; with a restart from a snapshot in the middle, and
    /// from the events and a snapshot at the end. Then delivers all events, and checks that the
    /// states are equal.
    ///
    /// # Panics
    /// Panics when two states differ: with both, the orders that led there, the events and the
    /// seed. Also when an event cannot be applied.
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
    /// let counter = EntityTest::replicas(Counter, "counter|c-1", ["A", "B", "C"]);
    /// let mut counter = counter.with_seed(7).with_orders_max(500);
    /// counter.at("A").tell(1);
    /// counter.at("B").tell(2);
    /// counter.deliver("B", "A");
    /// counter.at("A").tell(3);
    /// counter.deliver_in_any_order();
    /// assert_eq!(counter.at("C").state(), &6);
    /// ```
    #[track_caller]
    pub fn deliver_in_any_order(&mut self) {
        let mut first: Option<(String, EntityTest<E>)> = None;
        for name in self.names() {
            let missing = self.missing(&name);
            let mut random = self.random.clone();
            let orders = Arrivals::of(&missing).orders(self.orders_max, &mut random);
            self.assert_restarts(&name);
            for order in orders {
                let middle = random.below(order.len() + 1);
                let mut tried = self.replica(&name).rehearsal();
                for (index, event) in order.iter().enumerate() {
                    if index == middle {
                        tried.restart_from_snapshot();
                    }
                    tried.arrive(vec![missing[*event].clone()]);
                }
                let what = self.arrived(&name, &order);
                self.assert_same_after_restart(&what, &mut tried);
                match &mut first {
                    None => first = Some((what, tried)),
                    Some((first, state)) => {
                        self.assert_same((first, state.state()), (&what, tried.state()));
                    }
                }
            }
        }
        self.deliver_all();
        self.assert_converged();
    }

    /// Checks that the replicas have the same events, and equal states.
    ///
    /// # Panics
    /// Panics when an event was not delivered, or two states differ: with both, the events and the
    /// seed.
    #[track_caller]
    pub fn assert_converged(&mut self) {
        let names = self.names();
        for name in &names {
            if let Some((origin, number)) = self.missing(name).into_keys().next() {
                panic!(
                    "`{name}` of `{}` has not event {number} of `{origin}`: call `deliver_all` before",
                    self.id
                );
            }
        }
        for pair in names.windows(2) {
            let [one, other] = pair else { continue };
            let text = |name: &ReplicaId| format!("at {name}");
            let (at_one, at_other) = (&self.replicas[one], &self.replicas[other]);
            let states = at_one.newest_state().zip(at_other.newest_state());
            let (one_state, other_state) = states.expect("both were started just now");
            self.assert_same((&text(one), one_state), (&text(other), other_state));
        }
    }

    /// Checks that a replica has the same state after a restart.
    #[track_caller]
    fn assert_restarts(&mut self, name: &ReplicaId) {
        let mut again = self.replica(name).rehearsal();
        let _ = again.state();
        let (now, then) = (format!("at {name}"), format!("at {name}, after a restart"));
        let _ = self.replica(name).state();
        let states = self.replicas[name].newest_state().zip(again.newest_state());
        let (state, restarted) = states.expect("both are at work");
        self.assert_same((&now, state), (&then, restarted));
        self.assert_same_after_restart(&now, &mut again);
    }

    #[track_caller]
    fn assert_same_after_restart(&self, what: &str, tried: &mut EntityTest<E>) {
        let mut copy = tried.rehearsal();
        if copy.store.has_every_event() {
            copy.restart_from_events();
            let then = format!("{what}, after a restart from the events");
            self.assert_same((what, tried.state()), (&then, copy.state()));
        }
        copy.restart_from_snapshot();
        let then = format!("{what}, after a restart from a snapshot");
        self.assert_same((what, tried.state()), (&then, copy.state()));
    }

    #[track_caller]
    fn assert_same(&self, one: (&str, &E::State), other: (&str, &E::State)) {
        if one.1 == other.1 {
            return;
        }
        panic!(
            "the replicas of `{}` differ (seed {}):\n  {}:\n    {:?}\n  {}:\n    {:?}\nevents:\n{}`on_event` must give the same state in every causal order, and after every restart: decide by the events, by `EventContext::concurrent`, or by the types of `crdt`",
            self.id,
            self.seed,
            one.0,
            one.1,
            other.0,
            other.1,
            self.shown_events()
        );
    }

    /// The arrival of events at a replica, in words.
    fn arrived(&self, replica: &ReplicaId, order: &[&Name]) -> String {
        let mut text = format!("at {replica}");
        for (index, (origin, number)) in order.iter().enumerate() {
            let _ = write!(text, "{} {origin}:{number}", if index == 0 { ", after" } else { "," });
        }
        text
    }

    /// The events, causes first, each with the events that its writer had seen.
    fn shown_events(&self) -> String {
        let mut events: Vec<_> = self.events().into_iter().collect();
        // an event has seen more events than each of its causes
        events.sort_by_key(|(name, event)| (event.meta.version.event_count(), name.clone()));
        let mut text = String::new();
        for ((origin, number), event) in events.iter().take(SHOWN_MAX) {
            let _ = write!(text, "  {origin}:{number} {}", self.shown(origin, event));
            let others = event.meta.version.iter().filter(|(seen, _)| *seen != origin);
            for (index, (seen, count)) in others.enumerate() {
                let _ = write!(text, "{} {seen}:{count}", if index == 0 { ", after" } else { "," });
            }
            text.push('\n');
        }
        if events.len() > SHOWN_MAX {
            let _ = writeln!(text, "  and {} more", events.len() - SHOWN_MAX);
        }
        text
    }

    fn shown(&self, origin: &ReplicaId, event: &StoredEvent) -> String {
        let Some(replica) = self.replicas.get(origin) else { return String::new() };
        let events = replica.read(event).into_iter().map(|event| format!("{event:?}"));
        events.collect::<Vec<_>>().join(" + ")
    }
}

impl<E: EventSourced> EntityTest<E> {
    /// The newest state, if the entity is at work.
    fn newest_state(&self) -> Option<&E::State> {
        self.engine.as_ref()?.state()
    }
}
