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
use std::cell::Cell;

use antiphon_base::guard;
use bytes::Bytes;
use serde::Serialize;

use super::shared::Shared;
use crate::codec::{CodecId, PAYLOAD_BYTES_MAX, STATE_BYTES_MAX};
use crate::entity::{EntityCounters, EventSourced, EventType};
use crate::event::{MANIFEST_BYTES_MAX, Payload};

/// Most memory that a thread keeps for encoding.
const SCRATCH_BYTES_MAX: usize = 16 * 1024;

/// Most readings of an event to find out whether the order of a sequence is fixed. The order of a
/// hash set of two elements stays by chance once in 2^39 values.
const READINGS_MAX: usize = 40;

thread_local! {
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// The payload of an own event, which recovery will read as this event.
///
/// # Errors
/// The reason why it would not, with the type and the remedy.
pub(super) fn event<E: EventSourced>(
    shared: &Shared<E>,
    event: &E::Event,
) -> Result<Payload, String> {
    let proved =
        guard::call("event_type, from_journal or Serialize of an event", &shared.id, || {
            prove_event(&*shared.behaviour, event)
        });
    let proved = proved.unwrap_or_else(|_| {
        EntityCounters::add(&shared.counters.handler_panics, 1);
        Err(format!(
            "an event of type `{}` is not stored: `event_type`, `from_journal` or its encoding panicked",
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
    let proved = guard::call("from_snapshot or Serialize of a state", &shared.id, || {
        prove_state(&*shared.behaviour, state, bytes_max)
    });
    proved.unwrap_or_else(|_| {
        EntityCounters::add(&shared.counters.handler_panics, 1);
        Err(format!(
            "a state of type `{}` is not stored: `from_snapshot` or its encoding panicked",
            type_name::<E::State>()
        ))
    })
}

/// An event's payload, or the reason why the event could not be read again.
pub(in crate::entity) fn prove_event<E: EventSourced>(
    behaviour: &E,
    event: &E::Event,
) -> Result<Payload, String> {
    let codec = behaviour.event_codec();
    let EventType { manifest, version } = behaviour.event_type(event);
    if manifest.len() > MANIFEST_BYTES_MAX {
        return Err(format!(
            "an event of type `{}` is not stored, because its manifest is too long: expected at most {MANIFEST_BYTES_MAX} bytes (`MANIFEST_BYTES_MAX`), actual {}; let `event_type` name the kind of the event, and keep data in the event",
            type_name::<E::Event>(),
            manifest.len()
        ));
    }
    let payload = encode(codec, event, PAYLOAD_BYTES_MAX).map(|bytes| Payload {
        codec: codec as u8,
        manifest: manifest.clone(),
        version,
        bytes,
    });
    let proved = payload.and_then(|payload| {
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
        format!(
            "an event of type `{}` (manifest {manifest:?}, version {version}) is not stored, because it could not be read again: {why}; {}",
            type_name::<E::Event>(),
            remedy("event_codec", codec)
        )
    })
}

/// A state's payload, or the reason why the state could not be read again.
pub(in crate::entity) fn prove_state<E: EventSourced>(
    behaviour: &E,
    state: &E::State,
    bytes_max: usize,
) -> Result<Payload, String> {
    let (codec, version) = (behaviour.snapshot_codec(), behaviour.snapshot_version());
    let payload = encode(codec, state, bytes_max).map(|bytes| Payload {
        codec: codec as u8,
        manifest: "".into(),
        version,
        bytes,
    });
    let proved = payload.and_then(|payload| {
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
            remedy("snapshot_codec", codec)
        )
    })
}

/// Encodes in memory that the thread keeps, so that a small value costs one allocation of its size.
fn encode<T: Serialize>(codec: CodecId, value: &T, bytes_max: usize) -> Result<Bytes, String> {
    let encoded =
        codec.encode_into(SCRATCH.take(), value, bytes_max).map_err(|error| error.to_string())?;
    if encoded.capacity() > SCRATCH_BYTES_MAX {
        return Ok(Bytes::from(encoded));
    }
    let bytes = Bytes::copy_from_slice(&encoded);
    SCRATCH.set(encoded);
    Ok(bytes)
}

/// Checks that `read` equals `written`; `read_again` reads the bytes once more. The error is the
/// reason why it does not.
fn reads_equal<T: Serialize>(
    codec: CodecId,
    written: &T,
    read: &T,
    bytes: &[u8],
    read_again: impl Fn() -> Result<T, String>,
) -> Result<(), String> {
    if codec.is_encoded_as(read, bytes) {
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
            "choose CBOR or JSON (`{setting}`), or give each field and variant the form that bincode can read, or store less at once"
        ),
        CodecId::Cbor | CodecId::Json => {
            "let the type be read as it is written, or store less at once".to_owned()
        }
    }
}
