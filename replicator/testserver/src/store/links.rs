//! The projection of categories: everything in `customer-7` has a link in `$ce-customer`, whatever
//! its type, and so has the deletion of the stream. A link is linked by its target.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use antiphon_eventstore::NewEvent;
use uuid::{Builder, Uuid};

use super::entry::{Body, Stream, StreamId, TOMBSTONE};
use super::log::Log;
use super::metadata::Limits;

/// The type of an event that links to another.
pub(super) const LINK: &str = "$>";

impl Log {
    /// Links the last entry of the log.
    pub(super) fn link_last(&mut self, created: u64) {
        let target = self.entries.len() - 1;
        let about = self.deletes(target).unwrap_or(self.entries[target].stream);
        if let Some(category) = self.category(about) {
            self.push(category, created, Body::Link(target));
        }
    }

    /// The stream that an entry deletes, softly or for ever.
    fn deletes(&self, place: usize) -> Option<StreamId> {
        let entry = &self.entries[place];
        if entry.revision == TOMBSTONE {
            return Some(entry.stream);
        }
        let described = self.stream(entry.stream).name.strip_prefix("$$")?;
        match &entry.body {
            Body::Event(event) if &*event.event_type == "$metadata" => {
                let deletes = Limits::parse(&event.data, true).deleted();
                self.known(described).filter(|_| deletes)
            }
            Body::Event(_) | Body::Link(_) => None,
        }
    }

    fn category(&mut self, stream: StreamId) -> Option<StreamId> {
        if self.stream(stream).category.is_none() {
            let name = Arc::clone(&self.stream(stream).name);
            let (category, _) = name.split_once('-')?;
            if category.is_empty() || category.starts_with('$') {
                return None;
            }
            let id = self.id_of(&format!("$ce-{category}"));
            self.stream_mut(stream).category = Some(id);
        }
        self.stream(stream).category
    }

    /// The event of a link of the projection.
    pub(super) fn link_event(&self, stream: &Stream, revision: u64, target: usize) -> NewEvent {
        let entry = &self.entries[target];
        let deleted = self.deletes(target);
        let of = &self.stream(entry.stream).name;
        let (caused_by, data) = match &entry.body {
            Body::Event(event) if &*event.event_type == LINK => (event.id, event.data.clone()),
            Body::Event(event) => (event.id, format!("{}@{of}", entry.revision).into()),
            Body::Link(_) => (Uuid::nil(), format!("{}@{of}", entry.revision).into()),
        };
        let about = &self.stream(deleted.unwrap_or(entry.stream)).name;
        let mut metadata =
            serde_json::json!({ "$o": &**about, "$causedBy": caused_by.to_string() });
        if deleted.is_some() {
            metadata["$deleted"] = (-1).into();
        }
        NewEvent::binary(LINK, data)
            .with_id(link_id(&stream.name, revision))
            .with_metadata(metadata.to_string())
    }

    /// The place to which a link of the projection leads.
    pub(super) fn target_of(&self, target: usize) -> Option<usize> {
        match &self.entries[target].body {
            Body::Event(event) if &*event.event_type == LINK => self.place_of(&event.data),
            Body::Event(_) | Body::Link(_) => Some(target),
        }
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
