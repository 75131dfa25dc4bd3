//! The labels of an event: its metadata and its tags.

use std::sync::Arc;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::{Metadata, Tags};
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
    tags: Tags,
}

static NONE: Both = Both { metadata: Metadata::new(), tags: Tags::none() };

impl Labels {
    /// No metadata and no tag.
    pub const fn none() -> Self {
        Self(None)
    }

    /// Joins metadata and tags.
    ///
    /// # Errors
    /// `Rejected` when the tags exceed a bound, with its name.
    pub fn new(metadata: Metadata, tags: Tags) -> Result<Self> {
        if metadata.is_empty() && tags.is_empty() {
            return Ok(Self::none());
        }
        tags.check().map_err(Error::rejected)?;
        Ok(Self(Some(Arc::new(Both { metadata, tags }))))
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
        Self::new(metadata, tags).map_err(D::Error::custom)
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
    fn labels_are_one_word_and_none_of_them_is_empty() {
        assert_eq!(size_of::<Labels>(), size_of::<usize>());
        assert_eq!(Labels::new(Metadata::new(), Tags::none()).unwrap(), Labels::none());
        assert!(Labels::none().is_empty() && Labels::none().tags().is_empty());
    }
}
