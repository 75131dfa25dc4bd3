//! The name of a request, by which its repetitions are known.

use std::fmt;
use std::sync::Arc;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Error, Result};

/// Most bytes of a [`RequestId`].
pub const REQUEST_ID_BYTES_MAX: usize = 128;

/// The name of a request: its client chooses it once, and sends it with each repetition of the
/// same command to the same entity (`ask_once`). 1 to [`REQUEST_ID_BYTES_MAX`] bytes without
/// control characters, and unique among the requests to the entity, such as a UUID, or the number
/// of an order. Cheap to clone.
///
/// ```
/// use antiphon_persistence::event::RequestId;
///
/// let id = RequestId::new("checkout-7f3a")?;
/// assert_eq!(id.as_str(), "checkout-7f3a");
///
/// let error = RequestId::new("two\nlines").unwrap_err();
/// assert!(error.to_string().contains("without control characters"), "{error}");
/// # Ok::<(), antiphon_persistence::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// The id with this text.
    ///
    /// # Errors
    /// `Rejected` when the text is empty, too long, or has a control character.
    pub fn new(text: impl AsRef<str>) -> Result<Self> {
        let text = text.as_ref();
        check(text).map_err(Error::rejected)?;
        Ok(Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Checks the text of an id. The error is the reason why it is none.
fn check(text: &str) -> Result<(), String> {
    let (bytes, has_control) = (text.len(), text.chars().any(char::is_control));
    if (1..=REQUEST_ID_BYTES_MAX).contains(&bytes) && !has_control {
        return Ok(());
    }
    let actual =
        if has_control { "one with a control character".into() } else { bytes.to_string() };
    Err(format!(
        "a request id: expected 1 to {REQUEST_ID_BYTES_MAX} bytes (`REQUEST_ID_BYTES_MAX`) without control characters, actual {actual}"
    ))
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestId({:?})", &*self.0)
    }
}

impl std::borrow::Borrow<str> for RequestId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl Serialize for RequestId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for RequestId {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        check(&text).map_err(D::Error::custom)?;
        Ok(Self(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_keeps_to_its_bounds_and_is_read_within_them() {
        let longest = "x".repeat(REQUEST_ID_BYTES_MAX);
        assert_eq!(RequestId::new(&longest).unwrap().as_str(), longest);
        for (wrong, actual) in [
            (String::new(), "actual 0"),
            (format!("{longest}x"), "actual 129"),
            ("a\u{7f}".to_owned(), "actual one with a control character"),
        ] {
            let error = RequestId::new(&wrong).unwrap_err().to_string();
            assert!(error.ends_with(actual), "{error}");
            let json = serde_json::to_string(&wrong).unwrap();
            assert!(serde_json::from_str::<RequestId>(&json).is_err(), "{wrong:?}");
        }
        assert_eq!(serde_json::from_str::<RequestId>("\"a b\"").unwrap().as_str(), "a b");
    }
}
