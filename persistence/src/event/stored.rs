//! A row of a stream.

use antiphon_base::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Labels, Payload, SequenceNr};
use crate::identity::ReplicaId;
use crate::version::VersionVector;

/// An event as it stands in a replica's stream.
///
/// The sequence nr and `concurrent` differ from replica to replica; the rest is the same
/// everywhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredEvent {
    /// The position in this replica's stream.
    pub sequence_nr: SequenceNr,
    /// The replication metadata, and the labels.
    pub meta: EventMeta,
    /// The encoded event.
    pub payload: Payload,
}

/// The replication metadata of an event, and its labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventMeta {
    /// The replica at which the event was written first.
    pub origin: ReplicaId,
    /// Per origin, the number of events that precede or equal this event; `version[origin]` is the
    /// event's own number, dense.
    pub version: VersionVector,
    /// The event's sequence nr in its origin's journal when it was written: every earlier row there
    /// causally precedes the event. A journal that went back to an earlier state numbers anew; the
    /// event keeps this number, and at least as many events stand before it.
    pub source_seq: SequenceNr,
    /// True when the replica, at the arrival of the event, already had events that the event does
    /// not know. Decided once, at arrival, and stored, so that replay gives the same flag; always
    /// false at the origin.
    pub concurrent: bool,
    /// The time of the origin's hybrid clock.
    pub timestamp: Timestamp,
    /// The user's metadata and the tags, the same at every replica. An event that has neither is
    /// written in the form of the time before there were labels.
    pub labels: Labels,
}

impl EventMeta {
    /// The event's number among those of its origin, from one.
    pub fn origin_nr(&self) -> u64 {
        self.version.get(&self.origin)
    }
}
