//! Encodes log events and puts them into the queue of a sink.

use std::sync::Arc;

use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::protocol::Protocol;
use super::queue::Queue;
use crate::logging::record::Record;

/// The layer of a sink that sends.
pub(in crate::logging) struct ShipLayer {
    protocol: Arc<Protocol>,
    queue: Arc<Queue>,
}

impl ShipLayer {
    pub(super) fn new(protocol: Arc<Protocol>, queue: Arc<Queue>) -> Self {
        Self { protocol, queue }
    }
}

impl<S: Subscriber> Layer<S> for ShipLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        self.queue.push(self.protocol.line(Record::of(event)));
    }
}
