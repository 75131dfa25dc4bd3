//! The reports of the transport: connections, their ends, and frames.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use bytes::Bytes;

use super::inner::Inner;
use super::link::Input;
use crate::NodeId;
use crate::transport::TransportHandler;

/// The transport holds this handler, not the gate itself, or neither would ever be dropped.
pub(super) struct Handler(Weak<Inner>);

impl Handler {
    pub(super) fn new(gate: &Arc<Inner>) -> Self {
        Self(Arc::downgrade(gate))
    }
}

impl TransportHandler for Handler {
    fn up(&self, node: &NodeId) {
        let Some(gate) = self.0.upgrade() else { return };
        if gate.sender.is_closed() {
            return;
        }
        gate.delivery.guarded(node, "connection", || {
            let link = gate.link_or_new(node);
            if link.is_up() {
                return;
            }
            link.connection.store(gate.next_number(), Ordering::Release);
            gate.step(&link, Input::Up);
            gate.link_changed(1);
        });
    }

    fn down(&self, node: &NodeId) {
        let Some(gate) = self.0.upgrade() else { return };
        let Some(link) = gate.sender.links.get(node) else { return };
        gate.delivery.guarded(node, "end of a connection", || {
            let was_up = link.is_up();
            gate.step(&link, Input::Down);
            gate.sender.links.forget(&link);
            if was_up {
                gate.link_changed(-1);
            }
        });
    }

    fn frame(&self, node: &NodeId, frame: Bytes) {
        let Some(gate) = self.0.upgrade() else { return };
        let Some(link) = gate.sender.links.get(node) else { return };
        gate.metrics.frames_received.inc();
        gate.metrics.bytes_received.inc_by(frame.len() as u64);
        gate.delivery.guarded(node, "frame", || gate.step(&link, Input::Frame(frame)));
    }

    fn refused(&self, reason: &'static str) {
        let Some(gate) = self.0.upgrade() else { return };
        gate.metrics.connections_refused.with_label_values(&[reason]).inc();
    }

    fn accepted(&self, greeting: usize, strangers: usize) {
        let Some(gate) = self.0.upgrade() else { return };
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        gate.metrics.greeting.set(number(greeting));
        gate.metrics.strangers.set(number(strangers));
    }

    fn stream(&self, begun: bool) {
        let Some(gate) = self.0.upgrade() else { return };
        if begun {
            gate.metrics.streams_begun.inc();
            gate.metrics.streams.inc();
        } else {
            gate.metrics.streams.dec();
        }
    }
}
