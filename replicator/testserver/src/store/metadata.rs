//! Effects of a stream's metadata on its readers.

use serde_json::{Map, Value};

/// The `$tb` of a softly deleted stream.
pub(crate) const DELETED: u64 = i64::MAX as u64;

/// The limits that metadata sets.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Limits {
    pub(super) max_count: Option<u64>,
    /// In ticks of 100 ns.
    pub(super) max_age: Option<u64>,
    pub(super) truncate_before: Option<u64>,
    /// All properties of the metadata, kept when the server rewrites it.
    pub(super) properties: Map<String, Value>,
}

impl Limits {
    /// Parses metadata. Data that is not a JSON object sets no limits, as on the real server.
    pub(super) fn parse(data: &[u8]) -> Self {
        let Ok(Value::Object(properties)) = serde_json::from_slice(data) else {
            return Self::default();
        };
        let number = |name: &str| properties.get(name).and_then(Value::as_u64);
        Self {
            max_count: number("$maxCount"),
            max_age: number("$maxAge").map(|seconds| seconds.saturating_mul(10_000_000)),
            truncate_before: number("$tb"),
            properties,
        }
    }

    pub(super) fn deleted(&self) -> bool {
        self.truncate_before == Some(DELETED)
    }

    /// The same metadata with another `$tb`, as JSON.
    pub(super) fn with_truncate_before(&self, revision: u64) -> Vec<u8> {
        let mut properties = self.properties.clone();
        properties.insert("$tb".to_owned(), revision.into());
        Value::Object(properties).to_string().into_bytes()
    }
}
