//! The kit that each case receives, and the function that runs a case.

use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use antiphon_base::time::Timestamp;
use antiphon_base::{Error, ErrorKind, Result};
use antiphon_persistence::event::{EventMeta, Labels, Payload, SequenceNr, StoredEvent};
use antiphon_persistence::identity::{PersistenceId, ReplicaId};
use antiphon_persistence::store::{Append, Journal, Stores, WriterId};
use bytes::Bytes;

use crate::{Capabilities, DamagedRows, Place};

/// Time that one case may take; after it the case fails.
const CASE_TIMEOUT: Duration = Duration::from_secs(120);

/// The place under test with a session, and helpers.
pub struct Kit {
    place: Box<dyn Place>,
    /// The first session.
    pub(crate) stores: Stores,
    pub(crate) capabilities: Capabilities,
}

/// Runs one case on a new place, in a tokio runtime of its own. The macros call it; other code may
/// too.
///
/// # Panics
/// If the place does not keep the contract, or after two minutes.
pub fn run<P, C, F>(place: P, case: C)
where
    P: Place,
    C: FnOnce(Kit) -> F,
    F: Future<Output = ()>,
{
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("the operating system gives threads");
    runtime.block_on(async {
        let kit = Kit::open(Box::new(place)).await;
        let ended = tokio::time::timeout(CASE_TIMEOUT, case(kit)).await;
        assert!(ended.is_ok(), "the case took more than {CASE_TIMEOUT:?}");
    });
}

impl Kit {
    async fn open(place: Box<dyn Place>) -> Self {
        let capabilities = place.capabilities();
        let stores = place.session().await;
        Self { place, stores, capabilities }
    }

    /// Another session on the same place.
    pub(crate) async fn session(&self) -> Stores {
        self.place.session().await
    }

    /// A session on damaged rows.
    pub(crate) async fn damaged_session(
        &self,
        rows: DamagedRows,
        choice: u64,
    ) -> Option<(String, Stores)> {
        self.place.damaged_session(rows, choice).await
    }

    /// Another session if the place supports several, else the same one.
    pub(crate) async fn other_session(&self) -> Stores {
        if self.capabilities.multi_process { self.session().await } else { self.stores.clone() }
    }

    /// Drops the session and opens the place anew. The caller keeps nothing of the old session.
    pub(crate) async fn reopen(self) -> Self {
        let Self { place, stores, .. } = self;
        drop(stores);
        Self::open(place).await
    }

    /// Keeps a copy of everything.
    pub(crate) async fn keep(&self) {
        self.place.keep().await;
    }

    /// Drops the session, and opens the place with the kept copy. The caller keeps nothing of the
    /// old session.
    pub(crate) async fn go_back(self) -> Self {
        let Self { place, stores, .. } = self;
        drop(stores);
        place.go_back().await;
        Self::open(place).await
    }

    /// Returns `capability`. Reports on stderr that the case is skipped when it is false.
    pub(crate) fn can(&self, capability: bool, name: &str) -> bool {
        if !capability {
            eprintln!("skipped: the place has not the capability `{name}`");
        }
        capability
    }

    /// Opens a writer in the first session.
    pub(crate) async fn writer(&self, name: &str) -> Pen {
        Pen::open(&self.stores, name).await
    }

    /// All events of the stream that are not deleted, page by page.
    pub(crate) async fn replay_all(&self, id: &PersistenceId) -> Vec<StoredEvent> {
        replay_all(&*self.stores.journal, id).await
    }

    /// The highest number of the stream.
    pub(crate) async fn highest(&self, id: &PersistenceId) -> u64 {
        self.stores.journal.highest(id).await.expect("highest").value()
    }

    /// Compares the events that were read with those that were written; metadata only if the place
    /// keeps it.
    pub(crate) fn assert_same(&self, actual: &[StoredEvent], expected: &[StoredEvent]) {
        assert_eq!(actual.len(), expected.len(), "number of events");
        for (actual, expected) in actual.iter().zip(expected) {
            if self.capabilities.metadata {
                assert_eq!(actual, expected);
            } else {
                assert_eq!(actual.sequence_nr, expected.sequence_nr);
                assert_eq!(actual.payload, expected.payload);
            }
        }
    }
}

/// A journal, and a writer of one node in it.
#[derive(Clone)]
pub(crate) struct Pen {
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) writer: WriterId,
}

impl Pen {
    pub(crate) async fn open(stores: &Stores, name: &str) -> Self {
        let writer = writer_id(name);
        stores.journal.open_writer(&writer).await.expect("a new writer can be opened");
        Self { journal: stores.journal.clone(), writer }
    }

    /// Appends `count` events after `expected`.
    pub(crate) async fn try_append(
        &self,
        id: &PersistenceId,
        expected: u64,
        count: u64,
    ) -> Result<()> {
        self.try_append_events(id, expected, events(expected + 1, count)).await
    }

    pub(crate) async fn try_append_events(
        &self,
        id: &PersistenceId,
        expected: u64,
        events: Vec<StoredEvent>,
    ) -> Result<()> {
        let expected = SequenceNr::new(expected);
        let append = Append { persistence_id: id.clone(), expected, events };
        self.journal.append(&self.writer, append).await
    }

    /// Appends as [`Self::try_append`], and panics on an error.
    pub(crate) async fn append(&self, id: &PersistenceId, expected: u64, count: u64) {
        let outcome = self.try_append(id, expected, count).await;
        outcome.unwrap_or_else(|error| panic!("append to `{id}` after {expected}: {error}"));
    }
}

/// Seals a writer, again until it succeeds, as the contract demands. A store may be too busy for a
/// while.
pub(crate) async fn seal(journal: &dyn Journal, writer: &WriterId) {
    loop {
        match journal.seal(writer).await {
            Ok(()) => return,
            Err(error) if matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout) => {
                eprintln!("seal: {error}: again");
            }
            Err(error) => panic!("seal: {error}"),
        }
    }
}

pub(crate) fn writer_id(name: &str) -> WriterId {
    WriterId::new(name).expect("the kit's names are allowed")
}

pub(crate) fn id(text: &str) -> PersistenceId {
    PersistenceId::parse(text).expect("the kit's ids are allowed")
}

pub(crate) fn replica(name: &str) -> ReplicaId {
    ReplicaId::new(name).expect("the kit's names are allowed")
}

pub(crate) fn nr(value: u64) -> SequenceNr {
    SequenceNr::new(value)
}

/// An event whose version names only itself, so that the merged versions of a page of the change
/// feed tell exactly which events the page covers.
pub(crate) fn event(sequence_nr: u64) -> StoredEvent {
    let origin = replica(&format!("event-{sequence_nr:06}"));
    StoredEvent {
        sequence_nr: nr(sequence_nr),
        meta: EventMeta {
            version: [(origin.clone(), 1)].into_iter().collect(),
            origin,
            source_seq: nr(sequence_nr),
            concurrent: false,
            timestamp: Timestamp::from_micros(1_700_000_000_000_000 + sequence_nr),
            labels: Labels::none(),
        },
        payload: Payload {
            codec: 1,
            manifest: "added".into(),
            version: 1,
            bytes: Bytes::from(format!("event {sequence_nr}")),
        },
    }
}

pub(crate) fn events(first: u64, count: u64) -> Vec<StoredEvent> {
    (first..first + count).map(event).collect()
}

pub(crate) async fn replay_all(journal: &dyn Journal, id: &PersistenceId) -> Vec<StoredEvent> {
    let mut all: Vec<StoredEvent> = Vec::new();
    loop {
        let first = all.last().map_or(nr(1), |event| event.sequence_nr.next());
        let page = journal.replay(id, first, SequenceNr::MAX, 1000).await.expect("replay");
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

pub(crate) fn numbers(events: &[StoredEvent]) -> Vec<u64> {
    events.iter().map(|event| event.sequence_nr.value()).collect()
}

/// Asserts that a call failed with this kind.
pub(crate) fn assert_kind<T: Debug>(outcome: Result<T>, kind: ErrorKind) -> Error {
    let error = outcome.expect_err("the call was expected to fail");
    assert_eq!(error.kind(), kind, "{error}");
    error
}
