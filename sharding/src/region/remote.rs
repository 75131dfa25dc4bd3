//! Commands to and from other nodes.

use std::sync::Arc;

use antiphon_base::task;
use antiphon_base::text::foreign;
use antiphon_persistence::entity::EventSourced;
use antiphon_persistence::identity::{ReplicaId, ReplicationId};
use antiphon_persistence::reply::{
    Claim, ReplyError, ReplySender, decode_command, encode_claimed_command, refuse_claimed,
};
use antiphon_runtime::{AskError, NodeId, Responder};
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::shared::{Envelope, Region};
use crate::error::reply_error;
use crate::wire::{Answers, COMMANDS, Completions, REPLIES_MAX, WireCommand, hops};

impl<E: EventSourced> Region<E>
where
    E::Command: Serialize + DeserializeOwned,
{
    /// Sends a command to the home of its shard. The caller holds no lock, since the command's own
    /// code runs; the slot calls this in order.
    pub(super) fn send(&self, index: usize, node: &NodeId, envelope: Envelope<E::Command>) {
        let Envelope { entity, command, hops, claim } = envelope;
        if hops::is_spent(hops) {
            self.count("refused_hops");
            let why = format!("the home of `{entity}` is changing");
            return refuse_claimed(command, &claim, ReplyError::NotHere(why));
        }
        let Some((next, next_hops)) = self.next_node(node, hops) else {
            self.count("refused_relayed");
            let why = format!("`{node}` cannot be reached from here");
            return refuse_claimed(command, &claim, ReplyError::NotHere(why));
        };
        let now = self.parts.node.clock().now();
        if !claim.take(now) {
            self.count("expired");
            let why = "the asker's time was over before the command left its node".to_owned();
            return refuse_claimed(command, &claim, ReplyError::Expired(why));
        }
        let replica = self.shard(index).replica;
        let completions = Arc::new(Completions::default());
        let encoded = match encode_claimed_command(&command, &claim, completions.clone()) {
            Ok(bytes) => Bytes::from(bytes),
            Err(error) => {
                let reason = ReplyError::Rejected(error.to_string());
                completions.fail(&reason);
                return refuse_claimed(command, &claim, reason);
            }
        };
        if completions.count() > REPLIES_MAX as usize {
            let actual = completions.count();
            let why =
                format!("places for answers: expected at most {REPLIES_MAX}, actual {actual}");
            return completions.fail(&ReplyError::Rejected(why));
        }
        let message = WireCommand {
            hops: next_hops,
            replies: u32::try_from(completions.count()).unwrap_or(u32::MAX),
            time_left: claim.time_left(now),
            entity_type: self.parts.entity_type.clone(),
            entity_id: entity.clone(),
            replica: replica.as_str().into(),
            command: encoded.clone(),
        };
        let gate = self.parts.node.gate();
        if completions.count() == 0 {
            if let Err(error) = gate.tell(&next, COMMANDS, message.encode()) {
                self.count("tell_dropped");
                tracing::debug!(%entity, %error, "a command without an answer is dropped");
            }
            return;
        }
        // queued before this returns, after all commands that were sent before
        let timeout = self.parts.settings.remote_ask_timeout;
        let (region, home, asked) = (self.this.clone(), node.clone(), next.clone());
        gate.ask_then(&next, COMMANDS, message.encode(), timeout, move |answer| match answer {
            // the application's own code reads an answer, and a command that comes back: the task
            // of the link does not wait for it
            Ok(answers) => {
                task::spawn("remote answer", async move { completions.complete(answers) });
            }
            // nothing was done there: the command is handled here, or goes to the new home
            Err(error @ (AskError::NotHere(_) | AskError::NotConnected(_))) => {
                let Some(region) = region.upgrade() else {
                    return completions.fail(&reply_error(error));
                };
                task::spawn("remote command again", async move {
                    claim.give_back();
                    region.relay_lost(&home, &asked);
                    let again = Again { entity, hops: hops::next(hops), claim };
                    region.again(&replica, again, &encoded, &completions);
                });
            }
            Err(error) => completions.fail(&reply_error(error)),
        });
    }

    /// Returns the next node for a command to the home `node`, and its hops: the home itself, or a
    /// relay. `None` when this node is a relay that cannot reach the home.
    fn next_node(&self, node: &NodeId, hops: u8) -> Option<(NodeId, u8)> {
        let is_relay = hops::is_for_relay(hops);
        if self.parts.node.gate().is_connected(node) {
            let next = if is_relay { hops::next_from_relay(hops) } else { hops::next(hops) };
            return Some((node.clone(), next));
        }
        if is_relay {
            return None;
        }
        match self.relay_to(node) {
            Some(relay) => {
                self.count("through_relay");
                Some((relay, hops::next_for_relay(hops)))
            }
            None => Some((node.clone(), hops::next(hops))),
        }
    }

    /// Returns whether a command from another node can go on from here. A command that took a relay
    /// can go on when its shard lives here, or when this node is the relay and is connected to the
    /// home. A command without a relay can always go on.
    fn takes(&self, index: usize, hops: u8) -> bool {
        if !(hops::is_for_relay(hops) || hops::is_from_relay(hops)) {
            return true;
        }
        let slot = self.slot(index);
        let is_connected = |node| self.parts.node.gate().is_connected(node);
        slot.route.is_hosting()
            || (hops::is_for_relay(hops) && slot.route.remote().is_some_and(is_connected))
    }

    fn again(
        &self,
        replica: &ReplicaId,
        again: Again,
        encoded: &[u8],
        completions: &Arc<Completions>,
    ) {
        self.count("sent_again");
        let Again { entity, hops, claim } = again;
        match completions.read(encoded, &claim) {
            Ok(command) => self.deliver(replica, Envelope { entity, command, hops, claim }),
            Err(error) => completions.fail(&ReplyError::Rejected(error.to_string())),
        }
    }

    /// Takes a command from another node. The command may be anything: it is checked first.
    pub(crate) fn receive(&self, wire: WireCommand, responder: Option<Responder>) {
        self.metrics.received.inc();
        let id = ReplicaId::try_from(wire.replica.clone())
            .and_then(|replica| ReplicationId::new(&wire.entity_type, &wire.entity_id, replica));
        let id = match id {
            Ok(id) => id,
            Err(error) => {
                self.count("received_malformed");
                return fail(responder, AskError::Rejected(error.to_string()));
            }
        };
        let Some(index) = self.index(id.replica_id(), id.entity_id()) else {
            self.count("received_malformed");
            let why = format!("replica `{}` of `{}`", id.replica_id(), self.parts.entity_type);
            return fail(responder, AskError::NotHere(why));
        };
        if !self.takes(index, wire.hops) {
            self.count("refused_relayed");
            let why = format!("shard {} cannot be reached from here", self.shard(index));
            return fail(responder, AskError::NotHere(why));
        }
        let answers = responder.map(|responder| Arc::new(Answers::new(wire.replies, responder)));
        let sender: Arc<dyn ReplySender> = match &answers {
            Some(answers) => answers.clone(),
            None => Arc::new(Nobody),
        };
        let claim = match wire.time_left {
            // a little late: the travel time of the command is not counted
            Some(time) => Claim::lasting(self.parts.node.clock().now(), time),
            None if wire.replies > 0 => Claim::open(),
            None => Claim::unlimited(),
        };
        match decode_command(&wire.command, sender, &claim) {
            Ok(command) => {
                // freed now, while the command itself may wait
                drop(wire.command);
                if let Some(answers) = answers {
                    answers.open();
                }
                let envelope = Envelope { entity: wire.entity_id, command, hops: wire.hops, claim };
                self.deliver_to(index, envelope);
            }
            Err(error) => {
                self.count("received_malformed");
                let shown = error.to_string();
                tracing::debug!(error = %foreign(&shown), %id, "a command of another node cannot be read");
                if let Some(answers) = answers {
                    answers.reject(error.to_string());
                }
            }
        }
    }
}

/// A command that came back unhandled, without its bytes.
struct Again {
    entity: Arc<str>,
    hops: u8,
    claim: Claim,
}

fn fail(responder: Option<Responder>, error: AskError) {
    if let Some(responder) = responder {
        responder.fail(error);
    }
}

/// Takes the answers of commands without an asker.
struct Nobody;

impl ReplySender for Nobody {
    fn send(&self, _: u64, _: Result<Bytes, ReplyError>) {}
}
