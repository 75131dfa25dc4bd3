//! Names for guests: a singleton that never gives out a name twice.

use antiphon::cluster::{Singleton, SingletonLease, SingletonProxy, ToolError};
use antiphon::prelude::*;
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use ractor_cluster::RactorClusterMessage;

/// The name of the singleton.
const NAME: &str = "chat.guests";

/// The messages of the singleton; they are derived, so that other nodes can call it.
#[derive(Debug, RactorClusterMessage)]
pub enum Guests {
    /// Asks for a name.
    #[rpc]
    Name(RpcReplyPort<String>),
}

/// The behaviour of the singleton.
struct Desk;

impl Actor for Desk {
    type Msg = Guests;
    type State = (SingletonLease, u64);
    type Arguments = SingletonLease;

    async fn pre_start(
        &self,
        _: ActorRef<Guests>,
        lease: SingletonLease,
    ) -> Result<(SingletonLease, u64), ActorProcessingErr> {
        Ok((lease, 0))
    }

    async fn handle(
        &self,
        _: ActorRef<Guests>,
        message: Guests,
        (lease, last): &mut (SingletonLease, u64),
    ) -> Result<(), ActorProcessingErr> {
        let Guests::Name(reply) = message;
        *last += 1;
        // the token of each holder is greater than those before
        Ok(reply.send(format!("guest-{}-{last}", lease.token().0))?)
    }
}

/// The way to the singleton. Its home is at the nodes of one place, the first one by name: so there
/// is one in the whole cluster.
///
/// # Errors
/// As [`Singleton::start`].
pub fn guests(node: &Node) -> std::result::Result<SingletonProxy<Guests>, ToolError> {
    let is_home = node.peers().keys().all(|place| node.place() < place.as_ref());
    if is_home {
        return Singleton::start(node, NAME, |lease| (Desk, lease.clone()));
    }
    SingletonProxy::of(node, NAME)
}
