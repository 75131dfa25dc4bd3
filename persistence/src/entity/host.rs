//! What an entity needs from whoever runs it: the shard, or a test.

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::event::{SequenceNr, StoredEvent};
use crate::identity::{ReplicaId, ReplicationId};
use crate::time::Timestamp;
use crate::version::VersionVector;

/// What another replica of an entity has, as its journal says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerHas {
    /// The other replica.
    pub replica: ReplicaId,
    /// It has events up to this number of its own stream.
    pub highest: SequenceNr,
    /// The merged versions of the newest of them: who has seen all of it needs to read nothing.
    pub seen: VersionVector,
}

/// Why an entity is not there any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StopReason {
    /// It was asked to, and has finished what it had.
    Drained,
    /// It was killed; what it had not answered is not answered.
    Killed,
    /// Its stream belongs to another writer.
    Fenced(String),
    /// It cannot go on: its journal cannot be understood.
    Failed(String),
    /// It could not be started: the application's factory failed.
    NotStarted(String),
}

/// The first event of another replica that an entity cannot apply here. It waits, and those of its origin after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldEvent {
    /// Where the event was written first.
    pub origin: ReplicaId,
    /// Its number among the events of its origin, from one.
    pub number: u64,
    /// Why it cannot be applied.
    pub why: String,
}

/// Who runs entities. Calls come from within the entities and must not block.
pub trait EntityHost: Send + Sync + 'static {
    /// Whether answers may be let out now. When not, they are withheld: the asker learns nothing and the outcome is unknown to it.
    fn may_release(&self) -> bool {
        true
    }

    /// The replicas that must be asked for events of this one before the entity takes a command, because the journal of this place may
    /// have gone back. Asked before an entity starts and while it waits; must not take a lock that is held while one is started.
    fn doubts(&self, _id: &ReplicationId) -> Vec<ReplicaId> {
        Vec::new()
    }

    /// All replicas that were doubted have been read to their ends, and what they had is durable.
    fn reclaimed(&self, _id: &ReplicationId) {}

    /// Another replica has events of this one that the journal has not.
    fn went_back(&self, _id: &ReplicationId) {}

    /// Another replica has an own event of this one with a number that was used again: the replicas
    /// of the entity differ for ever. Told once in the life of an entity in memory; the number is
    /// the first one that was found.
    fn forked(&self, _id: &ReplicationId, _number: u64) {}

    /// Events of this replica are durable.
    fn published(&self, _id: &ReplicationId, _events: &[StoredEvent]) {}

    /// Events of other replicas, written at these times there, are durable here.
    fn received(&self, _id: &ReplicationId, _times: &[Timestamp]) {}

    /// Everything that `replica` had up to `highest` is durable here.
    fn caught_up(&self, _id: &ReplicationId, _replica: &ReplicaId, _highest: SequenceNr) {}

    /// The entity cannot catch up with what `replica` has up to `highest`, because it holds this event back. It tries again by itself as
    /// long as it is at work, and at its next start.
    fn held(
        &self,
        _id: &ReplicationId,
        _replica: &ReplicaId,
        _highest: SequenceNr,
        _held: &HeldEvent,
    ) {
    }

    /// The entity asks to be stopped. A host that does so itself, after it has begun to keep what comes for the entity, returns true;
    /// otherwise the entity stops by itself.
    fn passivate(&self, _id: &ReplicationId) -> bool {
        false
    }

    /// The entity is gone.
    fn stopped(&self, _id: &ReplicationId, _reason: StopReason) {}

    /// An append was refused because another writer owns the stream.
    fn fenced(&self, _id: &ReplicationId, _error: &Error) {}
}

/// A host that does nothing: for entities without a cluster.
#[derive(Debug, Clone, Copy, Default)]
pub struct StandaloneHost;

impl EntityHost for StandaloneHost {}
