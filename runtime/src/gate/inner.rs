//! Runs the effects of the links: frames to the transport, messages to `delivery`, the ends of
//! asks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use antiphon_base::task;
use antiphon_base::time::Clock;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::ask_error::AskError;
use super::delivery::Delivery;
use super::link::{Effect, Input, Link, Message, STALLED};
use super::metrics::GateMetrics;
use super::sender::Sender;
use super::settings::GateSettings;
use crate::NodeId;
use crate::metrics::Metrics;
use crate::transport::Transport;

pub(super) struct Inner {
    pub(super) sender: Arc<Sender>,
    pub(super) metrics: GateMetrics,
    pub(super) link_changes: watch::Sender<u64>,
    pub(super) transport: Arc<dyn Transport>,
    settings: GateSettings,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) delivery: Delivery,
    numbers: AtomicU64,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    this: Weak<Self>,
}

impl Inner {
    /// A gate that has not started, and its messages to itself.
    pub(super) fn new(
        local: NodeId,
        transport: Arc<dyn Transport>,
        settings: GateSettings,
        clock: Arc<dyn Clock>,
        metrics: &Metrics,
    ) -> (Arc<Self>, mpsc::Receiver<Message>) {
        let metrics = GateMetrics::new(metrics);
        let (sender, local_messages) = Sender::new(local, &settings, metrics.clone());
        let sender = Arc::new(sender);
        let inner = Arc::new_cyclic(|this: &Weak<Self>| Self {
            delivery: Delivery::new(sender.clone(), metrics.clone()),
            sender,
            metrics,
            link_changes: watch::Sender::new(0),
            transport,
            clock,
            numbers: AtomicU64::new(0),
            tasks: Mutex::default(),
            this: this.clone(),
            settings,
        });
        (inner, local_messages)
    }

    /// Starts the tasks. The transport was started before.
    pub(super) fn run_tasks(self: &Arc<Self>, mut local_messages: mpsc::Receiver<Message>) {
        let gate = self.clone();
        let loopback = task::spawn("gate loopback", async move {
            while let Some(message) = local_messages.recv().await {
                let Sender { local, loopback, .. } = &*gate.sender;
                gate.delivery.deliver(local, (&loopback.asks, None), message);
            }
        });
        let gate = self.clone();
        let ticker = task::spawn("gate tick", async move {
            let mut ticks = tokio::time::interval(gate.settings.tick_interval);
            loop {
                ticks.tick().await;
                gate.tick();
            }
        });
        self.tasks.lock().extend([loopback, ticker]);
    }

    pub(super) fn is_connected(&self, node: &NodeId) -> bool {
        *node == self.sender.local || self.sender.links.get(node).is_some_and(|link| link.is_up())
    }

    pub(super) fn connect(&self, node: &NodeId, address: &str) {
        if *node != self.sender.local && !self.sender.is_closed() {
            // a link whose connection has just ended may be forgotten before it is asked for
            while !self.sender.links.want(&self.link_or_new(node)) {}
            self.transport.connect(node, address);
        }
    }

    pub(super) fn disconnect(&self, node: &NodeId) {
        let removed = self.sender.links.remove(node);
        self.transport.disconnect(node);
        if let Some(link) = removed {
            self.end(&link);
        }
    }

    pub(super) fn connection(&self, node: &NodeId) -> Option<u64> {
        let link = self.sender.links.get(node)?;
        link.is_up().then(|| link.connection.load(Ordering::Acquire))
    }

    /// True when every request of another node was answered, and every answer has arrived.
    pub(super) fn is_quiet(&self) -> bool {
        let is_settled = |link: &Link| !link.is_up() || link.core().is_settled();
        !self.sender.is_serving() && self.sender.links.all_are(is_settled)
    }

    pub(super) fn close(&self) {
        if self.sender.close() {
            return;
        }
        self.transport.stop();
        for task in self.tasks.lock().drain(..) {
            task.abort();
        }
        for link in self.sender.links.take_all().values() {
            self.end(link);
        }
        self.sender.end_local_asks();
        self.delivery.close();
    }

    fn end(&self, link: &Arc<Link>) {
        let was_up = link.is_up();
        self.step(link, Input::Down);
        link.stop_flusher();
        if was_up {
            self.link_changed(-1);
        }
    }

    pub(super) fn link_changed(&self, up: i64) {
        self.metrics.links_up.add(up);
        self.link_changes.send_modify(|count| *count += 1);
    }

    fn tick(&self) {
        self.sender.loopback.asks.expire(self.clock.now());
        for link in self.sender.links.all() {
            link.asks.expire(self.clock.now());
            self.delivery.guarded(&link.id, "tick", || self.step(&link, Input::Tick));
        }
    }

    /// A number that was not given before.
    pub(super) fn next_number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(super) fn link_or_new(&self, id: &NodeId) -> Arc<Link> {
        let gate = self.this.clone();
        let start = |link: Arc<Link>| {
            task::spawn("gate flush", async move {
                loop {
                    link.wake.notified().await;
                    tokio::task::yield_now().await;
                    let Some(gate) = gate.upgrade() else { return };
                    gate.delivery.guarded(&link.id, "flush", || gate.step(&link, Input::Flush));
                }
            })
        };
        self.sender.links.get_or_new(id, &self.settings, || self.next_number(), start)
    }

    /// Steps the core of a link, and runs its effects.
    pub(super) fn step(&self, link: &Arc<Link>, input: Input) {
        let mut has_stalled = false;
        for effect in link.step(self.clock.now(), input) {
            match effect {
                Effect::Send(frame) => self.transmit(link, frame),
                Effect::Deliver(message) => self.delivery.deliver(&link.id, link.ends(), message),
                Effect::DeliverLater(message) => self.deliver_later(link, message),
                Effect::Wake => link.wake.notify_one(),
                Effect::AsksUnsent(unsent) => {
                    let why =
                        format!("the link to `{}` broke before the request was sent", link.id);
                    let error = AskError::NotConnected(why);
                    for correlation in unsent {
                        link.asks.finish(correlation, Err(error.clone()));
                    }
                }
                Effect::AsksLost { unsent } => {
                    let error = AskError::Unreachable(format!("the link to `{}` broke", link.id));
                    link.asks.fail_except(&unsent, &error);
                }
                Effect::Dropped { reason, count } => self.metrics.drop_counted(reason, count),
                Effect::Restarted { reason } => {
                    tracing::debug!(node = %link.id, reason, "link begins anew");
                    self.metrics.restarts.with_label_values(&[reason]).inc();
                    has_stalled |= reason == STALLED;
                }
            }
        }
        if has_stalled {
            self.end_stranger(link);
        }
    }

    /// Ends the link to a node that is no member and takes no frames: each new stream would add to
    /// the frames that wait in the transport.
    fn end_stranger(&self, link: &Link) {
        if !link.is_wanted() {
            self.metrics.connections_refused.with_label_values(&[STALLED]).inc();
            // the end of the connection is reported, and the link forgotten then
            self.transport.end_stranger(&link.id);
        }
    }

    fn transmit(&self, link: &Link, frame: Bytes) {
        let bytes = frame.len() as u64;
        match self.transport.send(&link.id, frame) {
            Ok(()) => {
                self.metrics.frames_sent.inc();
                self.metrics.bytes_sent.inc_by(bytes);
            }
            // the transport reports the end of the connection by itself, and the link begins anew
            // then
            Err(error) => self.metrics.drop_counted(error.reason(), 1),
        }
    }

    /// Hands a message over on a task of its own, after the messages that were kept before it.
    fn deliver_later(&self, link: &Arc<Link>, message: Message) {
        if !link.keep(message) {
            return;
        }
        let (gate, link) = (self.this.clone(), link.clone());
        task::spawn("gate deliver", async move {
            while let Some(message) = link.next_kept() {
                let Some(gate) = gate.upgrade() else { return };
                let is_long = message.payload.len() > gate.settings.direct_bytes_max;
                let deliver = || gate.delivery.deliver(&link.id, link.ends(), message);
                if is_long {
                    task::long_computation(deliver);
                } else {
                    deliver();
                }
                gate.delivery.guarded(&link.id, "delivery", || gate.step(&link, Input::Delivered));
                drop(gate);
                tokio::task::yield_now().await;
            }
        });
    }
}
