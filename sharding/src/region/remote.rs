//! Commands to and from other nodes.

use std::sync::Arc;

use antiphon_persistence::entity::EventSourced;
use antiphon_persistence::identity::ReplicaId;
use antiphon_persistence::reply::{
    Claim, ReplyError, ReplySender, decode_command, encode_command, refuse,
};
use antiphon_runtime::{AskError, NodeId, Responder, task};
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::shared::{Envelope, Region};
use crate::error::reply_error;
use crate::wire::{Answers, COMMANDS, Completions, WireCommand, complete};

/// So many nodes may pass a command on; then it is refused, and its asker tries again.
const HOPS_MAX: u8 = 4;

impl<E: EventSourced> Region<E>
where
    E::Command: Serialize + DeserializeOwned,
{
    /// Sends a command to the home of its shard. The lock of the shard's slot is held, which keeps the order.
    pub(super) fn send(&self, index: usize, node: &NodeId, envelope: Envelope<E::Command>) {
        let Envelope { entity, command, hops, claim } = envelope;
        if hops >= HOPS_MAX {
            self.count("refused_hops");
            let why = format!("the home of `{entity}` is changing");
            return refuse(command, ReplyError::NotHere(why));
        }
        let now = self.parts.node.clock().now();
        if !claim.take(now) {
            self.count("expired");
            let why = "the asker's time was over before the command left its node".to_owned();
            return refuse(command, ReplyError::Expired(why));
        }
        let replica = self.shard(index).replica;
        let completions = Arc::new(Completions::default());
        let encoded = match encode_command(&command, completions.clone()) {
            Ok(bytes) => Bytes::from(bytes),
            Err(error) => {
                let reason = ReplyError::Rejected(error.to_string());
                completions.fail(&reason);
                return refuse(command, reason);
            }
        };
        let message = WireCommand {
            hops: hops + 1,
            replies: u32::try_from(completions.count()).unwrap_or(u32::MAX),
            time_left: claim.time_left(now),
            entity_type: self.parts.entity_type.clone(),
            entity_id: entity.clone(),
            replica: replica.as_str().into(),
            command: encoded.clone(),
        };
        let gate = self.parts.node.gate();
        if completions.count() == 0 {
            if let Err(error) = gate.tell(node, COMMANDS, message.encode()) {
                self.count("tell_dropped");
                tracing::debug!(%entity, %error, "a command without an answer is dropped");
            }
            return;
        }
        // queued before this returns, in order with what was sent before
        let timeout = self.parts.settings.remote_ask_timeout;
        let asked = gate.ask(node, COMMANDS, message.encode(), timeout);
        let region = self.this.clone();
        task::spawn("remote ask", async move {
            match asked.await {
                Ok(answers) => complete(&completions, answers),
                // nothing was done there: here after all, or wherever the shard lives by then
                Err(AskError::NotHere(_) | AskError::NotConnected(_))
                    if region.strong_count() > 0 =>
                {
                    claim.give_back();
                    if let Some(region) = region.upgrade() {
                        let again = Again { entity, hops: hops + 1, claim };
                        region.again(&replica, again, &encoded, &completions);
                    }
                }
                Err(error) => completions.fail(&reply_error(error)),
            }
        });
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
        match decode_command(encoded, completions.clone()) {
            Ok(command) => self.deliver(replica, Envelope { entity, command, hops, claim }),
            Err(error) => completions.fail(&ReplyError::Rejected(error.to_string())),
        }
    }

    /// Takes a command from another node.
    pub(crate) fn receive(&self, wire: WireCommand, responder: Option<Responder>) {
        self.count("received");
        // each place for an answer is a byte of the command at least
        if wire.replies as usize > wire.command.len() {
            return reject(responder, "more places for answers than bytes");
        }
        let replica =
            ReplicaId::try_from(wire.replica.clone()).unwrap_or_else(|_| ReplicaId::empty());
        let answers: Arc<dyn ReplySender> = match responder {
            Some(responder) => Arc::new(Answers::new(wire.replies, responder)),
            None => Arc::new(Nobody),
        };
        let claim = wire.time_left.map_or_else(Claim::unlimited, |time| {
            // a little late: the way of the command is not counted
            Claim::lasting(self.parts.node.clock().now(), time)
        });
        match decode_command(&wire.command, answers.clone()) {
            Ok(command) => {
                let envelope = Envelope { entity: wire.entity_id, command, hops: wire.hops, claim };
                self.deliver(&replica, envelope);
            }
            Err(error) => {
                tracing::warn!(%error, entity_type = %wire.entity_type, "a command of another node cannot be read");
                for id in 0..u64::from(wire.replies) {
                    answers.send(id, Err(ReplyError::Rejected(error.to_string())));
                }
            }
        }
    }
}

/// A command that came back unhandled, but for its bytes.
struct Again {
    entity: Arc<str>,
    hops: u8,
    claim: Claim,
}

fn reject(responder: Option<Responder>, why: &str) {
    if let Some(responder) = responder {
        responder.fail(AskError::Rejected(why.to_owned()));
    }
}

/// For commands that were told.
struct Nobody;

impl ReplySender for Nobody {
    fn send(&self, _: u64, _: Result<Bytes, ReplyError>) {}
}
