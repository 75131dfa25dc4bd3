//! The change feed of another place's journal is read by one node of a place; the other nodes ask
//! that node, over the links. For stores whose feed costs a server more for each reader.

use std::sync::Arc;
use std::time::Duration;

use antiphon_base::task;
use antiphon_persistence::store::FeedRelay;
use antiphon_runtime::{Gate, Membership, Node, NodeId, Responder, ServiceId, ShutdownPhase};
use async_trait::async_trait;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::sync::{Semaphore, watch};

use crate::{OpenJournal, Peer};

/// Questions about a feed: the length of the place's name, the name, and the question.
const FEEDS: ServiceId = ServiceId(24);
/// Longest time that the reading node may take, which may have to read the feed first; then this
/// node reads it itself.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);

/// Most questions that are answered at the same time; the askers of further questions read the
/// feed themselves.
const ANSWERS_MAX: usize = 64;

/// Holds no `Node`: the node holds the stores, and the stores hold this relay.
struct GateRelay {
    gate: Gate,
    members: watch::Receiver<Arc<Membership>>,
    own_place: String,
    /// The place whose feed is read.
    place: String,
}

#[async_trait]
impl FeedRelay for GateRelay {
    async fn ask(&self, question: Bytes) -> Option<Bytes> {
        let reader = self.reader()?;
        if reader == *self.gate.local_node() || !self.gate.is_connected(&reader) {
            return None;
        }
        let mut message = BytesMut::with_capacity(self.place.len() + 2 + question.len());
        message.put_u16_le(u16::try_from(self.place.len()).ok()?);
        message.put_slice(self.place.as_bytes());
        message.put_slice(&question);
        let answer = self.gate.ask(&reader, FEEDS, message.freeze(), ANSWER_TIMEOUT).await;
        answer.inspect_err(|error| tracing::debug!(%reader, %error, "feed: no answer")).ok()
    }
}

impl GateRelay {
    /// The node of the own place that reads the feed of the peer: a different node for each peer,
    /// while there are enough nodes.
    fn reader(&self) -> Option<NodeId> {
        let members = self.members.borrow().clone();
        let mut nodes: Vec<&NodeId> =
            members.up_in(&self.own_place).map(|member| &member.id).collect();
        nodes.sort();
        let turn: usize = self.place.bytes().map(usize::from).sum();
        (!nodes.is_empty()).then(|| nodes[turn % nodes.len()].clone())
    }
}

/// Makes a node follow the feed of a peer, whose journal was just opened, through the node that
/// reads them.
pub(crate) fn follow_through(node: &Node, peer: &Peer) {
    if let Some(journal) = peer.journal() {
        journal.follow_through(Arc::new(GateRelay {
            gate: node.gate().clone(),
            members: node.members(),
            own_place: node.place().to_owned(),
            place: peer.place.clone(),
        }));
    }
}

/// Answers the other nodes of the place.
pub(crate) fn answer(node: &Node, peers: &[Peer]) {
    let peers = peers.to_vec();
    let room = Arc::new(Semaphore::new(ANSWERS_MAX));
    let answers = move |_: &NodeId, message: Bytes, responder: Option<Responder>| {
        let Some(responder) = responder else { return };
        let Some((journal, question)) = addressed(&peers, message) else { return };
        let Ok(place) = room.clone().try_acquire_owned() else { return };
        task::spawn("feed relay", async move {
            let _place = place;
            // without an answer the asker reads the feed itself
            match journal.answer(&question).await {
                Ok(news) => responder.reply(news),
                Err(error) => tracing::debug!(%error, "feed: cannot answer"),
            }
        });
    };
    node.gate().register(FEEDS, Arc::new(answers));
    // the stores hold the gate by now, so the gate releases the stores first
    let forget = |gate: Gate| {
        gate.register(FEEDS, Arc::new(|_: &NodeId, _: Bytes, _: Option<Responder>| {}));
    };
    let gate = node.gate().clone();
    node.on_crash("feed relay", Box::new(move || forget(gate)));
    let gate = node.gate().clone();
    node.on_shutdown(
        ShutdownPhase::CloseLinks,
        "feed relay",
        Box::new(move || Box::pin(async move { forget(gate) })),
    );
}

/// The journal that a question asks for, if it is open here, and the rest of the message.
fn addressed(peers: &[Peer], mut message: Bytes) -> Option<(OpenJournal, Bytes)> {
    let length = usize::from(message.try_get_u16_le().ok()?);
    if message.len() < length {
        return None;
    }
    let place = message.split_to(length);
    let peer = peers.iter().find(|peer| peer.place.as_bytes() == &*place)?;
    Some((peer.journal()?.clone(), message))
}
