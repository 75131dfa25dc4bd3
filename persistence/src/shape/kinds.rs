//! The shapes of a behaviour's events, by manifest and version, and of its state, with examples of
//! each where the behaviour's codec has names.

use std::any::type_name;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use antiphon_base::guard;
use bytes::Bytes;

use super::samples::{Sample, Samples};
use super::tracer::MadeOf;
use super::types::{Shapes, StoredType, StoredTypes, shapes};
use crate::codec::{CodecId, PAYLOAD_BYTES_MAX};
use crate::entity::{EventSourced, EventType};
use crate::event::Payload;

/// The events or states that are stored under one manifest and version.
#[derive(Debug, Clone)]
pub struct Kind {
    pub(super) is_state: bool,
    pub(super) manifest: String,
    pub(super) version: u16,
    pub(super) shapes: Shapes,
    /// Examples in the codec of the kind.
    samples: Samples,
    codec: CodecId,
    /// The type's name in the program.
    pub(super) type_name: &'static str,
}

impl Kind {
    /// Examples in a codec; none for a codec other than the kind's.
    pub(super) fn samples(&self, codec: CodecId) -> Samples {
        if codec == self.codec { self.samples.clone() } else { Samples::default() }
    }
}

/// Reads a stored event, or the state of a snapshot, as recovery does; an error says why it cannot.
type Read = Arc<dyn Fn(&Payload) -> Result<(), String> + Send + Sync>;

/// All kinds of events and states that a behaviour stores.
#[derive(Clone)]
pub struct Kinds {
    pub(super) known: Vec<Kind>,
    /// The shapes for events of a kind that no made-up event had.
    any_event: Shapes,
    pub(super) event_type_name: &'static str,
    read_event: Read,
    read_state: Read,
}

impl fmt::Debug for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Kinds").field(&self.known).finish()
    }
}

impl Kinds {
    /// Returns whether the kind of event was found when the type started.
    pub(super) fn has_event(&self, manifest: &str, version: u16) -> bool {
        let is_it = |kind: &Kind| kind.manifest == manifest && kind.version == version;
        self.known.iter().any(|kind| !kind.is_state && is_it(kind))
    }

    /// The kind of an event or a state that is stored under a manifest or version which the
    /// behaviour did not name when the type started.
    pub(super) fn of_other_version(&self, is_state: bool, manifest: &str, version: u16) -> Kind {
        let state = self.known.iter().find(|kind| kind.is_state);
        let (shapes, type_name) = match state {
            Some(state) if is_state => (&state.shapes, state.type_name),
            Some(_) | None => (&self.any_event, self.event_type_name),
        };
        let (manifest, shapes) = (manifest.to_owned(), shapes.clone());
        let (samples, codec) = (Samples::default(), CodecId::default());
        Kind { is_state, manifest, version, shapes, samples, codec, type_name }
    }

    /// Reads a stored value of a kind.
    ///
    /// # Errors
    /// The reason why the value cannot be read.
    pub(super) fn read(&self, kind: &Kind, codec: CodecId, bytes: Bytes) -> Result<(), String> {
        let stored = payload(codec, &kind.manifest, kind.version, bytes);
        if kind.is_state { (self.read_state)(&stored) } else { (self.read_event)(&stored) }
    }
}

fn payload(codec: CodecId, manifest: &str, version: u16, bytes: Bytes) -> Payload {
    Payload { codec: codec as u8, manifest: manifest.into(), version, bytes }
}

/// The events of one kind, as far as they could be made up.
#[derive(Default)]
struct Found {
    variants: BTreeSet<Option<u32>>,
    samples: Samples,
    codec: CodecId,
    /// True when an adapter stores another form than the event's own.
    is_adapted: bool,
}

/// Finds out the kinds of events that a behaviour writes, with their shapes, and its state's. Calls
/// `to_journal` and `to_snapshot` with made-up values, and `from_journal` and `from_snapshot` with
/// their stored forms. An adapter that stores another form than the value's own hides the shape,
/// unless `stored_types` names the type.
pub fn kinds<E: EventSourced>(behaviour: &Arc<E>) -> Kinds {
    let read_event = reader::<E, _>("from_journal", behaviour, |behaviour, payload| {
        behaviour.from_journal(payload).map(drop)
    });
    let read_state = reader::<E, _>("from_snapshot", behaviour, |behaviour, payload| {
        behaviour.from_snapshot(payload).map(drop)
    });
    let codec = guard::call("event_codec", &type_name::<E>(), || behaviour.event_codec());
    let types = guard::call("stored_types", &type_name::<E>(), || behaviour.stored_types());
    let (codec, types) = (codec.unwrap_or_default(), types.unwrap_or_default());
    let (mut any_event, found) = events(&**behaviour, codec, &read_event);
    if found.values().any(|found| found.is_adapted) {
        any_event = Shapes::default();
    }
    let event_type_name = type_name::<E::Event>();
    let is_one = found.len() == 1;
    let known = found.into_iter().map(|((manifest, version), found)| {
        let Found { variants, samples, codec, is_adapted } = found;
        // a variant that could not be made up belongs to the only kind, if there is only one
        let keep = |index| is_one || variants.contains(&Some(index)) || variants.contains(&None);
        let (shapes, samples, type_name) = match types.find(false, &manifest, version) {
            Some(stored) => of_stored(stored, codec, &read_event),
            None if is_adapted => (Shapes::default(), Samples::default(), event_type_name),
            None => (any_event.restricted(keep), samples, event_type_name),
        };
        Kind { is_state: false, manifest, version, shapes, samples, codec, type_name }
    });
    let mut known: Vec<Kind> = known.collect();
    known.extend(state(&**behaviour, &types, &read_state));
    Kinds { known, any_event, event_type_name, read_event, read_state }
}

fn reader<E: EventSourced, R>(what: &'static str, behaviour: &Arc<E>, read: R) -> Read
where
    R: Fn(&E, &Payload) -> crate::Result<()> + Send + Sync + 'static,
{
    let behaviour = behaviour.clone();
    Arc::new(move |payload| {
        let read = guard::call(what, &type_name::<E>(), || read(&behaviour, payload));
        match read {
            Ok(read) => read.map_err(|error| error.to_string()),
            Err(failure) => Err(failure.to_string()),
        }
    })
}

/// The shapes of all events, and the findings by manifest and version.
fn events<E: EventSourced>(
    behaviour: &E,
    codec: CodecId,
    read: &Read,
) -> (Shapes, BTreeMap<(String, u16), Found>) {
    let subject = type_name::<E::Event>();
    let mut found = BTreeMap::<(String, u16), Found>::new();
    let mut sample = |is_first: bool, is_example: bool, event: E::Event, made_of: MadeOf| {
        let _ = guard::call("to_journal, Serialize or Drop of a made-up event", &subject, || {
            let stored = behaviour.to_journal(&event).ok();
            let kind = match &stored {
                Some(stored) => (stored.manifest.to_string(), stored.version),
                None => {
                    let EventType { manifest, version } = behaviour.event_type(&event);
                    (manifest.to_string(), version)
                }
            };
            if is_first {
                found.entry(kind.clone()).or_default().variants.insert(made_of.variant);
            }
            if let (Some(found), Some(stored)) = (found.get_mut(&kind), stored) {
                found.codec = CodecId::from_stored(stored.codec).unwrap_or(codec);
                found.is_adapted |= !found.codec.is_encoded_as(&event, &stored.bytes);
                if is_example {
                    keep(&mut found.samples, &stored, made_of, read);
                }
            }
            drop(event);
        });
    };
    let shapes = shapes(codec, |is_first, codec, event, made_of| {
        sample(is_first, codec != CodecId::Bincode, event, made_of);
    });
    (shapes, found)
}

/// The kind of the state; `None` when the behaviour has no version for it.
fn state<E: EventSourced>(behaviour: &E, types: &StoredTypes, read: &Read) -> Option<Kind> {
    let type_name = type_name::<E::State>();
    let named = guard::call("snapshot_version or snapshot_codec", &type_name, || {
        (behaviour.snapshot_version(), behaviour.snapshot_codec())
    });
    let (mut version, mut codec) = named.ok()?;
    let (mut samples, mut is_adapted) = (Samples::default(), false);
    let shapes = shapes(codec, |_, example, state: E::State, made_of| {
        let _ =
            guard::call("to_snapshot, Serialize or Drop of a made-up state", &type_name, || {
                if let Ok(stored) = behaviour.to_snapshot(&state) {
                    version = stored.version;
                    codec = CodecId::from_stored(stored.codec).unwrap_or(codec);
                    is_adapted |= !codec.is_encoded_as(&state, &stored.bytes);
                    if example != CodecId::Bincode {
                        keep(&mut samples, &stored, made_of, read);
                    }
                }
                drop(state);
            });
    });
    let (shapes, samples, type_name) = match types.find(true, "", version) {
        Some(stored) => of_stored(stored, codec, read),
        None if is_adapted => (Shapes::default(), Samples::default(), type_name),
        None => (shapes, samples, type_name),
    };
    let manifest = String::new();
    Some(Kind { is_state: true, manifest, version, shapes, samples, codec, type_name })
}

/// The shapes of a type that an adapter stores, with examples in this codec, and its name.
fn of_stored(stored: &StoredType, codec: CodecId, read: &Read) -> (Shapes, Samples, &'static str) {
    let mut samples = Samples::default();
    let shapes = stored.shapes(codec, |bytes, made_of| {
        let encoded = payload(codec, &stored.manifest, stored.version, bytes.into());
        keep(&mut samples, &encoded, made_of, read);
    });
    (shapes, samples, stored.type_name)
}

/// Keeps the stored form of a made-up value as an example, if this release can read it again.
fn keep(samples: &mut Samples, stored: &Payload, made_of: MadeOf, read: &Read) {
    let Some(variants) = made_of.names else { return };
    if stored.codec == CodecId::Bincode as u8 || stored.bytes.len() > PAYLOAD_BYTES_MAX {
        return;
    }
    let Some(sample) = Sample::new(&stored.bytes, variants) else { return };
    if read(stored).is_ok() {
        // the first ones show each variant; later ones may find no room
        samples.add(sample);
    }
}
