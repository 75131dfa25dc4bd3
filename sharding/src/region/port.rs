//! The door of a region for messages of other nodes, and for the operator.

use antiphon_persistence::entity::EventSourced;
use antiphon_runtime::Responder;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::assembly::Region;
use crate::admission::{Refusal, Sender};
use crate::coordinator::Input;
use crate::registry::RegionPort;
use crate::wire::{HomesAnswer, Wire, WireCommand};

impl<E: EventSourced> RegionPort for Region<E>
where
    E::Command: Serialize + DeserializeOwned,
{
    fn command(&self, from: Sender<'_>, command: WireCommand, responder: Option<Responder>) {
        self.incoming.receive(from, command, responder);
    }

    fn control(&self, from: Sender<'_>, message: Wire, responder: Option<Responder>) {
        match message {
            // a place without replicas would be remembered for ever
            Wire::Homes { place, homes, .. } if self.parts.layout.has_place(&place) => {
                self.homes.told(from.id, &place, &homes);
            }
            Wire::Homes { .. } => self.parts.metrics.count("unknown_place"),
            Wire::AskHomes { known, asker, .. } => {
                let Some(responder) = responder else { return };
                match &self.coordinator {
                    Some(coordinator) => coordinator.ask(from.id, known, asker, responder),
                    None => responder.reply(HomesAnswer::NotCoordinator.encode()),
                }
            }
            Wire::ShardStopped { shard, id, .. } => {
                if let Some(coordinator) = &self.coordinator {
                    coordinator.input(Input::ShardStopped(shard, id, from.id.clone()));
                }
            }
            Wire::Replicate { entity_id, replica, events, .. } => {
                self.direct.arrived(from, &replica, entity_id, events);
            }
            Wire::ReminderDue { row, .. } => self.reminding.arrived(from, row),
            Wire::WayOpened { shard, from: replica, .. } => {
                if self.parts.layout.has_replica(from.place, &replica) {
                    self.routing.ways().opened(&shard, &replica);
                } else {
                    self.parts.refusals.refused(from.id, Refusal::OtherWay);
                }
            }
            Wire::AskReach { node, .. } => {
                if let Some(responder) = responder {
                    self.relays.asked(&node, responder);
                }
            }
        }
    }

    fn json(&self) -> Value {
        self.status.json()
    }

    fn ready(&self) -> Result<(), String> {
        self.status.ready()
    }

    fn warnings(&self) -> Vec<String> {
        self.status.warnings()
    }

    fn doubts_json(&self) -> Value {
        self.doubts.json(|index| self.routing.slots().is_hosting(index))
    }

    fn ready_to_write(&self) -> Result<(), String> {
        self.doubts.ready_to_write(|index| self.routing.slots().is_hosting(index))
    }
}
