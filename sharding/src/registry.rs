//! The entity types of one node. Messages of other nodes find their region here.

use std::collections::BTreeMap;
use std::sync::Arc;

use antiphon_base::text::foreign;
use antiphon_runtime::metrics::IntCounterVec;
use antiphon_runtime::{AskError, Error, Node, NodeId, Responder, Result};
use bytes::Bytes;
use parking_lot::RwLock;
use serde_json::Value;

use crate::wire::{COMMANDS, SHARDING, Wire, WireCommand};

/// A region without its type parameter.
pub(crate) trait RegionPort: Send + Sync {
    fn command(&self, command: WireCommand, responder: Option<Responder>);
    fn control(&self, from: &NodeId, message: Wire, responder: Option<Responder>);
    fn json(&self) -> Value;
    fn ready(&self) -> std::result::Result<(), String>;
    fn doubts_json(&self) -> Value;
    fn ready_to_write(&self) -> std::result::Result<(), String>;
}

/// The entity types of one node.
pub(crate) struct Registry {
    regions: RwLock<BTreeMap<Arc<str>, Arc<dyn RegionPort>>>,
    refused: IntCounterVec,
}

impl Registry {
    /// Returns the registry of a node. The first call registers its services at the gate.
    pub(crate) fn of(node: &Node) -> Arc<Self> {
        node.extension(|| {
            let refused = node.metrics().counters_of("antiphon_wire_refused_total");
            let registry = Arc::new(Self { regions: RwLock::default(), refused });
            let this = Arc::downgrade(&registry);
            node.gate().register(
                COMMANDS,
                Arc::new(move |_: &NodeId, message: Bytes, responder: Option<Responder>| {
                    if let Some(registry) = this.upgrade() {
                        registry.command(message, responder);
                    }
                }),
            );
            let this = Arc::downgrade(&registry);
            node.gate().register(
                SHARDING,
                Arc::new(move |from: &NodeId, message: Bytes, responder: Option<Responder>| {
                    if let Some(registry) = this.upgrade() {
                        registry.control(from, &message, responder);
                    }
                }),
            );
            registry
        })
    }

    pub(crate) fn insert(&self, entity_type: &Arc<str>, region: Arc<dyn RegionPort>) -> Result<()> {
        let mut regions = self.regions.write();
        if regions.contains_key(entity_type) {
            return Err(Error::rejected(format!(
                "entity type `{entity_type}`: expected a type that this node does not have yet"
            )));
        }
        regions.insert(entity_type.clone(), region);
        Ok(())
    }

    pub(crate) fn all(&self) -> BTreeMap<Arc<str>, Arc<dyn RegionPort>> {
        self.regions.read().clone()
    }

    fn get(&self, entity_type: &str) -> Option<Arc<dyn RegionPort>> {
        let regions = self.regions.read();
        regions.get(entity_type).cloned()
    }

    fn command(&self, message: Bytes, responder: Option<Responder>) {
        let command = match WireCommand::decode(message) {
            Ok(command) => command,
            Err(error) => return self.malformed(&error, responder),
        };
        match self.get(&command.entity_type) {
            Some(region) => region.command(command, responder),
            None => self.unknown_type(&command.entity_type, responder),
        }
    }

    fn control(&self, from: &NodeId, message: &[u8], responder: Option<Responder>) {
        let message = match Wire::decode(message) {
            Ok(message) => message,
            Err(error) => return self.malformed(&error, responder),
        };
        let (Wire::Homes { entity_type, .. }
        | Wire::AskHomes { entity_type, .. }
        | Wire::ShardStopped { entity_type, .. }
        | Wire::Replicate { entity_type, .. }
        | Wire::WayOpened { entity_type, .. }
        | Wire::AskReach { entity_type, .. }) = &message;
        match self.get(entity_type) {
            Some(region) => region.control(from, message, responder),
            None => self.unknown_type(entity_type, responder),
        }
    }

    fn malformed(&self, error: &Error, responder: Option<Responder>) {
        self.refused.with_label_values(&["malformed"]).inc();
        fail(responder, AskError::Rejected(foreign(&error.to_string()).to_string()));
    }

    fn unknown_type(&self, entity_type: &str, responder: Option<Responder>) {
        self.refused.with_label_values(&["unknown_type"]).inc();
        fail(responder, AskError::NotHere(format!("type `{}`", foreign(entity_type))));
    }
}

fn fail(responder: Option<Responder>, error: AskError) {
    match responder {
        Some(responder) => responder.fail(error),
        None => tracing::debug!(%error, "a message of another node is dropped"),
    }
}
