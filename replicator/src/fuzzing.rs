//! The decoders of this crate, for the fuzzing in `fuzz`.

use std::time::UNIX_EPOCH;

use antiphon_base::fuzzing::{Bounds, Check, Decoder, round_trip};
use antiphon_persistence::identity::PersistenceId;
use bytes::Bytes;
use uuid::Uuid;

use crate::config::{parse, redact_text, timespan};
use crate::event::Event;
use crate::filter::{Metadata, came_from};
use crate::journal_event::{to_event, to_stored};
use crate::park::ParkedEvent;
pub use crate::transform::fuzzing::HOOK;

/// Configurations.
pub const CONFIGURATION: &[Decoder] = &[
    Decoder {
        name: "replicator_config",
        decode: config,
        seeds: || vec![DITTO.as_bytes().to_vec(), variables().into_bytes()],
        // each unknown key is compared with all known ones, and named in a warning with its path
        bounds: Bounds::new(1 << 20, 4096).with_effort(128),
    },
    Decoder {
        name: "timespan",
        decode: |bytes| {
            let span = timespan::parse(std::str::from_utf8(bytes).ok()?)?;
            let format = |span: &std::time::Duration| timespan::format(*span);
            Some(round_trip(span, format, |text| timespan::parse(&text)))
        },
        seeds: || vec![b"7.01:02:03.4560000".to_vec(), b"7".to_vec()],
        bounds: Bounds::new(4096, 16),
    },
];

/// The content of an event of an event store, and the files of the replicator.
pub const EVENTS: &[Decoder] = &[
    Decoder {
        name: "metadata",
        decode: metadata,
        seeds: || vec![br#"{"$origin":["a","b"],"n": 1.00, "$original":{"x":[]}}"#.to_vec()],
        bounds: Bounds::new(16 * 1024, 256),
    },
    Decoder {
        name: "journal_event",
        decode: |bytes| {
            let stored = to_stored(&event(bytes)).ok()?;
            let id = PersistenceId::parse("c|1|A").expect("an id");
            let encode = move |stored: &_| to_event(&id, Clone::clone(stored)).expect("an event");
            Some(round_trip(stored, encode, |event| to_stored(&event).ok()))
        },
        seeds: || {
            let id = PersistenceId::parse("c|1|A").expect("an id");
            let event = to_event(&id, antiphon_persistence::fuzzing::event(5)).expect("an event");
            vec![event.metadata.to_vec()]
        },
        bounds: Bounds::new(16 * 1024, 128),
    },
    Decoder {
        name: "parked_event",
        decode: |bytes| {
            let parked: ParkedEvent = serde_json::from_slice(bytes).ok()?;
            let event = parked.to_event().ok()?;
            assert!(event.created >= UNIX_EPOCH, "a time after 1970");
            let encode = |parked: &_| serde_json::to_vec(parked).expect("JSON");
            Some(round_trip(parked, encode, |bytes| serde_json::from_slice(&bytes).ok()))
        },
        seeds: || {
            let parked = ParkedEvent {
                reason: "why".into(),
                parked_at: 7,
                stream: "a-1".into(),
                revision: 3,
                event_id: Uuid::from_u128(7),
                event_type: "Created".into(),
                is_json: true,
                data: "e30=".into(),
                metadata: String::new(),
                created: 1_000_000,
                link: Some(4),
            };
            vec![serde_json::to_vec(&parked).expect("JSON")]
        },
        bounds: Bounds::new(16 * 1024, 64),
    },
];

/// An event whose metadata are these bytes.
pub(crate) fn event(metadata: &[u8]) -> Event {
    Event {
        id: Uuid::from_u128(7),
        stream: "a-1".into(),
        revision: 3,
        event_type: "Created".into(),
        is_json: true,
        data: Bytes::from_static(b"{}"),
        metadata: Bytes::copy_from_slice(metadata),
        created: UNIX_EPOCH,
    }
}

fn metadata(bytes: &[u8]) -> Option<Check> {
    let mut metadata = Metadata::parse(bytes).ok()?;
    let _ = came_from(bytes, "berlin");
    metadata.set("$origin", &serde_json::json!(["berlin"]));
    Some(Box::new(move || {
        let written = metadata.to_bytes();
        assert_eq!(came_from(&written, "berlin"), Ok(true), "an origin that was added is found");
        let again = Metadata::parse(&written).expect("metadata that were written are read");
        assert_eq!(again.to_bytes(), written, "and written alike");
    }))
}

/// A word that no input has by chance.
const SECRET: &str = "S3cretPassw0rd";

const DITTO: &str = r#"{
  "Settings": {
    "SourceEventStoreConnectionString": "esdb://admin:changeit@source:2113?tls=false",
    "DestinationEventStoreConnectionString": "esdb://admin:changeit@destination:2113?tls=false",
    "Subscriptions": [ { "StreamName": "$ce-customer", "GroupName": "ditto" } ], // a comment
  }
}"#;

fn variables() -> String {
    let variables = "Metrics__Port=5001\nSettings__Subscriptions__0__StreamName=b\nKinesis__X=1";
    format!("{DITTO}\n---\n{variables}")
}

/// A file, and variables without their prefix below a line `---`. Nothing shows a password.
fn config(bytes: &[u8]) -> Option<Check> {
    let text = std::str::from_utf8(bytes).ok().filter(|text| !text.contains(SECRET))?;
    let (file, variables) = text.split_once("\n---\n").unwrap_or((text, ""));
    let named = variables.lines().filter_map(|line| line.split_once('='));
    let mut variables: Vec<(String, String)> =
        named.map(|(name, value)| (format!("Ditto_{name}"), value.to_owned())).collect();
    let source = "Ditto_Settings__SourceEventStoreConnectionString".to_owned();
    variables.push((source, format!("esdb://admin:{SECRET}@host:2113?tls=false")));
    let shown = match parse(file, variables.clone()) {
        Ok(loaded) => format!("{loaded:?}"),
        Err(error) => error.to_string(),
    };
    assert!(!shown.contains(SECRET), "a password is shown: {shown}");
    assert!(!redact_text(&format!("esdb://a:{SECRET}@{text}")).contains(SECRET));
    variables.pop();
    Some(antiphon_base::fuzzing::nothing_more(parse(file, variables).ok()?))
}
