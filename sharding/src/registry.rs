//! The entity types of one node. Messages of other nodes find their region here.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

use antiphon_base::text::foreign;
use antiphon_persistence::identity::ReplicaId;
use antiphon_runtime::{AskError, Error, Node, NodeId, Responder, Result, ServiceId};
use bytes::Bytes;
use parking_lot::RwLock;
use serde_json::Value;

use crate::admission::{Arrived, Entrance, Refusal, Refusals, Sender};
use crate::wire::{COMMANDS, SHARDING, Wire, WireCommand};

/// A region that makes references to its entities.
pub(crate) trait References: Send + Sync {
    /// The name of the type of the commands.
    fn command_type(&self) -> &'static str;

    /// An `EntityRef` of the region's command type: of this replica, or, when the type does not
    /// have the replica and `exactly` is false, of the one that the default policy chooses.
    fn refer(
        self: Arc<Self>,
        entity_id: &str,
        replica: &ReplicaId,
        exactly: bool,
    ) -> Result<Box<dyn Any>>;
}

/// A region without its type parameter.
pub(crate) trait RegionPort: References {
    fn command(&self, from: Sender<'_>, command: WireCommand, responder: Option<Responder>);
    fn control(&self, from: Sender<'_>, message: Wire, responder: Option<Responder>);
    fn json(&self) -> Value;
    fn ready(&self) -> std::result::Result<(), String>;
    fn warnings(&self) -> Vec<String>;
    fn doubts_json(&self) -> Value;
    fn ready_to_write(&self) -> std::result::Result<(), String>;
}

/// The entity types of one node.
pub(crate) struct Registry {
    regions: RwLock<BTreeMap<Arc<str>, Arc<dyn RegionPort>>>,
    entrance: Arc<Entrance>,
    refusals: Arc<Refusals>,
}

impl Registry {
    /// Returns the registry of a node. The first call registers its services at the gate.
    pub(crate) fn of(node: &Node) -> Arc<Self> {
        let refusals = Refusals::of(node);
        node.extension(|| {
            let entrance = Arc::new(Entrance::new(node, refusals.clone()));
            let registry =
                Arc::new(Self { regions: RwLock::default(), entrance: entrance.clone(), refusals });
            for service in [COMMANDS, SHARDING] {
                registry.serve(node, service);
            }
            let this = Arc::downgrade(&registry);
            node.spawn(
                "newcomers",
                entrance.serve(move |from, arrived| {
                    if let Some(registry) = this.upgrade() {
                        registry.take(from, arrived);
                    }
                }),
            );
            registry
        })
    }

    fn serve(self: &Arc<Self>, node: &Node, service: ServiceId) {
        let this = Arc::downgrade(self);
        node.gate().register(
            service,
            Arc::new(move |from: &NodeId, message: Bytes, responder: Option<Responder>| {
                let Some(registry) = this.upgrade() else { return };
                let arrived = Arrived { service, message, responder };
                registry.entrance.let_in(from, arrived, |from, arrived| {
                    registry.take(from, arrived);
                });
            }),
        );
    }

    /// Takes a message of a member.
    fn take(&self, from: Sender<'_>, Arrived { service, message, responder }: Arrived) {
        if service == COMMANDS {
            self.command(from, message, responder);
        } else {
            self.control(from, &message, responder);
        }
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

    pub(crate) fn get(&self, entity_type: &str) -> Option<Arc<dyn RegionPort>> {
        let regions = self.regions.read();
        regions.get(entity_type).cloned()
    }

    fn command(&self, from: Sender<'_>, message: Bytes, responder: Option<Responder>) {
        let command = match WireCommand::decode(message) {
            Ok(command) => command,
            Err(error) => return self.malformed(from, &error, responder),
        };
        match self.get(&command.entity_type) {
            Some(region) => region.command(from, command, responder),
            None => self.unknown_type(from, &command.entity_type, responder),
        }
    }

    fn control(&self, from: Sender<'_>, message: &[u8], responder: Option<Responder>) {
        let message = match Wire::decode(message) {
            Ok(message) => message,
            Err(error) => return self.malformed(from, &error, responder),
        };
        let (Wire::Homes { entity_type, .. }
        | Wire::AskHomes { entity_type, .. }
        | Wire::ShardStopped { entity_type, .. }
        | Wire::Replicate { entity_type, .. }
        | Wire::WayOpened { entity_type, .. }
        | Wire::AskReach { entity_type, .. }
        | Wire::ReminderDue { entity_type, .. }) = &message;
        match self.get(entity_type) {
            Some(region) => region.control(from, message, responder),
            None => self.unknown_type(from, entity_type, responder),
        }
    }

    fn malformed(&self, from: Sender<'_>, error: &Error, responder: Option<Responder>) {
        self.refusals.refused(from.id, Refusal::Malformed);
        fail(responder, AskError::Rejected(foreign(&error.to_string()).to_string()));
    }

    fn unknown_type(&self, from: Sender<'_>, entity_type: &str, responder: Option<Responder>) {
        self.refusals.refused(from.id, Refusal::UnknownType);
        fail(responder, AskError::NotHere(format!("type `{}`", foreign(entity_type))));
    }
}

fn fail(responder: Option<Responder>, error: AskError) {
    match responder {
        Some(responder) => responder.fail(error),
        None => tracing::debug!(%error, "a message of another node is dropped"),
    }
}
