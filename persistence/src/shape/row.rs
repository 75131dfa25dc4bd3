//! The row of a kind: the union of the shapes that releases have stored under it, with their
//! examples, as JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::form::{Container, Form, Shape};
use super::samples::Samples;
use super::union::union;
use crate::codec::CodecId;

/// A larger row is not kept, and not compared.
const ROW_BYTES_MAX: usize = 256 * 1024;

/// The stored shape and examples of a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) shape: Shape,
    pub(super) samples: Samples,
}

#[derive(Serialize)]
struct Written<'a> {
    root: &'a Form,
    types: &'a BTreeMap<String, Container>,
    samples: &'a Samples,
}

#[derive(Deserialize)]
struct Read {
    root: Form,
    types: BTreeMap<String, Container>,
    /// Earlier releases wrote no examples.
    #[serde(default)]
    samples: Samples,
}

impl Row {
    /// The row in the store; `None`, with a warning, when it cannot be read.
    pub(super) fn decode(key: &str, value: &[u8]) -> Option<Self> {
        match CodecId::Json.decode_within(value, ROW_BYTES_MAX) {
            Ok(Read { root, types, samples }) => {
                Some(Self { shape: Shape { root, types }, samples })
            }
            Err(error) => {
                tracing::warn!(%key, %error, "a shape of another release is not compared");
                None
            }
        }
    }

    /// The row as it is stored; `None` when it is too large.
    pub(super) fn encode(&self) -> Option<Vec<u8>> {
        let Self { shape: Shape { root, types }, samples } = self;
        let row = serde_json::to_vec(&Written { root, types, samples })
            .expect("a shape has nothing that cannot be written");
        (row.len() <= ROW_BYTES_MAX).then_some(row)
    }

    /// The union of this row and the row of a later release.
    pub(super) fn union(&self, codec: CodecId, new: &Self) -> Self {
        let shape = union(codec, &self.shape, &new.shape);
        Self { shape, samples: self.samples.union(&new.samples) }
    }
}
