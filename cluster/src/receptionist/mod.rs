//! The receptionist: actors are registered under a key, and found by it from every member.
//!
//! - `key`: typed keys, and the names of `pg` groups;
//! - `directory`: decides which actors are found;
//! - `session`: the session of a reference, which tells an older one from a newer one;
//! - `watcher`: brings the changes of `pg` and of the members to the directory, many at once;
//! - `subscription`: the newest set of actors for those that wait for changes.

mod directory;
mod key;
mod session;
mod subscription;
#[cfg(test)]
mod tests;
mod watcher;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use antiphon_runtime::metrics::{IntCounter, IntCounterVec, IntGauge};
use antiphon_runtime::{Node, NodeId};
use parking_lot::Mutex;
use ractor::{ActorCell, ActorRef, ActorStatus, Message, pg};
use tokio::sync::watch;

use self::directory::{Directory, Effect, Input};
pub use self::key::ServiceKey;
pub(crate) use self::key::{Group, Service};
use self::session::session_of;
pub(crate) use self::subscription::{Change, Present};
pub use self::subscription::{Listing, Subscription};
use crate::{ToolError, ToolSettings};

/// The scope of all groups of the receptionist.
pub(crate) const SCOPE: &str = "antiphon.receptionist";

/// An actor under a key.
pub(crate) type Found = directory::Found<ActorCell>;

type Listings = BTreeMap<Service, watch::Sender<Change>>;

struct State {
    directory: Directory<ActorCell>,
    /// The newest set of each key that has actors or subscribers.
    listings: Listings,
    /// True when actors that were left out have room now.
    has_room: bool,
}

struct Counts {
    keys: IntGauge,
    left_out: IntCounterVec,
    refused: IntCounterVec,
    skipped: IntCounter,
}

/// The receptionist of one node. Cheap to clone.
///
/// An actor that is registered here is found by every member with a session to this node, if its
/// messages can be sent to other nodes; without sessions, by this node. It is forgotten when it
/// ends, when its node says goodbye, and when its node is dead.
///
/// ```
/// use antiphon_cluster::{Receptionist, ServiceKey, ToolError};
/// use antiphon_runtime::Node;
/// use ractor::ActorRef;
///
/// fn greet_all(node: &Node, greeter: &ActorRef<String>) -> Result<(), ToolError> {
///     let receptionist = Receptionist::of(node);
///     let greeters = ServiceKey::<String>::new("greeters")?;
///     receptionist.register(&greeters, greeter)?;
///     for greeter in receptionist.find(&greeters)? {
///         let _ = greeter.send_message("good morning".to_owned());
///     }
///     Ok(())
/// }
/// ```
#[derive(Clone)]
pub struct Receptionist {
    inner: Arc<Inner>,
}

struct Inner {
    node: NodeId,
    runtime: tokio::runtime::Handle,
    settings: Arc<ToolSettings>,
    state: Mutex<State>,
    is_leaving: AtomicBool,
    counts: Counts,
}

impl Receptionist {
    /// The receptionist of this node; the first call starts it.
    pub fn of(node: &Node) -> Self {
        let mut is_new = false;
        let settings = ToolSettings::of(node);
        let inner = node.extension(|| {
            is_new = true;
            Arc::new(Inner::new(node, settings))
        });
        if is_new {
            watcher::start(node, &inner);
        }
        Self { inner }
    }

    /// Registers an actor of this process under a key. Once is enough: a repetition changes
    /// nothing. The registration ends with the actor.
    ///
    /// # Errors
    /// [`ToolError::OtherType`] when actors of other messages are under the key, here or at another
    /// member that is known; [`ToolError::Full`] beyond `receptionist_keys_max` or
    /// `receptionist_actors_max`; [`ToolError::Ended`] when the actor has ended;
    /// [`ToolError::Leaving`] when the node says goodbye.
    pub fn register<M: Message>(
        &self,
        key: &ServiceKey<M>,
        actor: &ActorRef<M>,
    ) -> Result<(), ToolError> {
        self.register_ranked(key, actor, 0)
    }

    pub(crate) fn register_ranked<M: Message>(
        &self,
        key: &ServiceKey<M>,
        actor: &ActorRef<M>,
        rank: u64,
    ) -> Result<(), ToolError> {
        let group = Group { service: key.service(), rank, node: self.inner.node.clone() };
        if actor.get_status() >= ActorStatus::Stopping {
            return Err(ToolError::Ended { key: key.to_string() });
        }
        // the lock makes one order of what `pg` has and what is found
        let mut state = self.inner.state.lock();
        if self.inner.is_leaving.load(Ordering::Acquire) {
            return Err(ToolError::Leaving { key: key.to_string() });
        }
        let actor = actor.get_cell();
        if !state.directory.has(&group, actor.get_id().pid()) {
            state.admit(&group.service).inspect_err(|error| self.inner.refused(error))?;
        }
        pg::join_scoped(SCOPE.to_owned(), group.name(), vec![actor.clone()]);
        // one that has ended meanwhile is not in the group
        if actor.get_status() < ActorStatus::Stopping {
            let pid = actor.get_id().pid();
            self.inner.advance(&mut state, Input::Joined(group, pid, actor));
        }
        Ok(())
    }

    /// Ends the registration of an actor. An actor that is not registered is none of an error.
    pub fn deregister<M: Message>(&self, key: &ServiceKey<M>, actor: &ActorRef<M>) {
        let group = Group { service: key.service(), rank: 0, node: self.inner.node.clone() };
        let mut state = self.inner.state.lock();
        pg::leave_scoped(SCOPE.to_owned(), group.name(), vec![actor.get_cell()]);
        self.inner.read(&mut state, &group);
        self.inner.fill_room(&mut state);
    }

    /// The actors under a key as this node knows them now, sorted by node; none is no error.
    ///
    /// # Errors
    /// [`ToolError::OtherType`] when there are none, and actors of other messages are under the
    /// key.
    pub fn find<M: Message>(&self, key: &ServiceKey<M>) -> Result<Vec<ActorRef<M>>, ToolError> {
        let service = key.service();
        let state = self.inner.state.lock();
        let found = state.listings.get(&service).map(|listing| listing.borrow().clone());
        let found = found.unwrap_or_default();
        if found.actors.is_empty() {
            state.one_type(&service)?;
        }
        Ok(found.actors.iter().map(|found| found.actor.clone().into()).collect())
    }

    /// The sets of actors under a key: first the present one, at once, and then each newer one.
    ///
    /// # Errors
    /// As [`Self::find`]; [`ToolError::Full`] when `receptionist_keys_max` keys have subscribers.
    pub fn subscribe<M: Message>(&self, key: &ServiceKey<M>) -> Result<Subscription<M>, ToolError> {
        let skipped = self.inner.counts.skipped.clone();
        let receiver = self.watch(&key.service())?;
        Ok(Subscription::new(key.clone(), receiver, skipped, self.inner.node.clone()))
    }

    /// Sends the sets of actors under a key to an actor, as [`Self::subscribe`] gives them, until
    /// the actor or the node ends. At most one set waits in its mailbox: the next one is sent when
    /// the [`Listing`] is dropped.
    ///
    /// # Errors
    /// As [`Self::subscribe`].
    pub fn subscribe_actor<M: Message, S: Message>(
        &self,
        key: &ServiceKey<M>,
        subscriber: &ActorRef<S>,
        to_message: impl FnMut(Listing<M>) -> S + Send + 'static,
    ) -> Result<(), ToolError> {
        let subscription = self.subscribe(key)?;
        let subscriber = subscriber.clone();
        let _runtime = self.inner.runtime.enter();
        let feed = subscription.feed(subscriber, to_message);
        drop(antiphon_base::task::spawn("receptionist subscription", feed));
        Ok(())
    }

    /// The newest set of a key, as a value that changes.
    pub(crate) fn watch(&self, service: &Service) -> Result<watch::Receiver<Change>, ToolError> {
        let mut state = self.inner.state.lock();
        if let Some(listing) = state.listings.get(service) {
            return Ok(listing.subscribe());
        }
        state.one_type(service)?;
        let max = self.inner.settings.receptionist_keys_max;
        state.listings.retain(|_, listing| listing.is_in_use());
        if state.listings.len() >= max {
            let (key, setting) = (service.key.to_string(), "receptionist_keys_max");
            return Err(ToolError::Full { key, setting, max });
        }
        let (sender, receiver) = watch::channel(Change::default());
        state.listings.insert(service.clone(), sender);
        Ok(receiver)
    }

    pub(crate) fn node(&self) -> &NodeId {
        &self.inner.node
    }
}

/// Whether somebody needs the value.
trait InUse {
    fn is_in_use(&self) -> bool;
}

impl InUse for watch::Sender<Change> {
    fn is_in_use(&self) -> bool {
        self.receiver_count() > 0 || !self.borrow().actors.is_empty()
    }
}

impl State {
    fn one_type(&self, service: &Service) -> Result<(), ToolError> {
        let Some(actual) = self.directory.other_type(service) else { return Ok(()) };
        let (key, expected) = (service.key.to_string(), service.message.to_string());
        Err(ToolError::OtherType { key, expected, actual: actual.to_string() })
    }

    fn admit(&self, service: &Service) -> Result<(), ToolError> {
        self.one_type(service)?;
        match self.directory.full(service) {
            Some((setting, max)) => {
                Err(ToolError::Full { key: service.key.to_string(), setting, max })
            }
            None => Ok(()),
        }
    }
}

impl Inner {
    fn new(node: &Node, settings: Arc<ToolSettings>) -> Self {
        let metrics = node.metrics();
        let counts = Counts {
            keys: metrics.gauge_of("antiphon_receptionist_keys"),
            left_out: metrics.counters_of("antiphon_receptionist_left_out_total"),
            refused: metrics.counters_of("antiphon_receptionist_refused_total"),
            skipped: metrics.counter_of("antiphon_receptionist_skipped_total"),
        };
        let (keys_max, actors_max) =
            (settings.receptionist_keys_max, settings.receptionist_actors_max);
        let directory = Directory::new(keys_max, actors_max);
        Self {
            node: node.id().clone(),
            runtime: node.runtime().clone(),
            settings,
            state: Mutex::new(State { directory, listings: BTreeMap::new(), has_room: false }),
            is_leaving: AtomicBool::new(false),
            counts,
        }
    }

    fn refused(&self, error: &ToolError) {
        let reason = match error {
            ToolError::OtherType { .. } => "other_type",
            ToolError::Full { setting, .. } => setting,
            ToolError::Key { .. }
            | ToolError::Nobody { .. }
            | ToolError::Ended { .. }
            | ToolError::Timeout { .. }
            | ToolError::InUse { .. }
            | ToolError::Leaving { .. } => "other",
        };
        self.counts.refused.with_label_values(&[reason]).inc();
    }

    /// Reads a group as it is now. The lock makes one order of all reads, so that an older set
    /// never replaces a newer one.
    fn read_group(&self, group: &Group) {
        let mut state = self.state.lock();
        self.read(&mut state, group);
        self.fill_room(&mut state);
    }

    /// Reads all groups again when actors that were left out have room.
    fn fill_room(&self, state: &mut State) {
        while std::mem::take(&mut state.has_room) {
            let names = pg::which_scoped_groups(&SCOPE.to_owned());
            let groups = names.iter().filter_map(|name| Group::parse(name));
            groups.for_each(|group| self.read(state, &group));
        }
    }

    fn read(&self, state: &mut State, group: &Group) {
        let cells = pg::get_scoped_members(&SCOPE.to_owned(), &group.name());
        let mut actors = BTreeMap::new();
        for cell in cells {
            let pid = cell.get_id().pid();
            // two nodes of one process see an actor both as their own and over a session; a newer
            // session has a greater number
            let known = actors.get(&pid).map(|known: &ActorCell| session_of(known.get_id()));
            if known.is_none_or(|known| known < session_of(cell.get_id())) {
                actors.insert(pid, cell);
            }
        }
        self.advance(state, Input::Group(group.clone(), actors));
    }

    fn advance(&self, state: &mut State, input: Input<ActorCell>) {
        for effect in state.directory.step(input) {
            match effect {
                Effect::Changed(service, actors) => self.publish(state, &service, actors),
                Effect::LeftOut(setting, actors) => {
                    let counter = self.counts.left_out.with_label_values(&[setting]);
                    counter.inc_by(actors as u64);
                }
                Effect::Room => state.has_room = true,
            }
        }
        self.counts.keys.set(i64::try_from(state.directory.keys()).unwrap_or(i64::MAX));
    }

    fn publish(&self, state: &mut State, service: &Service, actors: Present) {
        let listings = &mut state.listings;
        let listing = listings.entry(service.clone());
        let listing = listing.or_insert_with(|| watch::channel(Change::default()).0);
        listing.send_modify(|change| {
            change.number += 1;
            change.actors = actors;
        });
        if !listing.is_in_use() {
            listings.remove(service);
        }
    }
}
