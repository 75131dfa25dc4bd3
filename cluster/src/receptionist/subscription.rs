//! Subscriptions: the newest set of actors under a key, for those that wait for changes.
//!
//! A subscriber that is slow has one set to take, the newest one, and is told how many it has
//! skipped. So a subscription needs no queue.

use std::collections::BTreeMap;
use std::sync::Arc;

use antiphon_base::guard;
use antiphon_runtime::NodeId;
use antiphon_runtime::metrics::IntCounter;
use ractor::{ActorCell, ActorRef, Message};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::ServiceKey;
use super::directory::Found;
use super::session::session_of;

/// The actors under a key, sorted by node and number.
pub(crate) type Present = Arc<[Found<ActorCell>]>;

/// The newest set of a key.
#[derive(Debug, Clone, Default)]
pub(crate) struct Change {
    /// Number of changes until this one.
    pub(crate) number: u64,
    pub(crate) actors: Present,
}

/// The actors under a key at one moment, and the difference from the set before.
#[derive(Debug)]
pub struct Listing<M> {
    /// The actors, sorted by node.
    pub actors: Vec<ActorRef<M>>,
    /// Those of them that were not in the set before; in the first set, all.
    pub joined: Vec<ActorRef<M>>,
    /// Those that were in the set before and are gone.
    pub left: Vec<ActorRef<M>>,
    /// Number of changes that were skipped because newer ones came before they were taken.
    pub skipped: u64,
    /// Those of `actors` that run on this node.
    pub local: usize,
    room: Option<OwnedSemaphorePermit>,
}

/// The sets of actors under a key, for one task.
///
/// ```
/// use antiphon_cluster::{Receptionist, ServiceKey, ToolError};
///
/// async fn first_printer(receptionist: &Receptionist) -> Result<(), ToolError> {
///     let printers = ServiceKey::<String>::new("printers")?;
///     let mut changes = receptionist.subscribe(&printers)?;
///     while let Some(listing) = changes.next().await {
///         if let Some(printer) = listing.actors.first() {
///             let _ = printer.send_message("a page".to_owned());
///             return Ok(());
///         }
///     }
///     Err(ToolError::Nobody { key: printers.to_string() })
/// }
/// ```
#[derive(Debug)]
pub struct Subscription<M> {
    key: ServiceKey<M>,
    receiver: watch::Receiver<Change>,
    /// The set that was given last; `None` before the first.
    given: Option<Change>,
    skipped: IntCounter,
    node: NodeId,
}

impl<M: Message> Subscription<M> {
    pub(super) fn new(
        key: ServiceKey<M>,
        receiver: watch::Receiver<Change>,
        skipped: IntCounter,
        node: NodeId,
    ) -> Self {
        Self { key, receiver, given: None, skipped, node }
    }

    /// The next set: at the first call the present one, at once, also when it is empty; then waits
    /// for one that differs. `None` when the node has ended.
    ///
    /// Cancellation: dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Listing<M>> {
        let mut skipped = 0;
        loop {
            if self.given.is_some() {
                self.receiver.changed().await.ok()?;
            }
            let change = self.receiver.borrow_and_update().clone();
            let before = self.given.as_ref();
            let missed = before.map_or(0, |before| (change.number - before.number).max(1) - 1);
            self.skipped.inc_by(missed);
            skipped += missed;
            let is_same = before.is_some_and(|before| same(&before.actors, &change.actors));
            let listing = self.listing(&change, skipped);
            self.given = Some(change);
            if !is_same {
                return Some(listing);
            }
        }
    }

    fn listing(&self, change: &Change, skipped: u64) -> Listing<M> {
        let before = self.given.as_ref().map(|before| before.actors.clone()).unwrap_or_default();
        let (before, after) = (by_id(&before), by_id(&change.actors));
        let only_in = |those: &BTreeMap<_, &ActorCell>, others: &BTreeMap<_, &ActorCell>| {
            let differ = those.iter().filter(|(id, _)| !others.contains_key(*id));
            differ.map(|(_, actor)| ActorRef::from((*actor).clone())).collect::<Vec<ActorRef<M>>>()
        };
        Listing {
            actors: change.actors.iter().map(|found| found.actor.clone().into()).collect(),
            joined: only_in(&after, &before),
            left: only_in(&before, &after),
            skipped,
            local: change.actors.iter().filter(|found| found.node == self.node).count(),
            room: None,
        }
    }

    /// Sends each set to an actor, one at a time.
    pub(super) async fn feed<S: Message>(
        mut self,
        subscriber: ActorRef<S>,
        mut to_message: impl FnMut(Listing<M>) -> S + Send + 'static,
    ) {
        let room = Arc::new(Semaphore::new(1));
        let sets = async {
            // the semaphore is never closed
            while let Ok(permit) = room.clone().acquire_owned().await {
                let Some(mut listing) = self.next().await else { return };
                listing.room = Some(permit);
                let message =
                    guard::call("receptionist message", &self.key, || to_message(listing));
                let Ok(message) = message else { return };
                if subscriber.send_message(message).is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            () = sets => {}
            _ = subscriber.wait(None) => {}
        }
    }
}

/// The actors by what tells them apart: a session that has begun anew gives other references.
fn by_id(actors: &Present) -> BTreeMap<(&NodeId, u64, u64, u64), &ActorCell> {
    let id = |found: &Found<ActorCell>| (found.rank, found.pid, session_of(found.actor.get_id()));
    let with_id = |found| {
        let (rank, pid, session) = id(found);
        ((&found.node, rank, pid, session), &found.actor)
    };
    actors.iter().map(with_id).collect()
}

fn same(one: &Present, other: &Present) -> bool {
    by_id(one).keys().eq(by_id(other).keys())
}
