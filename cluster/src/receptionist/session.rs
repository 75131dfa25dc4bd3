//! The session to which a reference of an actor belongs.

use ractor::ActorId;

/// The number of the session of a remote actor; a local one is newer than all of them.
pub(super) fn session_of(id: ActorId) -> u64 {
    match id {
        ActorId::Local(_) => u64::MAX,
        ActorId::Remote { node_id, .. } => node_id,
    }
}
