//! Messages about homes, and events of other replicas. Encoded by bincode with its standard
//! configuration; variants are only ever added at the end.

use std::sync::Arc;

use antiphon_persistence::codec::CodecId;
use antiphon_persistence::event::StoredEvent;
use antiphon_persistence::identity::ReplicaId;
use antiphon_persistence::store::ReminderRow;
use antiphon_runtime::{NodeId, Result};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::bounded;
use crate::ShardId;
use crate::coordinator::{Homes, HomesVersion, MoveId};

/// A message between the sharding of two nodes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Wire {
    /// The homes of one place have changed.
    Homes { entity_type: Arc<str>, place: Arc<str>, homes: Homes },
    /// A region asks a coordinator for homes newer than its own. Answered by [`HomesAnswer`].
    AskHomes { entity_type: Arc<str>, known: HomesVersion, asker: Asker },
    /// The old home of a shard has stopped it.
    ShardStopped { entity_type: Arc<str>, shard: ShardId, id: MoveId },
    /// Durable events of another replica of an entity.
    Replicate {
        entity_type: Arc<str>,
        entity_id: Arc<str>,
        /// The replica that gets the events.
        replica: ReplicaId,
        #[serde(deserialize_with = "bounded::events")]
        events: Vec<StoredEvent>,
    },
    /// The way of direct replication from the replica `from` to a shard is open, after events may
    /// have been lost on it.
    WayOpened { entity_type: Arc<str>, shard: ShardId, from: ReplicaId },
    /// A region asks whether a node is connected to another node. Answered by [`ReachAnswer`].
    AskReach { entity_type: Arc<str>, node: NodeId },
    /// A reminder of an entity of the receiver is due.
    ReminderDue { entity_type: Arc<str>, row: ReminderRow },
}

/// The region that asks for homes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Asker {
    /// A region that hosts no shards of the place.
    Proxy,
    /// A region that can host shards of the place, and makes itself known to the coordinator.
    Host,
}

/// The answer to [`Wire::AskReach`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ReachAnswer {
    NotConnected,
    Connected,
}

impl ReachAnswer {
    pub(crate) fn encode(self) -> Bytes {
        encode(&self)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        decode(bytes)
    }
}

/// The answer to [`Wire::AskHomes`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum HomesAnswer {
    NotCoordinator,
    Unchanged,
    Changed(Homes),
}

impl Wire {
    pub(crate) fn encode(&self) -> Bytes {
        encode(self)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        decode(bytes)
    }
}

impl HomesAnswer {
    pub(crate) fn encode(&self) -> Bytes {
        encode(self)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        decode(bytes)
    }
}

fn encode<T: Serialize>(value: &T) -> Bytes {
    CodecId::Bincode.encode(value).expect("these types have nothing that cannot be encoded").into()
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    CodecId::Bincode.decode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coordinator::Home;

    #[test]
    fn messages_have_these_bytes_and_are_read_back() {
        let shard = ShardId { replica: ReplicaId::new("A").unwrap(), number: 3 };
        let version = HomesVersion { token: 1, change: 2 };
        let home = Home::At(NodeId::new("n", 4).unwrap());
        let homes = Homes { version, homes: [(shard.clone(), home)].into() };
        let message = Wire::Homes { entity_type: "t".into(), place: "A".into(), homes };
        assert_eq!(Wire::decode(&message.encode()).unwrap(), message);

        let stopped = Wire::ShardStopped { entity_type: "t".into(), shard, id: version };
        assert_eq!(&stopped.encode()[..], [2, 1, b't', 1, b'A', 3, 1, 2]);
        assert_eq!(Wire::decode(&stopped.encode()).unwrap(), stopped);
    }

    #[test]
    fn bad_bytes_are_an_error() {
        for bytes in [&[][..], &[9], &[2, 1], &[2, 1, b't', 1, b'A', 3, 1, 2, 0]] {
            assert!(Wire::decode(bytes).is_err(), "{bytes:?}");
        }
    }
}
