//! The log and the streams in it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use antiphon_eventstore::NewEvent;

use super::entry::{Body, Entry, Stream, StreamId, TOMBSTONE};

/// All entries in the order in which they were written.
#[derive(Default)]
pub(crate) struct Log {
    pub(super) entries: Vec<Entry>,
    streams: Vec<Stream>,
    names: HashMap<Arc<str>, StreamId>,
    types: HashSet<Arc<str>>,
}

impl Log {
    pub(super) fn stream(&self, id: StreamId) -> &Stream {
        &self.streams[id]
    }

    pub(super) fn stream_mut(&mut self, id: StreamId) -> &mut Stream {
        &mut self.streams[id]
    }

    pub(super) fn named(&self, name: &str) -> Option<&Stream> {
        self.names.get(name).map(|id| &self.streams[*id])
    }

    /// The index of a stream; none when it is new.
    pub(super) fn known(&self, name: &str) -> Option<StreamId> {
        self.names.get(name).copied()
    }

    /// Returns true when a stream has a tombstone, or describes a stream that has one.
    pub(super) fn is_dead(&self, name: &str) -> bool {
        let buried = |name| self.named(name).is_some_and(|stream| stream.tombstoned);
        buried(name) || name.strip_prefix("$$").is_some_and(buried)
    }

    /// The index of a stream, which is created when it is new.
    pub(super) fn id_of(&mut self, name: &str) -> StreamId {
        if let Some(id) = self.names.get(name) {
            return *id;
        }
        let id = self.streams.len();
        let name: Arc<str> = name.into();
        self.streams.push(Stream::new(Arc::clone(&name)));
        self.names.insert(name, id);
        id
    }

    pub(super) fn push(&mut self, stream: StreamId, created: u64, body: Body) {
        let places = &mut self.streams[stream].places;
        let revision = places.len() as u64;
        places.push(self.entries.len());
        self.entries.push(Entry { stream, revision, created, body });
    }

    /// Ends a stream for ever. The tombstone has no place in it.
    pub(super) fn bury(&mut self, stream: StreamId, created: u64, tombstone: NewEvent) {
        self.streams[stream].tombstoned = true;
        let body = Body::Event(Box::new(tombstone));
        self.entries.push(Entry { stream, revision: TOMBSTONE, created, body });
    }

    /// The index of the entry that a link names: `7@customer-1`.
    pub(super) fn place_of(&self, link: &[u8]) -> Option<usize> {
        let (revision, name) = std::str::from_utf8(link).ok()?.split_once('@')?;
        self.named(name)?.places.get(revision.parse::<usize>().ok()?).copied()
    }

    /// The one copy of a type's name.
    pub(super) fn interned(&mut self, event_type: Arc<str>) -> Arc<str> {
        if let Some(known) = self.types.get(&event_type) {
            return Arc::clone(known);
        }
        self.types.insert(Arc::clone(&event_type));
        event_type
    }
}
