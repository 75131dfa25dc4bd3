//! Values through their codecs and back: a value that is read as another one is a mistake in the
//! application's types, and the test fails with the type, the value and the difference.

use std::any::type_name;
use std::fmt::{Debug, Write as _};
use std::sync::Arc;

use antiphon_base::guard;
use bytes::Bytes;
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec::{CodecId, PAYLOAD_BYTES_MAX, STATE_BYTES_MAX};
use crate::entity::EventSourced;
use crate::entity::engine::proof;
use crate::event::Metadata;
use crate::record::bytes::Reader;
use crate::record::labels;
use crate::reply::{
    Claim, RemoteCompletion, ReplyError, ReplyRegistrar, ReplySender, decode_command,
    encode_claimed_command,
};

/// Most characters of a value before and behind its first difference.
const AROUND: usize = 60;

/// A command as another node would read it, with the desk for its answers.
pub(super) struct Passed<C> {
    pub(super) command: C,
    pub(super) desk: Arc<Desk>,
}

/// The way of commands to the entity: through the codec, as between two nodes.
pub(super) type Encoding<C> = fn(C, &Claim) -> Result<Passed<C>, String>;

/// Sends a command through the codec.
///
/// # Errors
/// The type, the command and the difference, when it cannot be encoded or is read as another one.
pub(super) fn between_nodes<C>(command: C, claim: &Claim) -> Result<Passed<C>, String>
where
    C: Serialize + DeserializeOwned + Debug,
{
    let written = format!("{command:?}");
    let fault = |why: String| {
        format!(
            "a command of type `{}` cannot go to another node: {why}; the command is {written}; mend the type, or send a command that never leaves its node with `tell_local`",
            type_name::<C>()
        )
    };
    let first = pass(&command, claim).map_err(&fault)?;
    drop(command);
    let read = format!("{:?}", first.command);
    if let Some(difference) = difference(&written, &read) {
        return Err(fault(format!("it is read as another value: {difference}")));
    }
    // again: a `Debug` of the application may hide a difference
    claim.forget_places();
    let second = pass(&first.command, claim).map_err(&fault)?;
    if is_reordered(&first.bytes, &second.bytes) {
        return Ok(Passed { command: second.command, desk: first.desk });
    }
    Err(fault(format!("it is read as another value: {read}")))
}

struct Pass<C> {
    command: C,
    bytes: Vec<u8>,
    desk: Arc<Desk>,
}

fn pass<C: Serialize + DeserializeOwned>(command: &C, claim: &Claim) -> Result<Pass<C>, String> {
    let desk = Arc::new(Desk::default());
    let bytes = encode_claimed_command(command, claim, desk.clone());
    let bytes = bytes.map_err(|error| error.to_string())?;
    let command = decode_command(&bytes, desk.clone(), claim);
    Ok(Pass { command: command.map_err(|error| error.to_string())?, bytes, desk })
}

/// The askers of the commands of one encoding, with the answers that have come.
#[derive(Default)]
pub(super) struct Desk {
    askers: Mutex<Vec<Option<RemoteCompletion>>>,
    answers: Mutex<Vec<Bytes>>,
}

impl ReplyRegistrar for Desk {
    fn register(&self, completion: RemoteCompletion) -> u64 {
        let mut askers = self.askers.lock();
        askers.push(Some(completion));
        askers.len() as u64 - 1
    }
}

impl ReplySender for Desk {
    fn send(&self, id: u64, answer: Result<Bytes, ReplyError>) {
        if let Ok(bytes) = &answer {
            self.answers.lock().push(bytes.clone());
        }
        let index = usize::try_from(id).unwrap_or(usize::MAX);
        let asker = self.askers.lock().get_mut(index).and_then(Option::take);
        if let Some(asker) = asker {
            asker(answer);
        }
    }
}

impl Desk {
    /// The mistake in the type of an answer, as the asker has got it.
    pub(super) fn fault<R: Serialize + Debug>(
        &self,
        answer: &Result<R, ReplyError>,
    ) -> Option<String> {
        let why = match answer {
            Ok(answer) => {
                let again = CodecId::Bincode.encode(answer).ok()?;
                let sent = self.answers.lock();
                if sent.is_empty() || sent.iter().any(|bytes| is_reordered(bytes, &again)) {
                    return None;
                }
                format!("it is read as another value: {answer:?}")
            }
            Err(ReplyError::Unanswered(why)) if is_about_the_codec(why) => why.clone(),
            Err(_) => return None,
        };
        Some(format!(
            "an answer of type `{}` cannot go to another node: {why}; mend the type",
            type_name::<R>()
        ))
    }
}

/// Returns whether the error of an ask says that its answer could not be encoded or read.
fn is_about_the_codec(why: &str) -> bool {
    why.starts_with("value cannot be encoded") || why.starts_with("the answer cannot be read")
}

/// The mistake in the type of an event, if it is read as another one. An event that cannot be
/// encoded at all is left to the engine, which refuses it.
pub(super) fn event_fault<E: EventSourced>(behaviour: &E, event: &E::Event) -> Option<String> {
    let shown = |why: &str| format!("{why}; the event is {event:?}");
    let codec = behaviour.event_codec();
    let payload = match proof::prove_event(behaviour, event) {
        Ok(payload) => payload,
        Err(_) if codec.encode_within(event, PAYLOAD_BYTES_MAX).is_err() => return None,
        Err(why) => return Some(shown(&why)),
    };
    let read = behaviour.from_journal(&payload).ok()?;
    // replay reads a field that is skipped in both directions as another value
    let difference = difference(&format!("{event:?}"), &format!("{:?}", read.first()?))?;
    Some(format!(
        "an event of type `{}` is read from the journal as another value: {difference}; `on_event` would get that value at each restart; mend the type, or leave the check out with `without_codec_checks`",
        type_name::<E::Event>()
    ))
}

/// The mistake in the type of a state, if a snapshot of it could not be read again. A state that
/// cannot be encoded is a mistake too: the entity would never have a snapshot.
pub(super) fn state_fault<E: EventSourced>(behaviour: &E, state: &E::State) -> Option<String> {
    let proved = guard::call("from_snapshot or Serialize of a state", &"a test", || {
        proof::prove_state(behaviour, state, STATE_BYTES_MAX)
    });
    let why = proved.unwrap_or_else(|failure| Err(failure.to_string())).err()?;
    let shown = guard::call("Serialize of a state", &"a test", || show(state));
    let shown = shown.unwrap_or_else(|failure| failure.to_string());
    Some(format!(
        "{why}; the state is {shown}; an entity that never has a snapshot leaves the check out with `without_snapshots`"
    ))
}

/// A value of which nothing is known but its form.
fn show<T: Serialize>(value: &T) -> String {
    match serde_json::to_string(value) {
        Ok(text) => text,
        // keys that are no texts
        Err(_) => ciborium::Value::serialized(value)
            .map_or_else(|error| error.to_string(), |value| format!("{value:?}")),
    }
}

/// The metadata as it is read from its record.
///
/// # Panics
/// Panics when it is read as other metadata, which is a bug of this project.
pub(super) fn metadata(metadata: &Metadata) -> Metadata {
    let mut bytes = Vec::new();
    labels::put_metadata(&mut bytes, metadata);
    let read = labels::get_metadata(&mut Reader(&bytes));
    assert_eq!(read.as_ref(), Ok(metadata), "metadata is read as it was written: report this bug");
    read.unwrap_or_default()
}

/// The first difference of two texts; `None` when one has the characters of the other in another
/// order, as sets of the same elements have.
pub(super) fn difference(expected: &str, actual: &str) -> Option<String> {
    if expected == actual || is_reordered(expected.as_bytes(), actual.as_bytes()) {
        return None;
    }
    let same = expected.chars().zip(actual.chars()).take_while(|(a, b)| a == b).count();
    let around = |text: &str| {
        let begin = same.saturating_sub(AROUND);
        let mut cut = String::new();
        if begin > 0 {
            cut.push_str("..");
        }
        let end = text.chars().count();
        cut.extend(text.chars().skip(begin).take(same - begin + AROUND));
        if end > same + AROUND {
            let _ = write!(cut, "..");
        }
        cut
    };
    Some(format!("expected `{}`, actual `{}`", around(expected), around(actual)))
}

/// Returns whether two values have the same bytes, in any order.
fn is_reordered(one: &[u8], other: &[u8]) -> bool {
    if one == other {
        return true;
    }
    let sorted = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        bytes.sort_unstable();
        bytes
    };
    one.len() == other.len() && sorted(one) == sorted(other)
}
