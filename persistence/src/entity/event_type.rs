//! The stored kind of an event.

use std::sync::{Arc, LazyLock};

/// The stored kind of an event.
///
/// ```
/// use antiphon_persistence::entity::EventType;
///
/// /// The kind of an event with two kinds; `moved` has had a change of its fields.
/// fn event_type(has_moved: bool) -> EventType {
///     let (manifest, version) = if has_moved { ("moved", 2) } else { ("created", 1) };
///     EventType { manifest: manifest.into(), version }
/// }
/// assert_eq!(&*event_type(true).manifest, "moved");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventType {
    /// The kind; empty when the entity has only one. A name of at most
    /// [`crate::event::MANIFEST_BYTES_MAX`] bytes, of a fixed set: at most
    /// [`crate::shape::EVENT_KINDS_MAX`] kinds of an entity type are recorded.
    pub manifest: Arc<str>,
    /// The version of the kind, from one.
    pub version: u16,
}

/// The manifest of most events, shared so that it is not allocated for each.
static NO_MANIFEST: LazyLock<Arc<str>> = LazyLock::new(|| Arc::from(""));

impl EventType {
    /// The kind of the only kind of events, in its first version.
    pub(super) fn only() -> Self {
        Self { manifest: NO_MANIFEST.clone(), version: 1 }
    }
}
