//! Adds keys to an event's metadata and keeps the rest of it byte by byte: blanks, the order of the
//! keys, keys that are there twice, and numbers and escapes as they are written.

use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The `$tb` of a stream that is deleted until it is written again.
const ALL_BEFORE: i64 = i64::MAX;

/// Metadata that is neither empty nor a JSON object: no key can be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAnObject;

/// Metadata as it is written, with the places of its values. Of a key that is there twice, the last
/// value counts, as it does for the server.
#[derive(Debug)]
pub struct Metadata {
    text: String,
    values: Vec<(String, Range<usize>)>,
    /// The place of the next new key: behind the last value, or behind the opening brace.
    end: usize,
}

impl Metadata {
    /// Reads metadata; empty (or only blanks) is an object without keys.
    ///
    /// # Errors
    /// `NotAnObject` for anything else.
    pub fn parse(bytes: &[u8]) -> Result<Self, NotAnObject> {
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self { text: "{}".to_owned(), values: Vec::new(), end: 1 });
        }
        let text = std::str::from_utf8(bytes).map_err(|_| NotAnObject)?;
        let Keys(keys) = serde_json::from_str(text).map_err(|_| NotAnObject)?;
        let place = |value: &str| {
            // the value is a part of the text, so this is its place there
            let start = value.as_ptr().addr() - text.as_ptr().addr();
            start..start + value.len()
        };
        let values = keys.into_iter().map(|(key, value)| (key, place(value.get())));
        let values: Vec<(String, Range<usize>)> = values.collect();
        let behind_brace = || text.find('{').map_or(0, |brace| brace + 1);
        let end = values.last().map_or_else(behind_brace, |(_, place)| place.end);
        Ok(Self { text: text.to_owned(), values, end })
    }

    /// The value of a key as it is written.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.place_of(key).map(|index| &self.text[self.values[index].1.clone()])
    }

    fn place_of(&self, key: &str) -> Option<usize> {
        self.values.iter().rposition(|(name, _)| name == key)
    }

    /// Sets a key to a JSON value; an existing key keeps its place.
    pub fn set(&mut self, key: &str, value: &serde_json::Value) {
        let value = value.to_string();
        let Some(index) = self.place_of(key) else { return self.add(key, &value) };
        let old = self.values[index].1.clone();
        let new = old.start..old.start + value.len();
        self.text.replace_range(old.clone(), &value);
        self.values[index].1 = new.clone();
        for (_, later) in &mut self.values[index + 1..] {
            *later = later.start - old.end + new.end..later.end - old.end + new.end;
        }
        self.end = self.end - old.end + new.end;
    }

    fn add(&mut self, key: &str, value: &str) {
        let comma = if self.values.is_empty() { "" } else { "," };
        let before = format!("{comma}{}:", serde_json::Value::from(key));
        self.text.insert_str(self.end, &format!("{before}{value}"));
        let start = self.end + before.len();
        self.end = start + value.len();
        self.values.push((key.to_owned(), start..self.end));
    }

    /// The metadata as JSON.
    pub fn to_bytes(&self) -> Bytes {
        self.text.clone().into()
    }

    /// Returns whether this is the metadata of a stream that is deleted until it is written again:
    /// truncated before the largest possible number.
    pub fn deletes(&self) -> bool {
        self.get("$tb").and_then(|raw| raw.parse().ok()) == Some(ALL_BEFORE)
    }
}

/// The keys of an object, with their values as they are written.
struct Keys<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Keys<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Keys<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Keys<'de>, A::Error> {
                let mut keys = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    keys.push(entry);
                }
                Ok(Keys(keys))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn all_bytes_but_those_of_the_changed_keys_stay() {
        let text = br#" { "z": 1.00, "a": { "x" :1e2 }, "\u0062\n": "\u0041" ,"z" : 12345678901234567890123 } "#;
        let mut metadata = Metadata::parse(text).unwrap();
        assert_eq!(metadata.to_bytes(), &text[..]);
        metadata.set("$new", &json!(["berlin"]));
        metadata.set("z", &json!(2));
        metadata.set("a", &json!("longer than before"));
        metadata.set("$new", &json!([]));
        metadata.set("$newer", &json!(7));
        assert_eq!(
            metadata.to_bytes(),
            r#" { "z": 1.00, "a": "longer than before", "\u0062\n": "\u0041" ,"z" : 2,"$new":[],"$newer":7 } "#
        );
        assert_eq!((metadata.get("b\n"), metadata.get("z")), (Some(r#""\u0041""#), Some("2")));
    }

    #[test]
    fn a_deletion_is_the_last_truncation_before_the_largest_number() {
        let deletes = |text: &str| Metadata::parse(text.as_bytes()).unwrap().deletes();
        assert!(deletes(r#"{"$tb":9223372036854775807}"#));
        assert!(deletes(r#"{"$tb":3,"\u0024tb": 9223372036854775807 }"#));
        assert!(!deletes(r#"{"$tb":9223372036854775807,"$tb":3}"#));
        assert!(!deletes(r#"{"$tb":"9223372036854775807"}"#));
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
        fn a_key_that_is_set_has_its_value_and_the_others_keep_theirs(
            keys in proptest::collection::vec(("[a-d]", "[ 0-9]{0,3}7"), 0..5), key in "[a-e]",
        ) {
            let pairs: Vec<String> = keys.iter().map(|(key, value)| format!("\"{key}\" : {value}")).collect();
            let text = format!("{{{}}}", pairs.join(" , "));
            // a number does not begin with a blank or a zero there
            if let Ok(mut metadata) = Metadata::parse(text.as_bytes()) {
                metadata.set(&key, &json!([1]));
                let again = Metadata::parse(&metadata.to_bytes()).unwrap();
                for other in ["a", "b", "c", "d"].into_iter().filter(|other| *other != key) {
                    let before = keys.iter().rfind(|(key, _)| key == other).map(|(_, value)| value.trim());
                    prop_assert_eq!(again.get(other), before);
                }
                prop_assert_eq!(again.get(&key), Some("[1]"));
            }
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = Metadata::parse(&bytes);
        }
    }
}
