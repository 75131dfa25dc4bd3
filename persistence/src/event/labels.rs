//! The labels of an event: its metadata and its tags.

use std::sync::Arc;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::bounds::{READ_BYTES_MAX, READ_COUNT_MAX};
use super::{Metadata, Tags, tags};
use crate::{Error, Result};

/// The metadata and the tags of an event, which are the same at every replica. One word in memory,
/// and cheap to clone; an event without both needs no allocation.
///
/// ```
/// use antiphon_persistence::event::{Labels, Metadata, Tags};
///
/// let metadata = Metadata::new().with("correlation-id", "order-7")?;
/// let labels = Labels::new(metadata, Tags::from(["order"]))?;
/// assert_eq!(labels.metadata().get("correlation-id"), Some("order-7"));
/// assert!(labels.tags().contains("order"));
///
/// let error = Labels::new(Metadata::new(), (0..17).map(|tag| tag.to_string()).collect());
/// assert!(error.unwrap_err().to_string().contains("`TAGS_MAX`"));
/// # Ok::<(), antiphon_persistence::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labels(Option<Arc<Both>>);

/// Metadata and tags, not both empty.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Both {
    metadata: Metadata,
    #[serde(deserialize_with = "tags::of_an_event")]
    tags: Tags,
}

static NONE: Both = Both { metadata: Metadata::new(), tags: Tags::none() };

impl Labels {
    /// No metadata and no tag.
    pub const fn none() -> Self {
        Self(None)
    }

    /// Joins metadata and tags, for an event that is made.
    ///
    /// # Errors
    /// `Rejected` when the metadata or the tags exceed a bound, with its name.
    pub fn new(metadata: Metadata, tags: Tags) -> Result<Self> {
        metadata.check().and_then(|()| tags.check()).map_err(Error::rejected)?;
        Ok(Self::joined(metadata, tags))
    }

    /// Labels of an event that was stored or received. The error is the reason why they cannot be.
    pub(crate) fn read(metadata: Metadata, tags: Tags) -> Result<Self, &'static str> {
        if tags.iter().any(str::is_empty) {
            return Err("a tag of an event is empty");
        }
        let bytes = metadata.bytes() + tags.iter().map(str::len).sum::<usize>();
        if tags.iter().len() > READ_COUNT_MAX || bytes > READ_BYTES_MAX {
            return Err("the labels of an event are more than 1024 tags, or than 64 KiB");
        }
        Ok(Self::joined(metadata, tags))
    }

    fn joined(metadata: Metadata, tags: Tags) -> Self {
        if metadata.is_empty() && tags.is_empty() {
            return Self::none();
        }
        Self(Some(Arc::new(Both { metadata, tags })))
    }

    /// Number of holders of these labels.
    #[cfg(test)]
    pub(crate) fn holders(&self) -> usize {
        self.0.as_ref().map_or(0, Arc::strong_count)
    }

    /// The labels without the answer to the command of the event.
    pub(crate) fn without_answer(&self) -> Self {
        Self::joined(self.metadata().clone().without_answer(), self.tags().clone())
    }

    /// The metadata.
    pub fn metadata(&self) -> &Metadata {
        &self.both().metadata
    }

    /// The tags.
    pub fn tags(&self) -> &Tags {
        &self.both().tags
    }

    /// Returns whether there is neither metadata nor a tag.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    fn both(&self) -> &Both {
        self.0.as_deref().unwrap_or(&NONE)
    }
}

impl Serialize for Labels {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.both().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let Both { metadata, tags } = Both::deserialize(from)?;
        Self::read(metadata, tags).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{TAG_BYTES_MAX, TAGS_MAX};

    #[test]
    fn an_event_takes_tags_within_their_bounds_and_no_more() {
        let labels = |tags: Vec<String>| Labels::new(Metadata::new(), tags.into_iter().collect());
        let many = |count: usize| (0..count).map(|tag| format!("{tag:0128}")).collect();
        assert_eq!(labels(many(TAGS_MAX)).unwrap().tags().iter().len(), TAGS_MAX);
        for (tags, name) in [
            (many(TAGS_MAX + 1), "`TAGS_MAX`"),
            (vec!["t".repeat(TAG_BYTES_MAX + 1)], "`TAG_BYTES_MAX`"),
            (vec![String::new()], "`TAG_BYTES_MAX`"),
        ] {
            let error = labels(tags).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
    }

    #[test]
    fn tags_of_a_state_are_read_in_any_number_and_those_of_an_event_up_to_the_bound_of_reading() {
        let json = |count: usize, length: usize| {
            let tag = |tag| format!("{tag:0length$}");
            serde_json::to_string(&(0..count).map(tag).collect::<Tags>()).unwrap()
        };
        let of_an_event = |tags: &str| {
            serde_json::from_str::<Labels>(&format!(r#"{{"metadata":{{}},"tags":{tags}}}"#))
        };
        for (count, length, is_read) in [
            (17, 1, true),
            (1024, 64, true),
            (1, 60_000, true),
            (1025, 1, false),
            (2, 40_000, false),
        ] {
            let tags = json(count, length);
            let of_a_state = serde_json::from_str::<Tags>(&tags).unwrap();
            assert_eq!(of_a_state.iter().len(), count);
            assert_eq!(of_an_event(&tags).is_ok(), is_read, "{count} tags of {length} bytes");
            assert!(
                Labels::new(Metadata::new(), of_a_state).is_err(),
                "no event is made with them"
            );
        }
        let with_empty = serde_json::from_str::<Tags>(r#"[""]"#).unwrap();
        assert!(with_empty.contains(""), "a state may have it");
        assert!(of_an_event(r#"[""]"#).is_err());
    }

    #[test]
    fn labels_are_one_word_and_none_of_them_is_empty() {
        assert_eq!(size_of::<Labels>(), size_of::<usize>());
        assert_eq!(Labels::new(Metadata::new(), Tags::none()).unwrap(), Labels::none());
        assert!(Labels::none().is_empty() && Labels::none().tags().is_empty());
    }
}
