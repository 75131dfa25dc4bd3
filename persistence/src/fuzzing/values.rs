//! Payloads: a type with every kind of value, in each codec.

use std::collections::BTreeMap;
use std::sync::Arc;

use antiphon_base::fuzzing::{Bounds, Check, Decoder};
use antiphon_base::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::operations::OPERATIONS;
use super::records::{event, labelled};
use crate::codec::CodecId;
use crate::crdt::{Counter, LwwRegister, OrSet, Replicated, StandaloneContext};
use crate::event::StoredEvent;
use crate::identity::{ReplicaId, ReplicationId};
use crate::reply::{Claim, ReplyError, ReplySender, ReplyTo, decode_command};
use crate::version::VersionVector;

/// Payloads of events and states, and commands.
pub const VALUES: &[Decoder] = &[
    Decoder {
        name: "bincode",
        decode: |bytes| value(CodecId::Bincode, bytes),
        seeds: || seeds(CodecId::Bincode),
        // a unit in a list is one byte, and an element of the list in memory
        bounds: Bounds::new(4096, 512),
    },
    Decoder {
        name: "cbor",
        decode: |bytes| value(CodecId::Cbor, bytes),
        seeds: || seeds(CodecId::Cbor),
        bounds: Bounds::new(16 * 1024, 512),
    },
    Decoder {
        name: "json",
        decode: |bytes| value(CodecId::Json, bytes),
        seeds: || seeds(CodecId::Json),
        bounds: Bounds::new(4096, 512),
    },
    Decoder {
        name: "command",
        decode: command,
        seeds: command_seeds,
        bounds: Bounds::new(4096, 256),
    },
    OPERATIONS,
];

/// Every kind of value that serde knows, and the types of events that Antiphon offers.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Value {
    Unit,
    Flag(bool),
    Small(u8, i8, u16, i16),
    Large { a: u32, b: i32, c: u64, d: i64, e: u128, f: i128 },
    Real(f32, f64),
    Letter(char),
    Text(String),
    Bytes(bytes::Bytes),
    Optional(Option<Box<Value>>),
    List(Vec<Value>),
    Entries(BTreeMap<String, Value>),
    Units(Vec<()>),
    Version(VersionVector),
    Event(Box<StoredEvent>),
    Names(ReplicationId, ReplicaId),
    Count(Counter),
    Title(LwwRegister<String>),
    Tags(OrSet<String>),
}

fn replica(name: &str) -> ReplicaId {
    ReplicaId::new(name).expect("a name")
}

fn context() -> StandaloneContext {
    StandaloneContext::new(replica("A"), 1)
}

fn values() -> Vec<Value> {
    let text = || "täxt".to_owned();
    let mut title = LwwRegister::new(text());
    title.apply(&title.set(text(), Timestamp::from_micros(7), &replica("A")), &context());
    let mut tags = OrSet::default();
    tags.apply(&tags.add(text(), &replica("A")), &context());
    tags.apply(&tags.add(text(), &replica("B")), &context());
    let id = ReplicationId::parse("cart|c-1|DC-A").expect("an id");
    vec![
        Value::Unit,
        Value::Flag(true),
        Value::Small(1, -1, 300, -300),
        Value::Large { a: 70_000, b: -70_000, c: 1 << 40, d: -1 << 40, e: 1 << 100, f: -1 << 100 },
        Value::Real(1.5, -2.25),
        Value::Letter('ü'),
        Value::Text(text()),
        Value::Bytes(vec![1, 2, 3].into()),
        Value::Optional(Some(Box::new(Value::Text(text())))),
        Value::Optional(None),
        Value::List(vec![Value::Unit, Value::List(vec![Value::Flag(false)])]),
        Value::Entries([(text(), Value::Flag(true)), ("b".into(), Value::Unit)].into()),
        Value::Units(vec![(); 3]),
        Value::Version([(replica("A"), 3), (replica("B"), 1)].into_iter().collect()),
        Value::Event(Box::new(event(5))),
        Value::Names(id, ReplicaId::empty()),
        Value::Count(Counter::default()),
        Value::Title(title),
        Value::Tags(tags),
        Value::Event(Box::new(labelled(6))),
    ]
}

fn seeds(codec: CodecId) -> Vec<Vec<u8>> {
    values().iter().map(|value| codec.encode(value).expect("a value")).collect()
}

fn value(codec: CodecId, bytes: &[u8]) -> Option<Check> {
    let value: Value = codec.decode(bytes).ok()?;
    Some(Box::new(move || {
        // JSON has no infinite numbers, and its encoder refuses them at the top only
        let Ok(encoded) = codec.encode(&value) else { return };
        if codec == CodecId::Json && has_no_json(&value) {
            return;
        }
        let again: Value = codec.decode(&encoded).expect("an encoded value is read back");
        // the bytes are compared: no number that is none equals itself
        let same = codec.encode(&again).expect("encoded before");
        assert_eq!(same, encoded, "the value is the same");
        assert!(codec.is_encoded_as(&value, &encoded));
        let (one, other) = (codec.digest(&value), codec.digest(&again));
        assert_eq!(one.expect("a digest"), other.expect("a digest"));
    }))
}

/// The value has a number that JSON cannot write.
fn has_no_json(value: &Value) -> bool {
    match value {
        Value::Real(small, large) => !small.is_finite() || !large.is_finite(),
        Value::Optional(inner) => inner.as_deref().is_some_and(has_no_json),
        Value::List(values) => values.iter().any(has_no_json),
        Value::Entries(entries) => entries.values().any(has_no_json),
        Value::Unit
        | Value::Flag(_)
        | Value::Small(..)
        | Value::Large { .. }
        | Value::Letter(_)
        | Value::Text(_)
        | Value::Bytes(_)
        | Value::Units(_)
        | Value::Version(_)
        | Value::Event(_)
        | Value::Names(..)
        | Value::Count(_)
        | Value::Title(_)
        | Value::Tags(_) => false,
    }
}

#[derive(Debug, Serialize, Deserialize)]
enum Command {
    Add { delta: i64, note: Option<String>, reply_to: ReplyTo<i64> },
    Rename(Vec<String>, Vec<ReplyTo<String>>),
}

struct Nobody;

impl ReplySender for Nobody {
    fn send(&self, _id: u64, _answer: Result<bytes::Bytes, ReplyError>) {}
}

fn command(bytes: &[u8]) -> Option<Check> {
    let claim = Claim::unlimited();
    let command: Command = decode_command(bytes, Arc::new(Nobody), &claim).ok()?;
    Some(antiphon_base::fuzzing::nothing_more(command))
}

fn command_seeds() -> Vec<Vec<u8>> {
    // a place for an answer is a number
    let add = (0_u8, -5_i64, Some("note"), 3_u64);
    let rename = (1_u8, ["a", "b"].to_vec(), [0_u64, 1].to_vec());
    let encoded = [CodecId::Bincode.encode(&add), CodecId::Bincode.encode(&rename)];
    encoded.map(|bytes| bytes.expect("a command")).into()
}
