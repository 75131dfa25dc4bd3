//! Proof that stored values can be read: before an own event, or a snapshot's state, is stored, it
//! is read back in the way of recovery.
//!
//! A read without an error is not enough: if `Serialize` and `Deserialize` of a type do not fit
//! each other, the bytes can be read as another value. So the value that was read is encoded again,
//! and must give the same bytes. Otherwise only the order of elements may differ, and only if the
//! type has no order: entries of a map may have any order, and a sequence counts as a hash set if
//! its order changes from reading to reading. A list that is always read in one other order is
//! another value.

use std::any::type_name;

use antiphon_base::guard;
use serde::Serialize;

use super::shared::Shared;
use crate::codec::{CodecId, PAYLOAD_BYTES_MAX, STATE_BYTES_MAX};
use crate::entity::{EntityCounters, EventSourced};
use crate::event::{MANIFEST_BYTES_MAX, Payload};

/// Most readings of an event to find out whether the order of a sequence is fixed. The order of a
/// hash set of two elements stays by chance once in 2^39 values.
const READINGS_MAX: usize = 40;

/// The payload of an own event, which recovery will read as this event.
///
/// # Errors
/// The reason why it would not, with the type and the remedy.
pub(super) fn event<E: EventSourced>(
    shared: &Shared<E>,
    event: &E::Event,
) -> Result<Payload, String> {
    let proved =
        guard::call("to_journal, from_journal or Serialize of an event", &shared.id, || {
            prove_event(&*shared.behaviour, event)
        });
    let proved = proved.unwrap_or_else(|_| {
        EntityCounters::add(&shared.counters.handler_panics, 1);
        Err(format!(
            "an event of type `{}` is not stored: `event_type`, `to_journal`, `from_journal` or its encoding panicked",
            type_name::<E::Event>()
        ))
    });
    let proved = proved.and_then(|payload| match &shared.shapes {
        Some(shapes) => shapes.admits(&payload).map(|()| payload),
        None => Ok(payload),
    });
    if proved.is_err() {
        EntityCounters::add(&shared.counters.events_rejected, 1);
    }
    proved
}

/// The payload of a state, which recovery will read as this state.
///
/// # Errors
/// The reason why it would not, with the type and the remedy.
pub(super) fn state<E: EventSourced>(
    shared: &Shared<E>,
    state: &E::State,
) -> Result<Payload, String> {
    let bytes_max = shared.limits.snapshot_bytes_max.min(STATE_BYTES_MAX);
    let proved =
        guard::call("to_snapshot, from_snapshot or Serialize of a state", &shared.id, || {
            prove_state(&*shared.behaviour, state, bytes_max)
        });
    proved.unwrap_or_else(|_| {
        EntityCounters::add(&shared.counters.handler_panics, 1);
        Err(format!(
            "a state of type `{}` is not stored: `to_snapshot`, `from_snapshot` or its encoding panicked",
            type_name::<E::State>()
        ))
    })
}

/// An event's payload, or the reason why the event could not be read again.
pub(in crate::entity) fn prove_event<E: EventSourced>(
    behaviour: &E,
    event: &E::Event,
) -> Result<Payload, String> {
    let stored = behaviour.to_journal(event).map_err(|error| error.to_string());
    let named = stored.as_ref().ok().map(|stored| (stored.manifest.clone(), stored.version));
    let proved = stored.and_then(|payload| {
        check_event_form(&payload)?;
        let codec = CodecId::from_stored(payload.codec).map_err(|error| error.to_string())?;
        let read = behaviour.from_journal(&payload).map_err(|error| error.to_string())?;
        let [read] = &*read else {
            return Err(format!("`from_journal` reads {} events: expected this one", read.len()));
        };
        reads_equal(codec, event, read, &payload.bytes, || {
            let read = behaviour.from_journal(&payload).map_err(|error| error.to_string())?;
            read.into_iter().next().ok_or_else(|| "`from_journal` reads no event".to_owned())
        })?;
        Ok(payload)
    });
    proved.map_err(|why| {
        let named = named.filter(|(manifest, _)| manifest.len() <= MANIFEST_BYTES_MAX);
        let kind = named.map(|(manifest, version)| {
            format!(" (manifest {manifest:?}, version {version})")
        });
        let kind = kind.unwrap_or_default();
        format!(
            "an event of type `{}`{kind} is not stored, because it could not be read again: {why}; {}",
            type_name::<E::Event>(),
            remedy("event_codec", behaviour.event_codec())
        )
    })
}

/// Checks the parts of a payload that an adapter can get wrong.
///
/// # Errors
/// The part, its value, and what was expected.
fn check_event_form(payload: &Payload) -> Result<(), String> {
    let (manifest, bytes) = (payload.manifest.len(), payload.bytes.len());
    if manifest > MANIFEST_BYTES_MAX {
        return Err(format!(
            "its manifest is too long: expected at most {MANIFEST_BYTES_MAX} bytes (`MANIFEST_BYTES_MAX`), actual {manifest}: let `event_type` or `to_journal` name the kind of the event, and keep data in the event"
        ));
    }
    if bytes > PAYLOAD_BYTES_MAX {
        return Err(format!(
            "`to_journal` gives {bytes} bytes: expected at most {PAYLOAD_BYTES_MAX} (`PAYLOAD_BYTES_MAX`)"
        ));
    }
    Ok(())
}

/// A state's payload, or the reason why the state could not be read again.
pub(in crate::entity) fn prove_state<E: EventSourced>(
    behaviour: &E,
    state: &E::State,
    bytes_max: usize,
) -> Result<Payload, String> {
    let stored = behaviour.to_snapshot(state).map_err(|error| error.to_string());
    let version = stored.as_ref().map(|payload| payload.version);
    let version = version.unwrap_or_else(|_| behaviour.snapshot_version());
    let proved = stored.and_then(|payload| {
        if payload.bytes.len() > bytes_max {
            let bytes = payload.bytes.len();
            return Err(format!("it has {bytes} bytes: expected at most {bytes_max}"));
        }
        if !payload.manifest.is_empty() {
            let manifest = &payload.manifest;
            return Err(format!("`to_snapshot`: expected no manifest, actual {manifest:?}"));
        }
        let codec = CodecId::from_stored(payload.codec).map_err(|error| error.to_string())?;
        let read = behaviour.from_snapshot(&payload).map_err(|error| error.to_string())?;
        reads_equal(codec, state, &read, &payload.bytes, || {
            behaviour.from_snapshot(&payload).map_err(|error| error.to_string())
        })?;
        Ok(payload)
    });
    proved.map_err(|why| {
        format!(
            "a state of type `{}` (version {version}) is not stored, because it could not be read again: {why}; {}",
            type_name::<E::State>(),
            remedy("snapshot_codec", behaviour.snapshot_codec())
        )
    })
}

/// Checks that `read` equals `written`; `read_again` reads the bytes once more. The error is the
/// reason why it does not. The bytes may be those of another type, to which an adapter has turned
/// the value: then the two values are compared by themselves.
fn reads_equal<T: Serialize>(
    codec: CodecId,
    written: &T,
    read: &T,
    bytes: &[u8],
    read_again: impl Fn() -> Result<T, String>,
) -> Result<(), String> {
    // an adapter may have stored the bytes of another value of the same type
    if codec.is_encoded_as(written, bytes) && codec.is_encoded_as(read, bytes) {
        return Ok(());
    }
    let digest = |value: &T| codec.digest(value).map_err(|error| error.to_string());
    let (written, first) = (digest(written)?, digest(read)?);
    if first.content != written.content {
        return Err(
            "it is read as another value (fields that are written and not read, or in another order?)"
                .to_owned(),
        );
    }
    let mut reordered = first.orders;
    reordered.retain(|content, order| written.orders.get(content) != Some(&*order));
    for _ in 1..READINGS_MAX {
        if reordered.is_empty() {
            return Ok(());
        }
        let again = digest(&read_again()?)?;
        if again.content != written.content {
            return Err("it is read as another value each time".to_owned());
        }
        reordered.retain(|content, order| again.orders.get(content) == Some(&*order));
    }
    Err("it is read as another value (a list in another order, or a set whose order is fixed and not kept?)"
        .to_owned())
}

fn remedy(setting: &str, codec: CodecId) -> String {
    match codec {
        CodecId::Bincode => format!(
            "choose CBOR or JSON (`{setting}`), or give each field and variant the form that bincode can read, or store less at once; an adapter must read what it writes"
        ),
        CodecId::Cbor | CodecId::Json => {
            "let the type be read as it is written, or store less at once; an adapter must read what it writes".to_owned()
        }
    }
}
