//! Checks an application's types in its tests: every value must be readable from its encoded form,
//! as the same value.
//!
//! The values are made up by reading the types: once with every optional part filled, and once with
//! it empty. A type that refuses made-up values, or that takes values of any type, is checked with
//! values of the application: [`check_event`].
//!
//! ```
//! use antiphon_persistence::entity::testkit::{check_answers, check_commands};
//! use antiphon_persistence::reply::ReplyTo;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Debug, Serialize, Deserialize)]
//! enum Command { Add { delta: i64, reply_to: ReplyTo<i64> } }
//!
//! check_commands::<Command>().unwrap();
//! check_answers::<i64>().unwrap();
//! ```

use std::any::type_name;
use std::sync::Arc;

use antiphon_base::guard;
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::EventSourced;
use super::engine::proof;
use crate::codec::{CodecId, Digest, STATE_BYTES_MAX};
use crate::event::Payload;
use crate::identity::{ReplicaId, ReplicationId};
use crate::reply::{
    Claim, RemoteCompletion, ReplyError, ReplyRegistrar, ReplySender, decode_command,
    encode_command, with_sender,
};
use crate::shape::samples;

/// Most problems that one error names.
const PROBLEMS_MAX: usize = 5;

/// Readings of a stored event that must be the same.
const READINGS: usize = 3;

/// Checks that the events and the state of a behaviour are read back as the same values, with
/// made-up values of each variant. Call it in a test of the application: a value that fails here
/// would be refused when the first such event is persisted, or a snapshot would not be stored.
///
/// # Errors
/// The values that cannot be read, with the type and the remedy.
pub fn check_stored<E: EventSourced>(behaviour: &E) -> Result<(), String> {
    let mut problems = Vec::new();
    let is_readable = behaviour.event_codec() == CodecId::Json;
    let any = samples(is_readable, |event: E::Event| {
        problems.extend(proof::prove_event(behaviour, &event).err());
    });
    problems.extend(not_of_any_type::<E::Event>(any, behaviour.event_codec()));
    let initial = initial_state(behaviour);
    problems.extend(initial.as_ref().err().cloned());
    let mut state = |state: &E::State| {
        problems.extend(proof::prove_state(behaviour, state, STATE_BYTES_MAX).err());
    };
    if let Ok(initial) = &initial {
        state(initial);
    }
    let is_readable = behaviour.snapshot_codec() == CodecId::Json;
    let any = samples(is_readable, |made_up: E::State| state(&made_up));
    problems.extend(not_of_any_type::<E::State>(any, behaviour.snapshot_codec()));
    all(problems)
}

/// The state before the first event of an entity named `example`.
fn initial_state<E: EventSourced>(behaviour: &E) -> Result<E::State, String> {
    let id = ReplicationId::new("example", "example", ReplicaId::empty());
    let id = id.map_err(|error| error.to_string())?;
    let made = guard::call("initial_state", &id, || behaviour.initial_state(&id));
    made.map_err(|failure| format!("{failure} for `{id}`"))
}

/// Checks that one event of a behaviour is read back as the same value.
///
/// # Errors
/// The reason why not, with the type and the remedy.
pub fn check_event<E: EventSourced>(behaviour: &E, event: &E::Event) -> Result<(), String> {
    proof::prove_event(behaviour, event).map(drop)
}

/// Reads a stored event of an earlier release, as recovery does. Call it in a test of the
/// application with bytes that were kept when the release was current: they are the only proof that
/// an adapter reads what is in journals.
///
/// ```
/// # use antiphon_persistence::codec::CodecId;
/// # use antiphon_persistence::entity::{CommandContext, Effect, EventContext, EventSourced};
/// use antiphon_persistence::entity::testkit::check_adapter;
/// use antiphon_persistence::event::Payload;
///
/// # struct Account;
/// # impl EventSourced for Account {
/// #     type Command = u64;
/// #     type Event = u64;
/// #     type State = u64;
/// #     fn on_command(&self, _: &CommandContext, _: &u64, cents: u64) -> Effect<Self> {
/// #         Effect::persist(cents)
/// #     }
/// #     fn on_event(&self, _: &EventContext, sum: &mut u64, cents: &u64) { *sum += cents; }
/// # }
/// let bytes = b"700".as_slice().into();
/// let kept = Payload { codec: CodecId::Json as u8, manifest: "".into(), version: 1, bytes };
/// assert_eq!(check_adapter(&Account, &kept), Ok(vec![700]));
/// ```
///
/// # Errors
/// The reason why the event cannot be read, or that it is read as other events the next time.
pub fn check_adapter<E: EventSourced>(
    behaviour: &E,
    stored: &Payload,
) -> Result<Vec<E::Event>, String> {
    let (manifest, version) = (&stored.manifest, stored.version);
    let named = |why: &str| format!("an event (manifest {manifest:?}, version {version}): {why}");
    let read = || {
        let read = guard::call("from_journal", &manifest, || behaviour.from_journal(stored));
        read.map_err(|failure| named(&failure.to_string()))?
            .map_err(|error| named(&error.to_string()))
    };
    let digests = |events: &[E::Event]| {
        let digests = events.iter().map(|event| CodecId::Cbor.digest(event));
        let digests: crate::Result<Vec<_>> = digests.collect();
        digests.map_err(|error| named(&error.to_string()))
    };
    let events = read()?;
    let contents = |digests: &[Digest]| -> Vec<_> { digests.iter().map(|it| it.content).collect() };
    let first = contents(&digests(&events)?);
    for _ in 1..READINGS {
        if contents(&digests(&read()?)?) != first {
            return Err(named(
                "`from_journal` reads other events each time: let them depend on nothing but the payload",
            ));
        }
    }
    Ok(events)
}

/// Checks that commands can go to another node, with made-up ones of each variant.
///
/// # Errors
/// The reason why not, with the type.
pub fn check_commands<C: Serialize + DeserializeOwned>() -> Result<(), String> {
    let mut problems = Vec::new();
    let any = with_sender(Arc::new(Nobody), || {
        samples(false, |command: C| problems.extend(round_trip(&command).err()))
    });
    problems.extend(not_of_any_type::<C>(any, CodecId::Bincode));
    all(problems)
}

/// Checks that answers of a type can come back from another node, with made-up ones of each
/// variant.
///
/// # Errors
/// The reason why not, with the type.
pub fn check_answers<R: Serialize + DeserializeOwned>() -> Result<(), String> {
    check_commands::<R>()
}

fn round_trip<C: Serialize + DeserializeOwned>(command: &C) -> Result<(), String> {
    let encode = |command: &C| encode_command(command, Arc::new(Nobody));
    let bytes = encode(command).map_err(|error| between_nodes::<C>(&error.to_string()))?;
    let read: C = decode_command(&bytes, Arc::new(Nobody), &Claim::unlimited())
        .map_err(|error| between_nodes::<C>(&error.to_string()))?;
    match encode(&read) {
        // a made-up sequence has one element at most, so that its order is fixed
        Ok(again) if again == bytes => Ok(()),
        Ok(_) => Err(between_nodes::<C>("it is read as another value")),
        Err(error) => Err(between_nodes::<C>(&error.to_string())),
    }
}

fn between_nodes<C>(why: &str) -> String {
    format!("a value of type `{}` cannot go to another node: {why}", type_name::<C>())
}

fn not_of_any_type<T>(any: bool, codec: CodecId) -> Option<String> {
    (any && codec == CodecId::Bincode).then(|| {
        format!(
            "type `{}` takes values of any type somewhere (`untagged`, `tag`, `flatten`, `serde_json::Value`), which bincode cannot read: choose CBOR or JSON for events and states, and another type for commands and answers",
            type_name::<T>()
        )
    })
}

fn all(mut problems: Vec<String>) -> Result<(), String> {
    problems.sort();
    problems.dedup();
    problems.truncate(PROBLEMS_MAX);
    if problems.is_empty() { Ok(()) } else { Err(problems.join("\n")) }
}

/// The receiver of answers to made-up commands; it drops them.
struct Nobody;

impl ReplyRegistrar for Nobody {
    fn register(&self, _completion: RemoteCompletion) -> u64 {
        0
    }
}

impl ReplySender for Nobody {
    fn send(&self, _id: u64, _answer: Result<Bytes, ReplyError>) {}
}
