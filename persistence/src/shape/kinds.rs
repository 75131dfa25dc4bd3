//! The shapes of a behaviour's events, by manifest and version, and of its state.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::form::Shape;
use super::tracer::trace;
use crate::codec::CodecId;
use crate::entity::{EventSourced, EventType};

/// A shape as a codec sees it: some types write themselves in other ways for people.
#[derive(Debug, Clone)]
pub(super) struct Shapes {
    binary: Shape,
    readable: Shape,
}

impl Shapes {
    pub(super) fn of(&self, codec: CodecId) -> &Shape {
        match codec {
            CodecId::Bincode | CodecId::Cbor => &self.binary,
            CodecId::Json => &self.readable,
        }
    }
}

/// What is stored under one manifest and version.
#[derive(Debug, Clone)]
pub struct Kind {
    pub(super) is_state: bool,
    pub(super) manifest: String,
    pub(super) version: u16,
    pub(super) shapes: Shapes,
    /// The type's name in the program.
    pub(super) type_name: &'static str,
}

/// All that a behaviour stores.
#[derive(Debug, Clone)]
pub struct Kinds {
    pub(super) known: Vec<Kind>,
    /// For events of a kind that no made-up event had.
    pub(super) any_event: Shapes,
    pub(super) event_type_name: &'static str,
}

impl Kinds {
    /// The kind of an event or a state that is stored under a manifest or version which the behaviour
    /// did not name when the type started.
    pub(super) fn of_other_version(&self, is_state: bool, manifest: &str, version: u16) -> Kind {
        let state = self.known.iter().find(|kind| kind.is_state);
        let (shapes, type_name) = match state {
            Some(state) if is_state => (&state.shapes, state.type_name),
            Some(_) | None => (&self.any_event, self.event_type_name),
        };
        let (manifest, shapes) = (manifest.to_owned(), shapes.clone());
        Kind { is_state, manifest, version, shapes, type_name }
    }
}

/// Finds out the kinds of events that a behaviour writes, with their shapes, and its state's. Calls `event_type` with made-up events.
pub fn kinds<E: EventSourced>(behaviour: &E) -> Kinds {
    let mut found = BTreeMap::<(String, u16), BTreeSet<Option<u32>>>::new();
    let mut sample = |event: E::Event, variant: Option<u32>| {
        let kind = catch_unwind(AssertUnwindSafe(|| behaviour.event_type(&event)));
        if let Ok(EventType { manifest, version }) = kind {
            found.entry((manifest.to_string(), version)).or_default().insert(variant);
        }
    };
    let any_event =
        Shapes { binary: trace(false, &mut sample), readable: trace(true, |_: E::Event, _| {}) };
    let event_type_name = std::any::type_name::<E::Event>();
    let is_one = found.len() == 1;
    let mut known: Vec<Kind> = found
        .into_iter()
        .map(|((manifest, version), variants)| {
            // a variant that could not be made up belongs to the only kind that there is
            let keep =
                |index| is_one || variants.contains(&Some(index)) || variants.contains(&None);
            let shapes = Shapes {
                binary: any_event.binary.restricted(keep),
                readable: any_event.readable.restricted(keep),
            };
            Kind { is_state: false, manifest, version, shapes, type_name: event_type_name }
        })
        .collect();
    known.push(Kind {
        is_state: true,
        manifest: String::new(),
        version: behaviour.snapshot_version(),
        shapes: Shapes {
            binary: trace(false, |_: E::State, _| {}),
            readable: trace(true, |_: E::State, _| {}),
        },
        type_name: std::any::type_name::<E::State>(),
    });
    Kinds { known, any_event, event_type_name }
}
