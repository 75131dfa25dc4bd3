//! One row of a stream.

use serde::{Deserialize, Serialize};

use super::{Payload, SequenceNr};
use crate::identity::ReplicaId;
use crate::time::Timestamp;
use crate::version::VersionVector;

/// An event as it stands in a replica's stream.
///
/// The sequence number, and `concurrent`, differ from replica to replica; the rest is the same
/// everywhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredEvent {
    /// The position in this replica's stream.
    pub sequence_nr: SequenceNr,
    /// Where the event comes from.
    pub meta: EventMeta,
    /// The encoded event.
    pub payload: Payload,
}

/// The replication metadata of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventMeta {
    /// The replica at which the event was written first.
    pub origin: ReplicaId,
    /// Events by origin that precede or equal this one; `version[origin]` is its own number, dense.
    pub version: VersionVector,
    /// Its sequence number in its origin's journal when it was written: every earlier row there causally precedes it. A journal that went
    /// back numbers anew; the event keeps this number, and at least so many events stand before it.
    pub source_seq: SequenceNr,
    /// Whether the replica had, when the event arrived, events that it does not know. Decided once, at
    /// arrival, and stored, so that replay gives the same flag; always false at the origin.
    pub concurrent: bool,
    /// The time at the origin, of its hybrid clock.
    pub timestamp: Timestamp,
}

impl EventMeta {
    /// The event's number among those of its origin, from one.
    pub fn origin_nr(&self) -> u64 {
        self.version.get(&self.origin)
    }
}
