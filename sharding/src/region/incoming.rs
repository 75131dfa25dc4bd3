//! Commands from other nodes. A command may be anything: it is checked first.

use std::sync::Arc;

use antiphon_base::text::foreign;
use antiphon_persistence::entity::EventSourced;
use antiphon_persistence::identity::{ReplicaId, ReplicationId};
use antiphon_persistence::reply::{Claim, ReplyError, ReplySender, decode_command};
use antiphon_runtime::{AskError, Responder};
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::envelope::Envelope;
use super::parts::RegionParts;
use super::routing::Routing;
use crate::CommandsFrom;
use crate::admission::{Refusal, Sender};
use crate::wire::{Answers, WireCommand, answered_as, hops};

/// Takes commands of other nodes.
pub(super) struct Incoming<E: EventSourced> {
    parts: Arc<RegionParts>,
    routing: Arc<Routing<E>>,
}

impl<E: EventSourced> Incoming<E>
where
    E::Command: Serialize + DeserializeOwned,
{
    pub(super) fn new(parts: Arc<RegionParts>, routing: Arc<Routing<E>>) -> Self {
        Self { parts, routing }
    }

    /// Takes a command from another node.
    pub(super) fn receive(
        &self,
        from: Sender<'_>,
        wire: WireCommand,
        responder: Option<Responder>,
    ) {
        self.parts.metrics.received.inc();
        match self.may_command(from).and_then(|()| self.slot_of(&wire)) {
            Ok(index) => self.read(index, wire, responder),
            Err((outcome, error)) => {
                self.parts.metrics.count(outcome);
                if let Some(responder) = responder {
                    responder.fail(error);
                }
            }
        }
    }

    /// Decides whether the sender may send commands of this type; else the outcome to count, and
    /// the answer.
    fn may_command(&self, from: Sender<'_>) -> Result<(), (&'static str, AskError)> {
        let here = self.parts.node.place();
        match self.parts.settings.commands_from {
            CommandsFrom::All => Ok(()),
            CommandsFrom::Place if **from.place == *here => Ok(()),
            CommandsFrom::Place => {
                self.parts.refusals.refused(from.id, Refusal::OtherPlace);
                let entity_type = self.parts.layout.entity_type();
                let why = format!(
                    "`{entity_type}` takes commands of nodes of place `{here}` only here (`commands_from`): ask a replica of your own place"
                );
                Err(("refused_other_place", AskError::Rejected(why)))
            }
        }
    }

    /// The slot of the command's shard; else the outcome to count, and the answer.
    fn slot_of(&self, wire: &WireCommand) -> Result<usize, (&'static str, AskError)> {
        const MALFORMED: &str = "received_malformed";
        let id = ReplicaId::try_from(wire.replica.clone())
            .and_then(|replica| ReplicationId::new(&wire.entity_type, &wire.entity_id, replica));
        let id = id.map_err(|error| (MALFORMED, AskError::Rejected(error.to_string())))?;
        let layout = &self.parts.layout;
        let Some(index) = layout.index(id.replica_id(), id.entity_id()) else {
            let why = format!("replica `{}` of `{}`", id.replica_id(), layout.entity_type());
            return Err((MALFORMED, AskError::NotHere(why)));
        };
        if !self.takes(index, wire.hops) {
            let why = format!("shard {} cannot be reached from here", layout.shard(index));
            return Err(("refused_relayed", AskError::NotHere(why)));
        }
        Ok(index)
    }

    /// Returns whether a command from another node can go on from here. A command that took a relay
    /// can go on when its shard lives here, or when this node is the relay and is connected to the
    /// home. A command without a relay can always go on.
    fn takes(&self, index: usize, hops: u8) -> bool {
        if !(hops::is_for_relay(hops) || hops::is_from_relay(hops)) {
            return true;
        }
        let slot = self.routing.slots().lock(index);
        let is_connected = |node| self.parts.node.gate().is_connected(node);
        slot.route.is_hosting()
            || (hops::is_for_relay(hops) && slot.route.remote().is_some_and(is_connected))
    }

    fn read(&self, index: usize, wire: WireCommand, responder: Option<Responder>) {
        let answers = responder.map(|responder| Arc::new(Answers::new(wire.replies, responder)));
        let sender: Arc<dyn ReplySender> = match &answers {
            Some(answers) => answers.clone(),
            None => Arc::new(Nobody),
        };
        let (now, metadata) = (self.parts.now(), wire.metadata);
        let claim = match wire.time_left {
            time if hops::is_noticed(wire.hops) && wire.replies > 0 => {
                let last = u64::from(wire.replies) - 1;
                let notice = answered_as(sender.clone(), last);
                Claim::noticed_with(now, time, notice, metadata)
            }
            // a little late: the travel time of the command is not counted
            Some(time) => Claim::lasting_with(now, time, metadata),
            None if wire.replies > 0 => Claim::open_with(metadata),
            None => Claim::unlimited_with(metadata),
        };
        let claim = claim.asked_by(wire.askers).in_session(wire.session);
        match decode_command(&wire.command, sender, &claim) {
            Ok(command) => {
                // freed now, while the command itself may wait
                drop(wire.command);
                if let Some(answers) = answers {
                    answers.open();
                }
                let envelope = Envelope { entity: wire.entity_id, command, hops: wire.hops, claim };
                self.routing.deliver_to(index, envelope);
            }
            Err(error) => {
                self.parts.metrics.count("received_malformed");
                let (shown, shard) = (error.to_string(), self.parts.layout.shard(index));
                tracing::debug!(error = %foreign(&shown), %shard, entity = %wire.entity_id, "a command of another node cannot be read");
                if let Some(answers) = answers {
                    answers.reject(error.to_string());
                }
            }
        }
    }
}

/// Takes the answers of commands without an asker.
struct Nobody;

impl ReplySender for Nobody {
    fn send(&self, _: u64, _: Result<Bytes, ReplyError>) {}
}
