//! The projections: every event of `customer-7` has a link in `$ce-customer`, and optionally one in
//! `$et-<its type>`.

use std::hash::{DefaultHasher, Hash, Hasher};

use bytes::Bytes;
use uuid::{Builder, Uuid};

use super::Store;
use super::entry::{Body, Event, Stream, StreamId};

/// The type of an event that links to another.
pub(crate) const LINK: &str = "$>";

impl Store {
    /// Links the last entry of `stream`, which is the last of the log.
    pub(super) fn link(&mut self, stream: StreamId, created: u64, event_type: &str) {
        if self.streams[stream].name.starts_with('$') || event_type.starts_with('$') {
            return;
        }
        let target = self.log.len() - 1;
        if self.link_categories
            && let Some(category) = self.category(stream)
        {
            self.push(category, created, Body::Link(target));
        }
        if self.link_types {
            let types = self.id_of(&format!("$et-{event_type}"));
            self.push(types, created, Body::Link(target));
        }
    }

    fn category(&mut self, stream: StreamId) -> Option<StreamId> {
        if self.streams[stream].category.is_none() {
            let name = self.streams[stream].name.clone();
            let (category, _) =
                name.split_once('-').filter(|(category, _)| !category.is_empty())?;
            let id = self.id_of(&format!("$ce-{category}"));
            self.streams[stream].category = Some(id);
        }
        self.streams[stream].category
    }

    /// The event of a projection's link.
    pub(super) fn link_event(&self, stream: &Stream, revision: u64, target: usize) -> Event {
        let entry = &self.log[target];
        let of = &self.streams[entry.stream].name;
        let caused_by = match &entry.body {
            Body::Event(event) => event.id,
            Body::Link(_) | Body::Gone => Uuid::nil(),
        };
        let metadata = serde_json::json!({ "$o": &**of, "$causedBy": caused_by.to_string() });
        Event {
            id: link_id(&stream.name, revision),
            event_type: LINK.into(),
            is_json: false,
            data: Bytes::from(format!("{}@{of}", entry.revision)),
            metadata: metadata.to_string().into(),
        }
    }

    /// The index of the target that a client's link event names: `7@customer-1`.
    pub(super) fn target_of(&self, event: &Event) -> Option<usize> {
        let text = std::str::from_utf8(&event.data).ok()?;
        let (revision, name) = text.split_once('@')?;
        let stream = self.stream(name)?;
        stream.places.get(revision.parse::<usize>().ok()?).copied()
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
