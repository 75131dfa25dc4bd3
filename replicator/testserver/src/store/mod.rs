//! The data of the server: one log, and streams as lists of indexes in it.
//!
//! Rules that tests depend on are those of EventStoreDB: numbers, idempotency, truncation, deletion
//! ([`append`]), links of categories ([`links`]), visibility to readers ([`read`]).

mod append;
mod entry;
mod file;
mod filter;
mod groups;
mod links;
mod metadata;
mod read;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use antiphon_base::time::{Clock, SystemClock};
use antiphon_eventstore::Result;
use bytes::Bytes;
use tokio::sync::watch;
use uuid::Uuid;

pub(crate) use append::{Appended, Deletion, Expected};
pub(crate) use entry::{Event, place_after, place_at, position};
pub(crate) use filter::EventFilter;
pub(crate) use groups::{GroupKey, GroupRecord};
pub(crate) use read::{Found, StreamPage};

use crate::settings::ServerSettings;
use entry::{Entry, Stream, StreamId};
use file::LogFile;

/// The data of a server. It outlives the server's restarts.
pub(crate) struct Store {
    log: Vec<Entry>,
    streams: Vec<Stream>,
    names: HashMap<Arc<str>, StreamId>,
    types: HashMap<Arc<str>, ()>,
    /// The last occurrence of each id, for appends with any revision. Limited by `remembered_max`.
    remembered: HashMap<Uuid, (StreamId, u64)>,
    remembered_max: usize,
    /// Index of the log below which ids are forgotten.
    forgotten: usize,
    groups: std::collections::BTreeMap<GroupKey, GroupRecord>,
    link_categories: bool,
    link_types: bool,
    file: Option<LogFile>,
    /// The length of the log.
    head: watch::Sender<usize>,
}

impl Store {
    /// Opens an empty store, or loads the file of the settings.
    pub(crate) fn open(settings: &ServerSettings) -> Result<Self> {
        let mut store = Self {
            log: Vec::new(),
            streams: Vec::new(),
            names: HashMap::new(),
            types: HashMap::new(),
            remembered: HashMap::new(),
            remembered_max: settings.remembered_ids_max,
            forgotten: 0,
            groups: Default::default(),
            link_categories: settings.link_categories,
            link_types: settings.link_types,
            file: None,
            head: watch::Sender::new(0),
        };
        if let Some(path) = &settings.file {
            store.load(Path::new(path))?;
        }
        Ok(store)
    }

    /// Notifies of growth of the log.
    pub(crate) fn head(&self) -> watch::Receiver<usize> {
        self.head.subscribe()
    }

    /// Number of entries in the log, including links.
    pub(crate) fn len(&self) -> usize {
        self.log.len()
    }

    fn announce(&self) {
        self.head.send_replace(self.log.len());
    }

    fn id_of(&mut self, name: &str) -> StreamId {
        if let Some(id) = self.names.get(name) {
            return *id;
        }
        let id = self.streams.len();
        let name: Arc<str> = name.into();
        self.streams.push(Stream::new(Arc::clone(&name)));
        self.names.insert(name, id);
        id
    }

    fn stream(&self, name: &str) -> Option<&Stream> {
        self.names.get(name).map(|id| &self.streams[*id])
    }

    fn interned(&mut self, event_type: &str) -> Arc<str> {
        if let Some((known, ())) = self.types.get_key_value(event_type) {
            return Arc::clone(known);
        }
        let new: Arc<str> = event_type.into();
        self.types.insert(Arc::clone(&new), ());
        new
    }
}

/// The current time in ticks of 100 ns since 1970, as on the wire.
pub(crate) fn now_ticks() -> u64 {
    SystemClock.wall().as_micros() * 10
}

/// The bytes of a name, without copying them each time.
pub(crate) fn name_bytes(name: &Arc<str>) -> Bytes {
    Bytes::copy_from_slice(name.as_bytes())
}
