//! The metadata that users give to commands and events.

use std::fmt;
use std::sync::Arc;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::RequestId;
use super::bounds::{READ_BYTES_MAX, READ_COUNT_MAX};
use crate::{Error, Result};

/// Most entries of a [`Metadata`] that is made. A later version may have another number.
pub const METADATA_COUNT_MAX: usize = 32;

/// Most bytes of one key of a [`Metadata`] that is made. A later version may have another number.
pub const METADATA_KEY_BYTES_MAX: usize = 128;

/// Most bytes of all keys and values of a [`Metadata`] that is made. A later version may have
/// another number.
pub const METADATA_BYTES_MAX: usize = 4096;

/// The keys that begin with this text belong to Antiphon.
const RESERVED: &str = "antiphon.";

/// The key of the askers of a command, on the way between nodes only.
const ASKERS_KEY: &str = "antiphon.askers";

/// The key of the session of a command, on the way between nodes only.
const SESSION_KEY: &str = "antiphon.session";

/// The key under which an event has its orders about reminders.
const REMINDERS_KEY: &str = "antiphon.reminders";

/// The key of the request id of a command, on the way to its entity.
const REQUEST_KEY: &str = "antiphon.request";

/// The key under which an event has the request that caused it.
const DONE_KEY: &str = "antiphon.done";

/// The key under which an event has the answer to its command.
const ANSWER_KEY: &str = "antiphon.answer";

/// Most bytes of an answer in the metadata of an event. They do not count for
/// [`METADATA_BYTES_MAX`].
const ANSWER_BYTES_MAX: usize = 33 * 1024;

/// Most bytes of the orders about reminders that one command makes. They do not count for
/// [`METADATA_BYTES_MAX`].
pub(crate) const REMINDERS_BYTES_MAX: usize = 16 * 1024;

/// Texts under keys, such as a correlation id or a trace context, sorted by key. They travel with
/// a command, are stored with its events, and reach every replica; a snapshot has its own. Nothing
/// in Antiphon reads them, except its own entries, whose keys begin with `antiphon.`: users cannot
/// make such entries; events that set reminders have one, and so have commands and events with a
/// [`RequestId`].
///
/// At most [`METADATA_COUNT_MAX`] entries, [`METADATA_KEY_BYTES_MAX`] bytes in a key and
/// [`METADATA_BYTES_MAX`] bytes in all, when it is made and when an event is stored with it. Stored
/// or received metadata of a version with other constants is read up to 1024 entries and 64 KiB.
/// One word in memory, and cheap to clone; empty metadata needs no allocation.
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

    /// Number of bytes of all keys and values.
    pub(super) fn bytes(&self) -> usize {
        self.iter().map(|(key, value)| key.len() + value.len()).sum()
    }

    /// Metadata that was stored or received. The error is the reason why it cannot be.
    pub(crate) fn read(mut entries: Vec<(Box<str>, Box<str>)>) -> Result<Self, String> {
        if entries.is_empty() {
            return Ok(Self::new());
        }
        entries.sort_unstable();
        let metadata = Self(Some(Arc::new(Entries { sorted: entries })));
        let sorted = metadata.sorted();
        if let Some(twice) = sorted.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(format!("metadata has the key {:?} twice", twice[0].0));
        }
        if sorted[0].0.is_empty() {
            return Err("a key of metadata: expected at least 1 byte, actual 0".to_owned());
        }
        let (count, bytes) = (sorted.len(), metadata.bytes());
        if count > READ_COUNT_MAX || bytes > READ_BYTES_MAX {
            return Err(format!(
                "metadata that is read: expected at most {READ_COUNT_MAX} entries and {READ_BYTES_MAX} bytes, actual {count} and {bytes}"
            ));
        }
        Ok(metadata)
    }

    /// Checks that an event may be stored with this metadata, which may have been read. The error
    /// is the reason why not.
    pub(crate) fn check(&self) -> Result<(), String> {
        let is_own = |key: &str| [REMINDERS_KEY, DONE_KEY, ANSWER_KEY].contains(&key);
        let users = || self.iter().filter(|(key, _)| !is_own(key));
        users().try_for_each(|(key, _)| check_key(key))?;
        check_bytes(users().map(|(key, value)| key.len() + value.len()).sum())?;
        check_count(users().count())?;
        let orders = self.reminders().map_or(0, str::len);
        if orders > REMINDERS_BYTES_MAX {
            return Err(format!(
                "the reminders of one command: expected at most {REMINDERS_BYTES_MAX} bytes, actual {orders}: set fewer of them, or with shorter names"
            ));
        }
        let answer = self.answer().map_or(0, str::len);
        if answer > ANSWER_BYTES_MAX {
            return Err(format!(
                "the answer of an event: expected at most {ANSWER_BYTES_MAX} bytes, actual {answer}"
            ));
        }
        Ok(())
    }

    /// The request id of a command.
    pub(crate) fn request(&self) -> Option<&str> {
        if self.is_empty() {
            return None;
        }
        self.get(REQUEST_KEY).map(RequestId::text_of)
    }

    /// The metadata of a command with its request id, which tells its repetitions.
    #[must_use]
    pub fn with_request(&self, id: &RequestId) -> Self {
        self.with_reserved(REQUEST_KEY, id.marked_text().into())
    }

    /// Returns whether a command with this metadata has a request id.
    #[inline]
    pub fn has_request(&self) -> bool {
        self.request().is_some()
    }

    /// The request id of a command, if it has one.
    pub fn request_id(&self) -> Option<RequestId> {
        self.get(REQUEST_KEY).and_then(|id| RequestId::parse(id).ok())
    }

    /// The metadata of a command without its request id.
    #[must_use]
    pub fn without_request(self) -> Self {
        self.without_key(REQUEST_KEY).0
    }

    /// The metadata without the entries of Antiphon: the part of an event's or a command's metadata
    /// that can be handed on.
    ///
    /// ```
    /// use antiphon_persistence::event::{Metadata, RequestId};
    ///
    /// let own = Metadata::new().with("correlation-id", "order-7")?;
    /// let command = own.with_request(&RequestId::new("r-1")?);
    /// assert_eq!(command.without_reserved(), own);
    /// # Ok::<(), antiphon_persistence::Error>(())
    /// ```
    #[must_use]
    pub fn without_reserved(mut self) -> Self {
        if self.check_unreserved().is_ok() {
            return self;
        }
        if let Some(entries) = &mut self.0 {
            let sorted = &mut Arc::make_mut(entries).sorted;
            sorted.retain(|(key, _)| check_unreserved(key).is_ok());
            if sorted.is_empty() {
                self.0 = None;
            }
        }
        self
    }

    /// The note of an event about its request, in its stored form.
    pub(crate) fn done(&self) -> Option<&str> {
        self.get(DONE_KEY)
    }

    /// The metadata of an event with the note about its request.
    pub(crate) fn with_done(&self, note: Box<str>) -> Self {
        self.with_reserved(DONE_KEY, note)
    }

    /// The answer to the command of an event, in its stored form.
    pub(crate) fn answer(&self) -> Option<&str> {
        self.get(ANSWER_KEY)
    }

    /// The metadata of an event with the answer to its command.
    pub(crate) fn with_answer(&self, answer: Box<str>) -> Self {
        self.with_reserved(ANSWER_KEY, answer)
    }

    /// The metadata of an event without the answer to its command.
    pub(crate) fn without_answer(self) -> Self {
        self.without_key(ANSWER_KEY).0
    }

    /// The orders about reminders in the metadata of an event, in their stored form.
    pub(crate) fn reminders(&self) -> Option<&str> {
        self.get(REMINDERS_KEY)
    }

    /// The metadata of a command, with the orders about reminders of its last event.
    pub(crate) fn with_reminders(&self, orders: Box<str>) -> Self {
        self.with_reserved(REMINDERS_KEY, orders)
    }

    /// The metadata of a command with its askers, on the way to another node.
    pub(crate) fn with_askers(&self, askers: Box<str>) -> Self {
        self.with_reserved(ASKERS_KEY, askers)
    }

    /// The metadata of a command without its askers, and the askers.
    pub(crate) fn without_askers(self) -> (Self, Option<Box<str>>) {
        self.without_key(ASKERS_KEY)
    }

    /// The metadata of a command with its session, on the way to another node.
    pub(crate) fn with_session(&self, session: Box<str>) -> Self {
        self.with_reserved(SESSION_KEY, session)
    }

    /// The metadata of a command without its session, and the session.
    pub(crate) fn without_session(self) -> (Self, Option<Box<str>>) {
        self.without_key(SESSION_KEY)
    }

    /// The metadata without the entry under a key, and its value.
    fn without_key(mut self, key: &str) -> (Self, Option<Box<str>>) {
        let at = self.sorted().binary_search_by(|(known, _)| (**known).cmp(key));
        let (Ok(at), Some(entries)) = (at, &mut self.0) else { return (self, None) };
        let sorted = &mut Arc::make_mut(entries).sorted;
        let (_, value) = sorted.remove(at);
        if sorted.is_empty() {
            self.0 = None;
        }
        (self, Some(value))
    }

    fn with_reserved(&self, key: &str, value: Box<str>) -> Self {
        let mut metadata = self.clone();
        let entries = metadata.0.get_or_insert_with(|| Arc::new(Entries { sorted: Vec::new() }));
        let sorted = &mut Arc::make_mut(entries).sorted;
        match sorted.binary_search_by(|(known, _)| (**known).cmp(key)) {
            Ok(at) => sorted[at].1 = value,
            Err(at) => sorted.insert(at, (key.into(), value)),
        }
        metadata
    }

    /// Checks that no entry has a key of Antiphon: metadata that another node has sent may have
    /// one. The error is the reason why it is not stored.
    pub(crate) fn check_unreserved(&self) -> Result<(), String> {
        self.iter().try_for_each(|(key, _)| check_unreserved(key))
    }

    /// Adds or replaces an entry. The error is the reason why it is not done; the metadata is then
    /// as before.
    fn insert(&mut self, key: Box<str>, value: Box<str>) -> Result<(), String> {
        check_key(&key)?;
        let sorted = self.sorted();
        let at = sorted.binary_search_by(|(known, _)| known.cmp(&key));
        let replaced = at.map_or(0, |at| sorted[at].0.len() + sorted[at].1.len());
        let told = |why: String| format!("with the key {key:?}: {why}");
        check_bytes(self.bytes() - replaced + key.len() + value.len()).map_err(told)?;
        if at.is_err() {
            check_count(sorted.len() + 1).map_err(told)?;
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

fn check_unreserved(key: &str) -> Result<(), String> {
    if key.starts_with(RESERVED) {
        return Err(format!(
            "a key of metadata: expected one that does not begin with {RESERVED:?}, which is reserved, actual {key:?}"
        ));
    }
    Ok(())
}

fn check_key(key: &str) -> Result<(), String> {
    check_unreserved(key)?;
    if key.is_empty() {
        return Err("a key of metadata: expected at least 1 byte, actual 0".to_owned());
    }
    if key.len() > METADATA_KEY_BYTES_MAX {
        return Err(format!(
            "a key of metadata: expected at most {METADATA_KEY_BYTES_MAX} bytes (`METADATA_KEY_BYTES_MAX`), actual {}",
            key.len()
        ));
    }
    Ok(())
}

fn check_bytes(bytes: usize) -> Result<(), String> {
    if bytes > METADATA_BYTES_MAX {
        return Err(format!(
            "metadata: expected at most {METADATA_BYTES_MAX} bytes of keys and values (`METADATA_BYTES_MAX`), actual {bytes}: keep data in the event"
        ));
    }
    Ok(())
}

fn check_count(count: usize) -> Result<(), String> {
    if count > METADATA_COUNT_MAX {
        return Err(format!(
            "metadata: expected at most {METADATA_COUNT_MAX} entries (`METADATA_COUNT_MAX`), actual {count}"
        ));
    }
    Ok(())
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
                write!(f, "at most {READ_COUNT_MAX} texts under keys")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Metadata, A::Error> {
                let mut entries: Vec<(Box<str>, Box<str>)> = Vec::new();
                while let Some(entry) = from.next_entry()? {
                    if entries.len() == READ_COUNT_MAX {
                        return Err(A::Error::invalid_length(READ_COUNT_MAX + 1, &self));
                    }
                    entries.push(entry);
                }
                Metadata::read(entries).map_err(A::Error::custom)
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
        assert!(error.to_string().contains("(`METADATA_COUNT_MAX`), actual 33"), "{error}");
        let replaced = full.with("key-00", "y").unwrap();
        assert_eq!((replaced.get("key-00"), replaced.iter().len()), (Some("y"), 32));

        let longest = "k".repeat(METADATA_KEY_BYTES_MAX);
        let value = "v".repeat(METADATA_BYTES_MAX - METADATA_KEY_BYTES_MAX);
        let largest = Metadata::new().with(&*longest, value).unwrap();
        for (key, name) in [
            ("a".to_owned(), "`METADATA_BYTES_MAX`"),
            (format!("{longest}k"), "`METADATA_KEY_BYTES_MAX`"),
            (String::new(), "at least 1 byte, actual 0"),
        ] {
            let error = largest.clone().with(key, "").unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
        let error = replaced.merged(&largest).unwrap_err().to_string();
        assert!(error.contains("MAX`"), "{error}");
    }

    #[test]
    fn metadata_beyond_the_bounds_of_making_is_read_and_not_stored() {
        let json = |count: usize, length: usize| {
            let entry = |index| format!("\"{index:04}\":\"{}\"", "v".repeat(length));
            format!("{{{}}}", (0..count).map(entry).collect::<Vec<_>>().join(","))
        };
        let read = |json: &str| serde_json::from_str::<Metadata>(json);
        for (count, length) in [(1024, 1), (1, 60_000), (1024, 60)] {
            let metadata = read(&json(count, length)).unwrap();
            assert_eq!(metadata.iter().len(), count);
            assert!(metadata.check().unwrap_err().contains("MAX`), actual "));
        }
        for wrong in [json(1025, 1), json(1, 70_000), r#"{"k":"1","k":"2"}"#.into()] {
            assert!(read(&wrong).is_err());
        }
    }

    #[test]
    fn a_key_of_antiphon_is_refused_from_users_and_kept_with_an_event() {
        let error = Metadata::new().with("antiphon.reminders", "[]").unwrap_err().to_string();
        assert!(error.contains("which is reserved, actual \"antiphon.reminders\""), "{error}");
        let own = Metadata::new().with("a", "1").unwrap().with_reminders("[]".into());
        assert_eq!((own.reminders(), own.check()), (Some("[]"), Ok(())));
        assert!(own.check_unreserved().is_err());
        let large = own.with_reminders("x".repeat(REMINDERS_BYTES_MAX + 1).into());
        assert!(large.check().unwrap_err().contains("expected at most 16384 bytes, actual 16385"));
        assert_eq!(own.with_reminders("x".repeat(REMINDERS_BYTES_MAX).into()).check(), Ok(()));
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
