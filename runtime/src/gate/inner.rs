//! Runs the effects of the links: frames to the transport, messages to `deliver`, the ends of asks.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use antiphon_base::task;
use antiphon_base::time::Clock;
use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::asks::{AnswerCall, Asks, Ticket};
use super::deliver::Handler;
use super::link::{Budget, Effect, Input, Message, MessageKind};
use super::metrics::GateMetrics;
use super::peer::Peer;
use super::{AskError, GateSettings, Service, ServiceId};
use crate::NodeId;
use crate::metrics::Metrics;
use crate::transport::{SendError, Transport};

pub(super) struct Inner {
    pub(super) local: NodeId,
    pub(super) metrics: GateMetrics,
    pub(super) link_changes: watch::Sender<u64>,
    transport: Arc<dyn Transport>,
    pub(super) settings: GateSettings,
    pub(super) clock: Arc<dyn Clock>,
    budget: Arc<Budget>,
    peers: RwLock<BTreeMap<NodeId, Arc<Peer>>>,
    pub(super) services: RwLock<BTreeMap<ServiceId, Arc<dyn Service>>>,
    local_queue: mpsc::Sender<Message>,
    local_asks: Arc<Asks>,
    numbers: AtomicU64,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    pub(super) closed: AtomicBool,
    /// Requests of other nodes that have no answer yet.
    pub(super) serving: AtomicUsize,
    pub(super) this: Weak<Self>,
}

impl Inner {
    pub(super) fn start(
        local: NodeId,
        transport: Arc<dyn Transport>,
        settings: GateSettings,
        clock: Arc<dyn Clock>,
        metrics: &Metrics,
    ) -> Arc<Self> {
        let (local_queue, mut local_messages) = mpsc::channel(settings.queue_messages_max);
        let inner = Arc::new_cyclic(|this: &Weak<Self>| Self {
            metrics: GateMetrics::new(metrics),
            link_changes: watch::Sender::new(0),
            transport,
            clock,
            budget: Budget::new(settings.received_bytes_max),
            peers: RwLock::default(),
            services: RwLock::default(),
            local_queue,
            local_asks: Arc::new(Asks::new(settings.asks_max)),
            numbers: AtomicU64::new(0),
            tasks: Mutex::default(),
            closed: AtomicBool::new(false),
            serving: AtomicUsize::new(0),
            this: this.clone(),
            local,
            settings,
        });
        inner.transport.start(Arc::new(Handler(Arc::downgrade(&inner))));

        let gate = inner.clone();
        let loopback = task::spawn("gate loopback", async move {
            while let Some(message) = local_messages.recv().await {
                let asks = gate.local_asks.clone();
                gate.deliver(&gate.local, &asks, message);
            }
        });
        let gate = inner.clone();
        let ticker = task::spawn("gate tick", async move {
            let mut ticks = tokio::time::interval(gate.settings.tick_interval);
            loop {
                ticks.tick().await;
                gate.tick();
            }
        });
        inner.tasks().extend([loopback, ticker]);
        inner
    }

    pub(super) fn register(&self, id: ServiceId, service: Arc<dyn Service>) {
        self.services.write().insert(id, service);
    }

    pub(super) fn send(
        &self,
        to: &NodeId,
        kind: MessageKind,
        service: ServiceId,
        correlation: u64,
        payload: Bytes,
    ) -> Result<(), SendError> {
        let message = Message { kind, service, correlation, payload };
        let sent = if *to == self.local {
            self.send_local(message)
        } else {
            let unknown = || SendError::Unreachable(format!("`{to}` is not connected"));
            self.peer(to).ok_or_else(unknown).and_then(|peer| Self::offer(&peer, message))
        };
        if sent.is_ok() && kind == MessageKind::Tell {
            self.metrics.tells.inc();
        }
        self.noted(sent)
    }

    /// Counts the reason of a refusal.
    fn noted(&self, sent: Result<(), SendError>) -> Result<(), SendError> {
        if let Err(error) = &sent {
            self.metrics.refused.with_label_values(&[error.reason()]).inc();
        }
        sent
    }

    fn offer(peer: &Peer, message: Message) -> Result<(), SendError> {
        let wake = peer.core().offer(message)?;
        if wake {
            peer.wake.notify_one();
        }
        Ok(())
    }

    fn send_local(&self, message: Message) -> Result<(), SendError> {
        let (actual, limit) = (message.payload.len(), self.settings.message_bytes_max);
        if actual > limit {
            let setting = "message_bytes_max".into();
            return Err(SendError::TooLarge { actual, limit, setting });
        }
        self.local_queue.try_send(message).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => SendError::Full(format!(
                "`queue_messages_max` {}",
                self.settings.queue_messages_max
            )),
            mpsc::error::TrySendError::Closed(_) => {
                SendError::Unreachable("the gate was closed".into())
            }
        })
    }

    pub(super) fn ask(
        &self,
        to: &NodeId,
        service: ServiceId,
        message: Bytes,
    ) -> Result<Ticket, AskError> {
        self.metrics.asks.inc();
        let message_of = |ticket: &Ticket| Message {
            kind: MessageKind::Ask,
            service,
            correlation: ticket.correlation,
            payload: message,
        };
        if *to == self.local {
            let ticket = self.local_asks.register(service)?;
            self.noted(self.send_local(message_of(&ticket)))?;
            return Ok(ticket);
        }
        let not_connected = || AskError::NotConnected(format!("`{to}` is not connected"));
        let peer = self.peer(to).ok_or_else(not_connected)?;
        let ticket = peer.asks.register(service)?;
        self.noted(Self::offer(&peer, message_of(&ticket)))?;
        Ok(ticket)
    }

    /// Sends a request whose answer goes to `then`. On an error, `then` comes back.
    pub(super) fn ask_then(
        &self,
        to: &NodeId,
        service: ServiceId,
        message: Bytes,
        (then, deadline): (AnswerCall, Instant),
    ) -> Result<(), (AskError, AnswerCall)> {
        self.metrics.asks.inc();
        let peer = (*to != self.local).then(|| self.peer(to));
        let asks = match &peer {
            None => &self.local_asks,
            Some(Some(peer)) => &peer.asks,
            Some(None) => {
                return Err((AskError::NotConnected(format!("`{to}` is not connected")), then));
            }
        };
        let correlation = asks.register_call(service, then, deadline)?;
        let message = Message { kind: MessageKind::Ask, service, correlation, payload: message };
        let sent = match &peer {
            Some(Some(peer)) => Self::offer(peer, message),
            Some(None) | None => self.send_local(message),
        };
        match self.noted(sent) {
            // nobody delivers a local message any more, nor looks at the time
            Ok(()) if peer.is_none() && self.closed.load(Ordering::Acquire) => {
                let error = AskError::Unreachable("the gate was closed".into());
                asks.take_call(correlation).map_or(Ok(()), |then| Err((error, then)))
            }
            Ok(()) => Ok(()),
            // an ask that is not there any more has its answer: the link has just ended
            Err(error) => match asks.take_call(correlation) {
                Some(then) => Err((error.into(), then)),
                None => Ok(()),
            },
        }
    }

    pub(super) fn is_connected(&self, node: &NodeId) -> bool {
        *node == self.local || self.peer(node).is_some_and(|peer| peer.is_up())
    }

    pub(super) fn trouble(&self, peer: &NodeId) -> Option<String> {
        self.transport.trouble(peer)
    }

    pub(super) fn connect(&self, peer: &NodeId, address: &str) {
        if *peer != self.local && !self.closed.load(Ordering::Acquire) {
            self.peer_or_new(peer).want();
            self.transport.connect(peer, address);
        }
    }

    pub(super) fn disconnect(&self, peer: &NodeId) {
        let removed = self.peers.write().remove(peer);
        self.transport.disconnect(peer);
        if let Some(peer) = removed {
            self.end(&peer);
        }
    }

    /// True when every request of another node was answered, and every answer has arrived.
    pub(super) fn is_quiet(&self) -> bool {
        let is_settled = |peer: &Arc<Peer>| !peer.is_up() || peer.core().is_settled();
        self.serving.load(Ordering::Acquire) == 0 && self.peers().values().all(is_settled)
    }

    pub(super) fn close(&self) {
        if self.closed.swap(true, Ordering::AcqRel) {
            return;
        }
        self.transport.stop();
        for task in self.tasks().drain(..) {
            task.abort();
        }
        let peers = std::mem::take(&mut *self.peers.write());
        for peer in peers.values() {
            self.end(peer);
        }
        let error = AskError::Unreachable("the gate was closed".into());
        self.local_asks.fail_except(&[], &error);
        self.services.write().clear();
    }

    fn end(&self, peer: &Arc<Peer>) {
        let was_up = peer.is_up();
        let effects = peer.step(self.clock.now(), Input::Down);
        self.run(peer, effects);
        peer.stop_flusher();
        if was_up {
            self.link_changed(-1);
        }
    }

    pub(super) fn link_changed(&self, up: i64) {
        self.metrics.links_up.add(up);
        self.link_changes.send_modify(|count| *count += 1);
    }

    fn tick(&self) {
        let peers: Vec<_> = self.peers().values().cloned().collect();
        self.local_asks.expire(self.clock.now());
        for peer in peers {
            peer.asks.expire(self.clock.now());
            self.guarded(&peer.id, "tick", || {
                let effects = peer.step(self.clock.now(), Input::Tick);
                self.run(&peer, effects);
            });
        }
    }

    pub(super) fn connection(&self, node: &NodeId) -> Option<u64> {
        let peer = self.peer(node)?;
        let is_up = peer.is_up();
        is_up.then(|| peer.connection.load(Ordering::Acquire))
    }

    /// A number that was not given before.
    pub(super) fn next_number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn peers(&self) -> parking_lot::RwLockReadGuard<'_, BTreeMap<NodeId, Arc<Peer>>> {
        self.peers.read()
    }

    #[cfg(test)]
    pub(super) fn peer_count(&self) -> usize {
        self.peers().len()
    }

    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> usize {
        self.budget.used()
    }

    fn tasks(&self) -> parking_lot::MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.tasks.lock()
    }

    pub(super) fn peer(&self, id: &NodeId) -> Option<Arc<Peer>> {
        self.peers().get(id).cloned()
    }

    pub(super) fn peer_or_new(&self, id: &NodeId) -> Arc<Peer> {
        let mut peers = self.peers.write();
        if let Some(peer) = peers.get(id) {
            return peer.clone();
        }
        // the upper half tells the links of one peer apart, the lower half counts the streams of
        // one link
        let generation = self.next_number();
        let peer =
            Arc::new(Peer::new(id.clone(), &self.settings, self.budget.clone(), generation << 32));
        let (gate, flushed) = (self.this.clone(), peer.clone());
        peer.set_flusher(task::spawn("gate flush", async move {
            loop {
                flushed.wake.notified().await;
                tokio::task::yield_now().await;
                let Some(gate) = gate.upgrade() else { return };
                gate.flush(&flushed);
            }
        }));
        peers.insert(id.clone(), peer.clone());
        peer
    }

    /// Lets go of a peer whose connection has ended, if this node never asked for the link:
    /// strangers must not fill the memory with their names.
    pub(super) fn forget(&self, peer: &Arc<Peer>) {
        let mut peers = self.peers.write();
        let is_known = peers.get(&peer.id).is_some_and(|known| Arc::ptr_eq(known, peer));
        if is_known && !peer.is_wanted() && !peer.is_up() {
            peers.remove(&peer.id);
            peer.stop_flusher();
        }
    }

    fn flush(&self, peer: &Arc<Peer>) {
        self.guarded(&peer.id, "flush", || {
            let effects = peer.step(self.clock.now(), Input::Flush);
            self.run(peer, effects);
        });
    }

    pub(super) fn run(&self, peer: &Arc<Peer>, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Send(frame) => self.transmit(peer, frame),
                Effect::Deliver(message) => self.deliver(&peer.id, &peer.asks, message),
                Effect::DeliverLater(message) => self.deliver_later(peer, message),
                Effect::Wake => peer.wake.notify_one(),
                Effect::AsksUnsent(unsent) => {
                    let why =
                        format!("the link to `{}` broke before the request was sent", peer.id);
                    let error = AskError::NotConnected(why);
                    for correlation in unsent {
                        peer.asks.finish(correlation, Err(error.clone()));
                    }
                }
                Effect::AsksLost { unsent } => {
                    let error = AskError::Unreachable(format!("the link to `{}` broke", peer.id));
                    peer.asks.fail_except(&unsent, &error);
                }
                Effect::Dropped { reason, count } => self.metrics.drop_counted(reason, count),
                Effect::Restarted { reason } => {
                    tracing::debug!(peer = %peer.id, reason, "link begins anew");
                    self.metrics.restarts.with_label_values(&[reason]).inc();
                }
            }
        }
    }

    fn transmit(&self, peer: &Peer, frame: Bytes) {
        let bytes = frame.len() as u64;
        match self.transport.send(&peer.id, frame) {
            Ok(()) => {
                self.metrics.frames_sent.inc();
                self.metrics.bytes_sent.inc_by(bytes);
            }
            // the transport reports the end of the connection by itself, and the link begins anew
            // then
            Err(error) => self.metrics.drop_counted(error.reason(), 1),
        }
    }
}
