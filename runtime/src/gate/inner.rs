//! Runs the effects of the links: frames to the transport, messages to services, answers to asks.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};

use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::asks::{Asks, Ticket};
use super::link::{Effect, Input, Message, MessageKind};
use super::metrics::GateMetrics;
use super::peer::Peer;
use super::service::AnswerSink;
use super::{AskError, GateSettings, Responder, Service, ServiceId};
use crate::NodeId;
use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::task;
use crate::transport::{SendError, Transport, TransportHandler};

pub(super) struct Inner {
    pub(super) local: NodeId,
    pub(super) metrics: GateMetrics,
    pub(super) link_changes: watch::Sender<u64>,
    transport: Arc<dyn Transport>,
    settings: GateSettings,
    clock: Arc<dyn Clock>,
    peers: RwLock<BTreeMap<NodeId, Arc<Peer>>>,
    services: RwLock<BTreeMap<ServiceId, Arc<dyn Service>>>,
    local_queue: mpsc::Sender<Message>,
    local_asks: Arc<Asks>,
    generations: AtomicU64,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    closed: AtomicBool,
    this: Weak<Self>,
}

/// What the transport holds: not the gate itself, or neither would ever be dropped.
struct Handler(Weak<Inner>);

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
            peers: RwLock::default(),
            services: RwLock::default(),
            local_queue,
            local_asks: Arc::new(Asks::new(settings.asks_max)),
            generations: AtomicU64::new(0),
            tasks: Mutex::default(),
            closed: AtomicBool::new(false),
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
        self.services.write().unwrap_or_else(PoisonError::into_inner).insert(id, service);
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
        let sent =
            if *to == self.local { self.send_local(message) } else { self.offer(to, message) };
        match &sent {
            Ok(()) if kind == MessageKind::Tell => self.metrics.tells.inc(),
            Ok(()) => {}
            Err(error) => self.metrics.refused.with_label_values(&[error.reason()]).inc(),
        }
        sent
    }

    fn offer(&self, to: &NodeId, message: Message) -> Result<(), SendError> {
        let Some(peer) = self.peer(to) else {
            return Err(SendError::Unreachable(format!("`{to}` is not connected")));
        };
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
        let asks = if *to == self.local {
            self.local_asks.clone()
        } else {
            let not_connected = || AskError::NotConnected(format!("`{to}` is not connected"));
            self.peer(to).ok_or_else(not_connected)?.asks.clone()
        };
        let ticket = asks.register()?;
        self.send(to, MessageKind::Ask, service, ticket.correlation, message)?;
        Ok(ticket)
    }

    pub(super) fn is_connected(&self, node: &NodeId) -> bool {
        *node == self.local || self.peer(node).is_some_and(|peer| peer.core().is_up())
    }

    pub(super) fn connect(&self, peer: &NodeId, address: &str) {
        if *peer != self.local && !self.closed.load(Ordering::Acquire) {
            self.peer_or_new(peer);
            self.transport.connect(peer, address);
        }
    }

    pub(super) fn disconnect(&self, peer: &NodeId) {
        let removed = self.peers.write().unwrap_or_else(PoisonError::into_inner).remove(peer);
        self.transport.disconnect(peer);
        if let Some(peer) = removed {
            self.end(&peer);
        }
    }

    pub(super) fn close(&self) {
        if self.closed.swap(true, Ordering::AcqRel) {
            return;
        }
        self.transport.stop();
        for task in self.tasks().drain(..) {
            task.abort();
        }
        let peers =
            std::mem::take(&mut *self.peers.write().unwrap_or_else(PoisonError::into_inner));
        for peer in peers.values() {
            self.end(peer);
        }
        let error = AskError::Unreachable("the gate was closed".into());
        self.local_asks.fail_except(&[], &error);
        self.services.write().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn end(&self, peer: &Arc<Peer>) {
        let was_up = peer.core().is_up();
        let effects = peer.core().step(self.clock.now(), Input::Down);
        self.run(peer, effects);
        peer.stop_flusher();
        if was_up {
            self.link_changed(-1);
        }
    }

    fn link_changed(&self, up: i64) {
        self.metrics.links_up.add(up);
        self.link_changes.send_modify(|count| *count += 1);
    }

    fn tick(&self) {
        let peers: Vec<_> = self.peers().values().cloned().collect();
        for peer in peers {
            let effects = peer.core().step(self.clock.now(), Input::Tick);
            self.run(&peer, effects);
        }
    }

    fn peers(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<NodeId, Arc<Peer>>> {
        self.peers.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn tasks(&self) -> std::sync::MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn peer(&self, id: &NodeId) -> Option<Arc<Peer>> {
        self.peers().get(id).cloned()
    }

    fn peer_or_new(&self, id: &NodeId) -> Arc<Peer> {
        let mut peers = self.peers.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(peer) = peers.get(id) {
            return peer.clone();
        }
        // the upper half tells the links of one peer apart, the lower half counts the streams of one link
        let generation = self.generations.fetch_add(1, Ordering::Relaxed) + 1;
        let peer = Arc::new(Peer::new(id.clone(), &self.settings, generation << 32));
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

    fn flush(&self, peer: &Arc<Peer>) {
        let effects = peer.core().step(self.clock.now(), Input::Flush);
        self.run(peer, effects);
    }

    fn run(&self, peer: &Arc<Peer>, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Send(frame) => self.transmit(peer, frame),
                Effect::Deliver(message) => self.deliver(&peer.id, &peer.asks, message),
                Effect::Wake => peer.wake.notify_one(),
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
            // the transport reports the end of the connection by itself, and the link begins anew then
            Err(error) => self.metrics.drop_counted(error.reason(), 1),
        }
    }

    fn deliver(&self, from: &NodeId, asks: &Arc<Asks>, message: Message) {
        self.metrics.received.inc();
        let Message { kind, service, correlation, payload } = message;
        let responder = match kind {
            MessageKind::Tell => None,
            MessageKind::Ask => {
                let Some(sink) = self.this.upgrade() else { return };
                Some(Responder::new(sink, from.clone(), service, correlation))
            }
            MessageKind::Answer => return self.answered(asks, correlation, Ok(payload)),
            MessageKind::Failure => {
                let error = decode_error(&payload);
                return self.answered(asks, correlation, Err(error));
            }
        };
        let receiver =
            self.services.read().unwrap_or_else(PoisonError::into_inner).get(&service).cloned();
        let Some(receiver) = receiver else {
            self.metrics.drop_counted("no_service", 1);
            if let Some(responder) = responder {
                responder.fail(AskError::NotHere(format!("service {}", service.0)));
            }
            return;
        };
        let call = AssertUnwindSafe(|| receiver.receive(from, payload, responder));
        if catch_unwind(call).is_err() {
            tracing::error!(service = service.0, %from, "a service panicked; this is a bug");
            self.metrics.panics.inc();
        }
    }

    fn answered(&self, asks: &Asks, correlation: u64, answer: Result<Bytes, AskError>) {
        if !asks.finish(correlation, answer) {
            self.metrics.drop_counted("late_answer", 1);
        }
    }
}

fn decode_error(payload: &[u8]) -> AskError {
    let decoded = bincode::serde::decode_from_slice(payload, bincode::config::standard());
    decoded.map_or_else(
        |error| AskError::Unanswered(format!("an error that cannot be read: {error}")),
        |(error, _)| error,
    )
}

impl AnswerSink for Inner {
    fn answer(
        &self,
        to: &NodeId,
        service: ServiceId,
        correlation: u64,
        outcome: Result<Bytes, AskError>,
    ) {
        let failure = |error: &AskError| {
            let bytes = bincode::serde::encode_to_vec(error, bincode::config::standard());
            Bytes::from(bytes.expect("an ask error has nothing that cannot be encoded"))
        };
        let sent = match outcome {
            Ok(payload) => self.send(to, MessageKind::Answer, service, correlation, payload),
            Err(error) => {
                self.send(to, MessageKind::Failure, service, correlation, failure(&error))
            }
        };
        let Err(error) = sent else { return };
        self.metrics.drop_counted("answer", 1);
        if let SendError::TooLarge { .. } = error {
            // the request was handled: that its answer is too large does not undo it
            let error = failure(&AskError::Unanswered(AskError::from(error).to_string()));
            let _ = self.send(to, MessageKind::Failure, service, correlation, error);
        }
    }
}

impl TransportHandler for Handler {
    fn up(&self, peer: &NodeId) {
        let Some(gate) = self.0.upgrade() else { return };
        if gate.closed.load(Ordering::Acquire) {
            return;
        }
        let link = gate.peer_or_new(peer);
        if link.core().is_up() {
            return;
        }
        let effects = link.core().step(gate.clock.now(), Input::Up);
        gate.run(&link, effects);
        gate.link_changed(1);
    }

    fn down(&self, peer: &NodeId) {
        let Some(gate) = self.0.upgrade() else { return };
        let Some(link) = gate.peer(peer) else { return };
        if !link.core().is_up() {
            return;
        }
        let effects = link.core().step(gate.clock.now(), Input::Down);
        gate.run(&link, effects);
        gate.link_changed(-1);
    }

    fn frame(&self, peer: &NodeId, frame: Bytes) {
        let Some(gate) = self.0.upgrade() else { return };
        let Some(link) = gate.peer(peer) else { return };
        gate.metrics.frames_received.inc();
        gate.metrics.bytes_received.inc_by(frame.len() as u64);
        let effects = link.core().step(gate.clock.now(), Input::Frame(frame));
        gate.run(&link, effects);
    }
}
