//! The name of a request, by which its repetitions are known.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use xxhash_rust::xxh64::xxh64;

use crate::{Error, Result};

/// Most bytes of a [`RequestId`].
pub const REQUEST_ID_BYTES_MAX: usize = 128;

/// Stands before the mark of the content in the stored form. No id has it.
const MARK: char = '\u{1f}';

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
///
/// Two ids are equal when their texts are, whatever [content](Self::with_content) they have.
#[derive(Clone)]
pub struct RequestId {
    text: Arc<str>,
    /// The checksum of the command's content.
    content: Option<u64>,
}

impl RequestId {
    /// The id with this text.
    ///
    /// # Errors
    /// `Rejected` when the text is empty, too long, or has a control character.
    pub fn new(text: impl AsRef<str>) -> Result<Self> {
        let text = text.as_ref();
        check(text).map_err(Error::rejected)?;
        Ok(Self { text: text.into(), content: None })
    }

    /// The id of a request with this content: bytes that are the same at each repetition, and
    /// differ for another command, such as the body of a form. A command with the id of a request
    /// that had another content is `Rejected`, without effect, instead of being taken for a
    /// repetition. The content itself is not kept, only its checksum of 64 bits, which tells
    /// mistakes apart, not attacks. Commands over HTTP have their JSON as content.
    ///
    /// ```
    /// use antiphon_persistence::event::RequestId;
    ///
    /// let id = RequestId::new("order-7")?.with_content("3 pens");
    /// assert_eq!(id.as_str(), "order-7");
    /// assert_eq!(id, RequestId::new("order-7")?);
    /// # Ok::<(), antiphon_persistence::Error>(())
    /// ```
    #[must_use]
    pub fn with_content(self, content: impl AsRef<[u8]>) -> Self {
        Self { content: Some(xxh64(content.as_ref(), 0)), ..self }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The checksum of the content, if it is known.
    pub(crate) fn content(&self) -> Option<u64> {
        self.content
    }

    /// The same id with this checksum of the content.
    pub(crate) fn marked(&self, content: Option<u64>) -> Self {
        Self { text: self.text.clone(), content }
    }

    /// The text with the mark of the content, for [`Self::parse`].
    #[doc(hidden)]
    pub fn marked_text(&self) -> String {
        match self.content {
            None => self.text.to_string(),
            Some(content) => format!("{}{MARK}{content:016x}", self.text),
        }
    }

    /// Reads a text as [`Self::marked_text`] writes it.
    ///
    /// # Errors
    /// As [`Self::new`].
    #[doc(hidden)]
    pub fn parse(marked: &str) -> Result<Self> {
        let Some((text, mark)) = marked.split_once(MARK) else { return Self::new(marked) };
        let is_mark = mark.len() == 16 && mark.bytes().all(|byte| byte.is_ascii_hexdigit());
        let content = is_mark.then(|| u64::from_str_radix(mark, 16).ok()).flatten();
        // the error names the control character
        if content.is_none() { Self::new(marked) } else { Ok(Self::new(text)?.marked(content)) }
    }

    /// The part of a marked text that is the id.
    pub(crate) fn text_of(marked: &str) -> &str {
        marked.split(MARK).next().unwrap_or(marked)
    }
}

impl PartialEq for RequestId {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for RequestId {}

impl PartialOrd for RequestId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for RequestId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.text.cmp(&other.text)
    }
}

impl Hash for RequestId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
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
        f.write_str(&self.text)
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestId({:?})", &*self.text)
    }
}

impl std::borrow::Borrow<str> for RequestId {
    fn borrow(&self) -> &str {
        &self.text
    }
}

impl Serialize for RequestId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for RequestId {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        check(&text).map_err(D::Error::custom)?;
        Ok(Self { text: text.into(), content: None })
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

    #[test]
    fn a_marked_text_has_the_checksum_of_the_content_and_is_read_back() {
        let id = RequestId::new("a b").unwrap();
        assert_eq!(id.marked_text(), "a b");
        let marked = id.clone().with_content("3 pens");
        assert_eq!(
            marked.marked_text(),
            "a b\u{1f}".to_owned() + &format!("{:016x}", xxh64(b"3 pens", 0))
        );
        for one in [&id, &marked] {
            let read = RequestId::parse(&one.marked_text()).unwrap();
            assert_eq!((read.as_str(), read.content()), ("a b", one.content()));
            assert_eq!(RequestId::text_of(&one.marked_text()), "a b");
        }
        for wrong in [
            "\u{1f}0123456789abcdef",
            "a\u{1f}",
            "a\u{1f}0123456789abcdeg",
            "a\u{1f}+123456789abcdef",
        ] {
            assert!(RequestId::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
