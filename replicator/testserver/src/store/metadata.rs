//! Effects of a stream's metadata on its readers.
//!
//! The server's reading is strict: one known property of another type makes all of it void. Zero
//! and less set no limit.

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The `$tb` of a softly deleted stream.
pub(crate) const DELETED: u64 = i64::MAX as u64;

const TRUNCATE_BEFORE: &str = "$tb";

/// The limits that metadata sets.
#[derive(Debug, Clone, Default)]
pub(super) struct Limits {
    pub(super) max_count: Option<u64>,
    /// In ticks of 100 ns.
    pub(super) max_age: Option<u64>,
    pub(super) truncate_before: Option<u64>,
    /// All properties of the metadata, kept when the server rewrites it; none if it is no object.
    properties: Option<Properties>,
}

/// The properties of an object in their order, with the text of their values.
#[derive(Debug, Clone)]
struct Properties(Vec<(String, Box<RawValue>)>);

impl Limits {
    /// Parses metadata. Data that is not a JSON object sets no limits.
    pub(super) fn parse(data: &[u8], is_json: bool) -> Self {
        let Ok(properties) = serde_json::from_slice::<Properties>(data) else {
            return Self::default();
        };
        let limits = if is_json { properties.limits() } else { None };
        Self { properties: Some(properties), ..limits.unwrap_or_default() }
    }

    pub(super) fn deleted(&self) -> bool {
        self.truncate_before == Some(DELETED)
    }

    /// The same metadata with another `$tb`, as JSON; none if it is no JSON object.
    pub(super) fn with_truncate_before(&self, revision: u64) -> Option<Vec<u8>> {
        let kept = self.properties.as_ref()?.0.iter();
        let mut is_there = false;
        let mut parts: Vec<String> = kept
            .map(|(name, value)| {
                let replaced = name == TRUNCATE_BEFORE;
                is_there |= replaced;
                let value = if replaced { revision.to_string() } else { value.get().to_owned() };
                property(name, &value)
            })
            .collect();
        if !is_there {
            parts.push(property(TRUNCATE_BEFORE, &revision.to_string()));
        }
        Some(format!("{{{}}}", parts.join(",")).into_bytes())
    }
}

/// Metadata with a `$tb` and nothing else, as JSON.
pub(super) fn truncation(before: u64) -> Vec<u8> {
    format!("{{{}}}", property(TRUNCATE_BEFORE, &before.to_string())).into_bytes()
}

fn property(name: &str, value: &str) -> String {
    format!("{}:{value}", serde_json::Value::from(name))
}

impl Properties {
    /// The limits; none when a value is not of its type.
    fn limits(&self) -> Option<Limits> {
        let positive = |number: i64| u64::try_from(number).ok().filter(|number| *number > 0);
        let mut limits = Limits::default();
        for (name, value) in &self.0 {
            let number = || serde_json::from_str::<i64>(value.get()).ok();
            match name.as_str() {
                "$maxCount" => limits.max_count = positive(number()?),
                "$maxAge" => {
                    let ticks = |seconds: u64| seconds.saturating_mul(10_000_000);
                    limits.max_age = positive(number()?).map(ticks);
                }
                TRUNCATE_BEFORE => limits.truncate_before = u64::try_from(number()?).ok(),
                "$cacheControl" => drop(number()?),
                "$acl" if !value.get().starts_with('{') => return None,
                _ => {}
            }
        }
        Some(limits)
    }
}

impl<'de> Deserialize<'de> for Properties {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(InOrder)
    }
}

struct InOrder;

impl<'de> Visitor<'de> for InOrder {
    type Value = Properties;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Properties, A::Error> {
        let mut properties = Vec::new();
        while let Some(property) = map.next_entry()? {
            properties.push(property);
        }
        Ok(Properties(properties))
    }
}
