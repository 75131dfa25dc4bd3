//! What an application holds of one replica of an entity, wherever it lives.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use antiphon_persistence::identity::{ReplicaId, ReplicationId};
use antiphon_persistence::reply::{Claim, ReplyTo, claimed_reply_channel};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::AskError;

/// Takes commands for entities of one type.
pub(crate) trait CommandPort<C>: Send + Sync {
    /// Where the commands of an entity go; it never changes.
    fn index(&self, replica: &ReplicaId, entity: &str) -> Option<usize>;

    /// Takes a command; whoever holds it asks `claim` before it does something with it.
    fn tell(&self, index: usize, entity: Arc<str>, command: C, claim: Claim);

    /// The monotonic time of the node.
    fn now(&self) -> Instant;
}

/// One replica of an entity, on this node or another. Cheap to clone; it stays good when the entity moves.
pub struct EntityRef<C> {
    id: ReplicationId,
    port: Arc<dyn CommandPort<C>>,
    index: usize,
    ask_timeout: Duration,
}

impl<C> Clone for EntityRef<C> {
    fn clone(&self) -> Self {
        Self {
            id: self.id.clone(),
            port: self.port.clone(),
            index: self.index,
            ask_timeout: self.ask_timeout,
        }
    }
}

impl<C: Send + 'static> EntityRef<C> {
    pub(crate) fn new(
        id: ReplicationId,
        port: Arc<dyn CommandPort<C>>,
        ask_timeout: Duration,
    ) -> Self {
        let index = port.index(id.replica_id(), id.entity_id());
        let index = index.expect("the replica was checked by the caller");
        Self { id, port, index, ask_timeout }
    }

    /// Type, entity and replica.
    pub fn replication_id(&self) -> &ReplicationId {
        &self.id
    }

    /// The same with another limit for [`Self::ask`].
    #[must_use]
    pub fn with_ask_timeout(mut self, timeout: Duration) -> Self {
        self.ask_timeout = timeout;
        self
    }

    /// Sends a command, at most once. Commands of one sender to one entity arrive in order while its home stays.
    pub fn tell(&self, command: C) {
        self.port.tell(self.index, self.id.entity_id().clone(), command, Claim::unlimited());
    }

    /// Sends a command with a place for the answer, and waits for that, at most `ask_timeout`. A command that was not handed to the entity
    /// or to another node by then is void: nobody will handle it, and the error is `Expired`. Dropping the future gives the answer up;
    /// the command goes on.
    ///
    /// # Errors
    /// See [`AskError`]; [`AskError::is_without_effect`] tells whether it is safe to send the command again.
    pub async fn ask<R>(&self, command: impl FnOnce(ReplyTo<R>) -> C) -> Result<R, AskError>
    where
        R: Serialize + DeserializeOwned + Send + 'static,
    {
        let claim = Claim::lasting(self.port.now(), self.ask_timeout);
        let (reply_to, reply) = claimed_reply_channel(&claim);
        let entity = self.id.entity_id().clone();
        self.port.tell(self.index, entity, command(reply_to), claim.clone());
        match tokio::time::timeout(self.ask_timeout, reply.wait()).await {
            Ok(answer) => answer.map_err(AskError::from),
            Err(_) if claim.void() => Err(AskError::Expired(format!(
                "nobody took the command within {:?} (`ask_timeout`)",
                self.ask_timeout
            ))),
            Err(_) => Err(AskError::Timeout),
        }
    }
}

impl<C> fmt::Debug for EntityRef<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EntityRef({})", self.id)
    }
}
