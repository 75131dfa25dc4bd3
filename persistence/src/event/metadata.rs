//! The metadata that users give to commands and events.

use std::fmt;
use std::sync::Arc;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Error, Result};

/// Most entries of a [`Metadata`].
pub const METADATA_COUNT_MAX: usize = 32;

/// Most bytes of one key of a [`Metadata`].
pub const METADATA_KEY_BYTES_MAX: usize = 128;

/// Most bytes of all keys and values of a [`Metadata`].
pub const METADATA_BYTES_MAX: usize = 4096;

/// Texts under keys, such as a correlation id or a trace context, sorted by key. They travel with
/// a command, are stored with its events, and reach every replica. Nothing in Antiphon reads them.
///
/// At most [`METADATA_COUNT_MAX`] entries, [`METADATA_KEY_BYTES_MAX`] bytes in a key and
/// [`METADATA_BYTES_MAX`] bytes in all. One word in memory, and cheap to clone; empty metadata
/// needs no allocation.
///
/// ```
/// use antiphon_persistence::event::Metadata;
///
/// let metadata = Metadata::new()
///     .with("correlation-id", "order-7")?
///     .with("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")?;
/// assert_eq!(metadata.get("correlation-id"), Some("order-7"));
/// assert_eq!(metadata.iter().count(), 2);
///
/// let error = metadata.with("note", "x".repeat(5000)).unwrap_err();
/// assert!(error.to_string().contains("`METADATA_BYTES_MAX`"), "{error}");
/// # Ok::<(), antiphon_persistence::Error>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Metadata(Option<Arc<Entries>>);

/// The entries, sorted by key; at least one.
#[derive(Clone, PartialEq, Eq)]
struct Entries {
    sorted: Vec<(Box<str>, Box<str>)>,
}

impl Metadata {
    /// Metadata without an entry.
    pub const fn new() -> Self {
        Self(None)
    }

    /// The metadata with one more entry, or with another value under a key that it has.
    ///
    /// # Errors
    /// `Rejected` when the key is empty, or when a bound would be exceeded, with its name.
    pub fn with(mut self, key: impl Into<Box<str>>, value: impl Into<Box<str>>) -> Result<Self> {
        self.insert(key.into(), value.into()).map_err(Error::rejected)?;
        Ok(self)
    }

    /// This metadata with the entries of `newer`, which replace entries under the same keys.
    ///
    /// # Errors
    /// `Rejected` when both together exceed a bound, with its name.
    ///
    /// ```
    /// use antiphon_persistence::event::Metadata;
    ///
    /// let old = Metadata::new().with("a", "1")?.with("b", "1")?;
    /// let both = old.merged(&Metadata::new().with("b", "2")?)?;
    /// assert_eq!(both, Metadata::new().with("a", "1")?.with("b", "2")?);
    /// # Ok::<(), antiphon_persistence::Error>(())
    /// ```
    pub fn merged(&self, newer: &Self) -> Result<Self> {
        if self.is_empty() {
            return Ok(newer.clone());
        }
        newer.iter().try_fold(self.clone(), |all, (key, value)| all.with(key, value))
    }

    /// The value under a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        let sorted = self.sorted();
        let at = sorted.binary_search_by(|(known, _)| (**known).cmp(key)).ok()?;
        sorted.get(at).map(|(_, value)| &**value)
    }

    /// The keys and values, sorted by key.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.sorted().iter().map(|(key, value)| (&**key, &**value))
    }

    /// Returns whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    fn sorted(&self) -> &[(Box<str>, Box<str>)] {
        self.0.as_ref().map_or(&[], |entries| &entries.sorted)
    }

    /// Adds or replaces an entry. The error is the reason why it is not done; the metadata is then
    /// as before.
    pub(crate) fn insert(&mut self, key: Box<str>, value: Box<str>) -> Result<(), String> {
        if key.is_empty() {
            return Err("a key of metadata: expected at least one byte".to_owned());
        }
        if key.len() > METADATA_KEY_BYTES_MAX {
            return Err(format!(
                "a key of metadata: expected at most {METADATA_KEY_BYTES_MAX} bytes (`METADATA_KEY_BYTES_MAX`), actual {}",
                key.len()
            ));
        }
        let sorted = self.sorted();
        let at = sorted.binary_search_by(|(known, _)| known.cmp(&key));
        let replaced = at.map_or(0, |at| sorted[at].0.len() + sorted[at].1.len());
        let before: usize = sorted.iter().map(|(key, value)| key.len() + value.len()).sum();
        let bytes = before - replaced + key.len() + value.len();
        if bytes > METADATA_BYTES_MAX {
            return Err(format!(
                "metadata with the key {key:?}: expected at most {METADATA_BYTES_MAX} bytes of keys and values (`METADATA_BYTES_MAX`), actual {bytes}: keep data in the event"
            ));
        }
        if at.is_err() && sorted.len() == METADATA_COUNT_MAX {
            return Err(format!(
                "metadata with the key {key:?}: expected at most {METADATA_COUNT_MAX} entries (`METADATA_COUNT_MAX`)"
            ));
        }
        let entries = self.0.get_or_insert_with(|| Arc::new(Entries { sorted: Vec::new() }));
        let sorted = &mut Arc::make_mut(entries).sorted;
        match at {
            Ok(at) => sorted[at].1 = value,
            Err(at) => sorted.insert(at, (key, value)),
        }
        Ok(())
    }
}

impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl Serialize for Metadata {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Pairs;

        impl<'de> Visitor<'de> for Pairs {
            type Value = Metadata;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "at most {METADATA_COUNT_MAX} texts under keys")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Metadata, A::Error> {
                let mut metadata = Metadata::new();
                while let Some((key, value)) = from.next_entry::<Box<str>, Box<str>>()? {
                    metadata.insert(key, value).map_err(A::Error::custom)?;
                }
                Ok(metadata)
            }
        }

        from.deserialize_map(Pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn metadata_takes_its_bounds_and_no_more() {
        let full = (0..METADATA_COUNT_MAX)
            .try_fold(Metadata::new(), |all, index| all.with(format!("key-{index:02}"), "x"));
        let full = full.unwrap();
        let error = full.clone().with("key-99", "x").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Rejected);
        assert!(error.to_string().contains("`METADATA_COUNT_MAX`"), "{error}");
        let replaced = full.with("key-00", "y").unwrap();
        assert_eq!((replaced.get("key-00"), replaced.iter().len()), (Some("y"), 32));

        let longest = "k".repeat(METADATA_KEY_BYTES_MAX);
        let value = "v".repeat(METADATA_BYTES_MAX - METADATA_KEY_BYTES_MAX);
        let largest = Metadata::new().with(&*longest, value).unwrap();
        for (key, name) in [
            ("a".to_owned(), "`METADATA_BYTES_MAX`"),
            (format!("{longest}k"), "`METADATA_KEY_BYTES_MAX`"),
            (String::new(), "at least one byte"),
        ] {
            let error = largest.clone().with(key, "").unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
        let error = replaced.merged(&largest).unwrap_err().to_string();
        assert!(error.contains("MAX`"), "{error}");
    }

    #[test]
    fn entries_are_sorted_by_key_and_one_word_in_memory() {
        let one = Metadata::new().with("b", "2").unwrap().with("a", "1").unwrap();
        let other = Metadata::new().with("a", "1").unwrap().with("b", "2").unwrap();
        assert_eq!(one, other);
        assert_eq!(format!("{one:?}"), r#"{"a": "1", "b": "2"}"#);
        assert_eq!(one.get("c"), None);
        assert_eq!(size_of::<Metadata>(), size_of::<usize>());
    }
}
