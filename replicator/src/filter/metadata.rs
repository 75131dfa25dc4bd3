//! Adds keys to an event's metadata and keeps the rest of it as written: the order of keys, and
//! every value byte by byte.

use std::fmt;

use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Metadata that is neither empty nor a JSON object: no key can be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAnObject;

/// Metadata as a list of keys and their untouched values.
#[derive(Debug, Default)]
pub struct Metadata(Vec<(String, Box<RawValue>)>);

impl Metadata {
    /// Reads metadata; empty (or only blanks) is an object without keys.
    ///
    /// # Errors
    /// `NotAnObject` for anything else.
    pub fn parse(bytes: &[u8]) -> Result<Self, NotAnObject> {
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self::default());
        }
        serde_json::from_slice(bytes).map_err(|_| NotAnObject)
    }

    /// The value of a key as it is written.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value.get())
    }

    /// Sets a key to a JSON value; an existing key keeps its place.
    pub fn set(&mut self, key: &str, value: &serde_json::Value) {
        let Ok(value) = serde_json::value::to_raw_value(value) else { return };
        match self.0.iter_mut().find(|(name, _)| name == key) {
            Some((_, old)) => *old = value,
            None => self.0.push((key.to_owned(), value)),
        }
    }

    /// Writes the metadata as JSON.
    pub fn to_bytes(&self) -> Bytes {
        let mut text = String::from("{");
        for (index, (key, value)) in self.0.iter().enumerate() {
            if index > 0 {
                text.push(',');
            }
            text += &serde_json::Value::String(key.clone()).to_string();
            text.push(':');
            text += value.get();
        }
        text.push('}');
        text.into()
    }
}

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = Metadata;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Metadata, A::Error> {
                let mut keys = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    keys.push(entry);
                }
                Ok(Metadata(keys))
            }
        }
        deserializer.deserialize_map(Keys)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_keep_their_order_and_values_their_bytes() {
        let mut metadata =
            Metadata::parse(br#" { "z": 1.00, "a": { "x" :1e2 }, "b\n": "\u0041" } "#).unwrap();
        metadata.set("$new", &json!(["berlin"]));
        metadata.set("z", &json!(2));
        assert_eq!(
            metadata.to_bytes(),
            r#"{"z":2,"a":{ "x" :1e2 },"b\n":"\u0041","$new":["berlin"]}"#
        );
    }

    #[test]
    fn empty_metadata_is_an_object_and_anything_else_is_refused() {
        assert_eq!(Metadata::parse(b" ").unwrap().to_bytes(), "{}");
        for bytes in [&b"[1]"[..], b"5", b"\xff\x00", b"{\"a\":", b"{} x", b"null"] {
            assert!(Metadata::parse(bytes).is_err(), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = Metadata::parse(&bytes);
        }
    }
}
