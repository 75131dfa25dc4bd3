//! The shapes of one type, and the types that a behaviour stores in place of its events and its
//! state.

use std::any::type_name;
use std::fmt;

use antiphon_base::guard;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::form::Shape;
use super::tracer::{MadeOf, trace};
use crate::codec::{CodecId, PAYLOAD_BYTES_MAX};

/// A shape as a codec sees it: some types write themselves differently for people.
#[derive(Debug, Clone, Default)]
pub(super) struct Shapes {
    pub(super) binary: Shape,
    pub(super) readable: Shape,
}

impl Shapes {
    pub(super) fn of(&self, codec: CodecId) -> &Shape {
        match codec {
            CodecId::Bincode | CodecId::Cbor => &self.binary,
            CodecId::Json => &self.readable,
        }
    }

    /// The shapes with only these variants of the outermost enum.
    pub(super) fn restricted(&self, keep: impl Fn(u32) -> bool) -> Self {
        Self { binary: self.binary.restricted(&keep), readable: self.readable.restricted(&keep) }
    }
}

/// The shapes of a type. `sample` gets the values that are made up for them, and some whose
/// optional parts are empty. With each value it gets a flag that is true in the first trace of the
/// type, and the codec in which the value can be an example: bincode needs none.
pub(super) fn shapes<T: DeserializeOwned>(
    codec: CodecId,
    mut sample: impl FnMut(bool, CodecId, T, MadeOf),
) -> Shapes {
    let of = |human_readable: bool| {
        if human_readable == (codec == CodecId::Json) { codec } else { CodecId::Bincode }
    };
    let shapes = Shapes {
        binary: trace(false, false, |value, made_of| sample(true, of(false), value, made_of)),
        readable: trace(true, false, |value, made_of| sample(false, of(true), value, made_of)),
    };
    if codec != CodecId::Bincode {
        let human_readable = codec == CodecId::Json;
        trace(human_readable, true, |value, made_of| sample(false, codec, value, made_of));
    }
    shapes
}

/// The types that an adapter stores in place of the event or the state, by manifest and version.
///
/// ```
/// use antiphon_persistence::shape::StoredTypes;
///
/// let events = StoredTypes::new().event::<u64>("paid", 1).event::<String>("paid", 2);
/// assert!(!events.state::<u64>(2).is_empty());
/// ```
#[derive(Clone, Default)]
pub struct StoredTypes {
    types: Vec<StoredType>,
}

/// One stored type.
#[derive(Clone)]
pub(super) struct StoredType {
    pub(super) is_state: bool,
    pub(super) manifest: String,
    pub(super) version: u16,
    pub(super) type_name: &'static str,
    trace: fn(CodecId, Keep<'_>) -> Shapes,
}

/// Takes a made-up value with its encoded form.
type Keep<'a> = &'a mut dyn FnMut(Vec<u8>, MadeOf);

impl StoredType {
    fn of<T>(is_state: bool, manifest: String, version: u16) -> Self
    where
        T: Serialize + DeserializeOwned,
    {
        let trace = |codec: CodecId, keep: Keep<'_>| {
            shapes::<T>(codec, |_, codec, value, made_of| {
                let subject = type_name::<T>();
                let what = "Serialize or Drop of a made-up value";
                let encoded = guard::call(what, &subject, || {
                    let encoded = codec.encode_within(&value, PAYLOAD_BYTES_MAX);
                    drop(value);
                    encoded
                });
                if let Ok(Ok(bytes)) = encoded {
                    keep(bytes, made_of);
                }
            })
        };
        Self { is_state, manifest, version, type_name: type_name::<T>(), trace }
    }

    /// The shapes of the type. `keep` gets made-up values in the forms that can be examples.
    pub(super) fn shapes(&self, codec: CodecId, mut keep: impl FnMut(Vec<u8>, MadeOf)) -> Shapes {
        (self.trace)(codec, &mut keep)
    }
}

impl StoredTypes {
    /// No types: the event and the state themselves are stored.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the type of the events under a manifest and version.
    #[must_use]
    pub fn event<T: Serialize + DeserializeOwned>(mut self, manifest: &str, version: u16) -> Self {
        self.types.push(StoredType::of::<T>(false, manifest.to_owned(), version));
        self
    }

    /// Adds the type of the snapshots of a version.
    #[must_use]
    pub fn state<T: Serialize + DeserializeOwned>(mut self, version: u16) -> Self {
        self.types.push(StoredType::of::<T>(true, String::new(), version));
        self
    }

    /// Returns whether no type was added.
    pub fn is_empty(&self) -> bool {
        self.types.is_empty()
    }

    pub(super) fn find(&self, is_state: bool, manifest: &str, version: u16) -> Option<&StoredType> {
        let is_it = |it: &&StoredType| {
            (it.is_state, &*it.manifest, it.version) == (is_state, manifest, version)
        };
        self.types.iter().find(is_it)
    }
}

impl fmt::Debug for StoredTypes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |it: &StoredType| (it.manifest.clone(), it.version, it.type_name);
        f.debug_list().entries(self.types.iter().map(named)).finish()
    }
}
