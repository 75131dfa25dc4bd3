//! Topics: a message to all subscribers in the cluster, at most once.
//!
//! A node with subscribers has one *broker* for the topic, an actor that other nodes find by the
//! receptionist. So a message goes over each session once, however many subscribers the node has.
//!
//! - `subscriber`: the bounded queue of one subscriber;
//! - `registry`: the topics of a node, by name.

mod registry;
mod subscriber;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use antiphon_base::guard;
use antiphon_runtime::Node;
use antiphon_runtime::metrics::{IntCounter, IntCounterVec};
use parking_lot::Mutex;
use ractor::{Actor, ActorProcessingErr, ActorRef, ActorRuntime, Message};

use self::registry::Topics;
use self::subscriber::{Delivery, Subscriber};
pub use self::subscriber::{Publication, TopicSubscription};
use crate::{Receptionist, ServiceKey, ToolError, ToolSettings};

/// The fate of a message, as far as the publisher's node knows it. Nobody reports of other nodes:
/// their subscribers have a message at most once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Published {
    /// Subscribers of this node that have the message in their queue.
    pub subscribers: usize,
    /// Subscribers of this node without room: for them it was dropped.
    pub dropped: usize,
    /// Other nodes with subscribers to which it was handed over.
    pub nodes: usize,
    /// Other nodes with subscribers that could not be reached.
    pub unreachable: usize,
}

/// A topic with messages of the type `M`. Cheap to clone; on one node, all topics of a name are
/// one.
///
/// Messages of one publisher come in their order. They are lost when a subscriber has no room, and
/// when a node or the session to it ends. Between nodes go only messages that ractor can serialize.
///
/// ```
/// use antiphon_cluster::{ToolError, Topic};
/// use antiphon_runtime::Node;
///
/// async fn news(node: &Node) -> Result<String, ToolError> {
///     let topic = Topic::<String>::of(node, "news")?;
///     let mut subscription = topic.subscribe()?;
///     let published = topic.publish("rain".to_owned());
///     assert_eq!(published.subscribers, 1);
///     let publication = subscription.next().await;
///     let publication = publication.ok_or(ToolError::Ended { key: "news".to_owned() })?;
///     assert_eq!(publication.missed, 0);
///     Ok(publication.message)
/// }
/// ```
pub struct Topic<M> {
    inner: Arc<Inner<M>>,
}

impl<M> Clone for Topic<M> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

struct State<M> {
    /// By number; the broker is there while this is not empty.
    subscribers: Arc<BTreeMap<u64, Subscriber<M>>>,
    next: u64,
    broker: Option<ActorRef<M>>,
}

pub(crate) struct Inner<M> {
    name: Arc<str>,
    key: ServiceKey<M>,
    receptionist: Receptionist,
    runtime: tokio::runtime::Handle,
    settings: Arc<ToolSettings>,
    topics: Arc<Topics>,
    state: Mutex<State<M>>,
    published: IntCounter,
    dropped: IntCounterVec,
}

impl<M: Message + Clone + Sync> Topic<M> {
    /// The topic of that name, at this node.
    ///
    /// # Errors
    /// [`ToolError::Key`] when the name has a form that no key has; [`ToolError::OtherType`] when
    /// this node has a topic of that name with other messages.
    pub fn of(node: &Node, name: &str) -> Result<Self, ToolError> {
        let key = ServiceKey::of_tool("topic", name)?;
        let topics = Topics::of(node);
        let inner = topics.clone().get(name, || {
            let metrics = node.metrics();
            Inner {
                name: name.into(),
                key,
                receptionist: Receptionist::of(node),
                runtime: node.runtime().clone(),
                settings: ToolSettings::of(node),
                topics,
                state: Mutex::new(State {
                    subscribers: Arc::new(BTreeMap::new()),
                    next: 0,
                    broker: None,
                }),
                published: metrics.counter_of("antiphon_topic_published_total"),
                dropped: metrics.counters_of("antiphon_topic_dropped_total"),
            }
        })?;
        Ok(Self { inner })
    }

    /// Gives a message to all subscribers, here and at the other nodes. It waits for nobody.
    pub fn publish(&self, message: M) -> Published {
        let inner = &self.inner;
        inner.published.inc();
        let mut published = Published::default();
        let own = inner.state.lock().broker.clone();
        // another message type under the name is told to subscribers
        for broker in inner.receptionist.find(&inner.key).unwrap_or_default() {
            if own.as_ref() == Some(&broker) {
                continue;
            }
            let Ok(message) = inner.copy(&message) else { continue };
            match broker.send_message(message) {
                Ok(()) => published.nodes += 1,
                Err(_) => {
                    inner.dropped.with_label_values(&["unreachable"]).inc();
                    published.unreachable += 1;
                }
            }
        }
        let (subscribers, dropped) = inner.deliver(message);
        Published { subscribers, dropped, ..published }
    }

    /// A subscription for one task. It ends when it is dropped.
    ///
    /// # Errors
    /// [`ToolError::Full`] beyond `topic_subscribers_max` or `topics_max`, and beyond the limits of
    /// the receptionist; [`ToolError::OtherType`] when another node has a topic of that name with
    /// other messages.
    pub fn subscribe(&self) -> Result<TopicSubscription<M>, ToolError> {
        let max = self.inner.settings.topic_queue_max;
        let (subscriber, queue) = subscriber::of_task(max);
        let number = self.inner.clone().add(subscriber)?;
        Ok(TopicSubscription::new(queue, self.cancel(number)))
    }

    /// Sends the messages of the topic to an actor, until it ends. At most `topic_queue_max`
    /// publications wait in its mailbox: each has its room until it is dropped.
    ///
    /// # Errors
    /// As [`Self::subscribe`].
    pub fn subscribe_actor<S: Message>(
        &self,
        subscriber: &ActorRef<S>,
        to_message: impl Fn(Publication<M>) -> S + Send + Sync + 'static,
    ) -> Result<(), ToolError> {
        let max = self.inner.settings.topic_queue_max;
        let feed = subscriber::of_actor(max, subscriber.clone(), to_message);
        let number = self.inner.clone().add(feed)?;
        let (actor, cancel) = (subscriber.clone(), self.cancel(number));
        let _runtime = self.inner.runtime.enter();
        drop(antiphon_base::task::spawn("topic subscriber", async move {
            let _ = actor.wait(None).await;
            cancel();
        }));
        Ok(())
    }

    /// Number of subscribers of this node.
    pub fn local_subscribers(&self) -> usize {
        self.inner.state.lock().subscribers.len()
    }

    fn cancel(&self, number: u64) -> Box<dyn FnOnce() + Send + Sync> {
        let inner = self.inner.clone();
        Box::new(move || inner.remove(number))
    }
}

impl<M: Message + Clone + Sync> Inner<M> {
    fn copy(&self, message: &M) -> Result<M, guard::UserFailure> {
        guard::call("clone of a message", &self.name, || message.clone())
    }

    /// Gives a message to the subscribers of this node; returns how many have it, and how many had
    /// no room.
    fn deliver(&self, message: M) -> (usize, usize) {
        // application code runs outside of the lock
        let subscribers = self.state.lock().subscribers.clone();
        let (mut taken, mut dropped) = (0, 0);
        for subscriber in subscribers.values() {
            let Ok(message) = self.copy(&message) else { continue };
            match subscriber.offer(message) {
                Delivery::Taken => taken += 1,
                Delivery::NoRoom => {
                    self.dropped.with_label_values(&["topic_queue_max"]).inc();
                    dropped += 1;
                }
                Delivery::Ended => {}
            }
        }
        (taken, dropped)
    }

    fn add(self: Arc<Self>, subscriber: Subscriber<M>) -> Result<u64, ToolError> {
        let mut state = self.state.lock();
        let max = self.settings.topic_subscribers_max;
        if state.subscribers.len() >= max {
            let (key, setting) = (self.name.to_string(), "topic_subscribers_max");
            return Err(ToolError::Full { key, setting, max });
        }
        if state.broker.is_none() {
            self.topics.begin(&self.name, self.settings.topics_max)?;
            let broker = self.start_broker().inspect_err(|_| self.topics.end(&self.name))?;
            state.broker = Some(broker);
        }
        let number = state.next;
        state.next += 1;
        Arc::make_mut(&mut state.subscribers).insert(number, subscriber);
        Ok(number)
    }

    fn start_broker(self: &Arc<Self>) -> Result<ActorRef<M>, ToolError> {
        let _runtime = self.runtime.enter();
        let broker = ActorRuntime::spawn_instant(None, Broker(Arc::downgrade(self)), ());
        let (broker, _) = broker.expect("an actor without a name has no name in use");
        let registered = self.receptionist.register(&self.key, &broker);
        registered.inspect_err(|_| broker.stop(None))?;
        Ok(broker)
    }

    fn remove(&self, number: u64) {
        let mut state = self.state.lock();
        let removed = Arc::make_mut(&mut state.subscribers).remove(&number);
        if state.subscribers.is_empty()
            && let Some(broker) = state.broker.take()
        {
            self.receptionist.deregister(&self.key, &broker);
            broker.stop(None);
            self.topics.end(&self.name);
        }
        // the destructor of application code runs outside of the lock
        drop(state);
        guard::drop_each("topic subscriber", &self.name, removed);
    }
}

/// Takes the messages of other nodes.
struct Broker<M>(Weak<Inner<M>>);

impl<M: Message + Clone + Sync> Actor for Broker<M> {
    type Msg = M;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<M>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<M>,
        message: M,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        match self.0.upgrade() {
            Some(inner) => drop(inner.deliver(message)),
            None => myself.stop(None),
        }
        Ok(())
    }
}
