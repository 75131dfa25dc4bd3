//! The entrance of a node for messages about sharding: members pass, newcomers wait, and strangers
//! are refused. The rules of the wait are in `newcomers`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use antiphon_base::guard;
use antiphon_runtime::{AskError, Membership, Node, NodeId, Responder, ServiceId};
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use super::newcomers::{Effect, Input, NewcomerSettings, Newcomers};
use super::{Refusal, Refusals, Sender};

/// Most messages that are handed over in one turn of the task.
const TURN_MAX: usize = 256;

/// A message of another node, not read yet.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) service: ServiceId,
    pub(crate) message: Bytes,
    pub(crate) responder: Option<Responder>,
}

/// A message of a newcomer, with the place that its greeting has named.
#[derive(Debug)]
struct Parked {
    arrived: Arrived,
    greeted_as: Option<Arc<str>>,
}

/// The entrance of a node.
pub(crate) struct Entrance {
    node: Node,
    own_place: Arc<str>,
    members: watch::Receiver<Arc<Membership>>,
    newcomers: Mutex<Newcomers<Parked>>,
    /// The number of nodes in `newcomers`: while it is zero, no message waits for its lock.
    waiting: AtomicUsize,
    arrived: Notify,
    refusals: Arc<Refusals>,
}

impl Entrance {
    pub(crate) fn new(node: &Node, refusals: Arc<Refusals>) -> Self {
        let settings = node.settings();
        let newcomers = Newcomers::new(NewcomerSettings {
            timeout: settings.newcomer_timeout,
            messages_max: settings.newcomer_messages_max,
            bytes_max: settings.newcomer_bytes_max,
        });
        Self {
            node: node.clone(),
            own_place: node.place().into(),
            members: node.members(),
            newcomers: Mutex::new(newcomers),
            waiting: AtomicUsize::new(0),
            arrived: Notify::new(),
            refusals,
        }
    }

    /// The place of a node; `None` when it is in no membership table that this node has read.
    fn place_of(&self, node: &NodeId) -> Option<Arc<str>> {
        if node == self.node.id() {
            return Some(self.own_place.clone());
        }
        self.members.borrow().get(node).map(|member| member.place.clone())
    }

    /// Lets a message in: hands it over, lets it wait, or refuses it. Messages of its sender that
    /// wait are handed over before it.
    pub(crate) fn let_in(
        &self,
        from: &NodeId,
        mut arrived: Arrived,
        hand_over: impl Fn(Sender<'_>, Arrived),
    ) {
        let place = self.place_of(from);
        if self.waiting.load(Ordering::Acquire) == 0
            && let Some(place) = &place
        {
            return hand_over(Sender { id: from, place }, arrived);
        }
        let mut newcomers = self.newcomers.lock();
        if let Some(place) = &place
            && let Some(before) = newcomers.take_over(from)
        {
            self.waiting.store(newcomers.count(), Ordering::Release);
            drop(newcomers);
            for parked in before {
                self.hand_over_parked(from, place, parked, &hand_over);
            }
            return hand_over(Sender { id: from, place }, arrived);
        }
        let greeted_as = self.node.gate().place_of(from);
        let bytes = arrived.message.len();
        // a small message must not keep its whole frame in memory
        arrived.message = Bytes::copy_from_slice(&arrived.message);
        let input = Input::Arrived(from.clone(), bytes, Parked { arrived, greeted_as });
        let effects = newcomers.step(self.node.clock().now(), input);
        self.waiting.store(newcomers.count(), Ordering::Release);
        drop(newcomers);
        self.run(effects);
        self.arrived.notify_one();
    }

    fn run(&self, effects: Vec<Effect<Parked>>) {
        for effect in effects {
            match effect {
                Effect::Look => self.node.look_at_tables(),
                Effect::Refuse(from, parked, why) => self.refuse(&from, parked.arrived, why),
            }
        }
    }

    fn refuse(&self, from: &NodeId, arrived: Arrived, why: Refusal) {
        self.refusals.refused(from, why);
        let Some(responder) = arrived.responder else { return };
        let me = self.node.id();
        // nothing was done: the sender tries again, or elsewhere
        responder.fail(AskError::NotHere(format!("`{me}` takes no message: {why}")));
    }

    /// Hands over the messages of newcomers that have become members to `hand_over`, in order, and
    /// refuses those that have waited too long. Returns whether there may be more to hand over now.
    fn look(&self, hand_over: impl Fn(Sender<'_>, Arrived)) -> bool {
        for _ in 0..TURN_MAX {
            let next = self.with_newcomers(|newcomers| newcomers.next(|node| self.place_of(node)));
            let Some((from, place, parked)) = next else {
                let now = self.node.clock().now();
                self.run(self.with_newcomers(|newcomers| newcomers.step(now, Input::Tick)));
                return false;
            };
            self.hand_over_parked(&from, &place, parked, &hand_over);
        }
        true
    }

    /// Hands over a message that has waited, unless its sender was greeted as one of another place.
    fn hand_over_parked(
        &self,
        from: &NodeId,
        place: &Arc<str>,
        Parked { arrived, greeted_as }: Parked,
        hand_over: &impl Fn(Sender<'_>, Arrived),
    ) {
        if greeted_as.is_some_and(|greeted_as| greeted_as != *place) {
            return self.refuse(from, arrived, Refusal::NoMember);
        }
        let handed = || hand_over(Sender { id: from, place }, arrived);
        let _ = guard::call("the message of a newcomer", from, handed);
    }

    /// Changes the newcomers, and notes their number.
    fn with_newcomers<R>(&self, change: impl FnOnce(&mut Newcomers<Parked>) -> R) -> R {
        let mut newcomers = self.newcomers.lock();
        let result = change(&mut newcomers);
        self.waiting.store(newcomers.count(), Ordering::Release);
        result
    }

    /// Serves newcomers until the node ends.
    pub(crate) async fn serve(self: Arc<Self>, hand_over: impl Fn(Sender<'_>, Arrived) + Send) {
        // often, since a member waits; not by the change of the members, of which other tasks learn
        // at the same time in any order
        let pause = self.node.settings().tick_interval / 10;
        loop {
            if self.waiting.load(Ordering::Acquire) == 0 {
                self.arrived.notified().await;
            } else {
                tokio::time::sleep(pause).await;
            }
            while self.look(&hand_over) {
                tokio::task::yield_now().await;
            }
        }
    }
}
