//! Appends of one small event.

use std::sync::Arc;

use antiphon_base::time::Timestamp;
use antiphon_persistence::event::{EventMeta, Labels, Payload, SequenceNr, StoredEvent};
use antiphon_persistence::identity::{PersistenceId, ReplicaId};
use antiphon_persistence::store::Append;
use bytes::Bytes;

/// The id of a stream of the type `cart`.
pub(crate) fn id(name: &str) -> PersistenceId {
    PersistenceId::parse(format!("cart|{name}|A")).expect("as the test expects")
}

/// The append of one event with the given number.
pub(crate) fn append(name: &str, number: u64) -> Append {
    let origin = ReplicaId::new("A").expect("as the test expects");
    let event = StoredEvent {
        sequence_nr: SequenceNr::new(number),
        meta: EventMeta {
            origin: origin.clone(),
            version: [(origin, number)].into_iter().collect(),
            source_seq: SequenceNr::new(number),
            concurrent: false,
            timestamp: Timestamp::from_micros(1),
            labels: Labels::none(),
        },
        payload: Payload {
            codec: 1,
            manifest: Arc::from(""),
            version: 1,
            bytes: Bytes::from_static(b"event"),
        },
    };
    let expected = SequenceNr::new(number - 1);
    Append { persistence_id: id(name), expected, events: vec![event] }
}
