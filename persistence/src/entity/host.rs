//! The interface of an entity to its host: the shard, or a test.

use antiphon_base::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::event::{SequenceNr, StoredEvent};
use crate::identity::{ReplicaId, ReplicationId};
use crate::store::Change;
use crate::version::VersionVector;

/// The events that another replica of an entity has, as its journal says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerHas {
    /// The other replica.
    pub replica: ReplicaId,
    /// The highest number of the other replica's stream.
    pub highest: SequenceNr,
    /// The merged versions of its events between `read_to` and `highest`. An entity that has read
    /// the stream up to `read_to`, and has seen all of this version, needs to read nothing more.
    pub seen: VersionVector,
    /// The number up to which `seen` says nothing about the stream; zero: `seen` and what the
    /// entity was told before cover all of it.
    pub read_to: SequenceNr,
}

impl PeerHas {
    /// The news of a page of the change feed of `replica`. The entity may have missed events up to
    /// `read_to`; zero: it answered that it has all events before the page. A change without
    /// versions covers nothing.
    pub fn new(replica: ReplicaId, change: Change, read_to: SequenceNr) -> Self {
        let Change { highest, seen, persistence_id: _ } = change;
        let read_to = if seen.event_count() == 0 { highest } else { read_to };
        Self { replica, highest, seen, read_to }
    }
}

/// The reason why an entity has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StopReason {
    /// A request to stop; the entity has finished the work that it had.
    Drained,
    /// A kill; commands that were not answered yet get an error.
    Killed,
    /// The entity's stream belongs to another writer.
    Fenced(String),
    /// The entity cannot go on, for example because its journal cannot be understood.
    Failed(String),
    /// The entity could not be started: the application's factory failed, or the shapes of its
    /// types were not accepted.
    NotStarted(String),
}

impl StopReason {
    /// The reason in words, for the askers of commands that are not handled.
    pub(super) fn why(&self) -> String {
        match self {
            Self::Drained | Self::Killed => "the entity is stopping".to_owned(),
            Self::Fenced(why) | Self::Failed(why) | Self::NotStarted(why) => why.clone(),
        }
    }
}

/// The first event of another replica that an entity cannot apply here. The event waits, and later
/// events of the same origin wait behind it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldEvent {
    /// The replica at which the event was written first.
    pub origin: ReplicaId,
    /// The event's number among the events of its origin, from one.
    pub number: u64,
    /// The reason why the event cannot be applied.
    pub why: String,
}

/// The host of entities. Calls come from within the entities and must not block.
pub trait EntityHost: Send + Sync + 'static {
    /// Returns whether answers may be let out now. If not, they are withheld, and the asker gets an
    /// error: `Timeout` if the command has stored events, otherwise `Unavailable`, or `Stopped` if
    /// the command had acted before.
    fn may_release(&self) -> bool {
        true
    }

    /// The replicas that must be asked for own events of this replica before the entity takes a
    /// command, because the journal of this place may have gone back. Called before an entity
    /// starts and while it waits; must not take a lock that is held while an entity is started.
    fn doubts(&self, _id: &ReplicationId) -> Vec<ReplicaId> {
        Vec::new()
    }

    /// The doubt is over: the journals of all doubted replicas were read to their ends, and the
    /// events that they had are durable here.
    fn reclaimed(&self, _id: &ReplicationId) {}

    /// Another replica has own events of this replica that the journal of this place has not.
    fn went_back(&self, _id: &ReplicationId) {}

    /// Another replica has an own event of this replica with a number that was used again: the
    /// replicas of the entity differ for ever. Called once in the life of an entity in memory, with
    /// the first such number that was found.
    fn forked(&self, _id: &ReplicationId, _number: u64) {}

    /// Events of this replica are durable.
    fn published(&self, _id: &ReplicationId, _events: &[StoredEvent]) {}

    /// Events of other replicas, written at these times there, are durable here.
    fn received(&self, _id: &ReplicationId, _times: &[Timestamp]) {}

    /// Everything that `replica` had up to `highest` is durable here.
    fn caught_up(&self, _id: &ReplicationId, _replica: &ReplicaId, _highest: SequenceNr) {}

    /// The entity cannot catch up with `replica` up to `highest`, because it holds this event back.
    /// The entity tries again by itself as long as it is at work, and at its next start.
    fn held(
        &self,
        _id: &ReplicationId,
        _replica: &ReplicaId,
        _highest: SequenceNr,
        _held: &HeldEvent,
    ) {
    }

    /// The entity asks to be stopped. A host that returns true keeps the messages for the entity
    /// from now on, and stops the entity itself; after false the entity stops by itself.
    fn passivate(&self, _id: &ReplicationId) -> bool {
        false
    }

    /// The entity has ended, and no append of it is under way any more.
    fn stopped(&self, _id: &ReplicationId, _reason: StopReason) {}

    /// An append was refused because another writer owns the stream.
    fn fenced(&self, _id: &ReplicationId, _error: &Error) {}
}

/// A host that does nothing, for entities without a cluster.
#[derive(Debug, Clone, Copy, Default)]
pub struct StandaloneHost;

impl EntityHost for StandaloneHost {}
