//! Encoded examples of a kind: made-up values that its release could read again, and that later
//! releases must read, too.
//!
//! A shape does not tell which fields must be there: CBOR and JSON accept an added field as
//! compatible, and only reading tells whether it has a default. bincode needs no examples, since
//! its fields neither come nor go.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::compare::name_of;
use super::form::{Container, Shape};

/// A larger example is not kept.
const SAMPLE_BYTES_MAX: usize = 4 * 1024;

/// Most examples of a row, and most bytes of them together.
const SAMPLES_MAX: usize = 256;
const SAMPLES_BYTES_MAX: usize = 64 * 1024;

/// A type and one of its variants, by name.
pub(super) type VariantName = (String, String);

/// An example.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sample {
    /// The bytes in hexadecimal digits.
    encoded: String,
    /// The variants in the example.
    variants: Vec<VariantName>,
}

impl Sample {
    /// The example with these bytes; `None` when they are too many.
    pub(super) fn new(bytes: &[u8], variants: Vec<VariantName>) -> Option<Self> {
        if bytes.len() > SAMPLE_BYTES_MAX {
            return None;
        }
        let encoded = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        Some(Self { encoded, variants })
    }

    /// The bytes; `None` when the row was damaged.
    pub(super) fn bytes(&self) -> Option<Bytes> {
        let digits = self.encoded.as_bytes();
        let digit = |digit: u8| (digit as char).to_digit(16);
        let byte = |pair: &[u8]| match pair {
            [high, low] => u8::try_from(digit(*high)? * 16 + digit(*low)?).ok(),
            _ => None,
        };
        digits.chunks(2).map(byte).collect()
    }

    /// Returns whether the example has a variant that its type in the shape does not have (any
    /// more, or yet). A release may be taken back, and does not read such values.
    pub(super) fn is_beyond(&self, shape: &Shape) -> bool {
        self.variants.iter().any(|(type_name, variant)| {
            let enums = shape.types.iter().filter_map(|(key, container)| match container {
                Container::Enum(variants) if name_of(key) == *type_name => Some(variants),
                Container::Enum(_) | Container::Struct(_) => None,
            });
            // a name that is not certain may be this one
            let has = |name: &str| name.is_empty() || name == variant;
            let mut enums = enums.peekable();
            enums.peek().is_some()
                && !enums.any(|variants| variants.values().any(|known| has(&known.name)))
        })
    }

    /// The variants of the example, in words.
    pub(super) fn words(&self) -> String {
        let names: Vec<_> = self.variants.iter().map(|(t, v)| format!("`{t}::{v}`")).collect();
        if names.is_empty() { "an example".to_owned() } else { names.join(", ") }
    }
}

/// Examples, each once and within the bounds of a row.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Samples(Vec<Sample>);

impl Samples {
    /// Adds an example; returns false when there is no room for it.
    pub(super) fn add(&mut self, sample: Sample) -> bool {
        if self.0.contains(&sample) {
            return true;
        }
        let bytes = self.0.iter().map(|sample| sample.encoded.len() / 2).sum::<usize>();
        let has_room =
            self.0.len() < SAMPLES_MAX && bytes + sample.encoded.len() / 2 <= SAMPLES_BYTES_MAX;
        if has_room {
            self.0.push(sample);
        }
        has_room
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Sample> {
        self.0.iter()
    }

    /// The union: these examples, and the examples of `more` for which there is room.
    pub(super) fn union(&self, more: &Self) -> Self {
        let mut union = self.clone();
        let left_out = more.iter().filter(|sample| !union.add((*sample).clone())).count();
        if left_out > 0 {
            tracing::warn!(
                left_out,
                "there is no room for more examples of a kind: a field that is added without a default may not be noticed"
            );
        }
        union
    }
}
