//! The JSON of a request, in which each key occurs once.
//!
//! A `serde_json::Value` keeps the last of two values with one key, so that `{"add": 1, "add": 2}`
//! would add 2. The meaning of such a request is not certain, so it is refused.

use std::fmt;

use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Number, Value};

/// Reads the JSON of a request.
///
/// # Errors
/// A description of the fault: the text is not JSON, or has a key twice.
pub(crate) fn parse(bytes: &[u8]) -> Result<Value, String> {
    match serde_json::from_slice(bytes) {
        Ok(Once(value)) => Ok(value),
        Err(error) if error.is_data() => Err(format!("the body: {error}")),
        Err(error) => Err(format!("the body is no JSON: {error}")),
    }
}

/// A value in which each key occurs once.
struct Once(Value);

impl<'de> Deserialize<'de> for Once {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OnceVisitor).map(Self)
    }
}

struct OnceVisitor;

impl<'de> Visitor<'de> for OnceVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        let number = Number::from_f64(value);
        number.map(Value::Number).ok_or_else(|| E::custom("expected a finite number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Once(value)) = items.next_element()? {
            values.push(value);
        }
        Ok(values.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut values = Map::new();
        while let Some((key, Once(value))) = entries.next_entry::<String, Once>()? {
            if values.contains_key(&key) {
                return Err(A::Error::custom(format!("the key `{key}` is there twice")));
            }
            values.insert(key, value);
        }
        Ok(values.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_occurs_twice_is_refused_at_any_depth() {
        for body in [r#"{"add":1,"add":2}"#, r#"[{"place":{"number":1,"number":2}}]"#] {
            let error = parse(body.as_bytes()).expect_err("refused");
            assert!(error.contains("twice") && !error.contains("no JSON"), "{error}");
        }
        let error = parse(b"{").expect_err("refused");
        assert!(error.contains("no JSON"), "{error}");
    }

    #[test]
    fn any_other_body_is_read_as_it_is() {
        for body in [r#"{"a":[1,-2,0.1,18446744073709551615,"x\n",null,true],"b":{"a":{}}}"#, "3"] {
            let expected: Value = serde_json::from_str(body).expect("JSON");
            assert_eq!(parse(body.as_bytes()).expect("JSON"), expected);
        }
    }
}
