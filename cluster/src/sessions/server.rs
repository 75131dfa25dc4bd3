//! The actor under which the sessions run: ractor_cluster's `NodeServer`, without a listener.
//!
//! A session asks its server whether another session with the same node exists, and reports its
//! progress. The core has one session with each member, so there is never another one.

use std::collections::HashMap;

use prost::Message;
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, SpawnErr, SupervisionEvent};
use ractor_cluster::node::{NodeConnectionMode, SessionCheckReply};
use ractor_cluster::{NetworkStream, NodeServerMessage, NodeSession, NodeSessionMessage};
use tokio::sync::mpsc;

use super::core::SessionNumber;
use super::shell::Fact;

/// The first id of a session: those of a `NodeServer` that an application starts itself are small.
pub(super) const FIRST_SESSION: SessionNumber = 1 << 32;

/// The secret of ractor_cluster's own greeting. It protects nothing: both sides of a stream have
/// proved who they are before it begins, and there is no other way to a session.
const COOKIE: &str = "antiphon";

/// The server of the sessions of this process.
pub(super) struct Server;

impl Actor for Server {
    type Msg = NodeServerMessage;
    type State = mpsc::Sender<Fact>;
    type Arguments = mpsc::Sender<Fact>;

    async fn pre_start(
        &self,
        _: ActorRef<Self::Msg>,
        facts: Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        Ok(facts)
    }

    async fn handle(
        &self,
        _: ActorRef<Self::Msg>,
        message: Self::Msg,
        facts: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            NodeServerMessage::CheckSession { reply, .. } => {
                let _ = reply.send(SessionCheckReply::NoOtherConnection);
            }
            NodeServerMessage::GetSessions(reply) => drop(reply.send(HashMap::new())),
            NodeServerMessage::ConnectionReady(actor) => {
                let _ = facts.send(Fact::Ready(actor)).await;
            }
            NodeServerMessage::ConnectionOpened { .. }
            | NodeServerMessage::ConnectionOpenedExternal { .. }
            | NodeServerMessage::ConnectionAuthenticated(_)
            | NodeServerMessage::UpdateSession { .. }
            | NodeServerMessage::SubscribeToEvents { .. }
            | NodeServerMessage::UnsubscribeToEvents(_)
            | NodeServerMessage::PortChanged { .. } => {}
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<Self::Msg>,
        event: SupervisionEvent,
        facts: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        let ended = match event {
            SupervisionEvent::ActorFailed(actor, error) => {
                tracing::warn!(%error, "a session of plain actors failed");
                actor
            }
            SupervisionEvent::ActorTerminated(actor, _, _) => actor,
            SupervisionEvent::ActorStarted(_)
            | SupervisionEvent::ProcessGroupChanged(_)
            | SupervisionEvent::PidLifecycleEvent(_) => return Ok(()),
        };
        let _ = facts.send(Fact::Stopped(ended.get_id())).await;
        Ok(())
    }
}

/// Begins a session over a stream.
///
/// # Errors
/// The reason why the actor did not start.
pub(super) async fn begin(
    server: &ActorRef<NodeServerMessage>,
    number: SessionNumber,
    me: &str,
    is_taken: bool,
    (stream, frame_bytes_max): (NetworkStream, usize),
) -> Result<ActorCell, SpawnErr> {
    let name = Name { name: me.into(), flags: Some(Flags { version: 1 }), at: me.into() };
    // the type of the name has no public path: it is made from its bytes
    let name = Message::decode(&*name.encode_to_vec())
        .map_err(|error| SpawnErr::StartupFailed(Box::new(error)))?;
    let (cookie, mode) = (COOKIE.to_owned(), NodeConnectionMode::Isolated);
    let session = NodeSession::new(number, is_taken, cookie, server.clone(), name, mode)
        .with_max_inbound_frame_size(frame_bytes_max as u64);
    let begun = Actor::spawn_linked(None, session, stream, server.get_cell()).await;
    let (session, _): (ActorRef<NodeSessionMessage>, _) = begun?;
    Ok(session.get_cell())
}

/// The name of a node, as ractor_cluster greets with it.
#[derive(Clone, PartialEq, Message)]
struct Name {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    flags: Option<Flags>,
    /// A connection string; sessions of one string are connections to oneself.
    #[prost(string, tag = "3")]
    at: String,
}

#[derive(Clone, PartialEq, Message)]
struct Flags {
    #[prost(uint32, tag = "1")]
    version: u32,
}
