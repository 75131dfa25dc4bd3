//! A record: Ditto's envelope.
//!
//! ```text
//! {"stream_id":"customer-1","event_id":"..","event_number":0,"event_type":"CustomerCreated",
//!  "event_timestamp":"2020-01-01T10:00:00.1234567Z","replicated_on":"2020-01-01T10:00:01Z",
//!  "data":{..},"metadata":{..}}
//! ```
//!
//! Data and metadata are kept as written when they are JSON. Empty ones are absent, and anything
//! else is base64, followed by `"data_encoding":"base64"` or `"metadata_encoding":"base64"`. Ditto
//! pasted the bytes as they were, so that empty metadata and binary data made records that no
//! consumer could read.

use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::Value;
use serde_json::value::RawValue;
use xxhash_rust::xxh64::xxh64;

use crate::event::Event;
use crate::logging::iso_timestamp;

/// The longest partition key that the service takes, in characters.
pub const PARTITION_KEY_CHARS_MAX: usize = 256;

/// The record of one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The partition key; decides the shard.
    pub key: String,
    /// The envelope as JSON.
    pub data: Bytes,
}

impl Record {
    /// The record of an event that is sent at `replicated_on`.
    pub fn new(event: &Event, replicated_on: SystemTime) -> Self {
        let text = |text: &str| Value::from(text).to_string();
        let mut data = format!(
            r#"{{"stream_id":{},"event_id":"{}","event_number":{},"event_type":{},"event_timestamp":"{}","replicated_on":"{}""#,
            text(&event.stream),
            event.id.hyphenated(),
            event.revision,
            text(&event.event_type),
            iso_timestamp(event.created),
            iso_timestamp(replicated_on),
        );
        part(&mut data, "data", &event.data);
        part(&mut data, "metadata", &event.metadata);
        data.push('}');
        Self { key: partition_key(&event.stream), data: data.into() }
    }

    /// Bytes that the service counts against its limits.
    pub fn size(&self) -> u64 {
        u64::try_from(self.key.len() + self.data.len()).unwrap_or(u64::MAX)
    }
}

fn part(out: &mut String, name: &str, bytes: &[u8]) {
    if bytes.is_empty() {
        return;
    }
    match serde_json::from_slice::<&RawValue>(bytes) {
        Ok(raw) => *out += &format!(r#","{name}":{}"#, raw.get()),
        Err(_) => {
            let encoded = STANDARD.encode(bytes);
            *out += &format!(r#","{name}":"{encoded}","{name}_encoding":"base64""#);
        }
    }
}

/// The stream's name, or a hash of it when the service would refuse it as too long or empty.
pub fn partition_key(stream: &str) -> String {
    if (1..=PARTITION_KEY_CHARS_MAX).contains(&stream.chars().count()) {
        return stream.to_owned();
    }
    format!("xxh64:{:016x}", xxh64(stream.as_bytes(), 0))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn event(data: &[u8], metadata: &[u8]) -> Event {
        Event {
            id: Uuid::from_u128(0x5f5b_2b9e_7d6c_4e0f_9a8b_0123_4567_89ab),
            event_type: "CustomerCreated".into(),
            data: Bytes::copy_from_slice(data),
            metadata: Bytes::copy_from_slice(metadata),
            created: UNIX_EPOCH + Duration::new(1_577_872_800, 123_456_700),
            ..Event::example("customer-1", 3, "")
        }
    }

    fn record(event: &Event) -> Record {
        Record::new(event, UNIX_EPOCH + Duration::from_secs(1_577_872_801))
    }

    #[test]
    fn records_are_those_of_the_golden_files() {
        for (golden, data, metadata) in [
            (
                include_str!("golden/json.json"),
                &br#"{"name":"Ada","n":1.00}"#[..],
                &br#"{"$correlationId":"7"}"#[..],
            ),
            (include_str!("golden/empty.json"), b"", b""),
            (include_str!("golden/empty_metadata.json"), b"{}", b""),
            (include_str!("golden/binary.json"), b"\x00\xff\xfe", b"not json"),
        ] {
            let record = record(&event(data, metadata));
            assert_eq!(std::str::from_utf8(&record.data).unwrap(), golden.trim_end());
            let _: Value = serde_json::from_slice(&record.data).unwrap();
            assert_eq!(record.key, "customer-1");
        }
    }

    #[test]
    fn names_are_escaped() {
        let mut strange = event(b"{}", b"");
        strange.stream = "a\"\\\n\u{1}".into();
        let parsed: Value = serde_json::from_slice(&record(&strange).data).unwrap();
        assert_eq!(parsed["stream_id"], "a\"\\\n\u{1}");
    }

    #[test]
    fn a_key_that_the_service_would_refuse_is_hashed_and_stays_the_same() {
        let long = "ä".repeat(256);
        assert_eq!(partition_key(&long), long);
        let longer = "ä".repeat(257);
        assert_eq!(partition_key(&longer), "xxh64:e36086e9a88820f2");
        assert_ne!(partition_key(&longer), partition_key(&"b".repeat(257)));
        assert!(!partition_key("").is_empty());
    }

    proptest! {
        #[test]
        fn a_record_is_valid_json_whatever_the_event_holds(
            data in proptest::collection::vec(any::<u8>(), 0..40), stream in ".{0,20}", event_type in ".{0,20}",
        ) {
            let mut event = event(&data, &data);
            event.stream = stream.clone().into();
            event.event_type = event_type.into();
            let parsed: Value = serde_json::from_slice(&record(&event).data).unwrap();
            prop_assert_eq!(&parsed["stream_id"], &Value::from(stream));
            prop_assert_eq!(parsed.get("data").is_none(), data.is_empty());
        }

        #[test]
        fn json_is_found_again_as_it_was(text in "[{}\\[\\],:\"a1 ]{1,12}") {
            if let Ok(value) = serde_json::from_str::<Value>(&text) {
                let parsed: Value = serde_json::from_slice(&record(&event(text.as_bytes(), b"")).data).unwrap();
                prop_assert_eq!(&parsed["data"], &value);
            }
        }
    }
}
