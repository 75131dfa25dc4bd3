//! Sequences and maps with a bound of elements. A few bytes of a message can become a much larger
//! value in memory, so that the length of the message alone is no bound.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use antiphon_persistence::event::StoredEvent;
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// Most events in one message; more events are sent in several messages.
pub(crate) const EVENTS_MAX: usize = 1024;

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

/// Reads a map of at most `max` entries; `expected` names such a map.
pub(crate) fn map<'de, D, K, V>(
    from: D,
    max: usize,
    expected: &'static str,
) -> Result<BTreeMap<K, V>, D::Error>
where
    D: Deserializer<'de>,
    K: Deserialize<'de> + Ord,
    V: Deserialize<'de>,
{
    struct Entries<K, V> {
        max: usize,
        expected: &'static str,
        read: PhantomData<(K, V)>,
    }

    impl<'de, K: Deserialize<'de> + Ord, V: Deserialize<'de>> Visitor<'de> for Entries<K, V> {
        type Value = BTreeMap<K, V>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.expected)
        }

        fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Self::Value, A::Error> {
            let mut entries = BTreeMap::new();
            while let Some((key, value)) = from.next_entry()? {
                if entries.len() == self.max {
                    return Err(A::Error::invalid_length(self.max + 1, &self));
                }
                entries.insert(key, value);
            }
            Ok(entries)
        }
    }

    from.deserialize_map(Entries { max, expected, read: PhantomData })
}

#[cfg(test)]
mod tests {
    use antiphon_base::time::Timestamp;
    use antiphon_persistence::codec::CodecId;
    use antiphon_persistence::event::{EventMeta, Labels, Payload, SequenceNr};
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
                labels: Labels::none(),
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
    #[test]
    fn a_map_of_more_entries_than_allowed_is_refused() {
        let read = |count: u8| {
            let entries: BTreeMap<u8, u8> = (0..count).map(|key| (key, key)).collect();
            let text = serde_json::to_string(&entries).unwrap();
            let mut from = serde_json::Deserializer::from_str(&text);
            map::<_, u8, u8>(&mut from, 2, "at most 2 bytes")
        };
        assert_eq!(read(2).unwrap().len(), 2);
        let error = read(3).unwrap_err().to_string();
        assert!(error.contains("at most 2 bytes"), "{error}");
    }
}
