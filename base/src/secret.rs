//! Texts that must not be shown: not in an error, not by `Debug`, not in a printed configuration.

use std::fmt;

use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A text that is not shown. Only [`Self::expose`] returns it.
///
/// ```
/// use antiphon_base::secret::Secret;
///
/// let password = Secret::from("swordfish");
/// assert_eq!(format!("{password:?}"), "***");
/// assert_eq!(password.expose(), "swordfish");
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text itself, for the code that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Returns whether the text is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_empty() { "none" } else { "***" })
    }
}

/// Writes stars for a text and nothing for an empty text: for printed configurations. The text
/// cannot be read back.
impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(if self.is_empty() { "" } else { "***" })
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserialize(deserializer).map(Self)
    }
}

/// Reads a text that is kept as a `String`. An error says only that the value is not a text, and
/// does not show the value. For `#[serde(deserialize_with)]`.
///
/// # Errors
/// When the value is not a text.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let read = deserializer.deserialize_any(AnyText)?;
    read.ok_or_else(|| {
        serde::de::Error::custom(
            "expected a text in quotes; the actual value is not shown, since it may be a secret",
        )
    })
}

/// A message of serde without the text that serde found in place of the expected type, which may be
/// a secret in the wrong place, and without values that stand for a whole table.
pub fn without_texts(message: &str) -> String {
    for problem in ["invalid type: ", "invalid value: "] {
        let rest = message.strip_prefix(problem).and_then(|rest| rest.rsplit_once(", expected "));
        let Some((found, expected)) = rest else { continue };
        if found.starts_with("string ") {
            return format!("{problem}a text, expected {expected}");
        }
        if expected.starts_with("struct ") {
            return format!("{problem}expected {expected}");
        }
    }
    message.to_owned()
}

/// Accepts a value of any type, so that this module words the error; `None` when the value is not a
/// text.
struct AnyText;

impl<'de> Visitor<'de> for AnyText {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Some(text.to_owned()))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut rest: A) -> Result<Self::Value, A::Error> {
        while rest.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut rest: A) -> Result<Self::Value, A::Error> {
        while rest.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_shown_by_anything() {
        let secret = Secret::from("hunter2");
        assert_eq!(secret.expose(), "hunter2");
        assert_eq!(format!("{secret:?}"), "***");
        assert_eq!(serde_json::to_string(&secret).unwrap(), "\"***\"");
        for wrong in ["1234567", "[1234567]", "{\"1234567\": 1}", "true", "1234567.5", "-1234567"] {
            let message = serde_json::from_str::<Secret>(wrong).unwrap_err().to_string();
            assert!(message.contains("a text in quotes"), "{message}");
            assert!(!message.contains("1234567"), "{message}");
        }
        assert_eq!(serde_json::from_str::<Secret>("\"hunter2\"").unwrap(), secret);
    }
}
