//! The tags of an event.

use std::fmt;

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::bounds::READ_COUNT_MAX;

/// Most tags of an event that is made. A later version may have another number.
pub const TAGS_MAX: usize = 16;

/// Most bytes of one tag of an event that is made. A later version may have another number.
pub const TAG_BYTES_MAX: usize = 128;

/// Short texts by which readers choose events, sorted, each once. They follow from the event, see
/// [`EventSourced::tags`](crate::entity::EventSourced::tags), and reach every replica with it.
///
/// A set of tags may have any size here. An event with more than [`TAGS_MAX`] tags, with an empty
/// tag or one of more than [`TAG_BYTES_MAX`] bytes is refused before it is stored. Stored events of
/// a version with other constants are read up to 1024 tags and 64 KiB of labels.
///
/// ```
/// use antiphon_persistence::event::Tags;
///
/// let tags = Tags::from(["order", "eu", "order"]);
/// assert!(tags.contains("eu"));
/// assert_eq!(tags.iter().collect::<Vec<_>>(), ["eu", "order"]);
/// assert!(Tags::none().is_empty());
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tags {
    sorted: Vec<Box<str>>,
}

impl Tags {
    /// No tag; needs no allocation.
    pub const fn none() -> Self {
        Self { sorted: Vec::new() }
    }

    /// Returns whether the tag is one of these.
    pub fn contains(&self, tag: &str) -> bool {
        self.sorted.binary_search_by(|known| (**known).cmp(tag)).is_ok()
    }

    /// The tags, sorted.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        self.sorted.iter().map(|tag| &**tag)
    }

    /// Returns whether there is no tag.
    pub fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }

    /// Checks that an event may have these tags. The error is the reason why not.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.sorted.len() > TAGS_MAX {
            return Err(format!(
                "tags of an event: expected at most {TAGS_MAX} (`TAGS_MAX`), actual {}",
                self.sorted.len()
            ));
        }
        let wrong = self.sorted.iter().find(|tag| tag.is_empty() || tag.len() > TAG_BYTES_MAX);
        wrong.map_or(Ok(()), |tag| {
            Err(format!(
                "a tag of an event: expected 1 to {TAG_BYTES_MAX} bytes (`TAG_BYTES_MAX`), actual {}",
                tag.len()
            ))
        })
    }
}

impl<T: Into<Box<str>>> FromIterator<T> for Tags {
    fn from_iter<I: IntoIterator<Item = T>>(tags: I) -> Self {
        let mut sorted: Vec<Box<str>> = tags.into_iter().map(Into::into).collect();
        sorted.sort_unstable();
        sorted.dedup();
        Self { sorted }
    }
}

impl<T: Into<Box<str>>, const N: usize> From<[T; N]> for Tags {
    fn from(tags: [T; N]) -> Self {
        tags.into_iter().collect()
    }
}

impl Serialize for Tags {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.sorted.serialize(serializer)
    }
}

/// Tags of any number, for instance in a state.
impl<'de> Deserialize<'de> for Tags {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_seq(Texts { max: usize::MAX })
    }
}

/// Reads the tags of an event.
pub(super) fn of_an_event<'de, D: Deserializer<'de>>(from: D) -> Result<Tags, D::Error> {
    from.deserialize_seq(Texts { max: READ_COUNT_MAX })
}

struct Texts {
    max: usize,
}

impl<'de> Visitor<'de> for Texts {
    type Value = Tags;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {} tags", self.max)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Tags, A::Error> {
        let mut tags: Vec<Box<str>> = Vec::new();
        while let Some(tag) = from.next_element()? {
            if tags.len() == self.max {
                return Err(A::Error::invalid_length(self.max.saturating_add(1), &self));
            }
            tags.push(tag);
        }
        Ok(tags.into_iter().collect())
    }
}
