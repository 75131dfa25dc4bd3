//! The messages of sharding, as a program that lies writes them.

use antiphon_base::time::{Clock, SystemClock, Timestamp};
use antiphon_persistence::codec::CodecId;
use antiphon_persistence::event::{EventMeta, Labels, Payload, SequenceNr, StoredEvent};
use antiphon_persistence::identity::ReplicaId;
use antiphon_persistence::version::VersionVector;
use antiphon_runtime::NodeId;
use antiphon_sharding::ShardId;
use antiphon_sharding::coordinator::{Home, Homes, HomesVersion};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::world::{Event, replica};

/// A message of the service `SHARDING`, with the same bytes as the message of a node.
#[derive(Debug, Serialize)]
pub(crate) enum Message {
    Homes {
        entity_type: String,
        place: String,
        homes: Homes,
    },
    AskHomes {
        entity_type: String,
        known: HomesVersion,
        asker: u8,
    },
    ShardStopped {
        entity_type: String,
        shard: ShardId,
        id: HomesVersion,
    },
    Replicate {
        entity_type: String,
        entity_id: String,
        replica: ReplicaId,
        events: Vec<StoredEvent>,
    },
    WayOpened {
        entity_type: String,
        shard: ShardId,
        from: ReplicaId,
    },
}

/// The answer to `AskHomes`.
#[derive(Debug, Deserialize)]
pub(crate) enum Answer {
    NotCoordinator,
    Unchanged,
    Changed(Homes),
}

impl Message {
    pub(crate) fn encode(&self) -> Bytes {
        CodecId::Bincode.encode(self).unwrap().into()
    }

    /// The homes of all four shards of a place at one node.
    pub(crate) fn homes(place: &str, token: u64, change: u64, node: &str) -> Self {
        let home = Home::At(NodeId::new(node, 1).unwrap());
        let homes = (0..4).map(|number| (shard(place, number), home.clone())).collect();
        let homes = Homes { version: HomesVersion { token, change }, homes };
        Self::Homes { entity_type: "counter".into(), place: place.into(), homes }
    }

    pub(crate) fn ask_homes() -> Self {
        let known = HomesVersion::default();
        Self::AskHomes { entity_type: "counter".into(), known, asker: 0 }
    }

    /// Events for the replica `to` of a counter.
    pub(crate) fn replicate(entity_id: &str, to: &str, events: Vec<StoredEvent>) -> Self {
        let (entity_type, replica) = ("counter".into(), replica(to));
        Self::Replicate { entity_type, entity_id: entity_id.into(), replica, events }
    }
}

pub(crate) fn shard(place: &str, number: u16) -> ShardId {
    ShardId { replica: replica(place), number }
}

/// An event that adds 1000, as the replica `origin` would write it as its first one.
pub(crate) fn forged(origin: &str) -> StoredEvent {
    StoredEvent {
        sequence_nr: SequenceNr::new(1),
        meta: EventMeta {
            origin: replica(origin),
            version: VersionVector::from_iter([(replica(origin), 1)]),
            source_seq: SequenceNr::new(1),
            concurrent: false,
            timestamp: SystemClock.wall(),
            labels: Labels::none(),
        },
        payload: Payload {
            codec: 1,
            manifest: "".into(),
            version: 1,
            bytes: CodecId::Bincode.encode(&Event::Added { delta: 1000 }).unwrap().into(),
        },
    }
}

/// The same event with another time.
pub(crate) fn at(time: Timestamp, mut event: StoredEvent) -> StoredEvent {
    event.meta.timestamp = time;
    event
}
