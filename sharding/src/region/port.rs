//! The door of a region for messages of other nodes, and for the operator.

use antiphon_persistence::entity::EventSourced;
use antiphon_runtime::{NodeId, Responder};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::shared::Region;
use crate::coordinator::Input;
use crate::registry::RegionPort;
use crate::wire::{Wire, WireCommand};

impl<E: EventSourced> RegionPort for Region<E>
where
    E::Command: Serialize + DeserializeOwned,
{
    fn command(&self, command: WireCommand, responder: Option<Responder>) {
        self.receive(command, responder);
    }

    fn control(&self, from: &NodeId, message: Wire, responder: Option<Responder>) {
        match message {
            // a place without replicas would be remembered for ever
            Wire::Homes { place, homes, .. } if self.has_place(&place) => {
                self.homes(&place, &homes);
            }
            Wire::Homes { .. } => self.refused("unknown_place"),
            Wire::AskHomes { known, is_host, .. } => {
                if let Some(responder) = responder {
                    self.coordinator_asked(from, known, is_host, responder);
                }
            }
            Wire::ShardStopped { shard, id, .. } => {
                self.coordinator_told(Input::ShardStopped(shard, id));
            }
            Wire::Replicate { entity_id, replica, events, .. } => {
                self.replicated(&replica, entity_id, events);
            }
            Wire::WayOpened { shard, peer, .. } => self.way_opened(&shard, &peer),
            Wire::AskReach { node, .. } => {
                if let Some(responder) = responder {
                    self.reach_asked(&node, responder);
                }
            }
        }
    }

    fn json(&self) -> Value {
        Self::json(self)
    }

    fn ready(&self) -> Result<(), String> {
        Self::ready(self)
    }

    fn doubts_json(&self) -> Value {
        Self::doubts_json(self)
    }

    fn ready_to_write(&self) -> Result<(), String> {
        Self::ready_to_write(self)
    }
}
