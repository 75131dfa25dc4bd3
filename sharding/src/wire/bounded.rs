//! Sequences and maps with a bound of elements. A few bytes of a message can become a much larger
//! value in memory, so that the length of the message alone is no bound.

use std::collections::BTreeMap;
use std::fmt;

use antiphon_persistence::event::StoredEvent;
use serde::Deserializer;
use serde::de::{Error, MapAccess, SeqAccess, Visitor};

use crate::ShardId;
use crate::coordinator::Home;

/// Most events in one message; more events are sent in several messages.
pub(crate) const EVENTS_MAX: usize = 1024;
/// Most homes of shards in one message.
const HOMES_MAX: usize = 65_536;

/// Reads at most [`EVENTS_MAX`] events.
pub(crate) fn events<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<StoredEvent>, D::Error> {
    struct Events;

    impl<'de> Visitor<'de> for Events {
        type Value = Vec<StoredEvent>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "at most {EVENTS_MAX} events")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Self::Value, A::Error> {
            let mut events = Vec::new();
            while let Some(event) = from.next_element()? {
                if events.len() == EVENTS_MAX {
                    return Err(A::Error::invalid_length(EVENTS_MAX + 1, &self));
                }
                events.push(event);
            }
            Ok(events)
        }
    }

    from.deserialize_seq(Events)
}

/// Reads the homes of at most 65,536 shards.
pub(crate) fn homes<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<BTreeMap<ShardId, Home>, D::Error> {
    struct Homes;

    impl<'de> Visitor<'de> for Homes {
        type Value = BTreeMap<ShardId, Home>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "the homes of at most {HOMES_MAX} shards")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Self::Value, A::Error> {
            let mut homes = BTreeMap::new();
            while let Some((shard, home)) = from.next_entry()? {
                if homes.len() == HOMES_MAX {
                    return Err(A::Error::invalid_length(HOMES_MAX + 1, &self));
                }
                homes.insert(shard, home);
            }
            Ok(homes)
        }
    }

    from.deserialize_map(Homes)
}

#[cfg(test)]
mod tests {
    use antiphon_base::time::Timestamp;
    use antiphon_persistence::codec::CodecId;
    use antiphon_persistence::event::{EventMeta, Payload, SequenceNr};
    use antiphon_persistence::identity::ReplicaId;
    use antiphon_persistence::version::VersionVector;

    use super::*;

    #[derive(Debug, serde::Deserialize)]
    struct BoundedEvents(#[serde(deserialize_with = "events")] Vec<StoredEvent>);

    #[test]
    fn more_events_than_a_message_may_have_are_refused() {
        let event = StoredEvent {
            sequence_nr: SequenceNr::new(1),
            meta: EventMeta {
                origin: ReplicaId::new("A").unwrap(),
                version: VersionVector::new(),
                source_seq: SequenceNr::new(1),
                concurrent: false,
                timestamp: Timestamp::default(),
            },
            payload: Payload {
                codec: 1,
                manifest: "e".into(),
                version: 1,
                bytes: bytes::Bytes::from_static(b"x"),
            },
        };
        let read = |count: usize| {
            let bytes = CodecId::Bincode.encode(&vec![event.clone(); count]).unwrap();
            CodecId::Bincode.decode::<BoundedEvents>(&bytes).map(|events| events.0.len())
        };
        assert_eq!(read(EVENTS_MAX).unwrap(), EVENTS_MAX);
        let error = read(EVENTS_MAX + 1).unwrap_err().to_string();
        assert!(error.contains("at most 1024 events"), "{error}");
    }
}
