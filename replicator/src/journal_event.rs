//! An event of an Antiphon journal as an event of a stream, and back without loss.
//!
//! | event           | stored event |
//! |-----------------|--------------|
//! | `stream`        | persistence id |
//! | `revision`      | sequence number - 1 |
//! | `event_type`    | manifest; `event` when it is empty |
//! | `data`          | the payload's bytes |
//! | `is_json`       | true when the payload's codec is JSON |
//! | `id`            | hash of persistence id, origin and origin's number: always the same |
//! | `metadata`      | JSON `{"antiphon": {codec, manifest, version, meta}}`, for the way back |
//!
//! The user's metadata and the tags are the `labels` of `meta`.
//!
//! Only events that came from a journal can go into a journal: a stream of an event store knows
//! neither an entity type nor versions.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use antiphon_persistence::codec::CodecId;
use antiphon_persistence::event::{EventMeta, Payload, SequenceNr, StoredEvent};
use antiphon_persistence::identity::PersistenceId;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use xxhash_rust::xxh64::xxh64;

use crate::event::Event;
use crate::{Error, Result};

#[derive(Debug, Serialize, Deserialize)]
struct Metadata {
    antiphon: Header,
}

#[derive(Debug, Serialize, Deserialize)]
struct Header {
    codec: u8,
    manifest: Arc<str>,
    version: u16,
    meta: EventMeta,
}

/// Makes the event of a stream that stands for a stored event.
///
/// # Errors
/// `Bug` when the metadata cannot be written as JSON.
pub(crate) fn to_event(id: &PersistenceId, stored: StoredEvent) -> Result<Event> {
    let revision = stored.sequence_nr.value().saturating_sub(1);
    let manifest = stored.payload.manifest.clone();
    let created = UNIX_EPOCH + Duration::from_micros(stored.meta.timestamp.as_micros());
    let identity = format!("{id} {} {}", stored.meta.origin, stored.meta.origin_nr());
    let header = Header {
        codec: stored.payload.codec,
        manifest: manifest.clone(),
        version: stored.payload.version,
        meta: stored.meta,
    };
    let metadata = serde_json::to_vec(&Metadata { antiphon: header }).map_err(|error| {
        Error::bug(format!("event #{revision} of `{id}` cannot be described as JSON"))
            .with_source(error)
    })?;
    Ok(Event {
        id: Uuid::from_u64_pair(xxh64(identity.as_bytes(), 1), xxh64(identity.as_bytes(), 2)),
        stream: id.as_str().into(),
        revision,
        event_type: if manifest.is_empty() { "event".into() } else { manifest },
        is_json: stored.payload.codec == CodecId::Json as u8,
        data: stored.payload.bytes,
        metadata: Bytes::from(metadata),
        created,
    })
}

/// Makes the stored event again from an event made by [`to_event`].
///
/// # Errors
/// `Rejected` when the event does not come from a journal.
pub(crate) fn to_stored(event: &Event) -> Result<StoredEvent> {
    let metadata: Metadata = serde_json::from_slice(&event.metadata).map_err(|error| {
        let (revision, stream) = (event.revision, &event.stream);
        Error::rejected(format!(
            "event #{revision} of `{stream}` does not come from an Antiphon journal: expected metadata `{{\"antiphon\": ..}}`"
        ))
        .with_source(error)
    })?;
    let Header { codec, manifest, version, meta } = metadata.antiphon;
    Ok(StoredEvent {
        sequence_nr: SequenceNr::new(event.revision.saturating_add(1)),
        meta,
        payload: Payload { codec, manifest, version, bytes: event.data.clone() },
    })
}

/// Microseconds since 1970, as files store a time; zero for an earlier time.
pub(crate) fn micros(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use antiphon_base::time::Timestamp;
    use antiphon_persistence::event::{Labels, Metadata, Tags};
    use antiphon_persistence::identity::ReplicaId;

    use super::*;

    fn stored(labels: Labels) -> StoredEvent {
        let origin = ReplicaId::new("A").unwrap();
        StoredEvent {
            sequence_nr: SequenceNr::new(7),
            meta: EventMeta {
                version: [(origin.clone(), 7)].into_iter().collect(),
                origin,
                source_seq: SequenceNr::new(7),
                concurrent: false,
                timestamp: Timestamp::from_micros(1),
                labels,
            },
            payload: Payload { codec: 1, manifest: "m".into(), version: 1, bytes: "x".into() },
        }
    }

    #[test]
    fn an_event_comes_back_from_the_way_with_its_metadata_and_tags() {
        let id = PersistenceId::parse("cart|c-1|A").unwrap();
        let metadata = Metadata::new().with("k", "v").unwrap();
        let labels = Labels::new(metadata, Tags::from(["t"])).unwrap();
        for stored in [stored(Labels::none()), stored(labels)] {
            let event = to_event(&id, stored.clone()).unwrap();
            assert_eq!(to_stored(&event).unwrap(), stored);
        }
    }

    #[test]
    fn the_metadata_of_an_event_without_labels_never_changes() {
        let id = PersistenceId::parse("cart|c-1|A").unwrap();
        let event = to_event(&id, stored(Labels::none())).unwrap();
        let golden = concat!(
            r#"{"antiphon":{"codec":1,"manifest":"m","version":1,"meta":{"origin":"A","#,
            r#""version":[["A",7]],"source_seq":7,"concurrent":false,"timestamp":1}}}"#
        );
        assert_eq!(event.metadata, golden);
    }
}
