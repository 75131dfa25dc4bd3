//! Commands and other messages on their way to an entity.

use std::sync::Arc;

use antiphon_persistence::entity::PeerHas;
use antiphon_persistence::event::StoredEvent;
use antiphon_persistence::identity::ReplicaId;
use antiphon_persistence::reply::Claim;
use antiphon_persistence::store::ReminderRow;

/// A command on its way to an entity.
pub(crate) struct Envelope<C> {
    pub(crate) entity: Arc<str>,
    pub(crate) command: C,
    pub(crate) hops: u8,
    /// Taken before the command is handed over.
    pub(crate) claim: Claim,
}

/// A message for an entity.
pub(crate) enum Message<C> {
    Command(Envelope<C>),
    /// Events of another replica, sent by direct replication.
    Replicated(Vec<StoredEvent>),
    /// The events that another replica has, told by a journal loop.
    News(PeerHas),
    /// A reminder that is due.
    Reminder(Box<ReminderRow>),
}

/// Takes commands and answers their askers in every case.
pub(super) trait CommandTaker<C>: Send + Sync {
    fn deliver(&self, replica: &ReplicaId, envelope: Envelope<C>);
}
