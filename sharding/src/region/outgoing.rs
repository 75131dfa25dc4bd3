//! Commands to the homes of their shards at other nodes, and the answers.

use std::sync::{Arc, Weak};

use antiphon_base::task;
use antiphon_persistence::reply::{
    Claim, ReplyError, ReplyRegistrar, encode_claimed_command, refuse_claimed,
};
use antiphon_runtime::{AskError, NodeId};
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::envelope::{CommandTaker, Envelope};
use super::parts::RegionParts;
use super::relay_search::RelaySearch;
use crate::error::reply_error;
use crate::wire::{COMMANDS, Completions, REPLIES_MAX, WireCommand, answered_as, hops};

/// Sends commands to other nodes.
pub(super) struct Outgoing<C> {
    this: Weak<Self>,
    parts: Arc<RegionParts>,
    relays: Arc<RelaySearch>,
    /// Takes the commands that come back unhandled.
    taker: Weak<dyn CommandTaker<C>>,
}

/// A command that may come back unhandled, without its bytes.
struct Sent {
    index: usize,
    home: NodeId,
    /// The node that the command goes to: the home, or a relay.
    next: NodeId,
    entity: Arc<str>,
    hops: u8,
    claim: Claim,
    /// True when the last place for an answer is that of the notice.
    is_noticed: bool,
}

impl<C> Outgoing<C>
where
    C: Serialize + DeserializeOwned + Send + 'static,
{
    pub(super) fn new(
        parts: Arc<RegionParts>,
        relays: Arc<RelaySearch>,
        taker: Weak<dyn CommandTaker<C>>,
    ) -> Arc<Self> {
        Arc::new_cyclic(|this| Self { this: this.clone(), parts, relays, taker })
    }

    /// Sends a command to the home of its shard. The caller holds no lock, since the command's own
    /// code runs; the slot calls this in order.
    pub(super) fn send(&self, index: usize, home: &NodeId, envelope: Envelope<C>) {
        let Envelope { entity, command, hops, claim } = envelope;
        let refuse = |outcome: &str, command: C, reason: ReplyError| {
            self.parts.metrics.count(outcome);
            refuse_claimed(command, &claim, reason);
        };
        if hops::is_spent(hops) {
            let why = format!("the home of `{entity}` is changing");
            return refuse("refused_hops", command, ReplyError::NotHere(why));
        }
        let Some((next, next_hops)) = self.next_node(home, hops) else {
            let why = format!("`{home}` cannot be reached from here");
            return refuse("refused_relayed", command, ReplyError::NotHere(why));
        };
        if !claim.take(self.parts.now()) {
            let why = "the asker's time was over before the command left its node".to_owned();
            return refuse("expired", command, ReplyError::Expired(why));
        }
        // the command lives until it is sent: its destructor is application code, too
        let (encoded, completions, is_noticed) = match encode(&command, &claim) {
            Ok(encoded) => encoded,
            Err(reason) => return refuse_claimed(command, &claim, reason),
        };
        let next_hops = if is_noticed { hops::noticed(next_hops) } else { next_hops };
        let sent = Sent { index, home: home.clone(), next, entity, hops, claim, is_noticed };
        self.hand_to_link(sent, next_hops, encoded, completions);
    }

    /// Returns the next node for a command to the home, and its hops: the home itself, or a relay.
    /// `None` when this node is a relay that cannot reach the home.
    fn next_node(&self, home: &NodeId, hops: u8) -> Option<(NodeId, u8)> {
        let is_relay = hops::is_for_relay(hops);
        if self.parts.node.gate().is_connected(home) {
            let next = if is_relay { hops::next_from_relay(hops) } else { hops::next(hops) };
            return Some((home.clone(), next));
        }
        if is_relay {
            return None;
        }
        match self.relays.relay_to(home) {
            Some(relay) => {
                self.parts.metrics.count("through_relay");
                Some((relay, hops::next_for_relay(hops)))
            }
            None => Some((home.clone(), hops::next(hops))),
        }
    }

    fn hand_to_link(&self, sent: Sent, hops: u8, encoded: Bytes, completions: Arc<Completions>) {
        let replica = self.parts.layout.shard(sent.index).replica;
        let message = WireCommand {
            hops,
            replies: u32::try_from(completions.count()).unwrap_or(u32::MAX),
            time_left: sent.claim.time_left(self.parts.now()),
            entity_type: self.parts.layout.entity_type().clone(),
            entity_id: sent.entity.clone(),
            replica: replica.as_str().into(),
            metadata: sent.claim.metadata().clone(),
            askers: sent.claim.askers().cloned(),
            session: sent.claim.session().cloned(),
            command: encoded.clone(),
        };
        let gate = self.parts.node.gate();
        let next = sent.next.clone();
        if completions.count() == 0 {
            if let Err(error) = gate.tell(&next, COMMANDS, message.encode()) {
                self.parts.metrics.count("tell_dropped");
                tracing::debug!(entity = %sent.entity, %error, "a command without an answer is dropped");
            }
            return;
        }
        // queued before this returns, after all commands that were sent before
        let timeout = self.parts.settings.remote_ask_timeout;
        let this = self.this.clone();
        gate.ask_then(&next, COMMANDS, message.encode(), timeout, move |answer| match answer {
            // the application's own code reads an answer, and a command that comes back: the task
            // of the link does not wait for it
            Ok(answers) => {
                task::spawn("remote answer", async move { completions.complete(answers) });
            }
            // nothing was done there: the command is handled here, or goes to the new home
            Err(error @ (AskError::NotHere(_) | AskError::NotConnected(_))) => {
                let Some(this) = this.upgrade() else {
                    return completions.fail(&reply_error(error));
                };
                task::spawn("remote command again", async move {
                    this.again(sent, &encoded, &completions);
                });
            }
            Err(error) => completions.fail(&reply_error(error)),
        });
    }

    fn again(&self, sent: Sent, encoded: &[u8], completions: &Arc<Completions>) {
        let Sent { index, home, next, entity, hops, claim, is_noticed } = sent;
        claim.give_back();
        self.relays.lost(&home, &next);
        self.parts.metrics.count("sent_again");
        let replica = self.parts.layout.shard(index).replica;
        let Some(taker) = self.taker.upgrade() else {
            let why = "the node has ended".to_owned();
            return completions.fail(&ReplyError::NotHere(why));
        };
        match completions.read(encoded, &claim) {
            Ok(command) => {
                let hops = hops::next(hops);
                if is_noticed {
                    let last = completions.count() as u64 - 1;
                    claim.put_notice(answered_as(completions.clone(), last));
                }
                taker.deliver(&replica, Envelope { entity, command, hops, claim });
            }
            Err(error) => completions.fail(&ReplyError::Rejected(error.to_string())),
        }
    }
}

/// Encodes the command. Returns too whether its last place for an answer is that of the notice.
/// When it cannot be sent, its askers have the reason.
fn encode<C: Serialize>(
    command: &C,
    claim: &Claim,
) -> Result<(Bytes, Arc<Completions>, bool), ReplyError> {
    let completions = Arc::new(Completions::default());
    let encoded = encode_claimed_command(command, claim, completions.clone());
    let notice = claim.take_notice();
    let is_noticed = notice.is_some();
    if let Some(notice) = notice {
        completions.register(Box::new(move |answer| notice(answer.map(drop))));
    }
    let refused = match encoded {
        Ok(bytes) if completions.count() <= REPLIES_MAX as usize => {
            return Ok((bytes.into(), completions, is_noticed));
        }
        Ok(_) => format!(
            "places for answers: expected at most {REPLIES_MAX}, actual {}",
            completions.count()
        ),
        Err(error) => error.to_string(),
    };
    let reason = ReplyError::Rejected(refused);
    completions.fail(&reason);
    Err(reason)
}
