//! The projection of categories: every event of `customer-7` has a link in `$ce-customer`.

use std::hash::{DefaultHasher, Hash, Hasher};

use antiphon_eventstore::NewEvent;
use uuid::{Builder, Uuid};

use super::entry::{Body, Stream, StreamId};
use super::log::Log;

/// The type of an event that links to another.
pub(super) const LINK: &str = "$>";

impl Log {
    /// Links the last entry of `stream`, which is the last of the log.
    pub(super) fn link(&mut self, stream: StreamId, created: u64, event_type: &str) {
        if self.stream(stream).name.starts_with('$') || event_type.starts_with('$') {
            return;
        }
        if let Some(category) = self.category(stream) {
            let target = self.entries.len() - 1;
            self.push(category, created, Body::Link(target));
        }
    }

    fn category(&mut self, stream: StreamId) -> Option<StreamId> {
        if self.stream(stream).category.is_none() {
            let name = self.stream(stream).name.clone();
            let (category, _) =
                name.split_once('-').filter(|(category, _)| !category.is_empty())?;
            let id = self.id_of(&format!("$ce-{category}"));
            self.stream_mut(stream).category = Some(id);
        }
        self.stream(stream).category
    }

    /// The event of a link of the projection.
    pub(super) fn link_event(&self, stream: &Stream, revision: u64, target: usize) -> NewEvent {
        let entry = &self.entries[target];
        let of = &self.stream(entry.stream).name;
        let caused_by = match &entry.body {
            Body::Event(event) => event.id,
            Body::Link(_) => Uuid::nil(),
        };
        let metadata = serde_json::json!({ "$o": &**of, "$causedBy": caused_by.to_string() });
        NewEvent::binary(LINK, format!("{}@{of}", entry.revision))
            .with_id(link_id(&stream.name, revision))
            .with_metadata(metadata.to_string())
    }
}

/// The id of a link, the same in every run.
fn link_id(stream: &str, revision: u64) -> Uuid {
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        (salt, stream, revision).hash(&mut hasher);
        hasher.finish()
    };
    let (high, low) = (half(0), half(1));
    let bytes = (u128::from(high) << 64 | u128::from(low)).to_be_bytes();
    Builder::from_random_bytes(bytes).into_uuid()
}
